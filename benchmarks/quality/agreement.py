"""Whether a judge who learned from photographs finds in synthetic pictures what their masks say.

The judge is trained on real train pairs only. Its score on real pairs it has not seen is the floor; the gap to it is
what synthetic masks are off by, or what synthetic pictures look unlike photographs by. Alone, the figure is fooled:
copies of training pairs and a collapse onto easy pictures score above fresh photographs.

Axes: N pairs, K classes, S pixels a side.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgen.benchmarks.quality.floors import Entry, Rows, not_measured, score_beside_floor
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.scores import BATCH, boundary_counts, boundary_f1, confusions, iou
from wetgen.benchmarks.quality.segmenters import Segmenter, predict
from wetgen.runtime.errors import WetgenError

LEAST_SHOWN = 3  # pairs of either side that show a class before it has a score


def read(judge: Sequence[Segmenter], images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The class ids (N, S, S) that the ensemble finds likeliest; raises WetgenError for scores that are no numbers."""
    found = []
    for start in range(0, len(images), BATCH):
        probabilities = predict(judge, images[start : start + BATCH])
        if not np.isfinite(probabilities).all():
            raise WetgenError(
                "The judge's scores are not finite numbers.",
                why="its training diverged, so nothing can be said about agreement.",
                fix="look for broken pictures with `wetgen inspect`.",
            )
        found.append(probabilities.argmax(1).astype(np.uint8))
    return np.concatenate(found)


def agreement(judge: Sequence[Segmenter], synthetic: Pairs, validation: Pairs) -> dict[str, Any]:
    """IoU and boundary F1 of judge and masks, per damage class and their mean, beside the same on real validation.

    Each is of one confusion matrix over the whole set. `gap` is how far synthetic pairs stay below real ones.
    """
    return agreed(synthetic, read(judge, synthetic.images), validation, read(judge, validation.images))


def agreed(
    synthetic: Pairs, predicted: NDArray[np.uint8], validation: Pairs, validation_predicted: NDArray[np.uint8]
) -> dict[str, Any]:
    """`agreement`, of what the judge has read already: class ids (N, S, S)."""
    sets, ids = (synthetic, validation), (predicted, validation_predicted)
    classes = len(synthetic.table)
    pixels = [confusions(pairs.masks, seen, classes).astype(np.float64) for pairs, seen in zip(sets, ids, strict=True)]
    lines = [
        boundary_counts(pairs.masks, seen, classes).astype(np.float64) for pairs, seen in zip(sets, ids, strict=True)
    ]
    scored = [id for id in synthetic.classes if min(_showing(pairs, id) for pairs in sets) >= LEAST_SHOWN]

    def beside(chosen: list[int]) -> dict[str, Entry]:
        return {
            "iou": _entry(lambda matrix: _mean(iou(matrix), chosen), pixels, validation.groups),
            "boundary_f1": _entry(lambda counts: _mean(boundary_f1(counts), chosen), lines, validation.groups),
        }

    if not scored:
        nothing = not_measured(f"no class of damage is shown by {LEAST_SHOWN} pairs, synthetic and validation")
        return {"mean": {"iou": nothing, "boundary_f1": nothing}, "classes": {}}
    return {"mean": beside(scored), "classes": {synthetic.table.names[id]: beside([id]) for id in scored}}


def _entry(score: Any, counts: Sequence[Rows], groups: Sequence[str]) -> Entry:
    found = score_beside_floor(score, counts[0], counts[1], groups, "lower")
    return found | {"gap": found["floor"] - found["value"]} if "value" in found else found


def _mean(scores: Rows, classes: list[int]) -> float:
    """NaN where one of the classes has no true pixel."""
    return float(scores[classes].mean())


def _showing(pairs: Pairs, class_id: int) -> int:
    return int((pairs.masks == class_id).any((1, 2)).sum())
