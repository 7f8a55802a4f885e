"""A copy of a float16 or bfloat16 graph that computes on any CPU what a device would: every result rounded to its type.

ONNX Runtime's CPU provider has few kernels for small floats. It computes in float32 around casts, and drops pairs of
casts between two such nodes, so a product of 3e5 goes through a float16 graph unharmed where a GPU gives inf. In the
copy all arithmetic is float32 and every result goes through a cast to its own type and back, which is in the graph and
therefore stays. Sums inside one operator are float32, as on a GPU's matrix units.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

import onnx
from onnx import TensorProto, helper, numpy_helper
from wetgen.export.onnx.types import types_of

_SMALL = (TensorProto.FLOAT16, TensorProto.BFLOAT16)

# What these give was rounded before; the cast would change nothing.
_MOVES = {"Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Tile"}
_MOVES |= {"Transpose", "Unsqueeze"}

_LARGEST_INSIDE = 1_500_000_000  # bytes; protobuf ends at 2 GiB


def rounding_copy(path: Path, folder: Path) -> Path:
    """Write the rounding copy of the graph at `path` into `folder`, under the same name; returns it."""
    types = types_of(path)
    model = onnx.load(str(path))
    graph = model.graph
    del graph.value_info[:]
    for weight in graph.initializer:
        if weight.data_type in _SMALL:
            weight.CopyFrom(_widened(weight))
    nodes = [rounded for node in graph.node for rounded in _rounded(node, types)]
    del graph.node[:]
    graph.node.extend(nodes)
    copy = folder / path.name
    large = sum(len(weight.raw_data) for weight in graph.initializer) > _LARGEST_INSIDE
    onnx.save(model, str(copy), save_as_external_data=large, location=f"{copy.name}.data" if large else None)
    return copy


def _widened(tensor: TensorProto) -> TensorProto:
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)


def _rounded(node: onnx.NodeProto, types: dict[str, int]) -> Iterator[onnx.NodeProto]:
    """The node in float32, and behind each result of a small type a cast to that type and back."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    for attribute in copy.attribute:
        assert attribute.type not in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS), "control flow"
        if attribute.t.data_type in _SMALL:
            attribute.t.CopyFrom(_widened(attribute.t))
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i in _SMALL:
            attribute.i = TensorProto.FLOAT
    small = [place for place, name in enumerate(node.output) if types.get(name) in _SMALL]
    rounds = [] if node.op_type in _MOVES else small
    for place in rounds:
        copy.output[place] = f"{node.output[place]}/wide"
    yield copy
    for name in (node.output[place] for place in rounds):
        yield helper.make_node("Cast", [f"{name}/wide"], [f"{name}/small"], to=types[name])
        yield helper.make_node("Cast", [f"{name}/small"], [name], to=TensorProto.FLOAT)
