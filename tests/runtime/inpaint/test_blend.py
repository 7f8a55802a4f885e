"""What is laid into a picture: damage, and nothing of the surface that it was drawn on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from wetgen.runtime.inpaint.blend import _APART, PaintedImage, apply_overlay, difference_overlay, dilated
from wetgen.runtime.inpaint.crop import CropRegion
from wetgen.runtime.masks.regions import Box
from wetgen.runtime.sampling.tiled import Drawn

SIDE = 64
ALL = np.ones((SIDE, SIDE), bool)
NOWHERE = np.zeros((SIDE, SIDE), np.uint8)


def square(top: int, left: int, height: int, width: int, side: int = SIDE) -> np.ndarray:
    """bool (side, side)."""
    region = np.zeros((side, side), bool)
    region[top : top + height, left : left + width] = True
    return region


def drawn(image: np.ndarray, mask: np.ndarray) -> Drawn:
    return Drawn(image.astype(np.uint8), mask.astype(np.uint8), np.full(mask.shape, 200, np.uint8))


def surface(level: int = 120, side: int = SIDE) -> np.ndarray:
    """uint8 (side, side, 3) with some grain."""
    grain = np.random.default_rng(0).integers(-20, 20, (side, side, 3))
    return (level + grain).astype(np.uint8)


def damaged(region: np.ndarray, by: int = 50, shift: int = 0, side: int = SIDE) -> np.ndarray:
    """The surface, all of it brighter by `shift`, and darker by `by` where there is damage."""
    return (surface(side=side).astype(int) + shift - by * region[..., None]).astype(np.uint8)


CLEAN = drawn(surface(), NOWHERE)


@pytest.mark.parametrize("mask", [NOWHERE, square(20, 20, 20, 20) * 2])
def test_a_picture_that_equals_the_clean_one_adds_nothing_and_masks_nothing(mask):
    made = difference_overlay(drawn(surface(), mask), CLEAN, ALL, mask > 0)
    assert not made.added.any() and not made.mask.any()


@pytest.mark.parametrize("shift", [-30, 0, 30])
@pytest.mark.parametrize("size", [4, 20, 44])
def test_a_shift_of_all_colours_is_taken_off_inside_damage_and_outside(shift, size):
    region = square(10, 10, size, size)
    made = difference_overlay(drawn(damaged(region, 50, shift), region * 3), CLEAN, ALL, region)
    np.testing.assert_array_equal(made.mask, region * 3)
    inside = square(12, 12, size - 4, size - 4)
    np.testing.assert_allclose(made.added[inside], -50, atol=0.1)  # the shift is a constant, and float32 has 7 digits
    assert not made.added[~square(6, 6, size + 8, size + 8)].any(), "four pixels off nothing is added"


def test_a_shift_is_taken_off_in_the_middle_of_damage_however_large():
    """No clean surface lies within reach of the smoothing there."""
    side = 192
    region = square(16, 16, 160, 160, side)
    clean = drawn(surface(side=side), np.zeros((side, side)))
    made = difference_overlay(drawn(damaged(region, 60, 25, side), region), clean, np.ones((side, side), bool), region)
    np.testing.assert_allclose(made.added[region & square(18, 18, 156, 156, side)], -60, atol=0.1)


def test_a_shift_that_changes_slowly_is_taken_off_where_it_was_seen():
    """The decoder misses the colour by 0 on the left and 40 on the right; the damage is 50 everywhere."""
    ramp = np.round(np.linspace(0, 40, SIDE))[None, :, None]
    region = square(26, 0, 12, SIDE)
    image = surface().astype(int) + ramp - 50 * region[..., None]
    made = difference_overlay(drawn(image, region), CLEAN, ALL, region)
    ends = made.added[30:34, 2].mean(), made.added[30:34, -3].mean()
    # Within a smoothing radius of 12 pixels the ramp changes by 8; at the sides one half of that is not seen.
    assert ends == pytest.approx((-50, -50), abs=8)


frees = arrays.arrays(bool, (12, 12)).map(lambda cells: cells.repeat(3, 0).repeat(3, 1))
masks = arrays.arrays(np.uint8, (12, 12), elements=st.integers(0, 3)).map(lambda cells: cells.repeat(3, 0).repeat(3, 1))


@settings(max_examples=40, deadline=None)  # machines are busy at times
@given(frees, masks, st.integers(0, 2**32 - 1))
def test_where_nothing_is_free_nothing_is_added(free, mask, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (2, 36, 36, 3)).astype(np.uint8)
    clean = drawn(images[1], np.zeros((36, 36)))
    made = difference_overlay(drawn(images[0], mask), clean, free, np.ones((36, 36), bool))
    assert not made.added[~free].any() and not made.mask[~free].any()
    assert np.isfinite(made.added).all()


def test_damage_fades_out_before_its_region_ends():
    free = square(16, 16, 32, 32)
    made = difference_overlay(drawn(damaged(ALL, 80), ALL), CLEAN, free, free)
    rim = made.added[16, 20:44]
    assert (np.abs(rim) < 0.4 * 80).all(), "a pixel at the edge of the region is hardly changed"
    assert (made.added[32, 16:22, 0] <= 0).all() and (np.diff(made.added[32, 16:20, 0]) <= 0).all()


def test_damage_reaches_the_pictures_edge_undiminished():
    """The region ends there because the picture does: what lies beyond was never seen."""
    region = square(0, 20, 20, 20)
    made = difference_overlay(drawn(damaged(region, 50), region), CLEAN, ALL, region)
    np.testing.assert_allclose(made.added[0, 24:36], -50, atol=2.5)  # the damage's own softness takes 1 of 27 parts


@pytest.mark.parametrize(("by", "seen"), [(3, False), (5, False), (8, True), (40, True)])
def test_regions_that_nobody_would_see_leave_the_mask(by, seen):
    faint, strong = square(8, 8, 12, 12), square(36, 36, 12, 12)
    image = damaged(strong, 60).astype(int) - by * faint[..., None]
    made = difference_overlay(drawn(image, faint * 1 + strong * 2), CLEAN, ALL, faint | strong)
    assert (made.mask[strong] == 2).all() and (made.mask[faint] == (1 if seen else 0)).all()
    assert made.added[strong].any() and made.added[faint].any() == seen


def test_a_crack_one_pixel_wide_is_laid_as_dark_as_it_was_drawn():
    line = np.eye(SIDE, dtype=bool) & square(10, 10, 44, 44)
    made = difference_overlay(drawn(damaged(line), line), CLEAN, ALL, line)
    np.testing.assert_array_equal(made.mask, line)
    np.testing.assert_allclose(made.added[line], -50, atol=0.1)


def test_any_channel_can_show_damage():
    region = square(20, 20, 12, 12)
    image = surface().astype(int)
    image[..., 2] -= 12 * region  # a yellow stain: only blue is darker
    assert (difference_overlay(drawn(image, region), CLEAN, ALL, region).mask[region] == 1).all()


def test_damage_beside_the_wish_is_left_out():
    """A latent places damage by cells; what it draws beyond a few pixels has their outline, not that of damage."""
    wish, region = square(24, 24, 12, 12), square(10, 10, 44, 44)
    made = difference_overlay(drawn(damaged(region), region * 2), CLEAN, ALL, wish)
    np.testing.assert_array_equal(made.mask, dilated(wish, _APART) * 2)
    assert 1 <= _APART <= 4, "less than half a cell of the shipped bundle"
    assert not made.added[~square(18, 18, 24, 24)].any(), "it fades out within a few pixels"
    np.testing.assert_allclose(made.added[wish], -50, atol=0.1)


def test_damage_apart_from_the_wish_is_no_damage_and_no_surface():
    """It is not painted, and its colour is no measure of how far the surface's was missed."""
    wish, far = square(8, 8, 10, 10), square(40, 20, 16, 30)
    made = difference_overlay(drawn(damaged(wish | far), wish | far), CLEAN, ALL, wish)
    np.testing.assert_array_equal(made.mask, wish)
    assert not made.added[far].any()
    np.testing.assert_allclose(made.added[square(10, 10, 6, 6)], -50, atol=0.1)


