"""Bootstrap intervals: the difference in IoU between two arms of a trial, and the ratio of two runs' times.

Axes: R seeds, G groups of test pictures, K classes, B draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wetgen.benchmarks.metrics import iou

DRAWS = 2000
LEVEL = 0.95
QUANTILES = (1 - LEVEL) / 2, (1 + LEVEL) / 2
LEAST_GROUPS = 6  # that show a class: of 5, all pointing one way by luck (2 / 2**5) is likelier than 1 - LEVEL

RatioVerdict = Literal["no difference", "faster", "slower", "too noisy to tell"]


@dataclass(frozen=True)
class Difference:
    """A difference of IoU and its percentile interval, which is NaN with fewer than LEAST_GROUPS groups."""

    delta: float
    low: float
    high: float
    groups: int
    """Groups of test pictures that show the class."""

    @property
    def excludes_zero(self) -> bool:
        """Whether chance is an unlikely explanation; False without an interval."""
        return self.low > 0 or self.high < 0

    @property
    def gain(self) -> bool:
        """Whether a gain may be claimed."""
        return self.delta > 0 and self.low > 0


def paired_bootstrap(
    arm: NDArray[np.int64], reference: NDArray[np.int64], classes: tuple[int, ...], draws: int = DRAWS, seed: int = 0
) -> tuple[dict[int, Difference], Difference]:
    """The difference arm - reference in IoU of each class, and in their mean; confusion matrices (R, G, K, K).

    The delta is the mean over seeds of the difference of dataset-level IoU. A draw takes G groups and R seeds, both
    with replacement and the same ones for both arms, and computes that anew (cluster bootstrap, Davison and Hinkley
    1997, 3.8; percentile interval, Efron 1979). Groups are drawn, not pictures: crops of one photograph are not
    independent. Seeds are drawn too, so that luck in training widens the interval.
    """
    assert arm.shape == reference.shape
    kept = list(classes)
    rng = np.random.default_rng(seed)
    seeds, groups = arm.shape[:2]
    weights = rng.multinomial(groups, np.full(groups, 1 / groups), size=draws)  # (B, G)
    rounds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws) / seeds  # (B, R)
    drawn = [_weighted(side, weights, kept) for side in (arm, reference)]
    deltas = np.einsum("br,rbk->bk", rounds, drawn[0] - drawn[1])
    exact = np.subtract(*(iou(side.sum(1))[:, kept].mean(0) for side in (arm, reference)))
    shown = arm[0].sum(-1)[:, kept] > 0  # (G, classes)
    each = {id: _difference(exact[k], deltas[:, k], int(shown[:, k].sum())) for k, id in enumerate(kept)}
    return each, _difference(_mean(exact), _mean(deltas), int(shown.any(1).sum()))


def _weighted(side: NDArray[np.int64], weights: NDArray[np.int64], classes: list[int]) -> NDArray[np.float64]:
    """IoU (R, B, classes) of every draw."""
    size = side.shape[-1]
    # Sums of whole numbers below 2**53: exact in float64, so their order doesn't matter.
    matrices = weights.astype(np.float64) @ side.reshape(*side.shape[:2], size * size).astype(np.float64)
    scores: NDArray[np.float64] = iou(matrices.reshape(len(side), len(weights), size, size))[..., classes]
    return scores


def _mean(deltas: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over classes, the last axis, of those that are no NaN; NaN when all are."""
    known = ~np.isnan(deltas)
    return np.where(known, deltas, 0).sum(-1) / np.where(known.any(-1), known.sum(-1), np.nan)


def _difference(exact: NDArray[np.float64], deltas: NDArray[np.float64], groups: int) -> Difference:
    known = deltas[~np.isnan(deltas)]
    if groups < LEAST_GROUPS or not len(known):
        return Difference(float(exact), float("nan"), float("nan"), groups)
    low, high = np.quantile(known, QUANTILES)
    return Difference(float(exact), float(low), float(high), groups)


@dataclass(frozen=True)
class Ratio:
    """How many times as long the second takes, and the percentile interval of its bootstrap."""

    value: float
    low: float
    high: float

    def verdict(self, tolerance: float) -> RatioVerdict:
        """Whether the second is slower.

        It is a difference if the ratio is beyond the tolerance and the interval excludes 1. It is none if the ratio is
        within the tolerance and the interval within twice the tolerance. Everything else is too noisy to tell.
        """
        if self.value > 1 + tolerance and self.low > 1:
            return "slower"
        if self.value < 1 - tolerance and self.high < 1:
            return "faster"
        within = abs(self.value - 1) <= tolerance and 1 - 2 * tolerance < self.low and self.high < 1 + 2 * tolerance
        return "no difference" if within else "too noisy to tell"


def bootstrap_ratio(
    first: Sequence[NDArray[np.float64]], second: Sequence[NDArray[np.float64]], draws: int = DRAWS, seed: int = 0
) -> Ratio:
    """The ratio of medians, second over first; every draw takes rounds, then batches within them, with replacement.

    Rounds are processes of their own: what one has in common (where its memory came to lie) must widen the interval.
    """
    rng = np.random.default_rng(seed)
    drawn = [_drawn_medians(side, draws, rng) for side in (first, second)]
    low, high = np.quantile(drawn[1] / drawn[0], QUANTILES)
    value = np.median(np.concatenate(second)) / np.median(np.concatenate(first))
    return Ratio(float(value), float(low), float(high))


def _drawn_medians(side: Sequence[NDArray[np.float64]], draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(draws,) medians; axes below: draws, rounds, batches of the longest round, with NaN beyond a shorter one's."""
    lengths = np.array([len(times) for times in side])
    padded = np.full((len(side), lengths.max()), np.nan)
    for i, times in enumerate(side):
        padded[i, : len(times)] = times
    chosen = rng.integers(len(side), size=(draws, len(side)))
    batches = (rng.random((draws, len(side), lengths.max())) * lengths[chosen][..., None]).astype(int)
    drawn = padded[chosen[..., None], batches]
    drawn[np.arange(lengths.max()) >= lengths[chosen][..., None]] = np.nan
    medians: NDArray[np.float64] = np.nanmedian(drawn.reshape(draws, -1), axis=1)
    return medians
