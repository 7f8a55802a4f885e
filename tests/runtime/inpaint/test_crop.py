"""The part of a picture that is seen while a region is painted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wetgen.runtime.bundle.graphs import Sizes
from wetgen.runtime.inpaint.blend import resized_part
from wetgen.runtime.inpaint.crop import SURROUNDINGS, crop_around
from wetgen.runtime.masks.regions import Box

SIZES = Sizes(128, 128, 12, 16, 16, 32, 64, 10, 23)
UPRIGHT = Sizes(96, 64, 4, 24, 8, 32, 64, 10, 15)  # another stride down than across

sides = st.one_of(st.integers(20, 140), st.integers(20, 5000))


@st.composite
def regions(draw) -> tuple[Box, tuple[int, int]]:
    """A region of a picture of (height, width): any, a line one pixel wide, or all of it."""
    picture = draw(sides), draw(sides)
    kind = draw(st.sampled_from(("any", "column", "row", "whole", "nearly")))
    if kind in ("whole", "nearly"):
        trim = 0 if kind == "whole" else draw(st.integers(0, 9))
        return Box(trim, 0, picture[1] - trim, picture[0]), picture
    width = 1 if kind == "column" else draw(st.integers(1, picture[1]))
    height = 1 if kind == "row" else draw(st.integers(1, picture[0]))
    left, top = draw(st.integers(0, picture[1] - width)), draw(st.integers(0, picture[0] - height))
    return Box(left, top, width, height), picture


@given(regions(), st.sampled_from((SIZES, UPRIGHT)), st.integers(1, 8))
def test_a_crop_holds_its_region_and_never_leaves_the_picture(where, sizes, detail):
    region, picture = where
    crop = crop_around(region, picture, sizes, detail)
    assert crop.box.inside(picture)
    assert crop.box.overlap(region) == region.area, "all of the region is seen"
    assert crop.cells[0] >= sizes.latent_height and crop.cells[1] >= sizes.latent_width
    assert crop.drawn == (crop.cells[0] * sizes.stride[0], crop.cells[1] * sizes.stride[1])


@given(regions(), st.sampled_from((SIZES, UPRIGHT)), st.integers(1, 8))
def test_the_picture_is_enlarged_only_where_it_is_smaller_than_a_window(where, sizes, detail):
    region, picture = where
    crop = crop_around(region, picture, sizes, detail)
    if picture[0] >= sizes.height and picture[1] >= sizes.width:
        assert min(crop.scale) >= 1
    else:
        enlarged = min(1, picture[0] / sizes.height, picture[1] / sizes.width)
        # Whole cells, and whole pixels of a side of 20 at least: either may be missed by half of one.
        assert min(crop.scale) >= enlarged * (1 - 0.5 / 20)


@given(regions(), st.sampled_from((SIZES, UPRIGHT)), st.integers(1, 8))
def test_a_picture_is_hardly_distorted(where, sizes, detail):
    region, picture = where
    down, across = crop_around(region, picture, sizes, detail).scale
    # A side is whole cells, of which the shortest window has 8, and whole pixels of the picture, at least 20.
    assert abs(np.log(down / across)) <= np.log(1 + 1 / 8 + 1 / 20)


@given(regions(), st.sampled_from((SIZES, UPRIGHT)), st.integers(1, 8))
def test_the_region_can_be_cut_out_of_the_canvas(where, sizes, detail):
    region, picture = where
    crop = crop_around(region, picture, sizes, detail)
    left, top, right, bottom = crop.drawn_part(region)
    # Pillow takes these as float32, in which what double precision overshoots by is nothing.
    assert 0 <= left < right and np.float32(right) <= crop.drawn[1]
    assert 0 <= top < bottom and np.float32(bottom) <= crop.drawn[0]
    assert resized_part(np.zeros(crop.drawn, np.float32), (2, 3), crop.drawn_part(region)).shape == (2, 3)


def test_a_small_region_is_drawn_at_the_pictures_own_size():
    crop = crop_around(Box(300, 200, 40, 30), (600, 800), SIZES, 2)
    assert crop.scale == (1, 1) and crop.drawn == (128, 128)
    assert crop.box == Box(300 + (40 - 128) // 2, 200 + (30 - 128) // 2, 128, 128), "it lies in the middle"


def test_a_large_region_is_drawn_with_as_many_windows_as_detail_says():
    region = Box(1000, 500, 2000, 1000)
    for detail, longest in ((1, 128), (2, 192), (4, 320)):
        crop = crop_around(region, (4000, 5000), SIZES, detail)
        assert crop.drawn[1] == longest and crop.scale[1] == pytest.approx(SURROUNDINGS * 2000 / longest, rel=1e-3)
        assert crop.box.width == round(SURROUNDINGS * 2000)


def test_at_the_edge_the_surroundings_lie_on_the_other_side():
    crop = crop_around(Box(0, 570, 60, 30), (600, 800), SIZES, 2)
    assert crop.box == Box(0, 472, 128, 128)


def test_a_picture_smaller_than_a_window_is_enlarged_to_one():
    crop = crop_around(Box(10, 10, 5, 5), (64, 32), SIZES, 2)
    assert crop.scale == (0.25, 0.25) and crop.drawn == (128, 128) and crop.box == Box(0, 0, 32, 32)


def test_a_region_nearly_as_large_as_the_picture_is_seen_with_all_of_it():
    """Whole cells of 8 cover 1437 of 1490 pixels at the scale of the other side; the crop takes all of them."""
    crop = crop_around(Box(0, 0, 1490, 1000), (1000, 1490), SIZES, 2)
    assert crop.box == Box(0, 0, 1490, 1000) and crop.drawn == (128, 184)
