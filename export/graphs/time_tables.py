"""The time tables of a denoiser: what depends only on the timestep, computed at export, one row per step.

Of a student of guidance, whose time embedding depends on the guidance scale too, the table ends where the scale enters.

Axes: B pairs, R rows (the steps of all plans, one after the other), P width of all time projections side by side,
D width of the time embedding, S sinusoids of the guidance scale.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from wetgen.export.graphs.rewrites import lightened
from wetgen.runtime.errors import WetgenError
from wetgen.training.student import angular_frequencies, sinusoids_of


class TimeTable(nn.Module):
    """Takes the place of `time_proj`: a row number to that step's row, (1, P) or of a student (1, D)."""

    table: Tensor  # (R, P) or (R, D)

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table)

    def forward(self, rows: Tensor) -> Tensor:
        return self.table.index_select(0, rows[:1])  # one step for the whole batch: what follows broadcasts


class PassThrough(nn.Module):
    """Takes the place of `time_embedding`, whose result is already in the table."""

    def forward(self, projections: Tensor, guidance: Tensor | None = None) -> Tensor:
        return projections


class GuidedTime(nn.Module):
    """Takes the place of a student's `time_embedding`: a row (1, D) and guidance scales (B,) to projections (B, P).

    The row is what the timestep adds up to before the first activation; the scale's part joins it there, its two
    projections (from sinusoids to the timestep's width, and on to D) folded into one.
    """

    frequencies: Tensor  # (S / 2,)

    def __init__(self, unet: Any, blocks: Sequence[Any]) -> None:
        super().__init__()
        embedding = unet.time_embedding
        self.register_buffer("frequencies", angular_frequencies(embedding.cond_proj.in_features))
        self.scale = nn.Parameter(embedding.linear_1.weight @ embedding.cond_proj.weight, requires_grad=False)  # (D, S)
        # UNet2DConditionModel builds all its blocks with one activation.
        inside = None if blocks[0].skip_time_act else blocks[0].nonlinearity
        after = [embedding.act, embedding.linear_2, embedding.post_act, unet.time_embed_act, inside]
        self.embedding = nn.Sequential(*(module for module in after if module is not None))
        weights, biases = zip(*((b.time_emb_proj.weight, b.time_emb_proj.bias) for b in blocks), strict=True)
        self.weight = nn.Parameter(torch.cat(weights), requires_grad=False)  # (P, D)
        self.bias = nn.Parameter(torch.cat(biases), requires_grad=False)

    def forward(self, row: Tensor, guidance: Tensor) -> Tensor:
        angles = (guidance - 1.0).unsqueeze(1) * self.frequencies  # (B, S / 2)
        sinusoids = torch.cat([angles.sin(), angles.cos()], dim=1)  # (B, S)
        embedding = self.embedding(row + functional.linear(sinusoids, self.scale))  # (B, D)
        return functional.linear(embedding, self.weight, self.bias)


class Slice(nn.Module):
    """Takes the place of one block's `time_emb_proj`: the block's own columns of the table's row."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, projections: Tensor) -> Tensor:
        return projections[:, self.start : self.stop]


def with_time_tables(unet: nn.Module, timesteps: Sequence[int]) -> nn.Module:
    """A light copy of a UNet2DConditionModel (weights shared) that takes the row of `timesteps` in place of a timestep.

    What depends only on the timestep - its sinusoids, the two-layer embedding, and the activation and projection in
    each residual block - is computed here, once per row; of a student of guidance the sinusoids and the first layer
    are, and its `time_embedding` takes guidance scales (B,). Raises WetgenError for a UNet with inputs of other kinds.
    """
    _check_plain(cast(Any, unet).config)
    twin = cast(Any, lightened(unet))
    blocks = [block for block in twin.modules() if getattr(block, "time_emb_proj", None) is not None]
    with torch.no_grad():
        if sinusoids_of(unet) is None:
            table = _time_table(twin, blocks, timesteps)
            embedding: nn.Module = PassThrough()
        else:
            table = _first_layer(twin, timesteps)
            embedding = GuidedTime(twin, blocks)
    start = 0
    for block in blocks:
        width = block.time_emb_proj.out_features
        block.time_emb_proj = Slice(start, start + width)
        block.skip_time_act = True  # the activation is in the table, or behind it
        start += width
    twin.time_proj, twin.time_embedding, twin.time_embed_act = TimeTable(table), embedding, None
    return cast(nn.Module, twin)


def _first_layer(unet: Any, timesteps: Sequence[int]) -> Tensor:
    """(R, D): per timestep, what the first layer of the time embedding makes of it, before its activation."""
    layer: Tensor = unet.time_embedding.linear_1(unet.time_proj(torch.tensor(timesteps)).to(unet.dtype))
    return layer


def _time_table(unet: Any, blocks: Sequence[Any], timesteps: Sequence[int]) -> Tensor:
    """(R, P): per timestep, what every block adds for it, side by side."""
    embedding = unet.time_embedding(unet.time_proj(torch.tensor(timesteps)).to(unet.dtype))  # (R, width)
    if unet.time_embed_act is not None:
        embedding = unet.time_embed_act(embedding)
    columns = [
        block.time_emb_proj(embedding if block.skip_time_act else block.nonlinearity(embedding)) for block in blocks
    ]
    return torch.cat(columns, dim=1)


_OTHER_INPUTS = ("class_embed_type", "num_class_embeds", "addition_embed_type", "encoder_hid_dim")


def _check_plain(config: Any) -> None:
    for name in _OTHER_INPUTS:
        if config.get(name) is not None:
            raise WetgenError(
                f"This denoiser cannot be exported: its config sets {name} = {config[name]}.",
                why="the denoise graph feeds a latent, a text embedding and a timestep, and this network wants more.",
                fix="export a checkpoint whose UNet2DConditionModel leaves that setting empty.",
            )
