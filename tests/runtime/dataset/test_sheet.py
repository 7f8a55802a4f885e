"""The contact sheet."""

import numpy as np
import pytest

from wetgen.runtime.dataset.sheet import Tile, contact_sheet, overlay, small
from wetgen.runtime.masks.classes import ClassTable, colour
from wetgen.training.scenes.scene import CLASSES


def tiles(count, height=32, width=32, label="a prompt"):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    return [
        Tile(image, np.full((height, width), number % 10, np.uint8), f"{number}: {label}") for number in range(count)
    ]


def test_the_overlay_colours_damage_and_leaves_the_background():
    image = np.full((2, 2, 3), 100, np.uint8)
    mask = np.array([[0, 1], [2, 0]], np.uint8)
    over = overlay(image, mask)
    assert (over[mask == 0] == 100).all()
    for id in (1, 2):
        np.testing.assert_allclose(over[mask == id][0], 0.45 * 100 + 0.55 * np.array(colour(id)), atol=0.51)


def has_colour(sheet, id):
    return bool((sheet == np.array(colour(id), np.uint8)).all(axis=-1).any())


@pytest.mark.parametrize("count", [0, 1, 5, 24])
@pytest.mark.parametrize("size", [(32, 32), (640, 480), (16, 300)])
def test_any_number_and_size_of_pairs_fits(count, size):
    sheet = contact_sheet(tiles(count, *size), CLASSES)
    assert sheet.dtype == np.uint8 and sheet.ndim == 3
    assert all(has_colour(sheet, id) for id in range(1, 10))  # the legend is whole


def test_long_labels_and_other_scripts_do_not_break_the_layout():
    plain = contact_sheet(tiles(2), CLASSES).shape
    for label in ("a very long prompt " * 30, "x" * 500, "", "Schimmel 黴 🧱 \u2028"):
        assert contact_sheet(tiles(2, label=label), CLASSES).shape == plain


@pytest.mark.parametrize("size, shown", [((640, 480), (192, 144)), ((100, 1000), (19, 192)), ((1, 4000), (1, 192))])
def test_a_photograph_is_kept_at_the_size_it_is_shown_at(size, shown):
    (tile,) = tiles(1, *size)
    tile = tile._replace(mask=np.random.default_rng(0).choice([0, 9], size).astype(np.uint8))
    made = small(tile)
    assert made.image.shape == (*shown, 3) and made.mask.shape == shown and made.label == tile.label
    assert set(np.unique(made.mask)) == {0, 9}  # ids are never mixed
    assert contact_sheet([made], CLASSES).shape == contact_sheet([tile], CLASSES).shape


@pytest.mark.parametrize("size", [(32, 32), (192, 192), (192, 5)])
def test_a_picture_that_is_no_larger_is_kept_as_it_is(size):
    (tile,) = tiles(1, *size)
    assert small(tile) is tile
    assert small(tile._replace(mask=None)).mask is None


def test_a_photograph_without_a_mask_is_made_small_too():
    (tile,) = tiles(1, 400, 300)
    made = small(tile._replace(mask=None))
    assert made.image.shape == (192, 144, 3) and made.mask is None


def test_images_without_masks_stand_alone():
    rng = np.random.default_rng(0)
    alone = [Tile(rng.integers(0, 256, (32, 32, 3), np.uint8), None, "0: x")]
    sheet = contact_sheet(alone, None)
    assert sheet.shape[1] == 192 + 20 and not has_colour(sheet, 1)


def test_a_table_of_many_classes_wraps_its_legend():
    many = ClassTable(("background", *(f"a class with a long name {number}" for number in range(60))))
    sheet = contact_sheet(tiles(1), many)
    assert sheet.shape[0] > sheet.shape[1]
