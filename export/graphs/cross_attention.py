"""What the denoiser makes of a prompt whatever the step: keys and values, computed once per prompt by the text graph.

Axes: B prompts or rows of a batch, T tokens, W width of the text encoder, E all keys and values side by side.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

from wetgen.runtime.errors import WetgenError
from wetgen.training.denoiser import cross_attentions


def keys_and_values(unet: nn.Module) -> nn.Linear:
    """The projection (B, T, W) to (B, T, E) of a UNet2DConditionModel: per cross-attention its keys, then its values.

    Raises WetgenError for a denoiser without cross-attention, or with one that does more to the text than project it.
    """
    layers = cast(list[Any], cross_attentions(unet))
    _check_plain(layers)
    parts = [part for layer in layers for part in (layer.to_k, layer.to_v)]
    together = nn.Linear(parts[0].in_features, sum(part.out_features for part in parts), bias=parts[0].bias is not None)
    with torch.no_grad():
        together.weight.copy_(torch.cat([part.weight for part in parts]))
        if parts[0].bias is not None:
            together.bias.copy_(torch.cat([part.bias for part in parts]))
    return together.requires_grad_(False)


def take_keys_and_values(unet: nn.Module) -> None:
    """Change a UNet, in place, to be given `keys_and_values` of the text in place of the text."""
    start = 0
    for layer in cast(list[Any], cross_attentions(unet)):
        for name in ("to_k", "to_v"):
            stop = start + getattr(layer, name).out_features
            setattr(layer, name, Columns(start, stop))
            start = stop


class Columns(nn.Module):
    """Takes the place of a projection of the text: its own columns (B, T, stop - start) of all that are given."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, given: Tensor) -> Tensor:
        return given[..., self.start : self.stop]


def _check_plain(layers: list[Any]) -> None:
    more = [layer for layer in layers if layer.norm_cross is not None or layer.added_kv_proj_dim is not None]
    if not layers or more:
        raise WetgenError(
            "This denoiser cannot be exported: " + ("it norms the text or adds to it." if more else "it sees no text."),
            why="the denoise graph is given the keys and values of every attention to the text, computed beforehand.",
            fix="export a checkpoint whose UNet2DConditionModel has plain cross-attention, like Stable Diffusion's.",
        )
