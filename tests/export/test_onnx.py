"""The check of a finished file, on files small enough to write by hand."""

import gc
import weakref
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from wetgen.export.onnx.files import OPSET, Written, check_file, export
from wetgen.runtime.bundle.graphs import Graph, Tensor
from wetgen.runtime.errors import WetgenError

DOUBLE = Graph("double", (Tensor("x", ("B", 2)),), (Tensor("y", ("B", 2)),))


def _write(path: Path, op: str = "Add", domain: str = "", axis: str = "B", dtype: int = TensorProto.FLOAT) -> None:
    node = helper.make_node(op, ["x", "x"], ["y"], domain=domain)
    values = [helper.make_tensor_value_info(name, dtype, [axis, 2]) for name in ("x", "y")]
    opsets = [helper.make_opsetid("", OPSET), *([helper.make_opsetid(domain, 1)] if domain else [])]
    onnx.save(helper.make_model(helper.make_graph([node], "g", values[:1], values[1:]), opset_imports=opsets), path)


def test_a_plain_file_passes(tmp_path: Path):
    _write(tmp_path / "g.onnx")
    check_file(tmp_path / "g.onnx", DOUBLE)


@pytest.mark.parametrize(
    "spoiled, said",
    [
        ({"op": "FusedMatMul", "domain": "com.microsoft"}, "com.microsoft.FusedMatMul"),
        ({"op": "NoSuchOperator"}, "ONNX's checker says"),
        ({"axis": "batch"}, "are declared"),
        ({"dtype": TensorProto.DOUBLE}, "are declared"),
    ],
)
def test_a_file_that_is_not_standard_or_not_as_declared_is_refused(tmp_path: Path, spoiled: dict[str, str], said: str):
    _write(tmp_path / "g.onnx", **spoiled)  # type: ignore[arg-type]
    with pytest.raises(WetgenError, match=said):
        check_file(tmp_path / "g.onnx", DOUBLE)


class Double(nn.Module):
    """Holds a weight whose name is the output's, which must not collide."""

    def __init__(self) -> None:
        super().__init__()
        self.y = nn.Linear(2, 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.y(x)
        return y + y


def test_exporting_twice_gives_the_same_bytes(tmp_path: Path):
    module = Double().eval()
    for name in ("one.onnx", "two.onnx"):
        assert export(module, DOUBLE, tmp_path / name) == Written(tmp_path / name)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


def test_large_graphs_keep_their_weights_beside_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("wetgen.export.onnx.files.LARGEST_FILE", 8)

    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.ones(2, 400))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + (x @ self.table).sum(1, keepdim=True)

    written = export(Wide().eval(), DOUBLE, tmp_path / "g.onnx")
    assert written.weights == ("weights.float32.data",)
    assert written.path.stat().st_size < 2000 < (tmp_path / "weights.float32.data").stat().st_size
    session = onnxruntime.InferenceSession(str(written.path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.ones((1, 2), np.float32)})
    np.testing.assert_array_equal(found, [[801, 801]])


def test_nodes_are_named_after_the_modules_they_come_from_when_asked(tmp_path: Path):
    export(Double().eval(), DOUBLE, tmp_path / "g.onnx", scopes=True)
    assert [node.name for node in onnx.load(tmp_path / "g.onnx").graph.node] == ["y/Gemm_0", "Add_1"]
    export(Double().eval(), DOUBLE, tmp_path / "g.onnx")
    assert [node.name for node in onnx.load(tmp_path / "g.onnx").graph.node] == ["Gemm_0", "Add_1"]


class Scaled(nn.Module):
    """y = x W."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2, bias=False).requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def test_nothing_keeps_the_weights_alive_after_export(tmp_path: Path):
    module = Scaled()
    weight = weakref.ref(module.layer.weight)
    export(module, DOUBLE, tmp_path / "g.onnx")
    del module
    gc.collect()
    assert weight() is None, "networks of gigabytes would stay in memory"
