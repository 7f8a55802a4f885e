"""A figure and its floor: the same figure of real pairs against other real pairs, at the same number of pairs.

Every figure that compares two sets depends on how many pairs the sets hold, and chance alone moves it. So a figure for
synthetic pairs is never read alone: with it come the figure of real train against real validation pairs, and the
deviation of the figure between halves of the real pairs. One rule says what is seen, for every figure: a value that is
worse than its floor by more than SIGMAS deviations.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

LEAST = 16  # pairs a side; between smaller halves the deviation hides every effect
MOST = 300  # pairs a side; more take longer and show nothing new
LEAST_VALIDATION = 50  # pairs; with fewer, halves of all real pairs give the floor
DRAWS = 40  # of subsets and of halves: the deviation is then known to about a tenth
SIGMAS = 4.0  # of 380 figures of fresh photographs against others, one lay beyond 3 and none beyond 4
LEAST_SCENES = 5  # real scenes that a score's deviation can be had from
RESAMPLES = 200

Rows = NDArray[np.float64]
Indices = NDArray[np.intp]
Statistic = Callable[[Rows, Rows], float]
Worse = Literal["higher", "lower"]
Entry = dict[str, Any]


@dataclass(frozen=True)
class Sides:
    """One row of any shape per pair for each of three sets, (N, ...), and the groups of the real ones."""

    train: Rows
    validation: Rows
    synthetic: Rows
    train_groups: tuple[str, ...]
    validation_groups: tuple[str, ...]

    @classmethod
    def of(cls, rows: Iterable[Rows], train_groups: Sequence[str], validation_groups: Sequence[str]) -> "Sides":
        """Of the rows of train, validation and synthetic pairs, in that order."""
        train, validation, synthetic = rows
        return cls(train, validation, synthetic, tuple(train_groups), tuple(validation_groups))

    def where(self, train: Indices, validation: Indices, synthetic: Indices) -> "Sides":
        """The rows at these indices."""
        rows = self.train[train], self.validation[validation], self.synthetic[synthetic]
        return Sides.of(rows, [self.train_groups[i] for i in train], [self.validation_groups[i] for i in validation])


def entry(value: float, floor: float, deviation: float, worse: Worse, **more: object) -> Entry:
    """A figure as data: `flagged` where the value is worse than the floor by more than SIGMAS deviations."""
    margin = SIGMAS * deviation
    excess = value - floor if worse == "higher" else floor - value
    seen = bool(excess > margin)
    return {"value": value, "floor": floor, "margin": margin, "worse": worse, "flagged": seen, **more}


def limited(value: float, floor: float, limit: float, worse: Worse, **more: object) -> Entry:
    """A figure as data that is flagged beyond a limit of its own, whatever its floor: the limit decides about use."""
    seen = value > limit if worse == "higher" else value < limit
    return {"value": value, "floor": floor, "margin": abs(limit - floor), "worse": worse, "flagged": seen, **more}


def not_measured(reason: str) -> Entry:
    """A figure that these pairs do not allow, and why."""
    return {"not_measured": reason}


def beside_floor(statistic: Statistic, sides: Sides, worse: Worse, seed: int = 0) -> Entry:
    """The mean statistic of (real, synthetic) subsets of one size, beside that of (real, other real) ones.

    With LEAST_VALIDATION validation pairs the floor is train against validation, else one half of the real pairs
    against the other, both whole groups. Subsets are drawn without replacement from a generator of that seed.
    """
    rng = np.random.default_rng(seed)
    real = np.concatenate([sides.train, sides.validation])
    halves = [_halves((*sides.train_groups, *sides.validation_groups), rng) for _ in range(DRAWS)]
    beside_validation = len(sides.validation) >= LEAST_VALIDATION
    sizes = [len(sides.synthetic), *(len(half) for pair in halves for half in pair), MOST]
    n = min(sizes + ([len(sides.train), len(sides.validation)] if beside_validation else []))
    if n < LEAST:
        return not_measured(
            f"{len(sides.synthetic)} synthetic and {len(real)} real pairs leave {n} a side; {LEAST} are needed"
        )
    chance = [statistic(real[_some(first, n, rng)], real[_some(second, n, rng)]) for first, second in halves]
    reference = sides.train if beside_validation else real
    values = _means(statistic, reference, sides.synthetic, n, rng)
    floors = _means(statistic, sides.train, sides.validation, n, rng) if beside_validation else chance
    value, floor, deviation = float(np.mean(values)), float(np.mean(floors)), float(np.std(chance, ddof=1))
    return entry(value, floor, deviation, worse, n=n, floor_from="validation" if beside_validation else "halves")


def score_beside_floor(
    score: Callable[[Rows], float],
    synthetic: Rows,
    real: Rows,
    real_groups: Sequence[str],
    worse: Worse,
    least: int = LEAST,
    seed: int = 0,
) -> Entry:
    """A score of counts summed over pairs, (N, ...) for synthetic and (M, ...) for real ones, beside the real score.

    The deviation is that of the difference of the two, each resampled (Efron 1979): synthetic pairs one by one, real
    ones in whole groups.
    """
    scenes = len(set(real_groups))
    if len(synthetic) < least or scenes < LEAST_SCENES:
        return not_measured(
            f"{len(synthetic)} synthetic pairs and real ones of {scenes} scenes; {least} and {LEAST_SCENES} are needed"
        )
    by_group = np.zeros((scenes, *real.shape[1:]))
    np.add.at(by_group, np.unique(np.array(real_groups), return_inverse=True)[1], real)
    value, floor = score(synthetic.sum(0)), score(real.sum(0))
    if np.isnan([value, floor]).any():
        return not_measured("the synthetic or the real pairs show nothing of this kind")
    rng = np.random.default_rng(seed)
    variances = [_variance([score(total) for total in _resampled(rows, rng)]) for rows in (synthetic, by_group)]
    deviation = float(np.sqrt(sum(variances)))
    return entry(value, floor, deviation, worse, n=len(synthetic), floor_from="validation")


def _variance(scores: Sequence[float]) -> float:
    """Of the resamples that hold anything to score."""
    known = np.array(scores)
    return float(np.var(known[~np.isnan(known)], ddof=1))


def _resampled(rows: Rows, rng: np.random.Generator) -> Rows:
    """Sums (RESAMPLES, ...) of rows (N, ...) drawn with replacement."""
    drawn = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=RESAMPLES).astype(np.float64)
    sums: Rows = (drawn @ rows.reshape(len(rows), -1)).reshape(RESAMPLES, *rows.shape[1:])
    return sums


def _means(statistic: Statistic, reference: Rows, other: Rows, n: int, rng: np.random.Generator) -> list[float]:
    everything = np.arange(len(reference)), np.arange(len(other))
    return [
        statistic(reference[_some(everything[0], n, rng)], other[_some(everything[1], n, rng)]) for _ in range(DRAWS)
    ]


def _some(indices: Indices, n: int, rng: np.random.Generator) -> Indices:
    """`n` of these indices, ascending: the same set then gives the same digits."""
    return np.asarray(np.sort(rng.choice(indices, n, replace=False)))


def _halves(groups: Sequence[str], rng: np.random.Generator) -> tuple[Indices, Indices]:
    """The indices of two random halves, whole groups each."""
    names, member = np.unique(np.array(groups, dtype=str), return_inverse=True)
    order = rng.permutation(len(names))
    counts = np.bincount(member, minlength=len(names))[order]
    # A group goes to the first half as long as that is nearer to half with it than without.
    first = np.zeros(len(names), bool)
    first[order] = np.cumsum(counts) - counts / 2 < len(groups) / 2
    return np.flatnonzero(first[member]), np.flatnonzero(~first[member])
