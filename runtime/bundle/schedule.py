"""The noise schedule and the sampling plan, as tables.

Symbols: a = alphas_cumprod[t] (alpha-bar in DDPM, alpha in DDIM), a_prev the same one step later in sampling,
x the noisy latent, eps the noise in it, x0 the clean latent, v = sqrt(a) eps - sqrt(1 - a) x0.

With eta = 0 a DDIM step (Song et al. 2021, eq. 12) is affine in x and in whatever the network predicts, so a step is
two numbers: x_prev = keep * x + push * prediction.

`advance` is that formula, and `walk` is the loop over a plan's steps. Whatever walks a plan does it with these two.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, NamedTuple, TypeVar, cast, get_args

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.errors import WetgenError

Prediction = Literal["v", "eps", "x0"]
Spacing = Literal["trailing", "leading"]
Curve = Literal["linear", "scaled_linear"]
LATENT = "latent"
CLEAN = "clean"  # x0 as the step before predicted it
DEEP = "deep_features"
AFTER = "_after"  # an output NAME_after of a step's graph is the input NAME of the next step's

Cache = Literal["none", "store", "reuse"]
"""What a step does with deep features, which enter the last up block of the UNet (DeepCache, Ma et al. 2024).

A step that stores gives its own; one that reuses takes those of an earlier step and runs only the blocks around them.
"""


class StepKind(NamedTuple):
    """How a step is computed. Steps of one kind run on the same graph.

    A guided step runs both halves of classifier-free guidance, an unguided one the prompt's half alone. One of a
    multistep solver also looks at the x0 that the step before it predicted.
    """

    guided: bool = True
    cache: Cache = "none"
    multistep: bool = False

    @property
    def takes(self) -> tuple[str, ...]:
        """What a step takes from the steps before it, as its graph's inputs are named."""
        return (LATENT, *((CLEAN,) if self.multistep else ()), *((DEEP,) if self.cache == "reuse" else ()))

    @property
    def gives(self) -> tuple[str, ...]:
        """What a step gives to the steps after it, as its graph's outputs are named."""
        clean = (CLEAN + AFTER,) if self.multistep else ()
        return (LATENT + AFTER, *clean, *((DEEP,) if self.cache == "store" else ()))

    @property
    def kept(self) -> tuple[str, ...]:
        """The tensors that are kept between steps beside the latent, as the graph's inputs and outputs are named."""
        return (*self.takes[1:], *self.gives[1:])

    @property
    def name(self) -> str:
        """The name in bundle.json, which is also a part of the graph's name."""
        cached = {"none": "", "store": "_keep", "reuse": "_reuse"}[self.cache]
        return f"{'guided' if self.guided else 'unguided'}{'_multistep' if self.multistep else ''}{cached}"

    @classmethod
    def named(cls, name: str) -> "StepKind":
        """The kind of a name; raises ValueError for a name that no kind has."""
        for kind in KINDS:
            if kind.name == name:
                return kind
        raise ValueError(f"a step is of the kind '{name}'; there are {', '.join(kind.name for kind in KINDS)}")


GUIDED = StepKind()
KINDS = tuple(
    StepKind(guided, cache, multistep)
    for multistep, guided, cache in product((False, True), (True, False), get_args(Cache))
)


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


COEFFICIENTS = ("keep", "push", "pull", "clean_keep", "clean_push")  # the numbers of a step that `advance` needs


class Step(NamedTuple):
    """One call of the denoiser, and the coefficients of the update behind it."""

    timestep: int
    keep: float
    push: float
    guided: bool = True
    cache: Cache = "none"
    multistep: bool = False
    pull: float = 0.0  # of the x0 predicted before
    clean_keep: float = 0.0  # x0 = clean_keep * x + clean_push * prediction
    clean_push: float = 0.0

    @property
    def kind(self) -> StepKind:
        return StepKind(self.guided, self.cache, self.multistep)

    def to_json(self) -> dict[str, object]:
        """The step as stored in bundle.json."""
        names = COEFFICIENTS if self.multistep else COEFFICIENTS[:2]
        return {"timestep": self.timestep, **{name: getattr(self, name) for name in names}, "kind": self.kind.name}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Step":
        """Read a step of bundle.json; raises KeyError, TypeError or ValueError for something else."""
        numbers = {name: value for name, value in data.items() if name != "kind"}
        return cls(**numbers, **StepKind.named(data.get("kind", "guided"))._asdict())


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


_SHORT = 15  # a plan with fewer steps ends with a step of first order
_LEAST_SIGNAL = 2.0**-24  # stands for alpha-bar 0, whose logarithm is infinite; diffusers takes the same number


