"""The wrappers in torch, before any export: tables, rewrites and guidance against the networks they came from."""

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.activations import GEGLU
from diffusers.models.upsampling import Upsample2D
from torch import nn

from wetgen.export import reference
from wetgen.export.graphs import denoisers, rewrites, time_tables, wrappers
from wetgen.export.graphs.cross_attention import keys_and_values
from wetgen.runtime.bundle.graphs import GUIDED, graphs_of
from wetgen.runtime.errors import WetgenError
from wetgen.training.checkpoint import Checkpoint


def _wrappers(networks: Checkpoint) -> dict[str, nn.Module]:
    sizes = networks.sizes
    return {
        "text": wrappers.text(networks.text_encoder, keys_and_values(networks.unet)),
        "denoise": denoisers.denoise(networks.unet, networks.schedule.steps(3), sizes),
        "decode": wrappers.decode(networks.vae, sizes),
        "encode": wrappers.encode(networks.vae, sizes),
    }


def test_a_wrapper_takes_exactly_its_graphs_inputs(networks: Checkpoint):
    for name, wrapper in _wrappers(networks).items():
        declared = [tensor.name for tensor in graphs_of(networks.sizes)[name].inputs]
        is_denoiser = isinstance(wrapper, denoisers.Denoise)
        assert (wrapper.inputs if is_denoiser else list(inspect.signature(wrapper.forward).parameters)) == declared


def _cases(networks: Checkpoint) -> list[reference.Case]:
    texts = reference.embeddings(networks.text_encoder, np.arange(32, dtype=np.int32).reshape(2, 16))
    return reference.denoise_cases(networks.unet, GUIDED, networks.sizes, networks.schedule.steps(3), texts)


def _error(wrapper: nn.Module, case: reference.Case) -> float:
    with torch.no_grad():
        found = wrapper(*(torch.from_numpy(array) for array in case.feed.values())).numpy()
    (expected,) = case.expected.values()
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def _in_order(case: reference.Case, networks: Checkpoint) -> reference.Case:
    names = [tensor.name for tensor in graphs_of(networks.sizes)["denoise"].inputs]
    return reference.Case(case.graph, case.batch, {name: case.feed[name] for name in names}, case.expected)


def test_a_step_is_guidance_and_the_ddim_update(networks: Checkpoint):
    wrapper = _wrappers(networks)["denoise"]
    for case in _cases(networks):
        assert _error(wrapper, _in_order(case, networks)) < 1e-5  # float32 sums in another order


@pytest.mark.parametrize("mutant", ["halves swapped", "other row", "guidance off", "conditioning dropped"])
def test_the_cases_catch_a_wrong_step(networks: Checkpoint, mutant: str):
    wrapper = _wrappers(networks)["denoise"]
    errors = []
    for case in _cases(networks):
        feed = dict(case.feed)
        if mutant == "halves swapped":
            feed["embedding"] = np.roll(feed["embedding"], case.batch, axis=0)
        if mutant == "other row":
            feed["step"] = (feed["step"] + 1) % 3
        if mutant == "guidance off":
            feed["guidance"] = np.ones_like(feed["guidance"])
        if mutant == "conditioning dropped":
            feed["conditioning"] = np.zeros_like(feed["conditioning"])
        errors.append(_error(wrapper, _in_order(reference.Case(case.graph, case.batch, feed, case.expected), networks)))
    assert max(errors) > 1e-3


@pytest.mark.parametrize("scale_shift", [False, True])
def test_the_time_tables_are_the_networks_own_time_path(scale_shift: bool, small_unet: Any):
    unet: Any = small_unet(2, scale_shift).eval()
    twin = time_tables.with_time_tables(unet, [999, 333, 0])
    latent, text = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 16)
    with torch.no_grad():
        for row, timestep in enumerate((999, 333, 0)):
            expected = unet(latent, timestep, text).sample
            found = twin(latent, torch.tensor([row], dtype=torch.int32), text).sample
            np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_a_network_with_other_inputs_is_refused(networks: Checkpoint):
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8,),
        layers_per_block=1,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        mid_block_type=None,
        cross_attention_dim=16,
        norm_num_groups=8,
        num_class_embeds=3,
    )
    with pytest.raises(WetgenError, match="num_class_embeds = 3"):
        time_tables.with_time_tables(unet, [0])


def test_the_copy_shares_its_weights_and_leaves_the_network_alone(networks: Checkpoint):
    before = {name: id(parameter) for name, parameter in networks.unet.named_parameters()}
    copy = time_tables.with_time_tables(networks.unet, [0])
    assert {name: id(parameter) for name, parameter in networks.unet.named_parameters()} == before
    shared = {parameter.data_ptr() for parameter in networks.unet.parameters()}
    owned = [name for name, parameter in copy.named_parameters() if parameter.data_ptr() not in shared]
    # Only upsampling kernels are new: the second half of a gated projection lies inside the first one's storage.
    assert all("upsamplers" in name or "gate" in name for name in owned)


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 3)])
def test_upsampling_and_convolution_are_one_transposed_convolution(size: tuple[int, int]):
    torch.manual_seed(3)
    upsample = Upsample2D(6, use_conv=True, out_channels=5)
    hidden = torch.randn(2, 6, *size)
    with torch.no_grad():
        found = rewrites.UpsampleOnce(upsample.conv)(hidden)
        np.testing.assert_allclose(found, upsample(hidden), rtol=0, atol=1e-5)


def test_the_gated_projection_is_two_projections():
    torch.manual_seed(4)
    gated = GEGLU(6, 8)
    hidden = torch.randn(2, 3, 6)
    with torch.no_grad():
        np.testing.assert_allclose(rewrites.SplitGeglu(gated.proj)(hidden), gated(hidden), rtol=0, atol=1e-6)


def test_decoding_ends_in_bytes_that_are_rounded_and_clipped():
    image = torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0]).reshape(1, 1, 1, 5).expand(1, 3, 1, 5)
    np.testing.assert_array_equal(wrappers.to_bytes(image)[0, 0, :, 0], [0, 0, 128, 255, 255])


def test_confidence_is_the_softmax_of_the_chosen_class():
    class Vae(nn.Module):
        def decode(self, latent: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return latent[:, :3], latent

    latent = 3 * torch.randn(1, 5, 4, 4, generator=torch.Generator().manual_seed(5))
    _, mask, confidence = wrappers.DecodePair(Vae())(latent)
    shares = latent.softmax(1)
    np.testing.assert_array_equal(mask, shares.argmax(1))
    np.testing.assert_array_equal(confidence, (255 * shares.amax(1)).round())


@pytest.mark.parametrize("size", [(1, 1), (4, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_wide_transposed_convolution_is_a_convolution_to_patches(size: tuple[int, int], bias: bool):
    torch.manual_seed(6)
    transposed = nn.ConvTranspose2d(5, 3, 12, 4, padding=4, bias=bias)
    (found,) = rewrites.lightened(nn.Sequential(transposed))
    assert isinstance(found, rewrites.PatchesOut)
    latent = torch.randn(2, 5, *size)
    with torch.no_grad():
        np.testing.assert_allclose(found(latent), transposed(latent), rtol=0, atol=1e-6)


@pytest.mark.parametrize("other", [{"padding": 3}, {"groups": 2}, {"output_padding": 1}, {"dilation": 2}])
def test_other_transposed_convolutions_are_left_alone(other: dict[str, int]):
    transposed = nn.ConvTranspose2d(4, 4, 12, 4, **{"padding": 4, **other})
    assert rewrites.lightened(nn.Sequential(transposed))[0].__class__ is nn.ConvTranspose2d