def test_confidence_is_the_decoders():
    confidence = np.arange(SIDE * SIDE, dtype=np.uint32).reshape(SIDE, SIDE).astype(np.uint8)
    made = difference_overlay(Drawn(surface(), NOWHERE, confidence), CLEAN, ALL, ALL)
    np.testing.assert_array_equal(made.confidence, confidence)


# Laying it into the picture


def target(height: int = 90, width: int = 110) -> PaintedImage:
    picture = np.random.default_rng(1).integers(60, 200, (height, width, 3)).astype(np.uint8)
    return PaintedImage.over(picture)


@st.composite
def places(draw) -> tuple[CropRegion, Box, np.ndarray]:
    """A crop of a picture of 110 x 90 at any scale, a region in it, and which of its pixels may change."""
    width, height = draw(st.integers(1, 110)), draw(st.integers(1, 90))
    around = Box(draw(st.integers(0, 110 - width)), draw(st.integers(0, 90 - height)), width, height)
    inner_width, inner_height = draw(st.integers(1, width)), draw(st.integers(1, height))
    left, top = draw(st.integers(0, width - inner_width)), draw(st.integers(0, height - inner_height))
    box = Box(around.left + left, around.top + top, inner_width, inner_height)
    where = np.random.default_rng(draw(st.integers(0, 99))).random(box.size) < draw(st.sampled_from((0.0, 0.5, 1.0)))
    return CropRegion(around, (16, 16), (SIDE, SIDE)), box, where


