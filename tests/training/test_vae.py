"""The joint VAE: the linear skip is a fair autoencoder at step 0, and a pair's two halves share one latent."""

from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional as F

from wetgen.training import vae
from wetgen.training.config import TrainConfig


def smooth_pairs(count: int, size: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 4, 4, generator=generator) * 2 - 1
    image = F.interpolate(coarse, size=size, mode="bilinear")
    mask = (F.interpolate(coarse[:, :1], size=size, mode="bilinear")[:, 0] > 0.3).long() * (classes - 1)
    return image, mask


def test_a_fresh_vae_with_the_skip_reconstructs_and_its_network_says_nothing(tiny: TrainConfig) -> None:
    net = vae.build(tiny.vae, 3).eval()
    image, mask = smooth_pairs(32, 32, 3)
    assert net.skip is not None
    net.skip.fit_into(net.joint(image, mask), 1.0)
    net.skip.fit_out(net.skip.into(net.joint(image, mask)).detach(), net.joint(image, mask))
    shown, logits = net.decode(net.encode(image, mask))
    assert logits is not None
    assert float((shown - image).abs().mean().detach()) < 0.1, (
        "the principal components of smooth patches hold nearly all"
    )
    assert float((logits.argmax(1) == mask).float().mean()) > 0.95
    joint = net.joint(image, mask)
    torch.testing.assert_close(net.moments(joint)[0], net.skip.into(joint), rtol=0, atol=0)


def test_whitening_is_the_textbook_one_at_1_and_none_at_0() -> None:
    generator = torch.Generator().manual_seed(1)
    scale = torch.tensor([4.0, 2.0, 1.0, 0.5]).view(1, 1, 2, 2)
    patches = torch.randn(4000, 1, 2, 2, generator=generator) * scale  # pictures of one patch each
    for whitening, ratio in ((1.0, 1.0), (0.5, 2.0**0.5), (0.0, 2.0)):
        skip = vae.LinearSkip(1, 2, 2)
        skip.fit_into(patches, whitening)
        latent = skip.into(patches).flatten(1).detach()
        spread = latent.std(0)
        np.testing.assert_allclose(float(spread[0] / spread[1]), ratio, rtol=0.05)  # 4000 draws: 2 % on a std
        np.testing.assert_allclose(float(latent.square().mean()), 1.0, rtol=0.01)


def test_the_way_out_finds_the_overlapping_kernel_that_drew_the_pictures() -> None:
    generator = torch.Generator().manual_seed(2)
    true, fitted = vae.LinearSkip(3, 2, 4).requires_grad_(False), vae.LinearSkip(3, 2, 4)
    latent = torch.randn(60, 2, 5, 6, generator=generator)
    drawn = true.out(latent)
    assert drawn.shape == (60, 3, 20, 24)
    fitted.fit_out(latent, drawn)
    # The ridge shrinks weights by 1e-4 of themselves; the bias is estimated from the pictures' means.
    torch.testing.assert_close(fitted.out.weight.detach(), true.out.weight, rtol=1e-3, atol=2e-3)
    torch.testing.assert_close(fitted.out(latent).detach(), drawn, rtol=0, atol=0.02)


def test_noisy_latents_are_drawn_with_less_of_what_drowns_in_them() -> None:
    generator = torch.Generator().manual_seed(3)
    skip = vae.LinearSkip(1, 1, 2)
    latent = torch.randn(400, 1, 4, 4, generator=generator)
    skip.fit_out(
        latent + torch.randn(latent.shape, generator=generator), latent.repeat_interleave(2, 2).repeat_interleave(2, 3)
    )
    centre = skip.out.weight.detach()[0, 0, 2:4, 2:4]
    np.testing.assert_allclose(centre, 0.5, atol=0.05)  # Wiener: signal / (signal + noise), both of variance 1


def test_posterior_noise_has_the_floor_it_is_told(tiny: TrainConfig) -> None:
    net = vae.build(tiny.vae, 3).eval()
    joint = net.joint(*smooth_pairs(2, 32, 3))
    noise = torch.ones(2, tiny.vae.latent_channels, 8, 8)
    quiet, _, _ = net(joint, 0 * noise, 0.5)
    mean, _ = net.moments(joint)
    loud, _, _ = net(joint, noise, 0.5)
    torch.testing.assert_close(quiet, net.reconstruct(mean))
    torch.testing.assert_close(loud, net.reconstruct(mean + 0.5))  # exp(-6 / 2) is below the floor


def test_without_classes_it_is_a_plain_image_vae(tiny: TrainConfig) -> None:
    net = vae.build(replace(tiny.vae, skip=False, unshuffle=1), 0)
    image, _ = smooth_pairs(2, 32, 3)
    shown, logits = net.decode(net.encode(image, None))
    assert shown.shape == image.shape and logits is None


def test_scale_and_shift_are_undone_by_decoding(tiny: TrainConfig) -> None:
    net = vae.build(tiny.vae, 3).eval()
    image, mask = smooth_pairs(2, 32, 3)
    before = net.decode(net.encode(image, mask))[0]
    net.net.register_to_config(scaling_factor=3.0, shift_factor=0.7)
    torch.testing.assert_close(net.decode(net.encode(image, mask))[0], before)