def dpmpp_steps(
    table: NDArray[np.float64], chosen: Sequence[int], prediction: Prediction = "v", final: float = 1.0
) -> tuple[Step, ...]:
    """The steps of DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): those of DDIM with x0 extrapolated.

    With h the distance to the next step and h_before that from the last one, both in l = log(a / (1 - a)) / 2, x0 gives
    way to x0 + h / (2 h_before) * (x0 - x0_before). That is left out of the first step, and of the last one where the
    plan is short or ends clean (h is infinite there).
    """
    alphas = [*(float(table[t]) for t in chosen), final]
    logs = [0.5 * float(np.log(max(a, _LEAST_SIGNAL) / (1 - a))) for a in alphas[:-1]]
    logs.append(np.inf if final == 1 else 0.5 * float(np.log(final / (1 - final))))
    plain_end = len(chosen) - 1 if final == 1 or len(chosen) < _SHORT else len(chosen)
    steps = []
    for i, step in enumerate(ddim_steps(table, chosen, prediction, final)):
        signal, noise = alphas[i] ** 0.5, (1 - alphas[i]) ** 0.5
        weight = (logs[i + 1] - logs[i]) / (2 * (logs[i] - logs[i - 1])) if 0 < i < plain_end else 0.0
        share = weight * (alphas[i + 1] ** 0.5 - (1 - alphas[i + 1]) ** 0.5 * signal / noise)  # of x0 in the latent
        clean_keep, clean_push = _clean(signal, noise, prediction)
        keep, push = step.keep + share * clean_keep, step.push + share * clean_push
        numbers = {"keep": keep, "push": push, "pull": -share, "clean_keep": clean_keep, "clean_push": clean_push}
        steps.append(step._replace(multistep=True, **numbers))
    return tuple(steps)


def _clean(signal: float, noise: float, prediction: Prediction) -> tuple[float, float]:
    """x0 as parts of x and of the prediction."""
    if prediction == "v":
        return signal, -noise
    return (0.0, 1.0) if prediction == "x0" else (1 / signal, -noise / signal)


Solver = Callable[[NDArray[np.float64], Sequence[int], Prediction, float], tuple[Step, ...]]
"""The steps for a table of alpha-bar, the timesteps, what the network predicts, and alpha-bar after the last step."""
SOLVERS: dict[str, Solver] = {"ddim": ddim_steps, "dpmpp": dpmpp_steps}


@dataclass(frozen=True)
class Plan:
    """A named, static list of sampling steps; `first_row` is where its steps begin in the denoise graphs' tables.

    Raises WetgenError for a list that no sampler can walk: one without steps, or with a step that reuses features which
    no step before it stored.
    """

    name: str
    first_row: int
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        if not self.steps:
            raise self._bad("it has no steps")
        stored = "none"
        for i, step in enumerate(self.steps):
            half = StepKind(step.guided).name
            if step.cache == "reuse" and stored != half:
                raise self._bad(f"step {i} is {half} and reuses deep features; those stored last are {stored}")
            stored = half if step.cache == "store" else stored

    def _bad(self, why: str) -> WetgenError:
        return WetgenError(
            f"The plan '{self.name}' cannot be walked.", why=f"{why}.", fix="export the bundle again with another plan."
        )

    @property
    def kinds(self) -> tuple[StepKind, ...]:
        """The kinds of its steps, once each, in the order of KINDS."""
        return kinds_of([self])

    @property
    def guided(self) -> bool:
        """Whether any step is: without one, neither the negative prompt nor its embedding has a part in it."""
        return any(step.guided for step in self.steps)

    @property
    def rows(self) -> range:
        """The value of the graph's `step` input, step by step."""
        return range(self.first_row, self.first_row + len(self.steps))


X = TypeVar("X")


def advance(step: Step, given: Mapping[str, X], prediction: X) -> dict[str, X]:
    """The update behind a step's prediction, for numpy arrays and torch tensors alike.

    `given` holds what the step takes. Returns what it gives, deep features aside.
    """
    x, predicted = cast(Any, given[LATENT]), cast(Any, prediction)
    after = step.keep * x + step.push * predicted
    if not step.multistep:
        return {LATENT + AFTER: after}
    before = cast(Any, given[CLEAN])
    return {
        LATENT + AFTER: after + step.pull * before,
        CLEAN + AFTER: step.clean_keep * x + step.clean_push * predicted,
    }


def walk(steps: Sequence[Step], noise: X, run: Callable[[int, Step, dict[str, X]], Mapping[str, X]]) -> Iterator[X]:
    """Take the steps of a plan one after the other, from noise; yields the latent after each.

    `run` computes a step: its number in the plan and what it takes go in, what it gives comes out. A latent may be
    anything that `run` knows how to handle: an array, a list of them, an address on a device.
    """
    state = {LATENT: noise, CLEAN: noise}  # there is no x0 before the first step, which gives it no weight
    for i, step in enumerate(steps):
        made = run(i, step, {name: state[name] for name in step.kind.takes})
        state |= {name.removesuffix(AFTER): made[name] for name in step.kind.gives}
        yield state[LATENT]


def alphas_after(plan: Plan, table: NDArray[np.float64], *, ends_clean: bool = True) -> list[float]:
    """alpha-bar of the latent after each step of a plan, with the `table` of its schedule.

    After the last it is 1, or that of timestep 0 for a schedule that does not end clean.
    """
    return [float(table[step.timestep]) for step in plan.steps[1:]] + [1.0 if ends_clean else float(table[0])]


def kinds_of(plans: Iterable[Plan]) -> tuple[StepKind, ...]:
    """The kinds of steps of all these plans, once each, in the order of KINDS."""
    found = {step.kind for plan in plans for step in plan.steps}
    return tuple(kind for kind in KINDS if kind in found)
