"""The joint VAE that wetgen trains: small latents of large pictures.

Axes: B pairs, H W image size, K classes, D = 3 + K joint channels, C latent channels, h w = H/stride, W/stride.

diffusers' AutoencoderDC (Chen et al. 2024, arXiv 2410.10733) without attention runs beside a linear autoencoder. The
linear one starts as the principal components of the training patches and the network's last layers start at zero: at
step 0 the whole is a fair autoencoder and every step refines it. The linear way out interpolates a 1x1 map of the
latent, so it cannot weave. A pixel-unshuffle in front of the network and behind it keeps the cost of full resolution
away; fixed noise that the decoder scales by its features gives it grain to draw with (after Karras et al. 2019).
"""

import torch
from diffusers import AutoencoderDC
from torch import Tensor, nn
from torch.nn import functional as F

from wetgen.training.config import VaeConfig
from wetgen.training.vae import JointVAE

UNSHUFFLE = 2
SPREAD_POWER = 0.1  # a channel's standard deviation is its eigenvalue to this power: small components stay small
FIT_NOISE = 0.15  # noise in the latents that the linear way out is fitted to, of their spread
GRAIN_MAPS = 8
GRAIN_SEED = 1


class Grain(nn.Module):
    """Adds fixed noise to features, scaled pixel by pixel by the features themselves; starts at nothing.

    The noise is a buffer, not an input: pictures need no second source of chance, and every engine sees the same.
    """

    def __init__(self, width: int, side: int, seed: int) -> None:
        super().__init__()
        self.strength = nn.Conv2d(width, GRAIN_MAPS, 1)
        self.spread = nn.Conv2d(GRAIN_MAPS, width, 1, bias=False)
        nn.init.zeros_(self.spread.weight)
        noise = torch.randn(1, GRAIN_MAPS, side, side, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("noise", noise.half().float())  # exact in float16, too

    def forward(self, features: Tensor, shift: tuple[int, int] = (0, 0)) -> Tensor:
        """Features (B, width, h, w) with noise; `shift` moves it, so that training never sees it in one place."""
        height, width = features.shape[2:]
        side = self.noise.shape[-1]
        noise = self.noise if shift == (0, 0) else self.noise.roll(shift, (2, 3))
        if height > side or width > side:
            noise = noise.tile(1, 1, -(-height // side), -(-width // side))
        noise = noise[:, :, :height, :width].to(features.dtype)
        return features + self.spread(self.strength(features) * noise)


class DCVAE(JointVAE):
    """Picture and mask to one latent and back; the variance of the posterior is fixed, by the noise of training."""

    def __init__(self, net: AutoencoderDC, classes: int, size: int) -> None:
        """`size` is that of the pictures it is trained for: its grain covers one."""
        super().__init__()
        self.net, self.classes = net, classes
        self.stride = UNSHUFFLE * 2 ** (len(net.config.encoder_block_out_channels) - 1)
        self.latent_channels: int = net.config.latent_channels
        self.linear_in = nn.Conv2d(3 + classes, self.latent_channels, self.stride, self.stride)
        self.linear_out = nn.Conv2d(self.latent_channels, 3 + classes, 1)
        self.register_buffer("scale", torch.ones(1, self.latent_channels, 1, 1))
        widths = net.config.decoder_block_out_channels
        self.grain = nn.ModuleList(
            Grain(widths[level], size // (UNSHUFFLE * 2**level), GRAIN_SEED + level) for level in (0, 1)
        )

    def encoder_parts(self) -> list[nn.Module]:
        return [self.net.encoder, self.linear_in]

    def slow_parts(self) -> list[nn.Module]:
        return [self.linear_in, self.linear_out, self.grain]

    def grain_parts(self) -> list[nn.Module]:
        return [self.grain]

    def mean(self, joint: Tensor) -> Tensor:
        hidden = self.net.encoder(F.pixel_unshuffle(joint, UNSHUFFLE))
        return (self.linear_in(joint) + hidden) * self.scale

    def reconstruct(self, latent: Tensor, grain: tuple[int, int] = (0, 0)) -> Tensor:
        smooth = F.interpolate(self.linear_out(latent), scale_factor=self.stride, mode="bilinear")
        return self._refine(latent, grain) + smooth

    def _refine(self, latent: Tensor, shift: tuple[int, int]) -> Tensor:
        """What the network adds to the linear way out, (B, D, H, W)."""
        decoder = self.net.decoder
        repeated = latent.repeat_interleave(decoder.in_shortcut_repeats, dim=1)
        hidden = decoder.conv_in(latent) + repeated
        for level in reversed(range(len(decoder.up_blocks))):
            first, *rest = decoder.up_blocks[level]
            hidden = first(hidden)
            if level < len(self.grain):
                hidden = self.grain[level](hidden, shift)
            for block in rest:
                hidden = block(hidden)
        hidden = decoder.norm_out(hidden.movedim(1, -1)).movedim(-1, 1)
        return F.pixel_shuffle(decoder.conv_out(decoder.conv_act(hidden)), UNSHUFFLE)

    @torch.no_grad()
    def fit_linear(self, joint: Tensor, generator: torch.Generator) -> None:
        """Start the linear ways from training views `joint` (N, D, H, W) float32, N large enough for their patches.

        In: principal components of the patches, among them the mean colour whatever its variance: masks vary more than
        the green of a wall, and a decoder never learns what the latents lost. Channel k's standard deviation is its
        eigenvalue ** SPREAD_POWER, their mean square 1. Out: least squares from noisy latents, which draws components
        less that drown in noise (a Wiener filter).
        """
        patches = F.unfold(joint.double(), self.stride, stride=self.stride).transpose(1, 2).flatten(0, 1)
        mean = patches.mean(0)
        values, vectors = self._components((patches - mean).T @ (patches - mean) / len(patches))
        basis = vectors / values.sqrt()
        self.linear_in.weight.copy_(basis.T.reshape(self.linear_in.weight.shape))
        self.linear_in.bias.copy_(-(mean @ basis))
        spread = values**SPREAD_POWER
        self.scale.copy_((spread / spread.square().mean().sqrt()).view(1, -1, 1, 1))
        latent = self.linear_in(joint) * self.scale
        latent = latent + FIT_NOISE * torch.randn(latent.shape, generator=generator)
        self._fit_out(F.interpolate(latent, scale_factor=self.stride, mode="bilinear"), joint)

    def _components(self, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """Variances (C,) and directions (P, C) of patches (P values) of this covariance (P, P), largest first."""
        side = self.stride**2  # pixels of a patch, which unfold lays out channel by channel
        colours = torch.zeros(len(covariance), 3, dtype=covariance.dtype)
        for channel in range(3):
            colours[channel * side : (channel + 1) * side, channel] = 1 / self.stride  # unit length
        rest = torch.eye(len(covariance), dtype=covariance.dtype) - colours @ colours.T
        others = torch.linalg.eigh(rest @ covariance @ rest).eigenvectors.flip(1)[:, : self.latent_channels - 3]
        kept = torch.cat([colours, others], 1)
        values, turned = torch.linalg.eigh(kept.T @ covariance @ kept)
        return values.flip(0).clamp(min=1e-8), kept @ turned.flip(1)

    def _fit_out(self, smooth: Tensor, joint: Tensor) -> None:
        def every_fourth(tensor: Tensor) -> Tensor:  # a sixteenth of the pixels says as much
            return tensor[:, :, ::4, ::4].permute(0, 2, 3, 1).flatten(0, 2).double()

        given, wanted = every_fourth(smooth), every_fourth(joint)
        given = torch.cat([given, torch.ones(len(given), 1, dtype=given.dtype)], 1)
        ridge = 1e-3 * len(given) * torch.eye(given.shape[1], dtype=given.dtype)
        weight = torch.linalg.solve(given.T @ given + ridge, given.T @ wanted)  # (C + 1, D)
        self.linear_out.weight.copy_(weight[:-1].T.reshape(self.linear_out.weight.shape))
        self.linear_out.bias.copy_(weight[-1])


def build(config: VaeConfig, classes: int, size: int) -> DCVAE:
    """An untrained VAE for pairs of `size` pixels, its network's last layers at zero."""
    levels = len(config.encoder_widths)
    net = AutoencoderDC(
        in_channels=(3 + classes) * UNSHUFFLE**2,
        latent_channels=config.latent_channels,
        attention_head_dim=8,  # there is no attention; diffusers wants a number
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=config.encoder_widths,
        decoder_block_out_channels=config.decoder_widths,
        encoder_layers_per_block=config.encoder_layers,
        decoder_layers_per_block=config.decoder_layers,
        encoder_qkv_multiscales=((),) * levels,
        decoder_qkv_multiscales=((),) * levels,
        upsample_block_type="interpolate",
        downsample_block_type="Conv",
        encoder_out_shortcut=False,
        scaling_factor=1.0,
    )
    for last in (net.encoder.conv_out, net.decoder.conv_out):
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return DCVAE(net, classes, size)
