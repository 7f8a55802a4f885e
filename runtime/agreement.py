"""How far a judge - a segmenter that learned from real photographs - agrees with the mask of a generated pair.

Axes: H W of a picture.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.classes import IGNORE, ClassTable

SPECK = 0.001  # share of the picture; a class that covers less, and that nobody asked for, is not worth asking about


class Agreement(NamedTuple):
    """`value` is in [0, 1], or None where the judge knows nothing of what the pair shows."""

    value: float | None
    by_class: dict[str, float]


def agreement(
    mask: NDArray[np.uint8],
    judged: NDArray[np.uint8],
    table: ClassTable,
    known: Collection[str],
    asked: Collection[str] = (),
) -> Agreement:
    """The mean intersection over union of mask and judged mask, both uint8 (H, W), over the classes in question.

    In question is a damage class that the judge knows (`known`) and that the prompt asks for (`asked`) or that covers
    SPECK of the mask. A class that is in neither of the two masks has no IoU and does not count. Pixels where the mask
    has a damage class that the judge does not know, or IGNORE, are left out of everything.

    Where no class is in question, the pair says that there is no damage, and its agreement is the IoU of the
    background: the share of the picture that the judge, too, calls undamaged. But a pair that shows or was asked for
    classes of which the judge knows none has no agreement: value None. Figures are rounded to 4 digits.
    """
    counts = np.bincount(mask.ravel(), minlength=len(table))
    held = {name for id, name in enumerate(table.names) if id and counts[id] >= max(1.0, SPECK * mask.size)}
    foreign = [IGNORE, *(id for id, name in enumerate(table.names) if id and name not in known)]
    valid = ~np.isin(mask, foreign)
    wanted = [id for id, name in enumerate(table.names) if name in known and (name in asked or name in held)]
    found = {table.names[id]: iou for id in wanted if (iou := _iou(mask, judged, valid, id)) is not None}
    if found:
        mean = float(np.mean(list(found.values())))
        return Agreement(round(mean, 4), {name: round(iou, 4) for name, iou in found.items()})
    if (held | set(asked)) - set(known):
        return Agreement(None, {})
    background = _iou(mask, judged, valid, 0)
    return Agreement(None if background is None else round(background, 4), {})


def _iou(mask: NDArray[np.uint8], judged: NDArray[np.uint8], valid: NDArray[np.bool_], id: int) -> float | None:
    """Intersection over union of one class among the valid pixels; None where neither has it."""
    one, other = (mask == id) & valid, (judged == id) & valid
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else None
