"""The torch modules behind the denoise graphs, one for every kind of step; all kinds run the same network.

Axes: B pairs, C latent channels, h w latent size, T tokens, E width of all keys and values, Cc conditioning
channels, F deep channels, N rows that the network sees (2B in a guided step, B in an unguided one), R rows of the
tables (the steps of all plans).
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from wetgen.export.cross_attention import take_keys_and_values
from wetgen.export.rewrites import FirstHalf, share_halves
from wetgen.export.time_tables import with_time_tables
from wetgen.export.wrappers import Wrapper
from wetgen.runtime.bundle.graphs import Sizes
from wetgen.runtime.bundle.schedule import GUIDED, Step, StepKind


class Apart(nn.Module):
    """A UNet2DConditionModel taken apart in front of its last block upwards, which deep features enter.

    DeepCache (Ma et al. 2024, section 3.2): they change slowly from step to step, while the first block downwards and
    the last one upwards, which alone see the latent at its full size, draw the details.
    """

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.module = unet

    def forward(
        self, seen: Tensor, rows: Tensor, text: Tensor, guidance: Tensor, deep: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The prediction (N, C, h, w) for `seen` (N, C + Cc, h, w), and the deep features (N, F, h, w).

        `guidance` (B,) is for a network that guidance was distilled into. `deep`, where given, takes the place of
        everything below the outermost blocks.
        """
        unet = cast(Any, self.module)
        time = unet.time_embedding(unet.get_time_embed(sample=seen, timestep=rows), guidance)
        time = time if unet.time_embed_act is None else unet.time_embed_act(time)
        hidden = unet.conv_in(2 * seen - 1.0 if unet.config.center_input_sample else seen)
        first, last = unet.down_blocks[0], unet.up_blocks[-1]
        skips = [hidden]
        if deep is None:
            for block in unet.down_blocks:
                hidden, more = _run(block, hidden, time, text)
                skips += more
            hidden = _run(unet.mid_block, hidden, time, text)
            for block in unet.up_blocks[:-1]:
                taken = [skips.pop() for _ in block.resnets][::-1]
                hidden = _run(block, hidden, time, text, res_hidden_states_tuple=tuple(taken))
            deep = hidden
        else:
            skips += _before_shrinking(first, hidden, time, text)
        hidden = _run(last, deep, time, text, res_hidden_states_tuple=tuple(skips))
        if unet.conv_norm_out:
            hidden = unet.conv_act(unet.conv_norm_out(hidden))
        return unet.conv_out(hidden), deep


def _run(block: Any, hidden: Tensor, time: Tensor, text: Tensor, **options: Any) -> Any:
    """A block of a UNet, with the text where it takes one."""
    if getattr(block, "has_cross_attention", False):
        options["encoder_hidden_states"] = text
    return block(hidden, temb=time, **options)


def _before_shrinking(block: Any, hidden: Tensor, time: Tensor, text: Tensor) -> list[Tensor]:
    """What a block downwards hands across to its counterpart, without the downsampling at its end."""
    outputs = []
    attentions = getattr(block, "attentions", [None] * len(block.resnets))
    for resnet, attention in zip(block.resnets, attentions, strict=True):
        hidden = resnet(hidden, time)
        if attention is not None:
            hidden = attention(hidden, encoder_hidden_states=text, return_dict=False)[0]
        outputs.append(hidden)
    return outputs


class Denoise(Wrapper):
    """One sampling step (B, C, h, w) -> (B, C, h, w): guidance, the network and the DDIM update.

    `step` is the row in the tables of all plans, one after the other.
    """

    keep: Tensor  # (R,)
    push: Tensor  # (R,)

    def __init__(self, unet: nn.Module, steps: Sequence[Step], kind: StepKind = GUIDED) -> None:
        super().__init__()
        twin = with_time_tables(unet, [step.timestep for step in steps])
        take_keys_and_values(twin)
        share_halves(twin)
        self.unet = Apart(twin)
        self.register_buffer("keep", torch.tensor([step.keep for step in steps], dtype=torch.float32))
        self.register_buffer("push", torch.tensor([step.push for step in steps], dtype=torch.float32))
        self.turn_to(kind)

    def turn_to(self, kind: StepKind) -> None:
        """Run steps of this kind from now on."""
        self.kind = kind
        for module in self.modules():
            if isinstance(module, FirstHalf):
                module.halved = kind.guided

    def forward(self, latent: Tensor, embedding: Tensor, step: Tensor, guidance: Tensor) -> Any:
        return self.after(latent, latent, embedding, step, guidance)

    def after(
        self,
        latent: Tensor,
        seen: Tensor,
        embedding: Tensor,
        step: Tensor,
        guidance: Tensor,
        deep: Tensor | None = None,
    ) -> Any:
        """The latent after the step, and the deep features (N, F, h, w) where the kind keeps them.

        `seen` (B, C + Cc, h, w) is what the network sees of the latent, `embedding` (N, T, E) what of the prompts.
        """
        guided = self.kind.guided
        rows = torch.cat([seen, seen]) if guided else seen
        given = None if deep is None else self.into(deep)
        found, features = self.unet(self.into(rows), step, self.into(embedding), guidance, given)
        prediction = found.float()  # (N, C, h, w)
        if guided:
            batch = latent.shape[0]  # torch.export cannot halve an axis whose size it does not know
            uncond, cond = prediction[:batch], prediction[batch:]
            prediction = uncond + guidance.reshape(-1, 1, 1, 1) * (cond - uncond)  # (B, C, h, w)
        keep, push = (table.index_select(0, step).reshape(1, 1, 1, 1) for table in (self.keep, self.push))
        after = keep * latent + push * prediction
        return (after, features.float()) if self.kind.cache == "store" else after


class DenoiseConditioned(Denoise):
    """A step of a denoiser that also sees a conditioning tensor (B, Cc, h, w)."""

    def forward(  # type: ignore[override]
        self, latent: Tensor, embedding: Tensor, conditioning: Tensor, step: Tensor, guidance: Tensor
    ) -> Any:
        return self.after(latent, torch.cat([latent, conditioning], dim=1), embedding, step, guidance)


class Reuse(Denoise):
    """A step with the deep features (N, F, h, w) of an earlier one."""

    def forward(  # type: ignore[override]
        self, latent: Tensor, embedding: Tensor, deep_features: Tensor, step: Tensor, guidance: Tensor
    ) -> Any:
        return self.after(latent, latent, embedding, step, guidance, deep_features)


class ReuseConditioned(Denoise):
    """The same of a denoiser that also sees a conditioning tensor (B, Cc, h, w)."""

    def forward(  # type: ignore[override]
        self,
        latent: Tensor,
        embedding: Tensor,
        conditioning: Tensor,
        deep_features: Tensor,
        step: Tensor,
        guidance: Tensor,
    ) -> Any:
        return self.after(latent, torch.cat([latent, conditioning], dim=1), embedding, step, guidance, deep_features)


def denoise(unet: nn.Module, steps: Sequence[Step], sizes: Sizes, kind: StepKind = GUIDED) -> Denoise:
    """The wrapper of the denoise graph of a kind, with or without a conditioning input."""
    plain, conditioned = (Reuse, ReuseConditioned) if kind.cache == "reuse" else (Denoise, DenoiseConditioned)
    wrapper = (conditioned if sizes.conditioning_channels else plain)(unet, steps, kind)
    return wrapper.eval()
