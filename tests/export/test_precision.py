"""Networks in float16 with islands: what stays float32, where casts stand, and that the checkpoint is left alone."""

from typing import Any

import onnx
import pytest
import torch
from diffusers.models.attention_processor import Attention
from torch import nn

from wetgen.export.graphs import denoisers, wrappers
from wetgen.export.graphs.cross_attention import keys_and_values
from wetgen.export.graphs.wrappers import Wrapper, shown
from wetgen.export.onnx.files import export
from wetgen.export.onnx.types import types_of
from wetgen.export.precision.calibrate import rounded
from wetgen.export.precision.precision import Island, Precision, WideLogits, lowered
from wetgen.runtime.bundle.graphs import Graph, Tensor
from wetgen.training.checkpoint import Checkpoint

HALF = Precision("float16")


class Small(Wrapper):
    """A convolution and a norm between float32 borders."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(4, 4, 3, padding=1).requires_grad_(False)
        self.norm = nn.GroupNorm(2, 4).requires_grad_(False)
        self.out = nn.Conv2d(4, 4, 1).requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(self.norm(self.conv(self.into(x))))).float()


SMALL = Graph("small", (Tensor("x", ("B", 4, 8, 8)),), (Tensor("y", ("B", 4, 8, 8)),))


def test_casts_stand_at_the_border_of_the_network_and_of_its_islands_only(tmp_path: Any):
    module = Small().eval()
    assert list(lowered(module, HALF)) == ["norm"]
    export(module, SMALL, tmp_path / "small.onnx", opset=21, scopes=True)
    model, types = onnx.load(tmp_path / "small.onnx"), types_of(tmp_path / "small.onnx")
    assert [(node.op_type, types[node.output[0]]) for node in model.graph.node] == [
        ("Cast", onnx.TensorProto.FLOAT16),
        ("Conv", onnx.TensorProto.FLOAT16),
        ("Cast", onnx.TensorProto.FLOAT),
        ("GroupNormalization", onnx.TensorProto.FLOAT),
        ("Cast", onnx.TensorProto.FLOAT16),
        ("Relu", onnx.TensorProto.FLOAT16),
        ("Conv", onnx.TensorProto.FLOAT16),
        ("Cast", onnx.TensorProto.FLOAT),
    ]
    assert [node.name for node in model.graph.node][3] == "norm/GroupNormalization_3"
    assert not [weight.name for weight in model.graph.initializer if "border" in weight.name]


def test_what_is_asked_for_stays_float32_and_what_is_inside_it_has_no_casts_of_its_own():
    class Block(Wrapper):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Small()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(self.into(x))

    block = Block().eval()
    assert lowered(block, Precision("float16", (("inner", "why not"),))) == {"inner": "why not"}
    assert isinstance(block.inner, Island) and not isinstance(block.inner.module.norm, Island)
    assert block.inner.module.conv.weight.dtype == torch.float32


def test_the_checkpoint_keeps_its_weights_and_float32_is_left_alone(networks: Checkpoint):
    before = {name: (id(p), p.dtype) for name, p in networks.unet.named_parameters()}
    steps = networks.schedule.steps(2)
    wrapper = denoisers.denoise(networks.unet, steps, networks.sizes)
    assert lowered(wrapper, Precision()) == {} and wrapper.compute == torch.float32
    islands = lowered(wrapper, HALF)
    assert {name: (id(p), p.dtype) for name, p in networks.unet.named_parameters()} == before
    assert islands["unet.module.time_proj"] == "time table"
    assert wrapper.keep.dtype == wrapper.push.dtype == torch.float32  # the DDIM update is never rounded
    assert wrapper.unet.module.time_proj.module.table.dtype == torch.float32
    kinds = (nn.GroupNorm, nn.LayerNorm)
    norms = [m for m in wrapper.modules() if isinstance(m, kinds)]
    assert norms and all(norm.weight.dtype == torch.float32 for norm in norms)
    convolutions = [m for m in wrapper.modules() if isinstance(m, nn.Conv2d)]
    assert convolutions and all(conv.weight.dtype == torch.float16 for conv in convolutions)


@pytest.mark.parametrize("name, compute", [("denoise", "float16"), ("decode", "float16"), ("denoise", "bfloat16")])
def test_the_smaller_type_computes_nearly_the_same(networks: Checkpoint, name: str, compute: Any):
    steps, sizes = networks.schedule.steps(2), networks.sizes
    make = {
        "denoise": lambda: denoisers.denoise(networks.unet, steps, sizes),
        "decode": lambda: wrappers.decode(networks.vae, sizes),
    }[name]
    generator = torch.Generator().manual_seed(1)
    latent = torch.randn(1, *sizes.latent, generator=generator)
    given: tuple[torch.Tensor, ...] = (latent,)
    if name == "denoise":
        texts = torch.randn(2, sizes.tokens, sizes.text_width, generator=generator)
        free = torch.zeros(1, sizes.conditioning_channels, *sizes.latent[1:])
        given = (latent, texts, free, torch.tensor([1], dtype=torch.int32), torch.tensor([3.0]))
    wide, small = make(), make()
    lowered(small, Precision(compute, wide_logits=compute == "bfloat16"))
    with torch.no_grad():
        expected, found = wide(*given), small(*given)
    if name == "decode":
        expected, found = expected[0].float() / 255, found[0].float() / 255
    assert found.dtype == torch.float32
    error = float((found - expected).abs().max() / expected.abs().max())
    # Rounding costs 2^-11 (2^-8 for bfloat16) a result, and some hundred results follow one another.
    assert 0 < error < {"float16": 0.01, "bfloat16": 0.08}[compute]


def test_logits_beyond_float16_are_sound_when_they_are_wide():
    torch.manual_seed(0)
    attention = Attention(8, heads=2, dim_head=4).eval().requires_grad_(False)
    for projection in (attention.to_q, attention.to_k):
        projection.weight *= 1500  # logits of some 1e5
    hidden = torch.randn(1, 6, 8).half()
    expected = attention(hidden.float())
    half, wide = attention.half(), WideLogits(attention)
    with rounded(half) as first:
        half(hidden)
    assert first == [""]
    with rounded(wide) as first:
        found = wide(hidden)
    assert not first
    assert found.dtype == torch.float16
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.02)


def test_every_attention_is_widened_once_and_not_inside_islands(networks: Checkpoint):
    wrapper = wrappers.decode(networks.vae, networks.sizes)
    attentions = [path for path, module in wrapper.named_modules() if isinstance(module, Attention)]
    reasons = lowered(wrapper, Precision("float16", ((attentions[0], "overflows"),), wide_logits=True))
    assert reasons[attentions[0]] == "overflows"
    wide = [module for module in wrapper.modules() if isinstance(module, WideLogits)]
    assert len(wide) == len(attentions) - 1
    text = wrappers.text(networks.text_encoder, keys_and_values(networks.unet))
    assert "attention logits" in lowered(text, Precision("float16", wide_logits=True)).values()


def test_paths_are_shown_as_in_the_checkpoint():
    assert shown("unet.conv_in.module") == "unet.conv_in"
    assert shown("unet.down_blocks.0.attentions.0.norm.module.module") == "unet.down_blocks.0.attentions.0.norm"
    assert shown("") == ""
