"""Windows over a grid: all of it is covered, and what they agree on is what comes of them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wetgen.runtime.sampling.tiled import TileGrid


@st.composite
def grids(draw):
    """A grid of up to five windows a side, counted in units of up to 3 x 4."""
    window = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    more = draw(st.tuples(st.integers(0, 20), st.integers(0, 20)))
    grain = draw(st.tuples(st.integers(1, 3), st.integers(1, 4)))
    return TileGrid((window[0] + more[0], window[1] + more[1]), window, grain)


def covered(grid):
    """How many windows lie on each pixel."""
    counts = np.zeros(grid.shape, int)
    for place in grid.split(counts):
        place += 1
    return counts


@given(grids())
def test_windows_cover_all_of_a_canvas_and_leave_it_nowhere(grid):
    window = tuple(n * grain for n, grain in zip(grid.window, grid.grain, strict=True))
    cut = grid.split(np.zeros(grid.shape))
    assert covered(grid).min() >= 1 and {part.shape for part in cut} == {window}
    assert len(cut) == len(grid.corners) == len(set(grid.corners))


@given(grids())
def test_windows_overlap_by_half_of_one_at_least(grid):
    for axis in (0, 1):
        starts = sorted({corner[axis] // grid.grain[axis] for corner in grid.corners})
        assert starts[0] == 0 and starts[-1] == grid.size[axis] - grid.window[axis]
        assert all(after - before <= max(1, grid.window[axis] // 2) for before, after in pairwise(starts))


@given(grids())
def test_the_windows_of_a_latent_and_of_its_picture_lie_at_the_same_places(grid):
    latent = TileGrid(grid.size, grid.window)
    rows, columns = grid.grain
    assert [(top * rows, left * columns) for top, left in latent.corners] == list(grid.corners)
    assert grid.shape == (latent.shape[0] * rows, latent.shape[1] * columns)


@given(grids(), st.integers(0, 2**32 - 1))
def test_windows_cut_from_a_whole_make_that_whole_again(grid, seed):
    """A weighted mean of equal numbers; each of up to 16 products and sums and the division may round once."""
    whole = np.random.default_rng(seed).standard_normal((2, *grid.shape)).astype(np.float32)
    joined = grid.merge(grid.split(whole))
    assert joined.dtype == np.float32
    np.testing.assert_allclose(joined, whole, rtol=20 * np.finfo(np.float32).eps, atol=0)


@given(grids(), st.integers(0, 2**32 - 1))
def test_a_mean_lies_between_what_it_is_of(grid, seed):
    """Up to the rounding above."""
    rng = np.random.default_rng(seed)
    windows = [rng.random(part.shape, np.float32) for part in grid.split(np.zeros(grid.shape))]
    least, greatest = np.full(grid.shape, np.inf), np.full(grid.shape, -np.inf)
    for low, high, window in zip(grid.split(least), grid.split(greatest), windows, strict=True):
        np.minimum(low, window, out=low)
        np.maximum(high, window, out=high)
    joined, slack = grid.merge(windows), 20 * np.finfo(np.float32).eps
    assert (joined >= least * (1 - slack)).all() and (joined <= greatest * (1 + slack)).all()


def test_a_window_weighs_less_the_nearer_its_edge_is():
    """By hand: two windows of 4 columns, two apart, which weigh 1, 2, 2, 1."""
    grid = TileGrid((2, 6), (2, 4))
    assert grid.corners == ((0, 0), (0, 2))
    joined = grid.merge([np.full((2, 4), 6.0), np.full((2, 4), 12.0)])
    np.testing.assert_allclose(joined, [[6, 6, 8, 10, 12, 12]] * 2, rtol=1e-6)  # float32


def test_weights_of_rows_and_columns_multiply():
    """Four windows of 2 x 4 over 3 x 6 pixels; a corner of the middle lies in all of them."""
    grid = TileGrid((3, 6), (2, 4))
    assert grid.corners == ((0, 0), (0, 2), (1, 0), (1, 2))
    joined = grid.merge([np.full((2, 4), value) for value in (1.0, 2.0, 3.0, 4.0)])
    # In the middle row the upper and the lower windows weigh alike, in column 2 the left ones twice the right ones.
    np.testing.assert_allclose(joined[1, 2], (2 * 1 + 2 + 2 * 3 + 4) / 6, rtol=1e-6)
    np.testing.assert_allclose(joined[0, 2], (2 * 1 + 2) / 3, rtol=1e-6)


@pytest.mark.parametrize("size, window", [((12, 8), (8, 8)), ((16, 16), (8, 8)), ((7, 9), (5, 5))])
def test_weights_are_symmetric(size, window):
    """Turned round, each window has the share in the whole that its opposite has, but for how float32 adds them up."""
    grid = TileGrid(size, window)
    count = len(grid.corners)
    parts = [np.zeros(window, np.float32) for _ in range(count)]
    for place in range(count):
        ones = np.ones(window, np.float32)
        share = grid.merge([*parts[:place], ones, *parts[place + 1 :]])
        opposite = grid.merge([*parts[: count - 1 - place], ones, *parts[count - place :]])
        np.testing.assert_allclose(share, opposite[::-1, ::-1], atol=4 * np.finfo(np.float32).eps)


def test_one_window_passes_through_bit_by_bit():
    grid, rng = TileGrid((4, 5), (4, 5), (2, 3)), np.random.default_rng(0)
    window = rng.standard_normal((3, 8, 15)).astype(np.float32)
    assert grid.merge([window]) is window
    mask, sure = rng.integers(0, 9, (2, 8, 15)).astype(np.uint8)
    assert grid.vote([mask], [sure]) == (mask, sure)


@given(grids(), st.integers(0, 2**32 - 1))
def test_windows_that_agree_give_their_class_and_confidence(grid, seed):
    rng = np.random.default_rng(seed)
    mask = rng.choice([0, 2, 9], grid.shape).astype(np.uint8)
    sure = rng.integers(26, 256, grid.shape).astype(np.uint8)
    ids, confidence = grid.vote(grid.split(mask), grid.split(sure))
    assert ids.dtype == confidence.dtype == np.uint8
    np.testing.assert_array_equal(ids, mask)
    np.testing.assert_array_equal(confidence, sure)


def test_where_windows_differ_weight_and_confidence_decide():
    """By hand: columns 2 and 3 lie in both windows, which weigh 2 to 1 and 1 to 2 there."""
    grid = TileGrid((1, 6), (1, 4))
    left, right = np.full((1, 4), 5, np.uint8), np.full((1, 4), 3, np.uint8)

    def voted(of_left, of_right):
        sure = [np.full((1, 4), value, np.uint8) for value in (of_left, of_right)]
        ids, confidence = grid.vote([left, right], sure)
        return ids[0].tolist(), confidence[0].tolist()

    assert voted(120, 120) == ([5, 5, 5, 3, 3, 3], [120, 120, 80, 80, 120, 120])
    assert voted(90, 240) == ([5, 5, 3, 3, 3, 3], [90, 90, 80, 160, 240, 240])
    assert voted(240, 90) == ([5, 5, 5, 5, 3, 3], [240, 240, 160, 80, 90, 90])


def test_two_doubtful_windows_outvote_a_third_that_is_sure_of_another_class():
    grid = TileGrid((1, 8), (1, 4))  # windows begin at 0, 2 and 4
    masks = [np.array([row], np.uint8) for row in ([1, 1, 1, 1], [1, 1, 2, 2], [2, 2, 2, 2])]
    sure = [np.array([row], np.uint8) for row in ([99, 99, 99, 99], [99, 9, 90, 60], [80, 80, 80, 80])]
    ids, _ = grid.vote(masks, sure)
    assert ids.tolist() == [[1, 1, 1, 1, 2, 2, 2, 2]]


def test_a_canvas_is_no_smaller_than_a_window():
    with pytest.raises(AssertionError):
        _ = TileGrid((3, 8), (4, 8)).corners
