"""The VAE that wetgen trains, exported: the same numbers in plain operators, for every target and in float16."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from wetgen.export.graphs import wrappers
from wetgen.export.graphs.rewrites import PlainRMSNorm, lightened
from wetgen.export.onnx.files import export
from wetgen.export.precision.precision import Precision, lowered
from wetgen.runtime.bundle.graphs import Sizes, graphs_of
from wetgen.training import dc_vae
from wetgen.training.config import Budget, VaeConfig
from wetgen.training.dc_vae import DCVAE

SIZES = Sizes(
    height=32,
    width=32,
    latent_channels=4,
    latent_height=8,
    latent_width=8,
    tokens=16,
    text_width=64,
    classes=3,
    conditioning_channels=8,
    deep_channels=16,
)


@pytest.fixture
def vae() -> DCVAE:
    """A small one with random weights everywhere, so that nothing is hidden by zeros."""
    torch.manual_seed(0)
    config = VaeConfig(
        budget=Budget(steps=1),
        encoder_widths=(8, 16),
        encoder_layers=(1, 1),
        decoder_widths=(8, 16),
        decoder_layers=(1, 1),
        latent_channels=4,
    )
    net = dc_vae.build(config, 3, 32).eval().requires_grad_(False)
    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return net


def test_its_norms_in_plain_operators_give_the_same_numbers(vae: DCVAE) -> None:
    cheap = lightened(vae)
    latent = torch.randn(2, 4, 8, 8)
    assert sum(isinstance(module, PlainRMSNorm) for module in cheap.modules()) > 2
    for found, expected in zip(cheap.decode(latent), vae.decode(latent), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("opset", [20, 23])
def test_the_graph_computes_what_it_computes_and_holds_no_fused_norm(vae: DCVAE, tmp_path: Path, opset: int) -> None:
    graph = graphs_of(SIZES)["decode"]
    path = tmp_path / "decode.onnx"
    export(wrappers.decode(vae, SIZES), graph, path, opset=opset)
    operators = {node.op_type for node in onnx.load(path, load_external_data=False).graph.node}
    assert "RMSNormalization" not in operators and "SimplifiedLayerNormalization" not in operators
    latent = np.random.default_rng(0).standard_normal((2, 4, 8, 8)).astype(np.float32)
    image, mask, _ = onnxruntime.InferenceSession(path).run(None, {"latent": latent})
    shown, logits = vae.decode(torch.from_numpy(latent))
    assert np.abs(image.astype(int) - wrappers.to_bytes(shown).numpy()).max() <= 1, "rounding at a half may differ"
    assert (mask == logits.argmax(1).numpy()).mean() > 0.999


def test_in_float16_its_norms_stay_float32(vae: DCVAE) -> None:
    wrapper = wrappers.decode(vae, SIZES)
    reasons = lowered(wrapper, Precision("float16"))
    assert len(reasons) == sum(isinstance(module, PlainRMSNorm) for module in wrapper.modules())
    latent = torch.randn(2, 4, 8, 8)
    image = wrapper(latent)[0].int()
    expected = wrappers.to_bytes(vae.decode(latent)[0]).int()
    assert (image - expected).abs().float().mean() < 1.0, "half a level of float16's rounding"
