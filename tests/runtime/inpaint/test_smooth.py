"""Smoothing, growing and stretching of maps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from wetgen.runtime.inpaint.blend import blurred, dilated, resized_part

shapes = st.tuples(st.integers(1, 24), st.integers(1, 24))
maps = st.builds(
    lambda shape, seed: np.random.default_rng(seed).uniform(-100, 100, shape).astype(np.float32),
    shapes,
    st.integers(0, 2**32 - 1),
)
regions = shapes.flatmap(lambda shape: arrays.arrays(bool, shape))


def test_a_point_becomes_a_bell_of_the_same_weight():
    point = np.zeros((41, 41), np.float32)
    point[20, 20] = 1
    bell = blurred(point, 2)
    assert bell.dtype == np.float32 and bell.sum() == pytest.approx(1, abs=1e-5)
    y, x = np.mgrid[-20:21, -20:21]
    # Three boxes of 5 pixels have three times the variance of one, (5^2 - 1) / 12, in each direction.
    assert (bell * x**2).sum() == pytest.approx(6, abs=1e-3) and (bell * y**2).sum() == pytest.approx(6, abs=1e-3)
    assert (np.diff(bell[20, 20:27]) < 0).all() and not bell[20, 27:].any(), "it falls to 0 after three radii"


def test_beyond_the_edge_lie_zeros():
    flat = blurred(np.ones((30, 30), np.float32), 1)
    np.testing.assert_allclose(flat[4:-4, 4:-4], 1, atol=1e-6)
    np.testing.assert_allclose(flat[0, 4:-4], 13 / 27, atol=1e-6)  # 2/3, 1, 1 then 5/9, 8/9 then (5/9 + 8/9) / 3


@given(maps, st.integers(1, 9))
def test_smoothing_neither_turns_nor_invents(values, radius):
    made = blurred(values, radius)
    assert made.shape == values.shape
    np.testing.assert_allclose(blurred(values[::-1].copy(), radius)[::-1], made, atol=1e-3)  # of values up to 100
    assert made.max() <= max(0, values.max()) + 1e-3 and made.min() >= min(0, values.min()) - 1e-3


@given(regions, st.integers(1, 6))
def test_a_grown_region_is_every_pixel_within_a_square(region, radius):
    grown = np.zeros_like(region)
    for y, x in zip(*np.nonzero(region), strict=True):
        grown[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1] = True
    np.testing.assert_array_equal(dilated(region, radius), grown)


def test_sums_over_a_long_row_lose_nothing():
    """Summed up as float32 they would lose whole levels."""
    flat = blurred(np.full((1, 200_000), 200, np.float32), 3)
    np.testing.assert_allclose(flat[0, 10:-10], 200 / 7**3, rtol=1e-5)  # above and below the row lie zeros


def test_a_part_is_cut_out_where_it_lies():
    ramp = np.tile(np.arange(40, dtype=np.float32), (20, 1))
    part = resized_part(ramp, (10, 20), (10, 5, 30, 15))
    np.testing.assert_allclose(part, ramp[5:15, 10:30], atol=1e-4)
    large = resized_part(ramp, (20, 40), (10, 5, 30, 15))
    assert large.shape == (20, 40) and large.dtype == np.float32
    # Pixel centres: the first of the larger one lies at 10.25 of the old ones, counted from their middles at .5.
    np.testing.assert_allclose(large[10], 10 + (np.arange(40) + 0.5) / 2 - 0.5, atol=0.02)


def test_integers_are_stretched_too():
    assert resized_part(np.full((4, 4), 9, np.int32), (2, 8), (0, 0, 4, 4)).tolist() == [[9.0] * 8] * 2
