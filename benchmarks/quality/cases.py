"""The best and worst pictures of a segmenter, kept for people to look at."""

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.segmenters import Segmenter
from wetgen.runtime.masks.images import encode_png

SHOWN = 6


def picture_iou(truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> float:
    """The mean IoU of the damage classes in either mask (H, W); 1 when both are empty."""
    present = sorted((set(np.unique(truth)) | set(np.unique(predicted))) - {0})
    ious = [((truth == id) & (predicted == id)).sum() / ((truth == id) | (predicted == id)).sum() for id in present]
    return float(np.mean(ious)) if ious else 1.0


def cases(segmenter: Segmenter, pairs: Pairs) -> dict[str, Any]:
    """The SHOWN best and worst pictures: index, IoU and predicted mask (PNG in base64).

    Undamaged pictures found undamaged are never among the best: there is nothing to see in them.
    """
    predicted = segmenter.probabilities(pairs.images).argmax(1).astype(np.uint8)
    scores = np.array([picture_iou(*masks) for masks in zip(pairs.masks, predicted, strict=True)])
    damaged = np.flatnonzero(pairs.masks.any((1, 2)))
    ascending = np.argsort(scores, kind="stable")
    best = [i for i in ascending[::-1] if i in set(damaged.tolist())][:SHOWN]
    return {
        name: [
            {"index": int(i), "iou": float(scores[i]), "mask": base64.b64encode(encode_png(predicted[i])).decode()}
            for i in chosen
        ]
        for name, chosen in (("worst", ascending[:SHOWN]), ("best", best))
    }
