"""Models written by hand are what onnx itself would write, and compute what they say."""

import numpy as np
import onnx
import onnxruntime
import pytest

from wetgen.benchmarks.speed.tiny_models import one_operator


def run(model: bytes, x: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": x})[0]


@pytest.mark.parametrize("side", [3, 130])  # lengths of one byte, and of several
def test_a_product(side: int) -> None:
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal((side, side)).astype(np.float32) for _ in range(2))
    # Sums of `side` products of order 1 in float32, in another order.
    np.testing.assert_allclose(run(one_operator("MatMul", x.shape, x.shape, w), x), x @ w, atol=1e-4)


def test_a_convolution_with_attributes() -> None:
    x, w = np.ones((1, 2, 5, 5), np.float32), np.ones((3, 2, 3, 3), np.float32)
    model = one_operator("Conv", x.shape, (1, 3, 5, 5), w, attributes={"pads": [1, 1, 1, 1]})
    got = run(model, x)
    assert got.shape == (1, 3, 5, 5) and got[0, 0, 2, 2] == 18 and got[0, 0, 0, 0] == 8


def test_an_operator_without_weights_in_half_precision() -> None:
    x = np.array([[1.5, -2.0]], np.float16)
    got = run(one_operator("Neg", x.shape, x.shape, dtype="float16"), x)
    assert got.dtype == np.float16 and got.tolist() == [[-1.5, 2.0]]
