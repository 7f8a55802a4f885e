"""The torch module behind each graph: its `forward` takes exactly the graph's inputs, in order.

Axes: B pairs, C latent channels, h w latent size, H W image size, T tokens, E text width, Cc conditioning channels,
K classes, R rows (the steps of all plans, one after the other), P width of all time projections side by side.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from wetgen.export.rewrites import lightened, share_halves
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.graphs import Sizes
from wetgen.runtime.schedule import Step


class Wrapper(nn.Module):
    """A network behind a graph's declaration: what crosses the border is float32, whatever the network computes in."""

    compute: torch.dtype = torch.float32  # of the network; `precision.lowered` changes both

    def into(self, tensor: Tensor) -> Tensor:
        """A float32 tensor in the network's own type."""
        return tensor.to(self.compute)


class Text(Wrapper):
    """Token ids (B, T) int32 to text embedding (B, T, E)."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, token_ids: Tensor) -> Tensor:
        return cast(Tensor, self.encoder(token_ids.long()).last_hidden_state).float()


class Encode(Wrapper):
    """Photograph (B, H, W, 3) uint8 to latent (B, C, h, w)."""

    def __init__(self, vae: nn.Module) -> None:
        super().__init__()
        self.vae = lightened(vae)

    def forward(self, image: Tensor) -> Tensor:
        return self._encode(image, None)

    def _encode(self, image: Tensor, mask: Tensor | None) -> Tensor:
        # Bytes become numbers first: TensorRT knows uint8 at the border of a network only.
        pixels = image.float().permute(0, 3, 1, 2) / 127.5 - 1.0  # (B, 3, H, W) in [-1, 1]
        return cast(Tensor, cast(Any, self.vae).encode(self.into(pixels), mask)).float()


class EncodePair(Encode):
    """Photograph (B, H, W, 3) and mask of class ids (B, H, W), both uint8, to latent (B, C, h, w)."""

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        return self._encode(image, mask.long())


class Decode(Wrapper):
    """Latent (B, C, h, w) to picture (B, H, W, 3) uint8."""

    def __init__(self, vae: nn.Module) -> None:
        super().__init__()
        self.vae = lightened(vae)

    def forward(self, latent: Tensor) -> Tensor:
        image, _ = cast(Any, self.vae).decode(self.into(latent))
        return to_bytes(image.float())


class DecodePair(Decode):
    """Latent to picture (B, H, W, 3), mask of class ids and confidence in 255ths (B, H, W), all uint8."""

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        image, logits = cast(Any, self.vae).decode(self.into(latent))  # (B, 3, H, W), (B, K, H, W)
        image, logits = image.float(), logits.float()
        best, mask = logits.max(dim=1)  # (B, H, W) each
        # The softmax of the largest logit is 1 / sum(exp(logit - largest)); the other K - 1 are never needed.
        confidence = 1.0 / torch.exp(logits - best.unsqueeze(1)).sum(dim=1)
        return to_bytes(image), mask.to(torch.uint8), (confidence * 255.0).round().to(torch.uint8)


def to_bytes(image: Tensor) -> Tensor:
    """(B, 3, H, W) float in [-1, 1] to (B, H, W, 3) uint8, rounded to the nearest and clipped."""
    return ((image + 1.0) * 127.5).round().clamp(0.0, 255.0).permute(0, 2, 3, 1).to(torch.uint8)


class Denoise(Wrapper):
    """One sampling step (B, C, h, w) -> (B, C, h, w): guidance, the network and the DDIM update.

    `step` is the row in the tables of all plans, one after the other.
    """

    keep: Tensor  # (R,)
    push: Tensor  # (R,)

    def __init__(self, unet: nn.Module, steps: Sequence[Step]) -> None:
        super().__init__()
        self.unet = with_time_tables(unet, [step.timestep for step in steps])
        share_halves(self.unet)
        self.register_buffer("keep", torch.tensor([step.keep for step in steps], dtype=torch.float32))
        self.register_buffer("push", torch.tensor([step.push for step in steps], dtype=torch.float32))

    def forward(self, latent: Tensor, embedding: Tensor, step: Tensor, guidance: Tensor) -> Tensor:
        return self._step(latent, latent, embedding, step, guidance)

    def _step(self, latent: Tensor, seen: Tensor, embedding: Tensor, step: Tensor, guidance: Tensor) -> Tensor:
        """`seen` (B, C + Cc, h, w) is what the network sees of the latent."""
        batch = latent.shape[0]
        seen, embedding = self.into(seen), self.into(embedding)
        both = self.unet(torch.cat([seen, seen]), step, embedding, return_dict=False)[0].float()  # (2B, C, h, w)
        uncond, cond = both[:batch], both[batch:]
        prediction = uncond + guidance.reshape(-1, 1, 1, 1) * (cond - uncond)  # (B, C, h, w)
        keep, push = (table.index_select(0, step).reshape(1, 1, 1, 1) for table in (self.keep, self.push))
        after: Tensor = keep * latent + push * prediction
        return after


class DenoiseConditioned(Denoise):
    """A step of a denoiser that also sees a conditioning tensor (B, Cc, h, w)."""

    def forward(  # type: ignore[override]
        self, latent: Tensor, embedding: Tensor, conditioning: Tensor, step: Tensor, guidance: Tensor
    ) -> Tensor:
        return self._step(latent, torch.cat([latent, conditioning], dim=1), embedding, step, guidance)


def text(encoder: nn.Module) -> Wrapper:
    """The wrapper of the text graph."""
    return Text(encoder).eval()


def denoise(unet: nn.Module, steps: Sequence[Step], sizes: Sizes) -> Wrapper:
    """The wrapper of the denoise graph, with or without a conditioning input."""
    return (DenoiseConditioned if sizes.conditioning_channels else Denoise)(unet, steps).eval()


def encode(vae: nn.Module, sizes: Sizes) -> Wrapper:
    """The wrapper of the encode graph, with or without a mask."""
    return (EncodePair if sizes.classes else Encode)(vae).eval()


def decode(vae: nn.Module, sizes: Sizes) -> Wrapper:
    """The wrapper of the decode graph, with or without a mask."""
    return (DecodePair if sizes.classes else Decode)(vae).eval()


class TimeTable(nn.Module):
    """Takes the place of `time_proj`: a row number to that step's time projections of every block, (1, P)."""

    table: Tensor  # (R, P)

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table)

    def forward(self, rows: Tensor) -> Tensor:
        return self.table.index_select(0, rows[:1])  # one step for the whole batch: what follows broadcasts


