"""What TensorRT's ONNX parser takes, per version, and the check that a graph holds nothing else.

Source: onnx-tensorrt, docs/operators.md of 10.15 (operators, types, restrictions) and docs/Changelog.md (since when);
the opsets read by 10.0 to 10.8 and by 11 from the same files of those releases. Only operators that diffusion networks,
CLIP and segmenters are made of are listed: another is refused until somebody looks it up and adds its row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from wetgen.export.onnx.files import nodes_of
from wetgen.export.onnx.types import types_of
from wetgen.runtime.bundle.targets import Target
from wetgen.runtime.errors import WetgenError

Version = tuple[int, int]

_FIRST = (10, 0)
_FLOATS = frozenset({"FLOAT", "FLOAT16", "BFLOAT16"})
_INTS = frozenset({"INT32", "INT64"})
_BOOL = frozenset({"BOOL"})


@dataclass(frozen=True)
class Support:
    """Types that an operator takes, and the first TensorRT of the 10 series that has it."""

    types: frozenset[str]
    since: Version = _FIRST


_ROWS: dict[frozenset[str], str] = {
    _FLOATS: "AveragePool BatchNormalization Ceil Clip Conv ConvTranspose Cos Einsum Elu Erf Exp Floor Gemm "
    "GlobalAveragePool HardSigmoid HardSwish InstanceNormalization LayerNormalization LeakyRelu Log LogSoftmax MatMul "
    "MaxPool Reciprocal Resize Round Sigmoid Sin Softmax Softplus Sqrt Tanh",
    _FLOATS | _INTS: "Abs Add ArgMax ArgMin CumSum DepthToSpace Div Equal Gelu Greater GreaterOrEqual IsNaN Less "
    "LessOrEqual Max Min Mod Mul Neg Pad Pow Range ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Relu "
    "ScatterElements ScatterND Sign SpaceToDepth Sub",
    _FLOATS | _INTS | _BOOL: "Concat Constant ConstantOfShape Expand EyeLike Flatten Gather GatherElements GatherND "
    "Identity OneHot Reshape Shape Slice Split Squeeze Tile Transpose Trilu Unsqueeze Where",
    _BOOL: "And Not Or Xor",
    _FLOATS | _INTS | _BOOL | {"UINT8"}: "Cast",
}

OPERATORS: dict[str, Support] = {
    **{name: Support(types) for types, names in _ROWS.items() for name in names.split()},
    "GroupNormalization": Support(_FLOATS, (10, 9)),  # of opset 21; that of 18 has another meaning of its scale
    "Attention": Support(_FLOATS, (10, 14)),  # 4-dimensional Q, K and V; no past keys
}

# The newest opset that each version reads, from that version on.
OPSETS: dict[Version, int] = {(10, 0): 20, (10, 9): 21, (10, 11): 23, (10, 15): 24}


def newest_opset(version: Version) -> int:
    """The newest opset that a TensorRT version reads."""
    return OPSETS[max(known for known in OPSETS if known <= version)]


def check_operators(path: Path, target: Target) -> None:
    """Raise WetgenError unless the oldest TensorRT of the target takes every node of the graph at `path`."""
    assert target.tensorrt is not None, target.name
    model = onnx.load(str(path), load_external_data=False)
    wrong = list(dict.fromkeys(_wrong(model, types_of(path), target.tensorrt)))
    if wrong:
        version = ".".join(map(str, target.tensorrt))
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise WetgenError(
            f"TensorRT {version} does not take {path.name}, exported for {target.name}.",
            why=f"{'; '.join(wrong[:3])}{more}.",
            fix="leave this target out, and report it with the checkpoint's config.",
        )


def _wrong(model: onnx.ModelProto, types: dict[str, int], version: Version) -> Iterator[str]:
    (opset,) = (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset > newest_opset(version):
        yield f"it is of opset {opset}, and that version reads up to {newest_opset(version)}"
    for value in (*model.graph.input, *model.graph.output):
        if types[value.name] in (onnx.TensorProto.INT64, onnx.TensorProto.DOUBLE):
            kind = onnx.TensorProto.DataType.Name(types[value.name])
            yield f"'{value.name}' at its border is {kind}, where 32 bits are enough"
    weights = {weight.name for weight in model.graph.initializer}
    for node in nodes_of(list(model.graph.node)):
        yield from _wrong_node(node, version, types, weights)


def _wrong_node(node: onnx.NodeProto, version: Version, types: dict[str, int], weights: set[str]) -> Iterator[str]:
    row = OPERATORS.get(node.op_type)
    if row is None or row.since > version:
        since = f" before {row.since[0]}.{row.since[1]}" if row else ", as far as this table knows"
        yield f"there is no {node.op_type}{since}"
        return
    for name in (*node.input, *node.output):
        kind = onnx.TensorProto.DataType.Name(types.get(name, onnx.TensorProto.UNDEFINED))
        if kind not in ("UNDEFINED", *row.types) and not (kind == "BOOL" and node.op_type in _HAS_BOOL):
            yield f"{node.op_type} of {kind} ('{node.name}')"
    place = _MUST_BE_CONSTANT.get(node.op_type)
    if place is not None and len(node.input) > place and node.input[place] not in weights:
        yield f"{node.op_type} with computed {node.input[place]} ('{node.name}')"


# Comparisons give it. Attention's mask may be it (TensorRT's operator page); the table names the types of Q, K and V.
_HAS_BOOL = frozenset({"Attention", "Equal", "Greater", "GreaterOrEqual", "IsNaN", "Less", "LessOrEqual"})

# Which input must stand in the file. Squeeze and Unsqueeze take a computed one since 10.7 only.
_MUST_BE_CONSTANT = {
    "ReduceMax": 1,
    "ReduceMean": 1,
    "ReduceMin": 1,
    "ReduceProd": 1,
    "ReduceSum": 1,
    "Squeeze": 1,
    "Unsqueeze": 1,
    "OneHot": 1,
    "CumSum": 1,
}
