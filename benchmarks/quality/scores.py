"""How well segmenters do, from one confusion matrix over a whole set of pictures.

Averaging IoU over pictures or batches gives another, flattering or noisy number; nothing here does it. A class without
a true pixel has no score (NaN), whatever was predicted.

Axes: N pictures, K classes, S pixels a side.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt, generate_binary_structure

from wetgen.benchmarks.metrics import iou
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.segmenters import Segmenter
from wetgen.runtime.errors import WetgenError

TOLERANCE = 2.0  # pixels a boundary may be off
BATCH = 16  # pictures predicted at a time: probabilities of large pictures are large


def predicted_ids(segmenter: Segmenter, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The likeliest class (N, S, S) of each pixel; raises WetgenError where a probability is not a number."""
    return np.concatenate([_ids(segmenter, part) for part in _parts(images)])


def _parts(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(images), BATCH):
        yield images[start : start + BATCH]


def _ids(segmenter: Segmenter, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    probabilities = segmenter.probabilities(images)
    if not np.isfinite(probabilities).all():
        raise WetgenError(
            "A segmenter's scores are not finite numbers.",
            why="its training diverged, so no figure can be taken from it.",
            fix="look for broken pictures with `wetgen inspect`; with --profile full, lower the learning rate.",
        )
    return probabilities.argmax(1).astype(np.uint8)


def confusion_matrices(segmenter: Segmenter, pairs: Pairs) -> NDArray[np.int64]:
    """(N, K, K) pixels of each picture by true class (rows) and predicted class."""
    return confusions(pairs.masks, predicted_ids(segmenter, pairs.images), len(pairs.table))


def confusions(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """(N, K, K) pixels by true class (rows) and predicted class, of class ids (N, S, S)."""
    assert truth.shape == predicted.shape and max(truth.max(), predicted.max()) < classes
    cells = (truth.astype(np.int64) * classes + predicted).reshape(len(truth), -1)
    counted = [np.bincount(row, minlength=classes**2) for row in cells]
    return np.stack(counted).reshape(-1, classes, classes)


def dice(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """2 |A n B| / (|A| + |B|) (Dice 1945) per class, (..., K): F1 over pixels."""
    hit, true, predicted = _counts(matrix)
    return _ratio(2 * hit, true + predicted, true)


def pixel_accuracy(matrix: NDArray[np.int64]) -> float:
    """The share of pixels with the right class, background included."""
    return float(np.trace(matrix) / matrix.sum())


def mean_iou(matrix: NDArray[np.int64], classes: Sequence[int] | None = None, *, background: bool = False) -> float:
    """The mean IoU of the damage classes that have true pixels, or of `classes`; NaN when there is none.

    The background counts only when asked for: it is most of every picture and easy, so it lifts the mean.
    """
    scores = iou(matrix)
    chosen = range(1, len(scores)) if classes is None else classes
    values = scores[[0, *chosen] if background else list(chosen)]
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def boundary_counts(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int, tolerance: float = TOLERANCE
) -> NDArray[np.int64]:
    """(N, K, 4) boundary pixels: true, of those matched, predicted, of those matched; the background's stay 0.

    A pixel is matched when the other boundary of its class passes within `tolerance` pixels (Csurka et al. 2013,
    "What is a good evaluation measure for semantic segmentation?").
    """
    counts = np.zeros((len(truth), classes, 4), np.int64)
    for n, masks in enumerate(zip(truth, predicted, strict=True)):
        for id in sorted(set(np.unique(masks)) - {0}):
            lines = [_boundary(mask == id) for mask in masks]
            for side, (mine, other) in enumerate((lines, lines[::-1])):
                near = distance_transform_edt(~other) <= tolerance if other.any() else np.zeros_like(mine)
                counts[n, id, 2 * side : 2 * side + 2] = mine.sum(), (mine & near).sum()
    return counts


def boundary_f1(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 (K,) of the precision and recall of boundary pixels, of counts (K, 4) summed over a set of pictures."""
    true, recalled, predicted, precise = counts.T.astype(np.float64)
    recall, precision = _ratio(recalled, true, true), precise / np.maximum(predicted, 1)
    return _ratio(2 * precision * recall, np.maximum(precision + recall, 1e-12), true)


def _boundary(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The region's pixels beside another class; the picture's edge is no boundary."""
    inside = binary_erosion(region, generate_binary_structure(2, 1), border_value=1)
    return np.asarray(region & ~inside)


def _counts(matrix: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    matrix = matrix.astype(np.float64)
    return np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-1), matrix.sum(-2)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64], true: NDArray[np.float64]) -> NDArray[np.float64]:
    """part / whole, NaN where the class has no true pixel."""
    return np.where(true > 0, part / np.where(true > 0, whole, 1), np.nan)
