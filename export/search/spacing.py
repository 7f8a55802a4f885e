"""Which timesteps, which of them guided, which with old deep features: dynamic programming along a long trajectory.

On the long trajectory x(0), x(1), ... every shorter plan's step from x(i) can be judged on its own: it is right when it
lands on x(j). The errors of all such steps are known after one walk, because a step of any length uses the same
prediction; the plan with the least sum of them at a given cost is found exactly (Watson et al. 2021, "Learning to
Efficiently Sample from Diffusion Probabilistic Models", with another loss).

Errors are summed as root mean squares, because those of one plan point the same way. An error e in x at the noise level
a is one of e / sqrt(a) in the clean latent, which the steps after it mend in part: it counts as e / a^(q/2), q being
tried at some values between none of that and all of it. So what comes out are proposals, to be walked and measured.

Axes: P pairs, N steps of the long trajectory, U units of cost.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wetgen.export.search.plans import Form
from wetgen.export.search.trajectories import Walks
from wetgen.runtime.bundle.graphs import AFTER, LATENT, Step, StepKind, advance, walk

UNITS = 20  # of cost in a guided whole step
LAGS = (2, 4, 7)  # of features, in steps of the long trajectory, at which their age is tried
LONGEST = 20  # steps of the long trajectory that one step may span
# On a trained checkpoint, at the cost of 4 and of 6 guided steps, the distances are 0.26 and 0.18 with q = 0, 0.23 and
# 0.17 with 0.3, 0.21 and 0.14 with 0.6, 0.23 and 0.16 with 1; at an eighth of ddim:20 they are 0.38, 0.38, 0.30, 0.33.
MENDED = (0.3, 0.45, 0.6, 0.8, 1.0)
LEAST_SIGNAL = 1e-4  # of a, where it is nearly 0


@dataclass
class Trajectory:
    """The long trajectory of a few pairs: N + 1 latents, and what each kind of step predicts at each of the first N.

    `reused` holds, by guidedness and lag, predictions with features that many steps old, from that step on.
    """

    walks: Walks
    pairs: Sequence[int]
    latents: list[Tensor]
    whole: dict[bool, list[Tensor]]
    reused: dict[tuple[bool, int], list[Tensor]] = field(default_factory=dict)

    @classmethod
    def of(cls, walks: Walks, pairs: Sequence[int]) -> "Trajectory":
        """Walk the grid, every step guided where the network can be, and try the other kinds at each place."""
        distilled, deep = walks.network.distilled, walks.network.deep
        guidances = (False,) if distilled else (True, False)
        steps = walks.schedule.at(walks.grid)
        made = cls(walks, pairs, [walks.noise(pairs)], {guided: [] for guided in guidances})
        features: dict[bool, list[Tensor]] = {guided: [] for guided in guidances}

        def run(_: int, step: Step, given: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
            for guided in guidances:
                prediction, kept = walks.predicted(given[LATENT], step.timestep, StepKind(guided), pairs)
                made.whole[guided].append(prediction)
                features[guided].append(kept)
            return advance(step, given, made.whole[guidances[0]][-1])

        made.latents += walk(steps, made.latents[0], run)
        for guided in guidances if deep else ():
            for lag in LAGS:
                made.reused[guided, lag] = [
                    walks.predicted(made.latents[place], walks.grid[place], StepKind(guided, "reuse"), pairs, old)[0]
                    for place, old in enumerate(features[guided][:-lag], start=lag)
                ]
        return made

    @property
    def last(self) -> Tensor:
        """(P, C, h, w)"""
        return self.latents[-1]


@dataclass(frozen=True)
class Errors:
    """Root mean square errors of single steps, [i, j] of the one from place i to j; `reused` by lag.

    What is not possible is infinite.
    """

    whole: dict[bool, NDArray[np.float64]]
    reused: dict[bool, dict[int, NDArray[np.float64]]]

    def weighted(self, weights: NDArray[np.float64]) -> "Errors":
        """Each multiplied by the weight of the place (N + 1,) that its step leads to."""
        return Errors(
            {guided: errors * weights for guided, errors in self.whole.items()},
            {guided: {lag: e * weights for lag, e in by_lag.items()} for guided, by_lag in self.reused.items()},
        )


def weights_of(walks: Walks, mended: float) -> NDArray[np.float64]:
    """(N + 1,) a^(-q/2) at every place of the grid, the clean latent being the last."""
    table = walks.schedule.table()
    signal = np.array([*(table[timestep] for timestep in walks.grid), 1.0])
    weights: NDArray[np.float64] = np.maximum(signal, LEAST_SIGNAL) ** (-mended / 2)
    return weights


def errors_of(trajectory: Trajectory) -> Errors:
    """All of them; between the lags that were tried the errors of reused features are interpolated."""
    places = len(trajectory.walks.grid)
    whole = {guided: _errors(trajectory, found, 0) for guided, found in trajectory.whole.items()}
    reused: dict[bool, dict[int, NDArray[np.float64]]] = {}
    for guided in whole if trajectory.reused else ():
        tried = {0: whole[guided]}
        tried |= {lag: _errors(trajectory, trajectory.reused[guided, lag], lag) for lag in LAGS if lag < places}
        known = sorted(tried)
        reused[guided] = {}
        for lag in range(1, known[-1] + 1):
            below = max(one for one in known if one <= lag)
            above = min(one for one in known if one >= lag)
            share = 0.0 if above == below else (lag - below) / (above - below)
            mixed = tried[below] if share == 0 else (1 - share) * tried[below] + share * tried[above]
            reused[guided][lag] = mixed
    return Errors(whole, reused)


def _errors(trajectory: Trajectory, predictions: Sequence[Tensor], first: int) -> NDArray[np.float64]:
    """(N, N + 1) for predictions from place `first` on."""
    walks, latents = trajectory.walks, trajectory.latents
    places = len(walks.grid)
    errors = np.full((places, places + 1), np.inf)
    for place, prediction in enumerate(predictions, start=first):
        for target in range(place + 1, min(place + LONGEST, places) + 1):
            ends = [walks.grid[place]] if target == places else [walks.grid[place], walks.grid[target]]
            step = walks.schedule.at(ends)[0]
            landed = advance(step, {LATENT: latents[place]}, prediction)[LATENT + AFTER]
            errors[place, target] = float(torch.mean((landed - latents[target]) ** 2).sqrt())
    return errors


@dataclass
class _State:
    """The best plans that reach a place, by units of cost: their errors, and the place and state they came from."""

    error: NDArray[np.float64]  # (U + 1,)
    came: list[tuple["_Key", int, StepKind] | None]


_Key = tuple[int, int, int]
"""A place; the phase of guidance (0 before, 1 in and 2 behind its interval); the age of the features, 0 for none."""


class Proposals:
    """The plans with the least sum of errors for every cost up to a greatest one, in guided whole steps."""

    def __init__(self, walks: Walks, errors: Errors, greatest: float) -> None:
        self._walks, self._errors = walks, errors
        self._units = round(greatest * UNITS)
        self._states: dict[_Key, _State] = {}
        self._places = len(self._walks.grid)
        self._fill()

    def at(self, cost: float) -> Form | None:
        """The best plan that costs no more; None where there is none so cheap."""
        units = min(self._units, round(cost * UNITS))
        ends = [key for key in self._states if key[0] == self._places]
        found = [(float(self._states[key].error[: units + 1].min()), key) for key in ends]
        if not found or min(found)[0] == np.inf:
            return None
        _, key = min(found)
        spent = int(self._states[key].error[: units + 1].argmin())
        return self._traced(key, spent)

    def _traced(self, key: _Key, spent: int) -> Form:
        """The plan that ends in a state, having cost so many units."""
        steps: list[tuple[int, StepKind]] = []
        while key[0]:
            before, spent_before, kind = self._best(key, spent)
            steps.append((before[0], kind))
            key, spent = before, spent_before
        steps.reverse()
        guided = [number for number, (_, kind) in enumerate(steps) if kind.guided]
        return Form(
            steps=len(steps),
            timesteps=tuple(self._walks.grid[place] for place, _ in steps),
            guided=range(guided[0], guided[-1] + 1) if guided else range(0),
            whole=tuple(number for number, (_, kind) in enumerate(steps) if kind.cache != "reuse"),
        )

    def _best(self, key: _Key, spent: int) -> tuple[_Key, int, StepKind]:
        found = self._states[key].came[spent]
        assert found is not None, "a state that was reached has come from somewhere"
        return found

    def _fill(self) -> None:
        start = _State(np.full(self._units + 1, np.inf), [None] * (self._units + 1))
        start.error[0] = 0.0
        self._states[0, 0, 0] = start
        for place in range(self._places):
            for key in [key for key in self._states if key[0] == place]:
                for kind, phase, age in self._moves(key):
                    self._extend(key, kind, phase, age)

    def _moves(self, key: _Key) -> Iterator[tuple[StepKind, int, int]]:
        """The kinds of step that may be made in a state, the phase it leads to, and the features' age before it."""
        _, phase, age = key
        for guided in (True, False):
            after = {(0, True): 1, (1, True): 1, (1, False): 2}.get((phase, guided), phase)
            if guided not in self._errors.whole or (guided and phase == 2):
                continue
            yield StepKind(guided), after, 0
            same = age and (guided == (phase == 1))
            if same and guided in self._errors.reused and age in self._errors.reused[guided]:
                yield StepKind(guided, "reuse"), after, age

    def _extend(self, key: _Key, kind: StepKind, phase: int, age: int) -> None:
        """Make a step of a kind from a state to every place it may reach."""
        place, guided = key[0], kind.guided
        errors = self._errors.reused[guided][age] if age else self._errors.whole[guided]
        units = max(1, round(self._walks.costs[kind] * UNITS))
        from_state = self._states[key].error
        for target in range(place + 1, min(place + LONGEST, self._places) + 1):
            added = errors[place, target]
            if added == np.inf:
                continue
            older = age + target - place  # age of the features at the target
            reached = (target, phase, older if older <= LAGS[-1] else 0) if target < self._places else (target, 3, 0)
            state = self._states.get(reached)
            if state is None:
                state = _State(np.full(self._units + 1, np.inf), [None] * (self._units + 1))
                self._states[reached] = state
            error = np.full(self._units + 1, np.inf)
            error[units:] = from_state[: self._units + 1 - units] + added
            better = np.flatnonzero(error < state.error)
            state.error[better] = error[better]
            for spent in better:
                state.came[spent] = (key, int(spent) - units, kind)
