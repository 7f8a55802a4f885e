"""The difference between two arms, and how far it could be chance.

Axes: R seeds, G groups of test pictures, K classes, B draws.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgen.benchmarks.quality.scores import iou

DRAWS = 2000
LEVEL = 0.95
LEAST_GROUPS = 6  # that show a class: of 5, all pointing one way by luck (2 / 2**5) is likelier than 1 - LEVEL


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
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Difference(float(exact), float(low), float(high), groups)
