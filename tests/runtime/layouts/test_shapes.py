"""Shapes: how much they cover, that they grow, and that each looks as its class does."""

import dataclasses
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from wetgen.runtime.layouts.shapes import MARGIN, first_pixels, growth
from wetgen.runtime.masks.classes import TYPICAL
from wetgen.runtime.masks.regions import connected_components
from wetgen.training.mask_statistics import measure
from wetgen.training.scenes.scene import CLASSES

KINDS = (*CLASSES.names[1:], "lichen")
GOLDEN = Path(__file__).parents[2] / "golden" / "shapes.json"
TABLE = dataclasses.replace(CLASSES, names=("background", "it"))


def draw(kind, size=(96, 128), area=0.2, seed=0, statistics=None, *, side=None, within=None):
    """A shape that covers the share `area` of a rectangle."""
    side = min(size) if side is None else side
    order = growth(kind, size, statistics, np.random.default_rng(seed), side=side)
    return first_pixels(order, round(area * order.size), within)


def figures(kind, seeds=range(6), **more):
    return measure((draw(kind, seed=seed, **more).astype(np.uint8) for seed in seeds), TABLE)["it"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(96, 128), (40, 24), (300, 700)])
def test_the_area_is_met(kind, size):
    pixels = size[0] * size[1]
    for area in (0.02, 0.1, 0.5):
        found = np.count_nonzero(draw(kind, size, area, 3))
        # All grow pixel by pixel but tiles, of which a column comes up at once.
        step = max(size) if kind == "lifted" else 2
        assert area * pixels - 1 <= found <= area * pixels + step, (area, found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_smaller_shape_is_a_part_of_a_larger_one(kind):
    for seed in range(2):
        shapes = [draw(kind, (60, 80), area, seed) for area in (0.002, 0.01, 0.05, 0.2, 0.5, 0.9, 1.0)]
        for smaller, larger in pairwise(shapes):
            assert not (smaller & ~larger).any() and np.count_nonzero(smaller) < np.count_nonzero(larger)


@pytest.mark.parametrize("kind", KINDS)
def test_the_edge_stays_free_until_there_is_no_other_room(kind):
    shape = (40, 50)
    inside = (40 - 2 * MARGIN) * (50 - 2 * MARGIN) / (40 * 50)
    full = draw(kind, shape, inside, 1)
    assert full[MARGIN:-MARGIN, MARGIN:-MARGIN].all() and np.count_nonzero(full) == round(inside * 2000)
    assert draw(kind, shape, 1.0, 1).all() and not draw(kind, shape, 0.0, 1).any()
    beyond = np.count_nonzero(draw(kind, shape, inside + 0.05, 1))
    assert 0 <= beyond - round((inside + 0.05) * 2000) <= 40  # a row along the edge may come at once


@pytest.mark.parametrize("kind", KINDS)
def test_only_allowed_pixels_are_covered_and_the_area_is_made_up_there(kind):
    within = np.zeros((96, 128), bool)
    within[:, 70:] = True
    shape = draw(kind, area=0.2, within=within)
    assert not (shape & ~within).any()
    assert 0 <= np.count_nonzero(shape) - round(0.2 * shape.size) <= 128  # a column of a tile
    assert np.array_equal(draw(kind, area=1.0, within=within), within)


def test_other_random_numbers_give_other_shapes_and_the_same_the_same():
    for kind in KINDS:
        assert np.array_equal(draw(kind, seed=1), draw(kind, seed=1))
        assert not np.array_equal(draw(kind, seed=1), draw(kind, seed=2))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("crack", "mold")])
def test_a_shape_keeps_its_form_at_another_size(kind):
    """A crack is thin in pixels, and mold is specks of few pixels: both differ by their outlines."""
    small = draw(kind, (64, 80), 0.3, 4)
    large = draw(kind, (512, 640), 0.3, 4).reshape(64, 8, 80, 8).mean((1, 3)) >= 0.5
    assert (small & large).sum() / (small | large).sum() > 0.8  # outlines differ by a pixel


def test_a_crack_is_one_thin_line_that_grows_in_length_and_then_in_width():
    thin, whole, wide = (draw("crack", (200, 200), area, 5) for area in (0.004, 0.018, 0.06))
    for shape in (thin, whole, wide):
        assert len(connected_components(shape.astype(np.uint8))) == 1
    sides = [np.ptp(np.argwhere(shape), axis=0).max() for shape in (thin, whole, wide)]
    assert 2 * sides[0] < sides[1] and sides[2] < 1.1 * sides[1]
    found = [measure([shape.astype(np.uint8)], TABLE)["it"].thickness[2] * 200 for shape in (thin, whole, wide)]
    assert found[0] < 2.2 and found[1] < 2.2, "two pixels: hairlines have 0.8 % of the side"
    assert found[2] > 1.7 * found[1]


