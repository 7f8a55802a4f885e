"""The joint VAE: one latent holds picture and mask, so they cannot drift apart.

Axes: B pairs, H W image size, K classes, D = 3 + K joint channels, C latent channels, h w = H/stride, W/stride.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional as F

LOGIT_GAIN = 4.0  # joint channels hold masks near -1 and 1; as logits that would be an unsure softmax
MASK_SCALE = 2.0  # a one-hot mask channel spans this much, about the span of a picture's [-1, 1]


class JointVAE(nn.Module, ABC):
    """Picture and mask to one latent and back. With classes = 0 it is a plain image VAE."""

    net: Any  # diffusers' network, whose config holds latent_channels, scaling_factor and shift_factor
    classes: int
    stride: int

    @abstractmethod
    def mean(self, joint: Tensor) -> Tensor:
        """Joint channels (B, D, H, W) to the mean of the unscaled latent, (B, C, h, w)."""

    @abstractmethod
    def reconstruct(self, latent: Tensor, grain: tuple[int, int] = (0, 0)) -> Tensor:
        """The unscaled latent (B, C, h, w) to joint channels (B, D, H, W).

        `grain` moves the decoder's own noise, where it has any, so that training never sees it in one place.
        """

    def encoder_parts(self) -> list[nn.Module]:
        """What is frozen while the decoder learns on."""
        return [self.net.encoder]

    def slow_parts(self) -> list[nn.Module]:
        """What starts with weights far smaller than the network's."""
        return []

    def grain_parts(self) -> list[nn.Module]:
        """What gives the decoder noise of its own."""
        return []

    def joint(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Image (B, 3, H, W) in [-1, 1] and mask ids (B, H, W) int64 to (B, D, H, W)."""
        if not self.classes:
            return image
        assert mask is not None
        onehot = F.one_hot(mask, self.classes).permute(0, 3, 1, 2).to(image.dtype)
        return torch.cat([image, MASK_SCALE * onehot - MASK_SCALE / 2], 1)

    def split(self, joint: Tensor) -> tuple[Tensor, Tensor | None]:
        """Joint channels to image (B, 3, H, W) and class logits (B, K, H, W), or None without classes."""
        return joint[:, :3], (LOGIT_GAIN * joint[:, 3:] if self.classes else None)

    def encode(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """The latent (B, C, h, w) the denoiser works on: the posterior's mean, shifted and scaled to unit variance."""
        return (self.mean(self.joint(image, mask)) - self._shift) * self.net.config.scaling_factor

    def decode(self, latent: Tensor) -> tuple[Tensor, Tensor | None]:
        """A denoiser's latent to image (B, 3, H, W) in about [-1, 1] and class logits (B, K, H, W)."""
        return self.split(self.reconstruct(latent / self.net.config.scaling_factor + self._shift))

    @property
    def _shift(self) -> float:
        return float(self.net.config.get("shift_factor") or 0.0)


class LinearSkip(nn.Module):
    """A strided convolution in, patches of stride x stride pixels to C numbers, and an overlapping transposed one out.

    Each patch is drawn from the 3 x 3 latents around it. Checkpoints of wetgen 0.1 have one around their AutoencoderKL.
    """

    def __init__(self, channels: int, latent_channels: int, stride: int) -> None:
        super().__init__()
        self.into = nn.Conv2d(channels, latent_channels, stride, stride)
        self.out = nn.ConvTranspose2d(latent_channels, channels, 3 * stride, stride, padding=stride)


class KLVAE(JointVAE):
    """Around diffusers' AutoencoderKL: pretrained picture VAEs with classes added, and checkpoints of wetgen 0.1."""

    def __init__(self, net: AutoencoderKL, classes: int, skip: LinearSkip | None = None) -> None:
        super().__init__()
        self.net, self.classes, self.skip = net, classes, skip
        self.unshuffle = round((net.config.in_channels / (3 + classes)) ** 0.5)
        self.stride = self.unshuffle * 2 ** (len(net.config.block_out_channels) - 1)

    def encoder_parts(self) -> list[nn.Module]:
        parts = [self.net.encoder, self.net.quant_conv, None if self.skip is None else self.skip.into]
        return [part for part in parts if part is not None]

    def mean(self, joint: Tensor) -> Tensor:
        hidden = self.net.encoder(F.pixel_unshuffle(joint, self.unshuffle))
        if self.net.quant_conv is not None:
            hidden = self.net.quant_conv(hidden)
        mean, _ = hidden.chunk(2, 1)
        return mean if self.skip is None else mean + self.skip.into(joint)

    def reconstruct(self, latent: Tensor, grain: tuple[int, int] = (0, 0)) -> Tensor:
        hidden = latent if self.net.post_quant_conv is None else self.net.post_quant_conv(latent)
        joint = F.pixel_shuffle(self.net.decoder(hidden), self.unshuffle)
        return joint if self.skip is None else joint + self.skip.out(latent)
