"""How much work a graph is: floating-point operations and bytes, counted from its ONNX file as it will run.

Counted are the multiplications and additions, one each, of convolutions, matrix products and attention, as in torch's
FlopCounterMode, and the least bytes that must cross the border of the chip: weights, inputs, outputs. What engines
compute when they load (a Cast of a weight, a shape) and what only renames (Reshape) is free. The bytes differ from
target to target and are known from the file alone, so the operations are counted there too.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

import onnx
from onnx import TensorProto, helper, numpy_helper
from wetgen.runtime.bundle.graphs import JUDGE
from wetgen.runtime.errors import WetgenError

Shapes = Mapping[str, tuple[int, ...]]

# They only rename, or read a few rows of a table.
_READS_NO_WEIGHT = frozenset({"Flatten", "Gather", "Identity", "Reshape", "Shape", "Squeeze", "Unsqueeze"})
# They give the shape of their first input; ONNX's inference does not know them.
_SHAPE_OF_FIRST = frozenset(
    {"BiasGelu", "FusedGelu", "GroupNormalization", "LayerNormalization", "MultiHeadAttention", "QuickGelu"}
)
# Integers that describe shapes, computed ahead where the batch is known.
_OF_SHAPES = frozenset(
    {"Add", "Cast", "Concat", "Div", "Gather", "Mul", "Range", "Reshape", "Slice", "Squeeze", "Sub", "Unsqueeze"}
)
_SMALL = 64  # elements; integers of shapes have far fewer
_TRIED = (1, 2, 3)  # batches: two for the line, the third to check that it is one


@dataclass(frozen=True)
class Work:
    """What one call of a graph takes."""

    flops: int
    bytes: int


def work_of_bundle(folder: Path, info: Mapping[str, Any]) -> dict[str, dict[str, dict[str, list[int]]]]:
    """The "work" entry of bundle.json: per target and graph, flops and bytes as [constant, per pair].

    `info` is bundle.json with its targets. Per pair means per item of the batch; for the text graph that is a prompt.
    """
    return {
        target: {
            name: work_of_graph(folder / graph["file"]) for name, graph in entry["graphs"].items() if name != JUDGE
        }
        for target, entry in info["targets"].items()
    }


def work_of_graph(path: Path) -> dict[str, list[int]]:
    """A graph's "flops" and "bytes" (`Work`), each as [constant, per pair]."""
    counted = [count(path, batch) for batch in _TRIED]
    lines = {}
    for name in ("flops", "bytes"):
        first, second, third = (int(getattr(work, name)) for work in counted)
        slope = second - first
        if third != first + 2 * slope:
            raise _uncountable(path, f"its {name} do not grow in proportion to the batch")
        lines[name] = [first - slope, slope]
    return lines


def count(path: Path, batch: int) -> Work:
    """What one call at a batch takes. Raises WetgenError for a graph that cannot be counted."""
    model = onnx.load(str(path), load_external_data=False)
    nodes = list(model.graph.node)
    shapes, folded = _shapes(model, batch, path)
    constant = {weight.name for weight in model.graph.initializer} | folded
    sizes = _bytes_per_element(model)
    flops, weights = 0, dict[str, int]()
    for node in nodes:
        given = [name for name in node.input if name]
        if node.op_type == "Constant" or all(name in constant for name in given):
            constant.update(node.output)
            continue
        flops += _flops(node, shapes, path)
        if node.op_type not in _READS_NO_WEIGHT:
            for name in constant.intersection(given):
                weights[name] = prod(_shape(name, shapes, node, path)) * sizes.get(name, 4)
    border = (*model.graph.input, *model.graph.output)
    return Work(flops, sum(weights.values()) + sum(prod(shapes[value.name]) * sizes[value.name] for value in border))


def _flops(node: onnx.NodeProto, shapes: Shapes, path: Path) -> int:
    if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
        raise _uncountable(path, f"'{node.name}' is control flow")
    if node.op_type in _COUNTED:
        return 2 * _COUNTED[node.op_type](lambda name: _shape(name, shapes, node, path), node)
    if node.op_type in _NOT_COUNTED:
        raise _uncountable(path, f"'{node.name}' is a {node.op_type}, which nobody taught this count")
    return 0


_ShapeOf = Callable[[str], tuple[int, ...]]


def _convolution(shape: _ShapeOf, node: onnx.NodeProto) -> int:
    return prod(shape(node.output[0])) * prod(shape(node.input[1])[1:])


def _transposed(shape: _ShapeOf, node: onnx.NodeProto) -> int:
    return prod(shape(node.input[0])) * prod(shape(node.input[1])[1:])


def _product(shape: _ShapeOf, node: onnx.NodeProto) -> int:
    transposed = helper.get_node_attr_value(node, "transA") if _has(node, "transA") else 0
    inner = shape(node.input[0])[-2 if transposed else -1]
    return prod(shape(node.output[0])) * inner