def test_a_crack_is_as_thin_as_its_class_in_the_whole_picture():
    thick = dataclasses.replace(TYPICAL, thickness=(0.03,) * 5)
    widths = [
        measure([draw("crack", (200, 200), area, 5, thick, side=side).astype(np.uint8)], TABLE)["it"].thickness[2] * 200
        for area, side in ((0.01, 100), (0.02, 200))
    ]
    np.testing.assert_allclose(widths, (3, 6), rtol=0.25)  # rounded ends and corners count as perimeter


def test_a_crack_follows_the_longer_side_and_leans_where_there_is_room():
    assert figures("crack", size=(200, 60), area=0.05).orientation[2] > 70
    assert figures("crack", size=(60, 200), area=0.05).orientation[2] < 20


def test_a_stain_and_efflorescence_run_down_and_not_up():
    """Narrow parts hang below: the lower half's outline is longer than the upper half's."""
    for kind in ("stain", "efflorescence", "corrosion"):
        below = above = 0.0
        for seed in range(12):
            shape = draw(kind, (160, 160), 0.25, seed)
            middle = int(np.median(np.argwhere(shape)[:, 0]))
            columns = np.count_nonzero(np.diff(shape.astype(int), axis=1), axis=1)
            above, below = above + columns[:middle].sum(), below + columns[middle:].sum()
        assert below > above, kind


def test_corrosion_comes_from_one_point_and_stands():
    runs = figures("corrosion", size=(160, 160), area=0.12)
    assert runs.orientation[2] > 60 and runs.elongation[2] > 1.4
    for seed in range(6):
        traces = draw("corrosion", (160, 160), 0.01, seed)
        assert np.argwhere(traces)[:, 0].mean() < 60, "the point lies in the upper part"


def test_a_puddle_lies_flat_and_smooth():
    for size in ((100, 160), (160, 160)):
        pool = figures("puddle", size=size, area=0.25)
        assert pool.orientation[2] < 20 and pool.elongation[2] > 1.25 and pool.roughness[3] < 1.6
    assert figures("puddle", size=(160, 160), area=0.2).height[2] > 0.52, "at the foot of a box that is too tall"


def test_mold_and_efflorescence_are_spots_and_clouds_where_stains_are_patches():
    rough = {kind: figures(kind, size=(128, 128)).roughness[2] for kind in ("mold", "efflorescence", "stain", "puddle")}
    assert min(rough["mold"], rough["efflorescence"]) > 2 * rough["stain"] > 2 * rough["puddle"]
    counts = [len(connected_components(draw("mold", (128, 128), 0.2, seed).astype(np.uint8))) for seed in range(5)]
    assert min(counts) > 15, "specks stand around the colonies"


def test_lifted_tiles_have_straight_edges():
    """A mask of rectangles hardly changes under an opening that eats every bulge narrower than nine pixels."""
    for seed in range(5):
        tiles = draw("lifted", (160, 160), 0.3, seed)
        assert len(connected_components(tiles.astype(np.uint8))) <= 2  # a tile at the picture's edge may come up apart
        lifted = figures("lifted", seeds=[seed], size=(160, 160), area=0.3)
        assert lifted.roughness[2] < 4 and lifted.roughness[2] > 1.1, "no disc, no fringe"


def test_lifted_tiles_hang_together_while_they_come_up():
    for seed in range(4):
        for area in np.linspace(0.05, 0.3, 8):
            tiles = draw("lifted", (120, 120), float(area), seed)
            (largest, *_) = sorted(
                (region.area for region in connected_components(tiles.astype(np.uint8))), reverse=True
            )
            assert largest > 0.95 * np.count_nonzero(tiles), (seed, area)


@pytest.mark.parametrize("kind", ["stain", "mold", "spalling", "lichen"])
def test_rougher_statistics_give_rougher_outlines(kind):
    rough = [figures(kind, statistics=dataclasses.replace(TYPICAL, roughness=(r,) * 5)).roughness[2] for r in (1, 60)]
    assert rough[1] > 1.4 * rough[0]


def test_longer_statistics_give_longer_shapes_in_the_same_box():
    found = [
        figures("lichen", size=(128, 128), statistics=dataclasses.replace(TYPICAL, elongation=(e,) * 5)).elongation[2]
        for e in (1, 3)
    ]
    assert found[0] < 1.6 < 2 < found[1]


def test_golden_shapes(request):
    """Small shapes of all kinds; a library's rounding may move pixels of the outline, two in a shape."""
    got = {kind: rows(draw(kind, (20, 24), 0.3, 9)) for kind in KINDS}
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(json.dumps(got, indent=1) + "\n")
    for kind, expected in json.loads(GOLDEN.read_text()).items():
        moved = sum(a != b for a, b in zip("".join(got[kind]), "".join(expected), strict=True))
        assert moved <= 2, kind


def rows(shape: np.ndarray) -> list[str]:
    return ["".join("#" if pixel else "." for pixel in row) for row in shape]
