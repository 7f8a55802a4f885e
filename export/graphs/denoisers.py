"""The torch modules behind the denoise graphs, one for every kind of step; all kinds run the same network.

Axes: B pairs, C latent channels, h w latent size, T tokens, E width of all keys and values, Cc conditioning
channels, F deep channels, N rows that the network sees (2B in a guided step, B in an unguided one), R rows of the
tables (the steps of all plans).
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from wetgen.export.graphs.cross_attention import take_keys_and_values
from wetgen.export.graphs.rewrites import FirstHalf, share_halves
from wetgen.export.graphs.time_tables import with_time_tables
from wetgen.export.graphs.wrappers import Wrapper
from wetgen.runtime.bundle.graphs import (
    COEFFICIENTS,
    DEEP,
    GUIDED,
    LATENT,
    Graph,
    Sizes,
    Step,
    StepKind,
    advance,
    denoise_graph,
)


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
        # time: the rows of the tables, or of a student the embedding of the guidance scale too
        time = unet.time_embedding(unet.get_time_embed(sample=seen, timestep=rows), guidance)
        time = time if unet.time_embed_act is None else unet.time_embed_act(time)
        hidden = unet.conv_in(2 * seen - 1.0 if unet.config.center_input_sample else seen)
        if deep is None:
            hidden, skips = self._inside(hidden, time, text)
        else:
            skips = [hidden, *_before_shrinking(unet.down_blocks[0], hidden, time, text)]
            hidden = deep
        # out: the last block upwards, at the latent's full size
        last = _run(unet.up_blocks[-1], hidden, time, text, res_hidden_states_tuple=tuple(skips))
        if unet.conv_norm_out:
            last = unet.conv_act(unet.conv_norm_out(last))
        return unet.conv_out(last), hidden

    def _inside(self, hidden: Tensor, time: Tensor, text: Tensor) -> tuple[Tensor, list[Tensor]]:
        """All blocks but the last one upwards: the deep features, and what is handed across to that last block."""
        unet = cast(Any, self.module)
        # down
        skips = [hidden]
        for block in unet.down_blocks:
            hidden, more = _run(block, hidden, time, text)
            skips += more
        # middle
        hidden = _run(unet.mid_block, hidden, time, text)
        # up
        for block in unet.up_blocks[:-1]:
            taken = [skips.pop() for _ in block.resnets][::-1]
            hidden = _run(block, hidden, time, text, res_hidden_states_tuple=tuple(taken))
        return hidden, skips


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
    """One sampling step: guidance, the network and the update behind it, for every kind of step.

    `step` is the row in the tables of all plans, one after the other.
    """

    graph: Graph

    def __init__(self, unet: nn.Module, steps: Sequence[Step], sizes: Sizes, kind: StepKind = GUIDED) -> None:
        super().__init__()
        twin = with_time_tables(unet, [step.timestep for step in steps])
        take_keys_and_values(twin)
        share_halves(twin)
        self.unet = Apart(twin)
        self._sizes = sizes
        for name in COEFFICIENTS:  # (R,) each
            numbers = [getattr(step, name) for step in steps]
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float32))
        self.turn_to(kind)

    def turn_to(self, kind: StepKind) -> None:
        """Run steps of this kind from now on."""
        self.kind, self.graph = kind, denoise_graph(self._sizes, kind)
        for module in self.modules():
            if isinstance(module, FirstHalf):
                module.halved = kind.guided

    @property
    def inputs(self) -> list[str]:
        return [tensor.name for tensor in self.graph.inputs]

    def forward(self, *tensors: Tensor) -> Any:
        """The graph's inputs to its outputs, both in its order."""
        made = self.step(dict(zip(self.inputs, tensors, strict=True)))
        outputs = tuple(made[tensor.name] for tensor in self.graph.outputs)
        return outputs if len(outputs) > 1 else outputs[0]

    def step(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same by name."""
        prediction, features = self.predicted(given)
        tables = ((name, self.get_buffer(name)) for name in COEFFICIENTS)
        numbers: dict[str, Any] = {n: t.index_select(0, given["step"]).reshape(1, 1, 1, 1) for n, t in tables}
        made = advance(Step(timestep=0, **numbers, **self.kind._asdict()), given, prediction)
        return {**made, DEEP: features.float()}

    def predicted(self, given: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The guided prediction (B, C, h, w), and the deep features (N, F, h, w)."""
        latent, guidance = given[LATENT], given["guidance"]
        seen = torch.cat([latent, given["conditioning"]], dim=1) if self._sizes.conditioning_channels else latent
        rows = torch.cat([seen, seen]) if self.kind.guided else seen  # (N, C + Cc, h, w)
        deep = self.into(given[DEEP]) if DEEP in given else None
        found, features = self.unet(self.into(rows), given["step"], self.into(given["embedding"]), guidance, deep)
        prediction = found.float()  # (N, C, h, w)
        if self.kind.guided:
            batch = latent.shape[0]  # torch.export cannot halve an axis whose size it does not know
            uncond, cond = prediction[:batch], prediction[batch:]
            prediction = uncond + guidance.reshape(-1, 1, 1, 1) * (cond - uncond)  # (B, C, h, w)
        return prediction, features


def denoise(unet: nn.Module, steps: Sequence[Step], sizes: Sizes, kind: StepKind = GUIDED) -> Denoise:
    """The wrapper of the denoise graph of a kind."""
    return Denoise(unet, steps, sizes, kind).eval()
