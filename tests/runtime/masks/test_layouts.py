"""The user's masks, brought to the size of a picture: nothing of them is cut off, and thin lines stay."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw

from wetgen.runtime.bundle.bundle import Bundle, check_layouts
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.masks.images import encode_mask
from wetgen.runtime.masks.regions import connected_components
from wetgen.runtime.masks.resize import read_layout, resize_mask

TABLE = ClassTable(("background", "crack", "stain", "mold"))

masks = arrays.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20)), elements=st.integers(0, 3))
sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))


@given(masks)
def test_a_mask_of_the_size_is_taken_as_it_is(mask):
    assert resize_mask(mask, mask.shape) is mask


@given(masks, sizes)
def test_every_class_of_the_fitted_mask_is_one_of_the_given_one(mask, size):
    made = resize_mask(mask, size)
    assert made.shape == size and made.dtype == np.uint8
    assert set(np.unique(made)) <= {0, *np.unique(mask)}


@given(masks, sizes, st.integers(0, 3))
def test_a_mask_of_one_class_stays_one(mask, size, class_id):
    assert (resize_mask(np.full_like(mask, class_id), size) == class_id).all()


@st.composite
def whole_times_larger(draw):
    """A mask of one class, and a size that it is 1, 2 or 4 times as large as; such shares are exact in float32."""
    size = draw(st.tuples(st.integers(2, 5), st.integers(2, 5)))
    times = draw(st.tuples(st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4])))
    shape = (size[0] * times[0], size[1] * times[1])
    return draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, 1))), size


@given(whole_times_larger())
def test_rows_and_columns_are_treated_alike(given):
    mask, size = given
    np.testing.assert_array_equal(resize_mask(np.ascontiguousarray(mask.T), size[::-1]).T, resize_mask(mask, size))


@given(masks, st.integers(1, 4), st.integers(1, 4))
def test_a_mask_made_larger_by_whole_numbers_repeats_its_pixels(mask, down, across):
    larger = resize_mask(mask, (mask.shape[0] * down, mask.shape[1] * across))
    np.testing.assert_array_equal(larger, mask.repeat(down, 0).repeat(across, 1))


@pytest.mark.parametrize("covered, damaged", [(0, False), (4, False), (5, True), (16, True)])
def test_a_pixel_is_damaged_when_three_tenths_of_it_are(covered, damaged):
    """By hand: the left of two pixels of 4 x 4 is damaged wholly, of the right one so many of 16 pixels."""
    mask = np.zeros((4, 8), np.uint8)
    mask[:, :4] = 1
    mask[:, 4:].T.flat[:covered] = 1  # column by column, so that it is the border of a patch
    assert resize_mask(mask, (1, 2)).tolist() == [[1, int(damaged)]]


@pytest.mark.parametrize("covered, damaged", [(29, False), (30, True)])
def test_exactly_three_tenths_are_enough(covered, damaged):
    mask = np.zeros((10, 20), np.uint8)
    mask[:, :10] = 2
    mask[:, 10:].T.flat[:covered] = 2
    assert resize_mask(mask, (1, 2)).tolist() == [[2, 2 * damaged]]


def test_a_damaged_pixel_has_the_class_of_the_larger_part():
    """The classes count together for whether it is damaged: 2 and 4 of 16 pixels are six sixteenths."""
    mask = np.zeros((4, 8), np.uint8)
    mask[:, 4:] = 3
    mask[0, :4], mask[1, :2] = 1, 2
    assert resize_mask(mask, (1, 2)).tolist() == [[1, 3]]
    mask[2, :4] = 2
    assert resize_mask(mask, (1, 2)).tolist() == [[2, 3]]


def test_parts_of_pixels_count_by_their_area():
    """Three columns to two: the middle one lies half in each."""
    assert resize_mask(np.array([[1, 0, 0]], np.uint8), (1, 2)).tolist() == [[1, 0]]
    assert resize_mask(np.array([[0, 1, 0]], np.uint8), (1, 2)).tolist() == [[1, 1]]  # a third of each
    assert resize_mask(np.array([[2, 1, 0]], np.uint8), (1, 2)).tolist() == [[2, 1]]


def test_a_mask_of_other_proportions_is_stretched():
    mask = np.zeros((60, 40), np.uint8)
    mask[:30, 20:] = 1
    made = resize_mask(mask, (20, 80))
    expected = np.zeros((20, 80), np.uint8)
    expected[:10, 40:] = 1
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("wide", [1, 2, 3])
@pytest.mark.parametrize("first", range(4))
def test_a_level_line_made_four_times_smaller_stays_one_line(wide, first):
    mask = np.zeros((64, 64), np.uint8)
    mask[20 + first : 20 + first + wide] = 1
    made = resize_mask(mask, (16, 16))
    rows = np.flatnonzero(made.any(1))
    assert len(rows) == 1 or (len(rows) == 2 and wide == 3)
    assert (made[rows] == 1).all()
    assert 4 * rows[0] < 20 + first + wide and 20 + first < 4 * (rows[-1] + 1)  # where the line is


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_a_line_along_the_edge_of_the_picture_stays(side):
    place = {"left": np.s_[:, 0], "right": np.s_[:, -1], "top": np.s_[0], "bottom": np.s_[-1]}[side]
    mask, expected = np.zeros((64, 64), np.uint8), np.zeros((16, 16), np.uint8)
    mask[place] = expected[place] = 1
    np.testing.assert_array_equal(resize_mask(mask, (16, 16)), expected)


@pytest.mark.parametrize("wide", [1, 2, 3])
@pytest.mark.parametrize("turned", range(0, 180, 11))
def test_a_slanting_line_made_four_times_smaller_stays_in_one_piece(wide, turned):
    drawn, angle = Image.new("L", (256, 256)), np.deg2rad(turned)
    along = np.array([np.cos(angle), np.sin(angle)])
    ImageDraw.Draw(drawn).line([tuple(127 - 100 * along), tuple(127 + 100 * along)], 1, wide)
    made = resize_mask(np.array(drawn), (64, 64))
    (line,) = connected_components(made)  # which hold together by sides or corners
    assert max(line.height, line.width) >= 100 * 2 * np.abs(along).max() / 4 - 2
    assert (made > 0).sum() <= 1.6 * 50  # 50 pixels long and about one wide, where a slanting line has corners


def test_specks_go_and_patches_keep_their_size():
    mask = np.zeros((64, 64), np.uint8)
    mask[5, 5] = 1  # a sixteenth of a pixel
    mask[20:40, 20:40] = 2
    made = resize_mask(mask, (16, 16))
    expected = np.zeros((16, 16), np.uint8)
    expected[5:10, 5:10] = 2
    np.testing.assert_array_equal(made, expected)


def test_a_file_is_read_and_fitted(tmp_path):
    mask = np.zeros((64, 48), np.uint8)
    mask[:32, 24:] = 3
    (tmp_path / "m.png").write_bytes(encode_mask(mask))
    made = read_layout(tmp_path / "m.png", TABLE, (32, 24))
    np.testing.assert_array_equal(made, mask[::2, ::2])


@pytest.mark.parametrize(
    "name, save, what",
    [
        ("rgb.png", lambda path: Image.new("RGB", (8, 8)).save(path), "is a RGB picture"),
        ("palette.png", lambda path: Image.new("P", (8, 8)).save(path), "is a palette picture"),
        ("deep.png", lambda path: Image.fromarray(np.zeros((8, 8), np.uint16)).save(path), "is a 16-bit mask"),
        ("photo.jpg", lambda path: Image.new("L", (8, 8)).save(path), "is a JPEG file, and a mask must be lossless"),
        ("renamed.png", lambda path: Image.new("L", (8, 8)).save(path, "JPEG"), "is a JPEG file"),
        ("ids.png", lambda path: Image.fromarray(np.full((8, 8), 4, np.uint8)).save(path), "lacks: 4 (64 pixels)"),
        ("ignored.png", lambda path: Image.fromarray(np.full((8, 8), 255, np.uint8)).save(path), "lacks: 255"),
        ("text.png", lambda path: path.write_text("crack"), "is not a PNG file"),
        ("missing.png", lambda path: None, "could not be read"),
    ],
)
def test_what_is_no_mask_of_the_class_table_is_named(tmp_path, name, save, what):
    save(tmp_path / name)
    with pytest.raises(WetgenError) as caught:
        read_layout(tmp_path / name, TABLE, (8, 8))
    assert caught.value.what.startswith(str(tmp_path / name)) and what in caught.value.what


def test_a_bundle_of_images_only_takes_no_layouts(bundle, images_only_folder):
    check_layouts(bundle)
    with pytest.raises(WetgenError, match="takes no layouts"):
        check_layouts(Bundle.open(images_only_folder))
