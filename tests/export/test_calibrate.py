"""Ranges and rounding inside a network, and that rounding copies show what ONNX Runtime's CPU provider hides."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional

from wetgen.export.precision.calibrate import measured, rounded
from wetgen.export.precision.precision import Island
from wetgen.export.precision.rounding import rounding_copy


class Spike(nn.Module):
    """Multiplies by 300, adds, and divides by 300 again: its result is harmless, what is in between is not."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(2, 2, bias=False).requires_grad_(False)
        self.down = nn.Linear(2, 2, bias=False).requires_grad_(False)
        self.up.weight.copy_(300 * torch.eye(2))
        self.down.weight.copy_(torch.eye(2) / 300)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(self.up(x) + 1000)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.spike, self.same = Spike(), nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.same(self.spike(x))


X = torch.tensor([[1000.0, -2.0]])


def test_ranges_are_those_of_each_modules_own_code_and_border():
    network = Two()
    with measured(network) as ranges:
        network(X)
        network(-2 * X)
    assert ranges.inside["spike.up"] == 600_000
    assert ranges.inside["spike"] == 599_000  # 1000 is added to -600000 and to 300000
    assert ranges.border["spike"] == pytest.approx(2000, rel=1e-2)
    assert ranges.border["spike.up"] == 600_000 and ranges.border["spike.down"] == 599_000
    assert "same" in ranges.border and "spike.nothing" not in ranges.border


def test_hooks_are_gone_afterwards():
    network = Two()
    with measured(network) as ranges:
        pass
    network(X)
    assert ranges.inside == {}


def test_logits_are_measured_and_what_is_masked_out_is_not():
    class Attention(nn.Module):
        def forward(self, q: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return functional.scaled_dot_product_attention(q, q, q, attn_mask=mask)

    q = torch.full((1, 1, 2, 4), 100.0)
    for hidden in (-torch.inf, torch.finfo(torch.float32).min):
        network = Attention()
        with measured(network) as ranges:
            network(q, torch.tensor([[0.0, hidden], [0.0, 0.0]]))
        assert ranges.inside[""] == pytest.approx(100 * 100 * 4 / 2)  # q.k / sqrt(4)


def test_a_nan_counts_as_infinite():
    network = nn.Identity()
    with measured(network) as ranges:
        network(X) * torch.nan
    assert ranges.inside[""] == torch.inf


@pytest.mark.parametrize("dtype, place", [(torch.float16, ["spike.up"]), (torch.bfloat16, [])])
def test_the_first_overflow_is_named(dtype: torch.dtype, place: list[str]):
    network = Two().to(dtype)
    with rounded(network) as first:
        found = network(X.to(dtype))
    assert first == place
    assert torch.isfinite(found).all() == (not place)


def test_logits_that_overflow_are_seen():
    """Fused, they would never leave the operator."""

    class Attention(nn.Module):
        def forward(self, q: torch.Tensor) -> torch.Tensor:
            return functional.scaled_dot_product_attention(q, q, q)

    q = torch.full((1, 1, 2, 4), 300.0).half()  # q.k / sqrt(4) is 180000
    network = Attention()
    with rounded(network) as first:
        network(q)
    assert first == [""]
    assert torch.isfinite(network(q)).all()


def test_logits_are_rounded_before_the_softmax():
    """2048 and 2049 are one number in float16, so both keys get half of the weight."""

    class Attention(nn.Module):
        def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            return functional.scaled_dot_product_attention(q, k, v, scale=1.0)

    q, k, v = ([[1.0, 1.0]], [[2048.0, 0.0], [2048.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]])
    given = [torch.tensor([[rows]]).half() for rows in (q, k, v)]
    network = Attention()
    with rounded(network):
        found = network(*given)
    assert found.tolist() == [[[[0.5, 0.5]]]]


def test_an_island_around_it_is_sound():
    network = Two().half()
    network.spike = Island(network.spike.float(), torch.float16)
    with rounded(network) as first:
        found = network(X.half())
    assert not first
    torch.testing.assert_close(found.float(), Spike()(X), rtol=1e-3, atol=0)


def test_every_result_is_rounded_once_with_sums_in_float32():
    """1 + 2^-11 is 1 in float16; 2048 times 2^-11 summed in float16 would stop early."""
    network = nn.Linear(2048, 1, bias=False).requires_grad_(False).half()
    network.weight.fill_(2.0**-11)
    with rounded(network):
        assert float(network(torch.ones(1, 2048).half())) == 1.0
        assert float(torch.ones(1).half() + 2.0**-11) == 1.0


# Files


def write_spike(path: Path, dtype: int) -> None:
    """x, cast, MatMul by 300, Softplus, MatMul by 1 / 300, cast: as `Spike` is exported."""
    to = helper.tensor_dtype_to_np_dtype(dtype)
    weights = [
        numpy_helper.from_array((np.eye(2) * by).astype(to), name) for name, by in (("up", 300), ("down", 1 / 300))
    ]
    nodes = [
        helper.make_node("Cast", ["x"], ["small"], to=dtype),
        helper.make_node("MatMul", ["small", "up"], ["a"]),
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "down"], ["c"]),
        helper.make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT),
    ]
    border = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", 2]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", border[:1], border[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)


def run(path: Path) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": X.numpy()})
    return found


def test_onnx_runtime_hides_an_overflow_and_the_rounding_copy_shows_it(tmp_path: Path):
    """Should the first half fail one day, ONNX Runtime has learned to round, and copies are needed no more."""
    write_spike(tmp_path / "spike.onnx", TensorProto.FLOAT16)
    assert np.isfinite(run(tmp_path / "spike.onnx")).all()
    (tmp_path / "copies").mkdir()
    copy = rounding_copy(tmp_path / "spike.onnx", tmp_path / "copies")
    assert not np.isfinite(run(copy)).all()


def test_large_copies_keep_their_weights_beside_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("wetgen.export.precision.rounding._LARGEST_INSIDE", 8)
    write_spike(tmp_path / "spike.onnx", TensorProto.BFLOAT16)
    (tmp_path / "copies").mkdir()
    copy = rounding_copy(tmp_path / "spike.onnx", tmp_path / "copies")
    monkeypatch.undo()
    (tmp_path / "others").mkdir()
    np.testing.assert_array_equal(run(copy), run(rounding_copy(tmp_path / "spike.onnx", tmp_path / "others")))


def test_bfloat16_that_no_cpu_kernel_takes_runs_as_a_copy(tmp_path: Path):
    write_spike(tmp_path / "spike.onnx", TensorProto.BFLOAT16)
    (tmp_path / "copies").mkdir()
    found = run(rounding_copy(tmp_path / "spike.onnx", tmp_path / "copies"))
    np.testing.assert_allclose(found, X, rtol=2**-7)
    assert (found != X.numpy()).any()
