"""Plans walked in torch for a search: a few pairs at once, and what plans have in common only once.

Axes: P pairs, C latent channels, h w latent size, T tokens, E width of all keys and values, W of the text encoder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from wetgen.export.graphs.denoisers import denoise
from wetgen.export.reference import attended
from wetgen.export.search.plans import Form, Network
from wetgen.runtime.bundle.graphs import DEEP, KINDS, LATENT, Sizes, Step, StepKind, advance, walk
from wetgen.runtime.sampling.sampler import starting_noise
from wetgen.training.diffusion import NoiseSchedule

_KEPT_LATENTS = 4096  # of walks that others may begin with; a plan leaves at most 50


class Walks:
    """The denoiser on pairs of the seed 0, pair i with prompt i, all at one guidance scale."""

    def __init__(
        self,
        unet: Any,
        sizes: Sizes,
        schedule: NoiseSchedule,
        network: Network,
        grid: Sequence[int],
        texts: NDArray[np.float32],
        guidance: float,
        others: Sequence[int] = (),
    ) -> None:
        """`grid` are the timesteps that a search may choose from, `others` those of plans that are given to it; `texts`
        (1 + N, T, W) begins with the empty prompt."""
        self.schedule, self.network, self.grid = schedule, network, list(grid)
        self._sizes, self._guidance = sizes, guidance
        known = [*self.grid, *others]
        self._denoise = denoise(unet, [Step(timestep, 0.0, 0.0) for timestep in known], sizes)  # asked for predictions
        given = torch.from_numpy(attended(unet, texts))  # (1 + N, T, E)
        self._uncond, self._cond = given[:1], given[1:]
        self._rows = {timestep: row for row, timestep in enumerate(known)}
        self._made: dict[tuple[object, ...], dict[str, Tensor]] = {}
        self.costs = self._costs()

    def noise(self, pairs: Sequence[int]) -> Tensor:
        """(P, C, h, w): where these pairs start."""
        return torch.from_numpy(np.stack([starting_noise(0, pair, self._sizes.latent) for pair in pairs]))

    @torch.no_grad()
    def predicted(
        self, x: Tensor, timestep: int, kind: StepKind, pairs: Sequence[int], deep: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The prediction for x (P, C, h, w), and the deep features (P or 2P, F, h, w)."""
        return self._predicted(x, timestep, kind, self._cond[[pair % len(self._cond) for pair in pairs]], deep)

    def _predicted(
        self, x: Tensor, timestep: int, kind: StepKind, cond: Tensor, deep: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        self._denoise.turn_to(kind)
        return self._denoise.predicted(
            {
                LATENT: x,
                "embedding": torch.cat([self._uncond.expand(len(cond), -1, -1), cond]) if kind.guided else cond,
                "conditioning": x.new_zeros(len(x), self._sizes.conditioning_channels, *x.shape[2:]),
                "step": torch.tensor([self._rows[timestep]], dtype=torch.int32),
                "guidance": x.new_full((len(x),), self._guidance),
                **({} if deep is None else {DEEP: deep}),
            }
        )

    def walk(self, form: Form, pairs: Sequence[int]) -> Tensor:
        """The last latents (P, C, h, w) of a plan; steps that an earlier walk began with are not computed again."""
        steps = form.on(self.schedule, self.network)

        def run(i: int, step: Step, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
            done = (*pairs, *steps[: i + 1])  # the steps' coefficients say where they lead
            if done not in self._made:
                if len(self._made) >= _KEPT_LATENTS:
                    self._made.clear()
                prediction, features = self.predicted(given[LATENT], step.timestep, step.kind, pairs, given.get(DEEP))
                made = {**advance(step, given, prediction), DEEP: features}
                self._made[done] = {name: made[name] for name in step.kind.gives}
            return self._made[done]

        *_, last = walk(steps, self.noise(pairs), run)
        return last

    @torch.no_grad()
    def _costs(self) -> Mapping[StepKind, float]:
        """The arithmetic of a step of every kind that this network has, a guided whole step being 1."""
        every = dict.fromkeys(StepKind(kind.guided, kind.cache) for kind in KINDS)
        kinds = [kind for kind in every if not (self.network.distilled and kind.guided)]
        kinds = [kind for kind in kinds if self.network.deep or kind.cache == "none"]
        x = torch.zeros(1, *self._sizes.latent)
        found: dict[StepKind, float] = {}
        for kind in kinds:
            rows = 2 if kind.guided else 1
            deep = torch.zeros(rows, self._sizes.deep_channels, *x.shape[2:]) if kind.cache == "reuse" else None
            with FlopCounterMode(display=False) as counter:
                self._predicted(x, self.grid[0], kind, self._cond[:1], deep)
            found[kind] = float(counter.get_total_flops())
        self.flops = max(found.values())  # of the dearest step, which a guided one is where there are any
        return {kind: flops / self.flops for kind, flops in found.items()}

    def cost(self, form: Form) -> float:
        """What a plan's steps cost, in guided whole steps."""
        return sum(self.costs[kind] for kind in form.kinds(self.network))


@dataclass(frozen=True)
class Distance:
    """How far last latents are from others of the same noise: root mean squares, relative to the others' own."""

    relative: float

    @classmethod
    def between(cls, found: Tensor, wanted: Tensor) -> "Distance":
        return cls(float((found - wanted).square().mean().sqrt() / wanted.square().mean().sqrt()))