def _attention(shape: _ShapeOf, node: onnx.NodeProto) -> int:
    """Scores, then the sum of values: each is the length of the keys times the elements of the queries or results."""
    keys = shape(node.input[1])[-2]
    return (prod(shape(node.input[0])) + prod(shape(node.output[0]))) * keys


def _has(node: onnx.NodeProto, name: str) -> bool:
    return any(attribute.name == name for attribute in node.attribute)


# Multiply-adds of an operator.
_COUNTED: Mapping[str, Callable[[_ShapeOf, onnx.NodeProto], int]] = {
    "Attention": _attention,
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "FusedConv": _convolution,
    "FusedMatMul": _product,
    "Gemm": _product,
    "MatMul": _product,
    "MultiHeadAttention": _attention,
}
_NOT_COUNTED = frozenset(
    {"ConvInteger", "DeformConv", "Einsum", "GRU", "LSTM", "MatMulInteger", "QLinearConv", "QLinearMatMul", "RNN"}
)


def _shapes(model: onnx.ModelProto, batch: int, path: Path) -> tuple[Shapes, set[str]]:
    """The shape of every value at a batch, and the names of the values that are known when the graph is loaded.

    ONNX's inference does not compute the integers that shapes are made of, so they are computed here and put in as
    constants, until there are no more.
    """
    for value in model.graph.input:
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.dim_value = _axis(axis.dim_param, batch, path)
    for node in model.graph.node:
        if node.op_type in _SHAPE_OF_FIRST:
            node.CopyFrom(helper.make_node("Identity", node.input[:1], node.output[:1], name=node.name))
    folded: set[str] = set()
    integers = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer if _is_small(weight)}
    while True:
        shapes = dict(_inferred(model))
        found = dict(_folded(model, shapes, integers))
        if not found:
            return shapes, folded
        integers.update(found)
        folded |= set(found)
        kept = [node for node in model.graph.node if node.output[0] not in found]
        del model.graph.node[:]
        model.graph.node.extend(kept)
        model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in found.items())


def _axis(name: str, batch: int, path: Path) -> int:
    known = {"B": batch, "2B": 2 * batch, "2*B": 2 * batch}
    if name not in known:
        raise _uncountable(path, f"it has an axis '{name}'")
    return known[name]


def _is_small(weight: TensorProto) -> bool:
    inside = weight.data_location != TensorProto.EXTERNAL
    return inside and weight.data_type in (TensorProto.INT64, TensorProto.INT32) and prod(weight.dims) <= _SMALL


def _inferred(model: onnx.ModelProto) -> Iterator[tuple[str, tuple[int, ...]]]:
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    for weight in graph.initializer:
        yield weight.name, tuple(weight.dims)
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(axis.HasField("dim_value") for axis in kind.shape.dim):
            yield value.name, tuple(axis.dim_value for axis in kind.shape.dim)


def _folded(
    model: onnx.ModelProto, shapes: Shapes, integers: Mapping[str, NDArray[Any]]
) -> Iterator[tuple[str, NDArray[Any]]]:
    """The values of nodes that compute with shapes, as far as their inputs are known."""
    known = dict(integers)
    for node in model.graph.node:
        given = [name for name in node.input if name]
        if node.op_type == "Shape" and given[0] in shapes:
            value = _shape_value(node, shapes[given[0]])
        elif node.op_type == "Constant" or (node.op_type in _OF_SHAPES and all(name in known for name in given)):
            value = _run(node, model, {name: known[name] for name in given})
        else:
            continue
        if value.size <= _SMALL:
            known[node.output[0]] = value
            yield node.output[0], value


def _shape_value(node: onnx.NodeProto, shape: tuple[int, ...]) -> NDArray[Any]:
    start = helper.get_node_attr_value(node, "start") if _has(node, "start") else None
    end = helper.get_node_attr_value(node, "end") if _has(node, "end") else None
    return np.array(shape[start:end], np.int64)


def _run(node: onnx.NodeProto, model: onnx.ModelProto, given: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in given.items()
    ]
    graph = helper.make_graph([node], "one", inputs, [onnx.ValueInfoProto(name=node.output[0])])
    one = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    (value,) = list(ReferenceEvaluator(one).run(None, dict(given)))
    return np.asarray(value)


def _bytes_per_element(model: onnx.ModelProto) -> dict[str, int]:
    """The width of the element type of every value whose type is known."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.value_info, *graph.output)}
    types.update({weight.name: weight.data_type for weight in graph.initializer})
    return {name: helper.tensor_dtype_to_np_dtype(kind).itemsize for name, kind in types.items() if kind}


def _shape(name: str, shapes: Shapes, node: onnx.NodeProto, path: Path) -> tuple[int, ...]:
    if name not in shapes:
        raise _uncountable(path, f"the shape of '{name}', at the {node.op_type} '{node.name}', is not known")
    return shapes[name]


def _uncountable(path: Path, why: str) -> WetgenError:
    return WetgenError(
        f"The work of {path.name} cannot be counted.",
        why=f"{why}.",
        fix="use the package versions that wetgen[export] names; if they are in use, report it with this message.",
    )
