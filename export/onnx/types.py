"""The type of every value of a graph, by ONNX's inference, and the check that operators take those types."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
from onnx import TensorProto, helper

_NAMES: dict[int, str] = {
    TensorProto.FLOAT: "float",
    TensorProto.FLOAT16: "float16",
    TensorProto.BFLOAT16: "bfloat16",
    TensorProto.DOUBLE: "double",
    TensorProto.UINT8: "uint8",
    TensorProto.INT8: "int8",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
    TensorProto.BOOL: "bool",
}


def types_of(path: Path) -> dict[str, int]:
    """The element type (of TensorProto) of every named value of the graph at `path`; its weights are not loaded."""
    model = onnx.load(str(path), load_external_data=False)
    for node in model.graph.node:
        _stand_in(node)
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    return {**found, **{weight.name: weight.data_type for weight in graph.initializer}}


def _stand_in(node: onnx.NodeProto) -> None:
    """GroupNormalization gives the type and shape of its input, which ONNX's inference does not know."""
    if node.op_type == "GroupNormalization":
        node.CopyFrom(helper.make_node("Identity", node.input[:1], node.output, name=node.name))


def mistyped(nodes: Iterable[onnx.NodeProto], types: dict[str, int], opset: int) -> Iterator[str]:
    """In words, the operators that get a type which they do not take at that opset; ONNX's checker lets it pass."""
    for node in nodes:
        schema = onnx.defs.get_schema(node.op_type, opset, "")
        allowed = {constraint.type_param_str: constraint.allowed_type_strs for constraint in schema.type_constraints}
        for place, name in enumerate(node.input):
            parameter = schema.inputs[min(place, len(schema.inputs) - 1)]
            kind = f"tensor({_NAMES.get(types.get(name, 0), '')})"
            if kind != "tensor()" and kind not in allowed.get(parameter.type_str, [parameter.type_str]):
                yield f"{node.op_type} of opset {opset} takes no {kind} ('{node.name}')"