@pytest.fixture(scope="module")
def wild():
    """A layer that changes every pixel, in every class."""
    rng = np.random.default_rng(2)
    mask = rng.integers(0, 4, (8, 8)).repeat(8, 0).repeat(8, 1)
    return difference_overlay(drawn(rng.integers(0, 256, (SIDE, SIDE, 3)), mask), CLEAN, ALL, ALL)


@settings(max_examples=60, deadline=None)
@given(places())
def test_every_pixel_outside_the_region_stays_byte_for_byte(wild, place):
    crop, box, where = place
    before, after = target(), target()
    apply_overlay(after, wild, crop, box, where)
    outside = np.ones((90, 110), bool)
    outside[box.slices] = ~where
    for name in ("image", "mask", "confidence"):
        np.testing.assert_array_equal(getattr(before, name)[outside], getattr(after, name)[outside])


def test_at_the_pictures_own_size_the_layer_is_added_as_it_is():
    painted = target(SIDE, SIDE)
    region = square(20, 24, 12, 16)
    made = difference_overlay(drawn(damaged(region), region * 2), CLEAN, ALL, region)
    crop = CropRegion(Box(0, 0, SIDE, SIDE), (16, 16), (SIDE, SIDE))
    before = painted.image.copy()
    apply_overlay(painted, made, crop, Box(0, 0, SIDE, SIDE), ALL)
    np.testing.assert_array_equal(painted.mask, region * 2)
    np.testing.assert_array_equal(painted.image, np.clip(np.round(before + made.added), 0, 255))
    np.testing.assert_array_equal(painted.confidence, made.confidence)


def test_a_pixel_is_the_class_that_covers_most_of_it():
    """Twice as large a canvas: of four pixels one, two or three are damage."""
    painted = target(32, 32)
    layer = np.zeros((SIDE, SIDE), np.uint8)
    layer[20:40, 20:31] = 1  # columns 10 to 14 of the picture whole, and half of column 15
    layer[20:40, 31:40] = 2
    made = difference_overlay(drawn(damaged(layer > 0), layer), CLEAN, ALL, layer > 0)
    crop = CropRegion(Box(0, 0, 32, 32), (16, 16), (SIDE, SIDE))
    apply_overlay(painted, made, crop, Box(0, 0, 32, 32), np.ones((32, 32), bool))
    mask = painted.mask
    assert (mask[12:18, 10:15] == 1).all() and (mask[12:18, 16:20] == 2).all() and not mask[:, 21:].any()
    assert set(np.unique(mask[12:18, 15])) <= {1, 2}, "a pixel between two classes is one of them"


def test_levels_end_at_black_and_white():
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[:, 32:] = 255
    region = square(16, 4, 32, 56)
    image = surface().astype(int)
    image[:, :32] -= 60 * region[:, :32, None]
    image[:, 32:] += 60 * region[:, 32:, None]
    made = difference_overlay(drawn(image, region), CLEAN, ALL, region)
    crop = CropRegion(Box(0, 0, SIDE, SIDE), (16, 16), (SIDE, SIDE))
    apply_overlay(PaintedImage.over(picture), made, crop, Box(0, 0, SIDE, SIDE), ALL)
    assert not picture[20:44, 6:26].any() and (picture[20:44, 38:58] == 255).all()
