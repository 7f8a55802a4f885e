"""The noise schedule and the sampling plan, as tables.

Symbols: a = alphas_cumprod[t] (alpha-bar in DDPM, alpha in DDIM), a_prev the same one step later in sampling,
x the noisy latent, eps the noise in it, x0 the clean latent, v = sqrt(a) eps - sqrt(1 - a) x0.

With eta = 0 a DDIM step (Song et al. 2021, eq. 12) is affine in x and in whatever the network predicts, so a step is
two numbers: x_prev = keep * x + push * prediction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.errors import WetgenError

Prediction = Literal["v", "eps", "x0"]
Spacing = Literal["trailing", "leading"]
Curve = Literal["linear", "scaled_linear"]
Kind = Literal["guided", "guided_keep", "guided_reuse", "unguided", "unguided_keep", "unguided_reuse"]
"""How a step is computed, which is to say by which graph.

A guided step runs both halves of classifier-free guidance, an unguided one the prompt's alone. A step that keeps also
gives its deep features (what enters the last block upwards of the UNet); one that reuses takes those of an earlier step
and runs only the blocks around them (DeepCache, Ma et al. 2024).
"""
KINDS: tuple[Kind, ...] = get_args(Kind)


def alphas_cumprod(
    curve: Curve = "scaled_linear",
    count: int = 1000,
    beta_start: float = 0.00085,
    beta_end: float = 0.012,
    zero_terminal_snr: bool = True,
) -> NDArray[np.float64]:
    """The (count,) float64 table of alpha-bar; "scaled_linear" is linear in sqrt(beta), as in Stable Diffusion."""
    if curve == "linear":
        betas: NDArray[np.float64] = np.linspace(beta_start, beta_end, count, dtype=np.float64)
    else:
        roots: NDArray[np.float64] = np.linspace(beta_start**0.5, beta_end**0.5, count, dtype=np.float64)
        betas = roots * roots
    table = np.cumprod(1.0 - betas, dtype=np.float64)
    return _to_zero_terminal_snr(table) if zero_terminal_snr else table


def _to_zero_terminal_snr(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift and stretch sqrt(alpha-bar) so that the last step is pure noise (Lin et al. 2024, algorithm 1)."""
    root = np.sqrt(table)
    stretched: NDArray[np.float64] = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return stretched**2


def timesteps(count: int, steps: int, spacing: Spacing = "trailing", offset: int = 0) -> list[int]:
    """`steps` of `count` training timesteps, noisiest first; "trailing" starts at the noisiest one there is."""
    if not 1 <= steps <= count:
        raise WetgenError(
            f"A plan of {steps} steps is not possible.",
            why=f"the schedule has {count} timesteps.",
            fix=f"use 1 to {count}.",
        )
    if spacing == "trailing":
        # For one in six step counts rounding gives `arange` an element too many, which would be timestep -1.
        return [int(t) - 1 for t in np.round(np.arange(count, 0, -count / steps))[:steps]]
    return [int(t) + offset for t in range((steps - 1) * (count // steps), -1, -(count // steps))]


class Step(NamedTuple):
    """One call of the denoiser: x_prev = keep * x + push * prediction."""

    timestep: int
    keep: float
    push: float
    kind: Kind = "guided"

    @property
    def guided(self) -> bool:
        return self.kind.startswith("guided")

    @property
    def keeps(self) -> bool:
        return self.kind.endswith("_keep")

    @property
    def reuses(self) -> bool:
        return self.kind.endswith("_reuse")


def ddim_steps(
    table: NDArray[np.float64], chosen: Sequence[int], prediction: Prediction = "v", final: float = 1.0
) -> tuple[Step, ...]:
    """The coefficients of every step of a plan; `final` is alpha-bar after the last one (1: a clean latent)."""
    after = [float(table[t]) for t in chosen[1:]] + [final]
    return tuple(_step(t, float(table[t]), a_prev, prediction) for t, a_prev in zip(chosen, after, strict=True))


def _step(timestep: int, a: float, a_prev: float, prediction: Prediction) -> Step:
    signal, noise = a**0.5, (1 - a) ** 0.5
    signal_prev, noise_prev = a_prev**0.5, (1 - a_prev) ** 0.5
    if prediction == "v":
        return Step(timestep, signal_prev * signal + noise_prev * noise, noise_prev * signal - signal_prev * noise)
    if prediction == "x0":
        return Step(timestep, noise_prev / noise, signal_prev - noise_prev * signal / noise)
    if signal == 0:
        raise WetgenError(
            f"eps-prediction cannot take a step from timestep {timestep}.",
            why="its latent is pure noise there, and x0 = (x - sqrt(1 - a) eps) / sqrt(a) divides by zero.",
            fix="use v- or x0-prediction, or train with zero_terminal_snr = false.",
        )
    return Step(timestep, signal_prev / signal, noise_prev - signal_prev * noise / signal)


@dataclass(frozen=True)
class Plan:
    """A named, static list of sampling steps; `first_row` is where its steps begin in the denoise graphs' tables.

    Raises WetgenError for a list that no sampler can walk: one without steps, of a kind that there is not, or with a
    step that reuses features which no step before it kept.
    """

    name: str
    first_row: int
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        if not self.steps:
            raise self._bad("it has no steps")
        kept: Step | None = None
        for number, step in enumerate(self.steps):
            if step.kind not in KINDS:
                raise self._bad(f"step {number} is of the kind '{step.kind}'; there are {', '.join(KINDS)}")
            if step.reuses and (kept is None or kept.guided != step.guided):
                half, last = step.kind.partition("_")[0], "none" if kept is None else kept.kind.partition("_")[0]
                raise self._bad(f"step {number} is {half} and reuses deep features; those kept last are {last}")
            kept = step if step.keeps else kept

    def _bad(self, why: str) -> WetgenError:
        return WetgenError(
            f"The plan '{self.name}' cannot be walked.", why=f"{why}.", fix="export the bundle again with another plan."
        )

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of its steps, once each, in the order of KINDS."""
        return tuple(kind for kind in KINDS if any(step.kind == kind for step in self.steps))

    @property
    def guided(self) -> bool:
        """Whether any step is: without one, neither the negative prompt nor its embedding has a part in it."""
        return any(step.guided for step in self.steps)

    @property
    def rows(self) -> range:
        """The value of the graph's `step` input, step by step."""
        return range(self.first_row, self.first_row + len(self.steps))


def alphas_after(plan: Plan, table: NDArray[np.float64], *, ends_clean: bool = True) -> list[float]:
    """alpha-bar of the latent after each step of a plan, with the `table` of its schedule.

    After the last it is 1, or that of timestep 0 for a schedule that does not end clean.
    """
    return [float(table[step.timestep]) for step in plan.steps[1:]] + [1.0 if ends_clean else float(table[0])]


def kinds_of(plans: Iterable[Plan]) -> tuple[Kind, ...]:
    """The kinds of steps of all these plans, in the order of KINDS."""
    found = {kind for plan in plans for kind in plan.kinds}
    return tuple(kind for kind in KINDS if kind in found)
