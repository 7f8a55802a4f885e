"""The paired cluster bootstrap against cases whose answer is known."""

import math

import numpy as np
import pytest

from wetgen.benchmarks.bootstrap import LEAST_GROUPS, paired_bootstrap


def _matrices(hits: np.ndarray, of: int = 100) -> np.ndarray:
    """(R, G, 2, 2) from the pixels of class 1 found, (R, G), of as many true ones each; nothing found wrongly."""
    found = np.zeros((*hits.shape, 2, 2), np.int64)
    found[..., 1, 1], found[..., 1, 0] = hits, of - hits
    return found


def test_a_constant_difference_has_an_interval_of_no_width() -> None:
    arm, reference = _matrices(np.full((2, 10), 60)), _matrices(np.full((2, 10), 50))
    each, mean = paired_bootstrap(arm, reference, (1,))
    for found in (each[1], mean):
        np.testing.assert_allclose([found.delta, found.low, found.high], 0.1)
        assert found.gain and found.excludes_zero and found.groups == 10


def test_the_interval_of_a_mean_of_independent_groups_is_the_textbook_one() -> None:
    # With nothing found wrongly, IoU is the mean of the groups' shares: its standard error is known.
    rng = np.random.default_rng(3)
    gains = rng.integers(-20, 30, 200)
    each, _ = paired_bootstrap(_matrices(50 + gains[None]), _matrices(np.full((1, 200), 50)), (1,))
    error = gains.std() / 100 / math.sqrt(200)
    assert each[1].delta == pytest.approx(gains.mean() / 100)
    # 2,000 draws leave a percentile of the interval's ends uncertain by about 5 % of the standard error.
    assert each[1].low == pytest.approx(gains.mean() / 100 - 1.96 * error, abs=0.2 * error)
    assert each[1].high == pytest.approx(gains.mean() / 100 + 1.96 * error, abs=0.2 * error)


def test_pairing_removes_what_both_arms_find_hard() -> None:
    rng = np.random.default_rng(1)
    hard = rng.integers(0, 80, (1, 30))
    each, _ = paired_bootstrap(_matrices(hard + 2), _matrices(hard), (1,))
    assert each[1].gain and each[1].high - each[1].low < 1e-9


def test_groups_are_drawn_whole() -> None:
    """Ten crops of each of eight photographs say no more than the eight photographs."""
    rng = np.random.default_rng(2)
    gains = rng.integers(-10, 20, (1, 8))
    one = paired_bootstrap(_matrices(50 + gains), _matrices(np.full((1, 8), 50)), (1,))[0][1]
    ten = paired_bootstrap(10 * _matrices(50 + gains), 10 * _matrices(np.full((1, 8), 50)), (1,))[0][1]
    assert one == ten


def test_luck_in_training_widens_the_interval() -> None:
    reference = _matrices(np.full((3, 10), 50))
    lucky = _matrices(np.array([80, 45, 40])[:, None].repeat(10, 1))
    each, _ = paired_bootstrap(lucky, reference, (1,))
    assert each[1].delta == pytest.approx(0.05) and not each[1].excludes_zero
    # The same seeds are drawn for both arms: luck that they share doesn't count.
    shared, _ = paired_bootstrap(lucky, lucky, (1,))
    assert shared[1].low == shared[1].high == 0


def test_few_groups_get_no_interval_and_no_claim() -> None:
    few = LEAST_GROUPS - 1
    each, mean = paired_bootstrap(_matrices(np.full((1, few), 90)), _matrices(np.full((1, few), 10)), (1,))
    assert each[1].delta == pytest.approx(0.8) and math.isnan(each[1].low) and math.isnan(mean.high)
    assert not each[1].gain and not each[1].excludes_zero


def test_only_groups_that_show_a_class_count_for_it() -> None:
    matrices = np.zeros((1, 20, 3, 3), np.int64)
    matrices[:, :, 1, 1] = 10
    matrices[:, :3, 2, 2] = 10
    each, mean = paired_bootstrap(matrices, matrices, (1, 2))
    assert (each[1].groups, each[2].groups, mean.groups) == (20, 3, 20)
    assert each[1].low == 0 and math.isnan(each[2].low)


def test_a_loss_is_no_gain_though_it_excludes_zero() -> None:
    each, _ = paired_bootstrap(_matrices(np.full((1, 9), 10)), _matrices(np.full((1, 9), 20)), (1,))
    assert each[1].excludes_zero and not each[1].gain


def test_the_draws_repeat() -> None:
    rng = np.random.default_rng(0)
    sides = [_matrices(rng.integers(0, 100, (2, 12))) for _ in range(2)]
    assert paired_bootstrap(*sides, (1,)) == paired_bootstrap(*sides, (1,))
