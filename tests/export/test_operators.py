"""The table of what TensorRT takes, on graphs small enough to write by hand."""

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from wetgen.export.onnx.operators import OPERATORS, check_operators, newest_opset
from wetgen.runtime.bundle.targets import TARGETS
from wetgen.runtime.errors import WetgenError

F, H, B, U, L, D = (
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.BFLOAT16,
    TensorProto.UINT8,
    TensorProto.INT64,
    TensorProto.DOUBLE,
)


def write(path: Path, nodes: list[onnx.NodeProto], given: int = F, made: int = F, opset: int = 20) -> Path:
    """A graph from x to y, (B, 2, 4, 4) each."""
    border = [helper.make_tensor_value_info(name, kind, ["B", 2, 4, 4]) for name, kind in (("x", given), ("y", made))]
    ones = helper.make_tensor("ones", F, [2], [1.0, 1.0])
    axes = helper.make_tensor("axes", L, [1], [1])
    graph = helper.make_graph(nodes, "g", border[:1], border[1:], [ones, axes])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), path)
    return path


def node(op: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], name=f"{op}_at_{output}", **attributes)


@pytest.mark.parametrize("target, opset", [("jp6", 20), ("jp7", 21), ("trt11", 23)])
def test_what_is_listed_passes(tmp_path: Path, target: str, opset: int):
    nodes = [node("Cast", "x", "half", to=H), node("Sigmoid", "half", "s"), node("Cast", "s", "y", to=F)]
    check_operators(write(tmp_path / "g.onnx", nodes, opset=opset), TARGETS[target])


@pytest.mark.parametrize(
    "target, opset, nodes, kinds, said",
    [
        ("jp6", 21, [node("Sigmoid", "x", "y")], (F, F), "it is of opset 21, and that version reads up to 20"),
        ("jp7", 23, [node("Sigmoid", "x", "y")], (F, F), "it is of opset 23, and that version reads up to 21"),
        ("jp6", 20, [node("GroupNormalization", "x ones ones", "y", num_groups=2)], (F, F), "before 10.9"),
        ("jp7", 21, [node("Attention", "x x x", "y")], (F, F), "there is no Attention before 10.14"),
        ("trt11", 20, [node("NonZero", "x", "n"), node("Sigmoid", "x", "y")], (F, F), "no NonZero, as far as"),
        ("jp6", 20, [node("Transpose", "x", "y", perm=[0, 1, 3, 2])], (U, U), "Transpose of UINT8"),
        ("jp6", 20, [node("Abs", "x", "y")], (L, L), "'x' at its border is INT64"),
        ("jp6", 20, [node("Cast", "x", "d", to=D), node("Cast", "d", "y", to=F)], (F, F), "Cast of DOUBLE"),
        (
            "jp6",
            20,
            [
                node("Shape", "x", "s", start=0, end=1),
                node("ReduceSum", "x s", "r", keepdims=1),
                node("Sub", "x r", "y"),
            ],
            (F, F),
            "ReduceSum with computed s",
        ),
    ],
)
def test_what_is_not_is_refused_with_the_reason(
    tmp_path: Path, target: str, opset: int, nodes: list[onnx.NodeProto], kinds: tuple[int, int], said: str
):
    with pytest.raises(WetgenError, match="does not take g") as caught:
        check_operators(write(tmp_path / "g.onnx", nodes, *kinds, opset=opset), TARGETS[target])
    assert said in caught.value.why


def test_groups_and_attention_pass_where_they_are_known(tmp_path: Path):
    nodes = [node("GroupNormalization", "x ones ones", "n", num_groups=2), node("Attention", "n n n", "y")]
    check_operators(write(tmp_path / "g.onnx", nodes, opset=23), TARGETS["trt11"])


def test_bytes_may_cross_the_border_through_a_cast(tmp_path: Path):
    nodes = [node("Cast", "x", "f", to=F), node("Round", "f", "r"), node("Cast", "r", "y", to=U)]
    check_operators(write(tmp_path / "g.onnx", nodes, U, U), TARGETS["jp6"])


@pytest.mark.parametrize(
    "version, opset", [((10, 0), 20), ((10, 3), 20), ((10, 9), 21), ((10, 13), 23), ((10, 16), 24), ((11, 4), 24)]
)
def test_opsets_grow_with_the_version(version: tuple[int, int], opset: int):
    assert newest_opset(version) == opset


def test_the_table_names_operators_of_onnx_only():
    assert all(onnx.defs.has(name) for name in OPERATORS)
    for target in TARGETS.values():
        assert target.tensorrt is None or target.opset <= newest_opset(target.tensorrt)
