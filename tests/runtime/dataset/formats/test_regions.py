"""Regions, their run lengths and their outlines, against pycocotools and against themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask
from scipy import ndimage

from wetgen.runtime.dataset.formats.polygons import filled, outline
from wetgen.runtime.masks.images import Pixels
from wetgen.runtime.masks.regions import Component, connected_components, label_components, label_holes
from wetgen.runtime.masks.rle import compress, decode, decompress, encode, encode_component

# Of pycocotools 2.0.11 with numpy 2, in its compiled part.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

SHAPES = st.tuples(st.integers(1, 14), st.integers(1, 14))
MASKS = arrays(np.uint8, SHAPES, elements=st.sampled_from([0, 0, 1, 1, 1, 2, 255]))


def whole(region: Component, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    pixels = np.zeros(shape, bool)
    pixels[region.top : region.top + region.height, region.left : region.left + region.width] = region.pixels
    return pixels


def flooded(mask: Pixels) -> set[frozenset[tuple[int, int]]]:
    """The 8-connected components found pixel by pixel."""
    todo = {(y, x) for y, x in np.argwhere((mask != 0) & (mask != 255)).tolist()}
    found = set()
    while todo:
        component, edge = set(), [todo.pop()]
        while edge:
            y, x = edge.pop()
            component.add((y, x))
            near = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & todo
            for place in [place for place in near if mask[place] == mask[y, x]]:
                todo.remove(place)
                edge.append(place)
        found.add(frozenset(component))
    return found


@given(MASKS)
def test_regions_are_the_components_of_one_class_with_eight_neighbours(mask: Pixels) -> None:
    found = connected_components(mask)
    assert {frozenset(map(tuple, np.argwhere(whole(r, mask.shape)).tolist())) for r in found} == flooded(mask)
    for region in found:
        assert set(mask[whole(region, mask.shape)].tolist()) == {region.class_id}
        assert region.area == whole(region, mask.shape).sum()
        assert region.pixels.any(0).all() or region.pixels.any(0)[[0, -1]].all()  # the rectangle is the smallest
        assert region.pixels.any(1).all()


@given(MASKS)
def test_numbers_are_those_of_the_regions_in_their_order(mask: Pixels) -> None:
    numbers, areas = label_components(mask)
    found = connected_components(mask)
    assert areas.tolist() == [0, *(region.area for region in found)]
    for number, region in enumerate(found, 1):
        np.testing.assert_array_equal(numbers == number, whole(region, mask.shape))
    assert numbers.max() == len(found)


@given(MASKS)
def test_by_four_neighbours_regions_hold_together_by_sides_alone(mask: Pixels) -> None:
    numbers, areas = label_components(mask, corners=False)
    expected = 0
    for id in set(mask.ravel().tolist()) - {0, 255}:
        labels, count = ndimage.label(mask == id)  # four neighbours are its default
        expected += count
        for label in range(1, count + 1):
            (number,) = set(numbers[labels == label].tolist())
            assert areas[number] == (labels == label).sum() == (numbers == number).sum()
    assert len(areas) == expected + 1


@given(MASKS)
def test_holes_are_what_a_filled_region_has_more_than_the_region(mask: Pixels) -> None:
    for region in connected_components(mask):
        holes = label_holes(region)
        np.testing.assert_array_equal(holes > 0, ndimage.binary_fill_holes(region.pixels) & ~region.pixels)
        labels, count = ndimage.label(holes > 0)
        assert len(set(zip(labels[labels > 0].tolist(), holes[labels > 0].tolist(), strict=True))) == count
        assert len(set(holes[holes > 0].tolist())) == count


def test_a_hole_is_shut_off_by_corners_and_open_at_the_edge() -> None:
    (diamond,) = connected_components(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.uint8))
    assert (label_holes(diamond) > 0).tolist() == [[False] * 3, [False, True, False], [False] * 3]
    flag = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1], [1, 0, 0], [1, 0, 0], [1, 0, 0]], np.uint8)
    for turned in (np.rot90(side, turns) for side in (flag, flag[::-1]) for turns in range(4)):
        assert (label_holes(connected_components(turned)[0]) > 0).sum() == 1
    (bay,) = connected_components(np.array([[1, 1, 1], [1, 0, 1], [1, 0, 1]], np.uint8))
    assert not label_holes(bay).any()


def test_a_diagonal_hairline_is_one_region_and_apart_are_two() -> None:
    line = np.eye(5, dtype=np.uint8)
    assert len(connected_components(line)) == 1
    line[2] = 0
    assert [(r.left, r.top) for r in connected_components(line)] == [(0, 0), (3, 3)]


def test_a_mask_without_damage_has_no_regions() -> None:
    assert connected_components(np.zeros((3, 4), np.uint8)) == []
    assert connected_components(np.full((3, 4), 255, np.uint8)) == []


@given(MASKS)
def test_run_lengths_are_those_of_pycocotools(mask: Pixels) -> None:
    for region in connected_components(mask):
        pixels = whole(region, mask.shape)
        counts = encode_component(region, *mask.shape)
        assert counts == encode(pixels) == decompress(compress(counts))
        assert compress(counts) == coco_mask.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"].decode()
        np.testing.assert_array_equal(decode(counts, *mask.shape), pixels)


def test_long_and_short_runs_follow_one_another() -> None:
    """Differences of either sign and of several groups of five bits."""
    counts = [0, 70_000, 1, 3, 1_000, 69_000, 16, 15, 17]
    pixels = decode(counts, sum(counts), 1)
    assert decompress(compress(counts)) == counts
    assert compress(counts) == coco_mask.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"].decode()


@pytest.mark.parametrize("text", ["\x1f", "é", "o", "3P"])
def test_a_string_of_another_kind_is_no_run_lengths(text: str) -> None:
    with pytest.raises(ValueError, match=r"has the character|cut off"):
        decompress(text)


@pytest.mark.parametrize("counts", [[3], [5, 3], [-1, 7], []])
def test_run_lengths_must_fill_the_picture(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="of 6"):
        decode(counts, 2, 3)


@given(MASKS)
def test_an_outline_holds_exactly_its_region(mask: Pixels) -> None:
    for region in connected_components(mask):
        pixels, polygon = whole(region, mask.shape), outline(region)
        x, y = polygon.T
        # Clockwise on a screen; holes turn the other way and are taken off by the same sum.
        assert (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2 == region.area
        np.testing.assert_array_equal(filled(polygon, *mask.shape), pixels)
        encoded = coco_mask.merge(coco_mask.frPyObjects([polygon.ravel().tolist()], *mask.shape))
        np.testing.assert_array_equal(coco_mask.decode(encoded).astype(bool), pixels)


@given(MASKS)
def test_an_inset_outline_stays_in_its_region(mask: Pixels) -> None:
    for region in connected_components(mask):
        pixels, polygon = whole(region, mask.shape), outline(region, 1 / 64)
        columns, rows = np.floor(polygon).astype(int).T
        assert pixels[rows, columns].all()
        np.testing.assert_array_equal(filled(polygon, *mask.shape), pixels)


def test_an_outline_has_no_needless_points() -> None:
    square = connected_components(np.pad(np.ones((3, 5), np.uint8), 2))[0]
    assert outline(square).tolist() == [[7, 2], [7, 5], [2, 5], [2, 2]]


def test_a_ring_is_a_keyhole() -> None:
    ring = np.ones((3, 3), np.uint8)
    ring[1, 1] = 0
    # Along the top, right, bottom, up the left side to the cut, in, around the hole, out, up.
    assert outline(connected_components(ring)[0]).tolist() == [
        *([3, 0], [3, 3], [0, 3]),
        *([0, 1.5], [1, 1.5], [1, 2], [2, 2], [2, 1], [1, 1], [1, 1.5]),
        *([0, 1.5], [0, 0]),
    ]


def test_a_hole_that_bends_around_is_cut_in_from_outside_and_not_from_itself() -> None:
    bent = np.ones((7, 7), np.uint8)
    bent[1:6, 1] = bent[5, 1:6] = bent[1:6, 5] = 0  # a U; between its arms hangs a part of the region
    np.testing.assert_array_equal(filled(outline(connected_components(bent)[0]), 7, 7), bent > 0)


def test_a_row_of_a_thousand_holes_is_cut_in_hole_by_hole() -> None:
    comb = np.ones((3, 2001), np.uint8)
    comb[1, 1::2] = 0
    region = connected_components(comb)[0]
    np.testing.assert_array_equal(filled(outline(region), 3, 2001), comb > 0)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(-4, 20), st.integers(-4, 20)), min_size=3, max_size=6))
def test_filling_agrees_with_another_painter_away_from_the_edges(points: list[tuple[int, int]]) -> None:
    """Of polygons with corners in pixel centres both must see the same inside; edges are a matter of rule."""
    polygon = np.array(points, np.float64) + 0.5
    mine = filled(polygon, 16, 16)
    canvas = Image.new("L", (16, 16))
    ImageDraw.Draw(canvas).polygon([(x, y) for x, y in points], fill=1)
    near = np.zeros((16, 16), bool)
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        for way in np.linspace(0, 1, 60):
            x, y = x0 + way * (x1 - x0), y0 + way * (y1 - y0)
            near[max(0, int(y)) : max(0, int(y) + 2), max(0, int(x)) : max(0, int(x) + 2)] = True
    np.testing.assert_array_equal(mine[~near], np.asarray(canvas)[~near] > 0)