class PassThrough(nn.Module):
    """Takes the place of `time_embedding`, whose result is already in the table."""

    def forward(self, projections: Tensor, condition: None = None) -> Tensor:
        return projections


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
    each residual block - is computed here, once per row. Raises WetgenError for a UNet with inputs of other kinds.
    """
    _check_plain(cast(Any, unet).config)
    twin = cast(Any, lightened(unet))
    blocks = [block for block in twin.modules() if getattr(block, "time_emb_proj", None) is not None]
    with torch.no_grad():
        table = _time_table(twin, blocks, timesteps)
    start = 0
    for block in blocks:
        width = block.time_emb_proj.out_features
        block.time_emb_proj = Slice(start, start + width)
        block.skip_time_act = True  # the activation is in the table
        start += width
    twin.time_proj, twin.time_embedding, twin.time_embed_act = TimeTable(table), PassThrough(), None
    return cast(nn.Module, twin)


def _time_table(unet: Any, blocks: Sequence[Any], timesteps: Sequence[int]) -> Tensor:
    """(R, P): per timestep, what every block adds for it, side by side."""
    embedding = unet.time_embedding(unet.time_proj(torch.tensor(timesteps)).to(unet.dtype))  # (R, width)
    if unet.time_embed_act is not None:
        embedding = unet.time_embed_act(embedding)
    columns = [
        block.time_emb_proj(embedding if block.skip_time_act else block.nonlinearity(embedding)) for block in blocks
    ]
    return torch.cat(columns, dim=1)


_OTHER_INPUTS = ("class_embed_type", "num_class_embeds", "addition_embed_type", "encoder_hid_dim", "time_cond_proj_dim")


def _check_plain(config: Any) -> None:
    for name in _OTHER_INPUTS:
        if config.get(name) is not None:
            raise WetgenError(
                f"This denoiser cannot be exported: its config sets {name} = {config[name]}.",
                why="the denoise graph feeds a latent, a text embedding and a timestep, and this network wants more.",
                fix="export a checkpoint whose UNet2DConditionModel leaves that setting empty.",
            )
