"""The denoiser and its one conditioning tensor.

Axes: B pairs, C latent channels, h w latent size, K classes. The conditioning tensor (B, K + C + 1, h, w) is a class
layout, the latent of known pixels and the map of what is known; zeros mean "free", so one network serves text to pair,
mask to image, and damage painted into a photograph.
"""

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from wetgen.training.config import DenoiserConfig


def conditioning_channels(classes: int, latent_channels: int) -> int:
    """Class layout, known latent, known map."""
    return classes + latent_channels + 1


def build(
    config: DenoiserConfig, latent_channels: int, classes: int, text_width: int, size: int
) -> UNet2DConditionModel:
    """An untrained denoiser for latents of `size` x `size`."""
    levels = len(config.widths)
    return UNet2DConditionModel(
        sample_size=size,
        in_channels=latent_channels + conditioning_channels(classes, latent_channels),
        out_channels=latent_channels,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        block_out_channels=config.widths,
        layers_per_block=config.layers,
        attention_head_dim=tuple(width // config.head_width for width in config.widths),
        cross_attention_dim=text_width,
        norm_num_groups=min(32, *config.widths),
    )


def cross_attentions(unet: nn.Module) -> list[Attention]:
    """The attentions that look at the text, in the order of the network's modules."""
    return [module for module in unet.modules() if isinstance(module, Attention) and module.is_cross_attention]


def condition(latent: Tensor, layout: Tensor, give_layout: Tensor, known: Tensor) -> Tensor:
    """Put the conditioning tensor together.

    `layout` (B, K, h, w) class shares, `give_layout` (B,) bool, `known` (B, 1, h, w) 1 where the latent is given.
    """
    given = give_layout.view(-1, 1, 1, 1).to(layout.dtype)
    return torch.cat([layout * given, latent * known, known], 1)


def random_known(batch: int, size: int, share: float, generator: torch.Generator) -> Tensor:
    """(batch, 1, size, size) maps: for `share` of the batch all but a random box is known, for the rest nothing."""
    rows = torch.arange(size).float() / size
    side = 0.25 + 0.6 * torch.rand(2, batch, 1, generator=generator)
    start = torch.rand(2, batch, 1, generator=generator) * (1 - side)
    inside = (rows >= start) & (rows < start + side)  # (2, batch, size): rows, columns
    box = inside[0].unsqueeze(2) & inside[1].unsqueeze(1)
    given = torch.rand(batch, 1, 1, generator=generator) < share
    return (given & ~box).float().unsqueeze(1)
