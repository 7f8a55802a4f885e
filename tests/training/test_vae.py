"""The joint VAE: its linear ways are a fair autoencoder at step 0, and a pair's two halves share one latent."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderDC, AutoencoderKL
from torch.nn import functional as F

from wetgen.training import checkpoint, dc_vae
from wetgen.training.config import TrainConfig
from wetgen.training.dc_vae import DCVAE, SPREAD_POWER
from wetgen.training.vae import KLVAE, LinearSkip

SIZE = 32


def smooth_pairs(count: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 4, 4, generator=generator) * 2 - 1
    image = F.interpolate(coarse, size=SIZE, mode="bilinear")
    mask = (F.interpolate(coarse[:, :1], size=SIZE, mode="bilinear")[:, 0] > 0.3).long() * (classes - 1)
    return image, mask


@pytest.fixture
def net(tiny: TrainConfig) -> DCVAE:
    torch.manual_seed(0)
    return dc_vae.build(tiny.vae, 3, SIZE).eval().requires_grad_(False)


def stir(net: torch.nn.Module) -> None:
    """Random weights everywhere, so that nothing is zero by its start."""
    generator = torch.Generator().manual_seed(1)
    for parameter in net.parameters():
        parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))


def test_a_fresh_vae_reconstructs_and_its_network_says_nothing(net: DCVAE) -> None:
    image, mask = smooth_pairs(48, 3)
    joint = net.joint(image, mask)
    net.fit_linear(joint, torch.Generator().manual_seed(0))
    shown, logits = net.decode(net.encode(image, mask))
    assert logits is not None
    assert float((shown - image).abs().mean()) < 0.15, "the components of smooth patches hold nearly all"
    assert float((logits.argmax(1) == mask).float().mean()) > 0.9
    torch.testing.assert_close(net.mean(joint), net.linear_in(joint) * net.scale, rtol=0, atol=0)
    straight = F.interpolate(net.linear_out(net.mean(joint)), scale_factor=4, mode="bilinear")
    torch.testing.assert_close(net.reconstruct(net.mean(joint)), straight, rtol=0, atol=0)


def test_the_mean_colour_is_in_the_latents_however_little_it_varies(net: DCVAE) -> None:
    """Green walls came back grey where it had to compete with masks for a place among the components."""
    generator = torch.Generator().manual_seed(0)
    image, mask = smooth_pairs(48, 3)
    green = 0.01 * torch.randn(48, 1, 8, 8, generator=generator)
    image = image[:, :1].expand(-1, 3, -1, -1) + F.interpolate(green, SIZE) * torch.tensor([-1.0, 1.0, -1.0]).view(
        3, 1, 1
    )
    net.fit_linear(net.joint(image, mask), torch.Generator().manual_seed(0))
    latent = net.mean(net.joint(image, mask)).permute(0, 2, 3, 1).flatten(0, 2).double()
    colour = F.avg_pool2d(image, 4).permute(0, 2, 3, 1).flatten(0, 2).double()
    given = torch.cat([latent, torch.ones(len(latent), 1, dtype=torch.float64)], 1)
    left = colour - given @ torch.linalg.lstsq(given, colour).solution
    assert float(left.abs().max()) < 1e-4, "a linear function of the latents; float32 stores them"


def test_latent_channels_are_the_principal_components_with_their_spread_compressed(net: DCVAE) -> None:
    joint = net.joint(*smooth_pairs(48, 3))
    net.fit_linear(joint, torch.Generator().manual_seed(0))
    latent = net.mean(joint).transpose(0, 1).flatten(1).double()
    covariance = torch.cov(latent)
    patches = F.unfold(joint.double(), 4, stride=4).transpose(1, 2).flatten(0, 1)
    values, directions = net._components(torch.cov(patches.T))
    torch.testing.assert_close(torch.cov((patches @ directions).T), values.diag(), rtol=1e-6, atol=1e-8)
    spread = values**SPREAD_POWER
    expected = spread / spread.square().mean().sqrt()
    # Sample moments in float32 of 3,072 patches against float64 ones.
    np.testing.assert_allclose(covariance.diagonal().sqrt(), expected, rtol=1e-2)
    off = covariance - torch.diag(covariance.diagonal())
    assert float(off.abs().max()) < 1e-2, "components are uncorrelated"


def test_the_walk_through_the_decoder_is_diffusers_own_where_there_is_no_grain(net: DCVAE) -> None:
    stir(net)
    latent = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(2))
    for grain in net.grain:
        grain.spread.weight.zero_()
    smooth = F.interpolate(net.linear_out(latent), scale_factor=4, mode="bilinear")
    expected = F.pixel_shuffle(net.net.decoder(latent), 2) + smooth
    torch.testing.assert_close(net.reconstruct(latent), expected)


def test_grain_is_the_same_for_all_pairs_of_a_batch_and_moves_with_its_shift(net: DCVAE) -> None:
    stir(net)
    latent = torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(2))
    both = net.reconstruct(latent.expand(2, -1, -1, -1))
    torch.testing.assert_close(both[0], both[1], rtol=0, atol=0)
    torch.testing.assert_close(both[:1], net.reconstruct(latent))  # batches may sum in another order
    assert not torch.allclose(net.reconstruct(latent, (3, 5)), net.reconstruct(latent))


def test_pictures_larger_than_the_grain_repeat_it(net: DCVAE) -> None:
    stir(net)
    flat = torch.ones(1, 8, 16, 16)
    assert net.reconstruct(flat).shape == (1, 6, 64, 64)
    noise = net.grain[0](torch.ones(1, 8, 32, 32))
    torch.testing.assert_close(noise[..., :16, :16], noise[..., 16:, 16:], rtol=0, atol=0)


def test_the_scale_is_undone_by_decoding(net: DCVAE) -> None:
    stir(net)
    image, mask = smooth_pairs(2, 3)
    before = net.decode(net.encode(image, mask))[0]
    net.net.register_to_config(scaling_factor=3.0)
    torch.testing.assert_close(net.decode(net.encode(image, mask))[0], before)


def test_a_saved_vae_comes_back_as_it_was(net: DCVAE, tmp_path: Path) -> None:
    stir(net)
    checkpoint.save_vae(tmp_path, net)
    again = checkpoint.load_vae(tmp_path, 3)
    image, mask = smooth_pairs(2, 3)
    torch.testing.assert_close(again.decode(again.encode(image, mask)), net.decode(net.encode(image, mask)))
    assert isinstance(again, DCVAE) and again.stride == 4
    assert AutoencoderDC.from_pretrained(tmp_path).config.latent_channels == 8, "diffusers reads the network"
    assert checkpoint.encoder_digest(again) == checkpoint.encoder_digest(net)


def test_what_cached_latents_depend_on_is_the_encoder_alone(net: DCVAE) -> None:
    before = checkpoint.encoder_digest(net)
    net.net.decoder.conv_out.weight.add_(1.0)
    assert checkpoint.encoder_digest(net) == before
    net.linear_in.bias.add_(1.0)
    assert checkpoint.encoder_digest(net) != before


def small_kl(channels: int) -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
    )


def test_a_kl_vae_with_its_linear_skip_comes_back_as_it_was(tmp_path: Path) -> None:
    net = KLVAE(small_kl(6 * 4), 3, LinearSkip(6, 4, 4)).eval().requires_grad_(False)
    net.net.register_to_config(scaling_factor=3.0, shift_factor=0.7)
    checkpoint.save_vae(tmp_path, net)
    again = checkpoint.load_vae(tmp_path, 3)
    image, mask = smooth_pairs(2, 3)
    latent = net.encode(image, mask)
    assert latent.shape == (2, 4, 8, 8)
    torch.testing.assert_close(again.encode(image, mask), latent)
    torch.testing.assert_close(again.decode(latent), net.decode(latent))
    torch.testing.assert_close(latent / 3.0 + 0.7, net.mean(net.joint(image, mask)))


def test_without_classes_it_is_a_plain_image_vae() -> None:
    net = KLVAE(small_kl(3), 0).eval()
    image, _ = smooth_pairs(2, 3)
    shown, logits = net.decode(net.encode(image, None))
    assert shown.shape == image.shape and logits is None
