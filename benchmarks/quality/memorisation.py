"""Whether synthetic pairs repeat training pairs: the whole picture, the damage cut out of it, or its mask alone.

Generators copy small training sets, those are private photographs, and no distance between sets shows it. So every
synthetic pair is compared with its nearest training pair, and that distance with those of real pairs outside the
training set. Noisy, blurred, mirrored or recoloured copies are found; what was moved or scaled within the frame is
found by its damage alone, if at all.

Axes: N and M pairs, V numbers of a view.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgen.benchmarks.quality.floors import (
    LEAST,
    LEAST_SCENES,
    LEAST_VALIDATION,
    Entry,
    Indices,
    Rows,
    entry,
    limited,
    not_measured,
)
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.views import VIEWS, CopyView, mirrored

# A pair is suspect when it is nearer to a training pair than `CopyView.scale` times the distance that all but QUANTILE
# of unseen real pairs keep, or nearer than views of two scenes ever are (`CopyView.surely`). The nearest unseen pair as
# the limit, or the quantile itself, would accuse about 1 % of honest pairs by construction: just the verdict's limit.
QUANTILE = 0.01
MOST_SUSPECTS = 0.01
LEAST_RATIO = 0.8
CLOSEST = 20
ROUNDING = 1e-6  # distances between equal views


@dataclass(frozen=True, eq=False)
class Nearest:
    """For each of N pairs its nearest training pair: where that is, how far, and how far its own nearest one is."""

    indices: Indices
    distances: Rows
    of_train: Rows

    @property
    def authentic(self) -> float:
        """Share of pairs farther from a training pair than that is from its own nearest (Alaa et al. 2022)."""
        return float((self.distances > self.of_train).mean())


def memorisation(train: Pairs, validation: Pairs, synthetic: Pairs) -> dict[str, Any]:
    """Each view's figures, and under `passed` whether all that could be measured are within the limits.

    `closest` and `suspects_at` list [synthetic index, train index, distance], nearest first.
    """
    found = {view.name: _of_view(view, train, validation, synthetic) for view in VIEWS}
    judged = [view[key] for view in found.values() for key in ("ratio", "suspects") if "flagged" in view[key]]
    return {**found, "passed": not any(figure["flagged"] for figure in judged) if judged else None}


def nearness(first: Rows, second: Rows) -> Rows:
    """(N, M) distances sqrt(2 - 2 correlation) of views (N, V) and (M, V), the second as it is or mirrored."""
    if not len(first) or not len(second):
        return np.zeros((len(first), len(second)))
    correlation = np.maximum(first @ second.T, first @ mirrored(second).T)
    return np.asarray(np.sqrt(np.maximum(2 - 2 * correlation, 0)))


def _of_view(view: CopyView, train: Pairs, validation: Pairs, synthetic: Pairs) -> dict[str, Any]:
    seen, unseen, drawn = (view.show(pairs) for pairs in (train, validation, synthetic))
    groups = np.array(train.groups)[seen.indices]
    if min(len(drawn.rows), len(seen.rows)) < LEAST or len(set(groups)) < LEAST_SCENES:
        shown = f"{len(drawn.rows)} synthetic and {len(seen.rows)} train pairs, of {len(set(groups))} scenes, show it"
        nothing = not_measured(f"{shown}; {LEAST} and {LEAST_SCENES} scenes are needed")
        return {**dict.fromkeys(("ratio", "suspects", "authentic"), nothing), "closest": [], "suspects_at": []}
    within = nearness(seen.rows, seen.rows)
    within[groups[:, None] == groups[None]] = np.inf  # pictures of one place say nothing about chance
    found = _nearest(nearness(drawn.rows, seen.rows), within)
    held_out = _nearest(nearness(unseen.rows, seen.rows), within)
    if len(unseen.rows) < LEAST_VALIDATION:
        held_out = _joined(held_out, _left_out(within, groups))
    figures = _figures(found, held_out, view)
    order = np.argsort(found.distances, kind="stable")
    pairs = [
        [int(drawn.indices[i]), int(seen.indices[found.indices[i]]), round(float(found.distances[i]), 6)] for i in order
    ]
    limit = figures["suspects"].get("nearer_than", 0)
    return {**figures, "closest": pairs[:CLOSEST], "suspects_at": [pair for pair in pairs if pair[2] < limit]}


def _figures(found: Nearest, held_out: Nearest, view: CopyView) -> dict[str, Entry]:
    n, unseen = len(found.distances), len(held_out.distances)
    sizes = {"n": n, "unseen": unseen}
    typical = float(np.median(held_out.distances))
    limit = max(view.surely, view.scale * float(np.quantile(held_out.distances, QUANTILE)))
    share, chance = (float((nearest.distances < limit).mean()) for nearest in (found, held_out))
    pooled = (n * found.authentic + unseen * held_out.authentic) / (n + unseen)
    deviation = float(np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / unseen)))  # of the difference of two shares
    # Below ROUNDING, what is left of a distance is how a processor rounds.
    ratio = suspects = not_measured("unseen real pairs repeat train pairs too")
    if typical >= ROUNDING:
        ratio = limited(float(np.median(found.distances)) / typical, 1.0, LEAST_RATIO, "lower", **sizes)
    if limit >= ROUNDING:
        suspects = limited(share, chance, MOST_SUSPECTS, "higher", nearer_than=limit, **sizes)
    return {
        "ratio": ratio,
        "suspects": suspects,
        "authentic": entry(found.authentic, held_out.authentic, deviation, "lower", **sizes),
    }


def _nearest(distances: Rows, within: Rows) -> Nearest:
    """From distances (N, M) to training pairs, and among those (M, M) with inf where two are of one place."""
    indices = distances.argmin(1) if len(distances) else np.zeros(0, np.intp)
    return Nearest(indices, distances[np.arange(len(indices)), indices], within.min(1)[indices])


def _left_out(within: Rows, groups: NDArray[np.str_]) -> Nearest:
    """Each training pair as if its place had not been trained on."""
    indices = within.argmin(1)
    others = within[indices].copy()  # (M, M): from the nearest pair to all but its own place
    others[groups[:, None] == groups[None]] = np.inf  # nor to the place that is left out
    return Nearest(indices, within[np.arange(len(indices)), indices], others.min(1))


def _joined(first: Nearest, second: Nearest) -> Nearest:
    fields = ("indices", "distances", "of_train")
    return Nearest(*(np.concatenate([getattr(first, name), getattr(second, name)]) for name in fields))
