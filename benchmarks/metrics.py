"""Measures that several rooms share: IoU, area under the ROC curve, PSNR."""

import numpy as np
from numpy.typing import NDArray

EQUAL_PSNR = 100.0  # of equal pictures, whose PSNR is infinite: JSON has no infinity


def iou(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Intersection over union (Jaccard 1912) per class, (..., K), of confusion matrices (..., K, K).

    True classes are in rows. A class without a true pixel is NaN.
    """
    matrix = matrix.astype(np.float64)
    hit, true, predicted = np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-1), matrix.sum(-2)
    return np.where(true > 0, hit / np.where(true > 0, true + predicted - hit, 1), np.nan)


def auc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: how often a positive scores above a negative; ties count half (Mann and Whitney)."""
    ones = int(positive.sum())
    zeros = len(positive) - ones
    _, value, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2  # of each value, its ties at their mean
    return (float(rank[value][positive].sum()) - ones * (ones + 1) / 2) / (ones * zeros)


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two images of bytes, in dB; at most EQUAL_PSNR."""
    squared = float(np.square(a.astype(np.float64) - b).mean())
    return EQUAL_PSNR if squared == 0 else min(EQUAL_PSNR, 10 * float(np.log10(255**2 / squared)))
