"""Confusion matrices and scores against values worked by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wetgen.benchmarks import metrics
from wetgen.benchmarks.quality import scores
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import ClassTable

TRUTH = np.array([[[0, 0, 1], [0, 1, 1], [2, 2, 0]]], np.uint8)
PREDICTED = np.array([[[0, 1, 1], [0, 1, 0], [2, 1, 0]]], np.uint8)
MATRIX = np.array([[3, 1, 0, 0], [1, 2, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]])


def test_a_confusion_matrix_has_a_row_for_each_true_class() -> None:
    np.testing.assert_array_equal(scores.confusions(TRUTH, PREDICTED, 4)[0], MATRIX)


def test_scores_worked_by_hand() -> None:
    np.testing.assert_allclose(metrics.iou(MATRIX), [3 / 5, 2 / 5, 1 / 2, np.nan])
    np.testing.assert_allclose(scores.dice(MATRIX), [6 / 8, 4 / 7, 2 / 3, np.nan])
    assert scores.pixel_accuracy(MATRIX) == 6 / 9
    assert scores.mean_iou(MATRIX) == pytest.approx((2 / 5 + 1 / 2) / 2)
    assert scores.mean_iou(MATRIX, background=True) == pytest.approx((3 / 5 + 2 / 5 + 1 / 2) / 3)
    assert scores.mean_iou(MATRIX, [2]) == pytest.approx(1 / 2)


def test_a_class_without_a_true_pixel_has_no_score_even_when_it_is_predicted() -> None:
    matrix = np.array([[2, 0, 3], [0, 4, 0], [0, 0, 0]])
    assert math.isnan(metrics.iou(matrix)[2]) and math.isnan(scores.dice(matrix)[2])
    assert scores.mean_iou(matrix) == 1.0
    assert math.isnan(scores.mean_iou(np.array([[5, 0], [0, 0]])))


def test_iou_is_of_the_whole_set_not_a_mean_over_pictures() -> None:
    matrices = np.array([[[0, 0], [0, 100]], [[0, 0], [1, 0]]])  # 100 right in one picture, 1 wrong in the other
    assert metrics.iou(matrices.sum(0))[1] == pytest.approx(100 / 101)
    np.testing.assert_allclose(metrics.iou(matrices)[:, 1], [1, 0])


@given(st.integers(0, 2**32 - 1))
def test_dice_and_iou_tell_the_same_and_a_perfect_prediction_scores_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, 3, (2, 2, 8, 8), np.uint8)
    matrix = scores.confusions(truth, predicted, 3).sum(0)
    assert matrix.sum() == truth.size
    iou = metrics.iou(matrix)
    np.testing.assert_allclose(scores.dice(matrix), 2 * iou / (1 + iou))
    np.testing.assert_allclose(metrics.iou(scores.confusions(truth, truth, 3).sum(0)), 1)


def _square(top: int, left: int, side: int = 6, kind: int = 1) -> np.ndarray:
    mask = np.zeros((1, 20, 20), np.uint8)
    mask[0, top : top + side, left : left + side] = kind
    return mask


def _f1(truth: np.ndarray, predicted: np.ndarray, tolerance: float = 2) -> np.ndarray:
    return scores.boundary_f1(scores.boundary_counts(truth, predicted, 3, tolerance).sum(0))


def test_boundaries_match_within_the_tolerance_and_not_beyond() -> None:
    truth = _square(5, 5)
    assert _f1(truth, _square(5, 7))[1] == 1.0
    counts = scores.boundary_counts(truth, _square(5, 8), 3)[0, 1]
    # Three to the right: of each outline's 20 pixels only the six of its far column lie three pixels away.
    np.testing.assert_array_equal(counts, [20, 14, 20, 14])
    assert _f1(truth, _square(5, 8))[1] == pytest.approx(0.7)


def test_precision_and_recall_of_boundaries_are_told_apart() -> None:
    both = _square(1, 1) + _square(12, 12)
    counts = scores.boundary_counts(both, _square(1, 1), 3)[0, 1]
    np.testing.assert_array_equal(counts, [40, 20, 20, 20])  # half recalled, all precise
    assert _f1(both, _square(1, 1))[1] == pytest.approx(2 / 3)


def test_the_edge_of_the_picture_is_no_boundary() -> None:
    counts = scores.boundary_counts(_square(0, 0, 6), np.zeros((1, 20, 20), np.uint8), 3)[0, 1]
    np.testing.assert_array_equal(counts, [11, 0, 0, 0])
    assert scores.boundary_counts(_square(0, 0, 20), _square(0, 0, 20), 3)[0, 1].sum() == 0


def test_boundary_f1_of_missed_and_absent_classes() -> None:
    nothing = np.zeros((1, 20, 20), np.uint8)
    np.testing.assert_array_equal(_f1(_square(5, 5), nothing)[1:], [0, np.nan])
    np.testing.assert_array_equal(_f1(_square(5, 5), _square(5, 5, kind=2))[1:], [0, np.nan])


class _Fixed:
    """A segmenter that always says the same."""

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        found = np.zeros((len(images), 2, *images.shape[1:3]), np.float32)
        found[:, 1] = self.probability
        return found


def _pairs(count: int) -> Pairs:
    table = ClassTable(("background", "crack"))
    names = tuple(map(str, range(count)))
    masks = np.zeros((count, 8, 8), np.uint8)
    masks[:, 0] = 1
    return Pairs(table, np.zeros((count, 8, 8, 3), np.uint8), masks, names, names, names, names, ("",) * count)


def test_confusion_matrices_of_more_pictures_than_are_predicted_at_a_time() -> None:
    matrices = scores.confusion_matrices(_Fixed(1.0), _pairs(scores.BATCH + 3))  # type: ignore[arg-type]
    np.testing.assert_array_equal(matrices, [[[0, 56], [0, 8]]] * (scores.BATCH + 3))


def test_scores_that_are_no_numbers_are_an_error() -> None:
    with pytest.raises(WetgenError, match="not finite"):
        scores.confusion_matrices(_Fixed(float("nan")), _pairs(2))  # type: ignore[arg-type]
