"""Layouts: nested over severity, after the statistics, on their surfaces, and nothing hidden wholly."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from wetgen.runtime.bundle.archive import JSON_NAME
from wetgen.runtime.bundle.bundle import SHIPPED
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.layouts.boxes import BoxDamage
from wetgen.runtime.layouts.layout import draw_layout, fill, random_layout, stream
from wetgen.runtime.layouts.surfaces import SurfaceLines, allowed_map, parse_lines
from wetgen.runtime.masks.classes import TYPICAL, ClassTable, area_for, statistics_from_json
from wetgen.runtime.masks.regions import Box
from wetgen.runtime.sampling.sampler import starting_noise
from wetgen.training.mask_statistics import measure
from wetgen.training.scenes.scene import CLASSES

SIZE = (72, 96)
STEPS = (0, 0.25, 0.5, 0.75, 1)
STATISTICS = statistics_from_json(json.loads(Path(SHIPPED / JSON_NAME).read_text())["mask_statistics"], CLASSES)
ROOM = parse_lines("ceiling=0.2,floor=0.6:0.7")


def layout(name, index=0, severity=None, lines=None, size=SIZE, statistics=STATISTICS, seed=5, table=CLASSES):
    names = [name] if isinstance(name, str) else name
    return random_layout(seed, index, size, names, statistics, table, severity, lines)


@pytest.mark.parametrize("lines", [None, ROOM])
@pytest.mark.parametrize("name", CLASSES.names[1:])
def test_more_severe_is_more_of_the_same(name, lines):
    for index in range(1 if lines else 2):
        masks = [layout(name, index, severity, lines) > 0 for severity in STEPS]
        areas = [np.count_nonzero(mask) for mask in masks]
        assert (np.diff(areas) > 0).all(), areas
        assert all(not (less & ~more).any() for less, more in pairwise(masks))


@pytest.mark.parametrize("name", CLASSES.names[1:])
def test_the_area_is_that_of_the_statistics(name):
    class_id = CLASSES.names.index(name)
    for severity in (0.25, 0.75):
        wanted = area_for(STATISTICS[name], severity)
        found = [(layout(name, index, severity) == class_id).mean() for index in range(4)]
        # Regions over one another are counted once, and a tile's column or a region's first pixel may be more.
        assert 0.75 * wanted < np.median(found) < 1.06 * wanted and max(found) < 1.15 * wanted


def test_random_layouts_look_as_the_training_masks_in_figures():
    """Medians over 12 layouts; the quartiles of the training masks are wider than their scatter."""
    for name in ("stain", "mold", "spalling", "corrosion"):
        found = measure((layout(name, index) for index in range(12)), CLASSES)[name]
        for figure in ("area", "thickness", "roughness"):
            known = getattr(STATISTICS[name], figure)
            middle = getattr(found, figure)[2]
            assert known[1] * 0.6 < middle < known[3] * 1.4, (name, figure, middle, known)


@pytest.mark.parametrize("name", CLASSES.names[1:])
def test_the_picture_s_edge_stays_free(name):
    for index in range(4):
        mask = layout(name, index, 1.0)
        assert not (mask[:2].any() or mask[-2:].any() or mask[:, :2].any() or mask[:, -2:].any())


@pytest.mark.parametrize("name", CLASSES.names[1:])
def test_known_surfaces_are_kept_to(name):
    allowed = allowed_map(name, SIZE, ROOM)
    for index in range(4):
        mask = layout(name, index, 1.0, ROOM) > 0
        assert mask.any() and not (mask & ~allowed).any()


def test_a_narrow_strip_of_floor_still_has_its_puddle():
    strip = parse_lines("floor=0.93")
    masks = [layout("puddle", 1, severity, strip) > 0 for severity in STEPS]
    assert (np.diff([np.count_nonzero(mask) for mask in masks]) > 0).all()
    assert not masks[-1][: int(0.93 * SIZE[0])].any()


def test_a_class_that_is_found_on_no_surface_of_the_picture_is_refused():
    with pytest.raises(WetgenError, match="puddle cannot be on this ceiling"):
        layout("puddle", lines=SurfaceLines(surface="ceiling"))


def test_a_layout_is_a_function_of_seed_and_index():
    assert np.array_equal(layout("stain", 3), layout("stain", 3))
    assert not np.array_equal(layout("stain", 3), layout("stain", 4))
    assert not np.array_equal(layout("stain", 3), layout("stain", 3, seed=6))


def test_a_random_severity_is_one_of_those_that_can_be_asked_for():
    free = layout("mold", 2) > 0
    wider = layout("mold", 2, 1.0) > 0
    assert not (free & ~wider).any() and 0 < np.count_nonzero(free) < np.count_nonzero(wider)


def test_several_classes_are_all_there_beside_each_other():
    names = ("stain", "crack", "puddle")
    for index in range(4):
        mask = layout(names, index, 0.5)
        assert {int(id) for id in np.unique(mask)} == {0, 1, 2, 5}
        alone = layout("stain", index, 0.5) == 2
        assert not ((mask == 2) & ~alone).any() and (mask[alone] > 0).all(), "what comes later moves nothing"


def test_classes_lie_over_each_other_only_where_there_is_no_other_place():
    small = {name: replace(TYPICAL, area=(0.01, 0.015, 0.02, 0.025, 0.03)) for name in ("stain", "mold")}
    for index in range(8):
        both = layout(("stain", "mold"), index, 1.0, statistics=small)
        alone = layout("stain", index, 1.0, statistics=small)
        assert np.array_equal(both == 2, alone == 2) and (both == 3).any()


def test_classes_are_known_by_name_and_others_are_patches():
    other = ClassTable(("background", "lichen", "stain"))
    mask = layout("lichen", table=other, statistics={})
    assert set(np.unique(mask)) == {0, 1}
    same = layout("stain", table=other) > 0
    assert np.array_equal(same, layout("stain") > 0), "the id is another, the form the same"
    with pytest.raises(WetgenError, match="no class 'mold'"):
        layout("mold", table=other)


def test_the_random_numbers_are_never_those_of_the_noise():
    noise = {float(value) for attempt in range(3) for value in starting_noise(5, 0, (64,), attempt)}
    for number in range(3):
        ours = stream(5, 0, number).standard_normal(64, dtype=np.float32)
        assert not noise & {float(value) for value in ours}


# Damages in boxes


def boxed(*damages, seed=1, lines=None, size=SIZE):
    return draw_layout(np.random.default_rng(seed), size, damages, STATISTICS, CLASSES, lines)


@pytest.mark.parametrize("name", [*CLASSES.names[1:]])
def test_boxes_are_filled_by_severity_and_nothing_lies_outside(name):
    box = Box(20, 8, 60, 50)
    masks = [boxed(BoxDamage(name, box, severity)) > 0 for severity in STEPS]
    areas = [np.count_nonzero(mask) for mask in masks]
    assert (np.diff(areas) > 0).all()
    for less, more in pairwise(masks):
        assert not (less & ~more).any()
    outside = np.ones(SIZE, bool)
    outside[box.slices] = False
    assert not (masks[-1] & outside).any()
    share = [area / box.area for area in (areas[0], areas[-1])]
    if name == "crack":
        assert share[0] < 0.02 and share[1] < 0.2
    else:
        np.testing.assert_allclose(share, (0.15, 0.5), atol=0.02)  # a column of a tile


def test_the_fill_of_a_crack_depends_on_its_length_and_the_picture():
    long, short = Box(0, 0, 100, 20), Box(0, 0, 50, 20)
    pixels = [fill("crack", box, 0.5, STATISTICS["crack"], 100) * box.area for box in (long, short)]
    assert pixels[0] == pytest.approx(2 * pixels[1])
    assert fill("crack", Box(0, 0, 5, 200), 1.0, None, 4000) <= 1


def test_later_damages_lie_over_earlier_ones():
    mask = boxed(BoxDamage("stain", Box(10, 5, 80, 60), 1.0), BoxDamage("mold", Box(30, 20, 30, 30), 0.5))
    assert np.count_nonzero(mask == 3) == pytest.approx(0.325 * 900, abs=2)  # halfway from 0.15 to 0.5
    assert np.count_nonzero(mask == 2) > 2000


@pytest.mark.parametrize("names", [("crack", "stain"), ("stain", "stain"), ("mold", "puddle", "stain")])
def test_no_damage_hides_another_wholly(names):
    """All in one box, the later ones at their worst."""
    box = Box(20, 10, 50, 50)
    for seed in range(5):
        damages = [BoxDamage(name, box, 0.2 if place == 0 else 1.0) for place, name in enumerate(names)]
        mask = boxed(*damages, seed=seed)
        for name in names:
            assert np.count_nonzero(mask == CLASSES.names.index(name)) >= 3, name


def test_a_small_damage_under_a_large_one_keeps_its_first_pixels():
    small, large = BoxDamage("mold", Box(40, 40, 12, 12), 0.0), BoxDamage("stain", Box(5, 3, 86, 66), 1.0)
    alone = boxed(small) == 3
    both = boxed(small, large) == 3
    assert not (both & ~alone).any() and np.count_nonzero(both) == pytest.approx(0.25 * np.count_nonzero(alone), abs=1)


def test_boxes_on_the_wrong_surface_are_refused():
    with pytest.raises(WetgenError, match="puddle cannot be in the box at"):
        boxed(BoxDamage("puddle", Box(10, 15, 20, 20), 0.5), lines=ROOM)
    box, floor = Box(10, 32, 40, 40), allowed_map("puddle", SIZE, ROOM)
    half = boxed(BoxDamage("puddle", box, 1.0), lines=ROOM) > 0
    assert not (half & ~floor).any()
    # Half of what of the box is floor; the two pixels along the edge are covered last.
    assert np.count_nonzero(half) == pytest.approx(0.5 * np.count_nonzero(floor[box.slices]), abs=2)


def test_a_patch_grows_towards_where_its_class_is_readily_found():
    """In a box from ceiling to floor a little of each lies where water or cold brings it."""
    room, box = parse_lines("ceiling=0.1,floor=0.9"), Box(8, 8, 80, 56)

    def middle(name: str, lines: SurfaceLines | None) -> float:
        masks = [boxed(BoxDamage(name, box, 0.0), seed=seed, lines=lines) for seed in range(6)]
        return float(np.mean([np.argwhere(mask)[:, 0].mean() for mask in masks]))

    assert middle("stain", room) < middle("stain", None) - 2
    assert middle("efflorescence", room) > middle("efflorescence", None) + 1
    assert middle("crack", room) == middle("crack", None), "a crack lies as it lies"


def test_a_crack_is_as_thin_as_the_picture_s_shorter_side_says():
    found = [
        measure([boxed(BoxDamage("crack", Box(10, 10, 100, 60), 0.5), size=size)], CLASSES)["crack"].thickness[2] * 400
        for size in ((400, 800), (800, 400), (800, 800))
    ]
    assert found[0] == pytest.approx(found[1], rel=0.1) and found[2] * 2 > 1.5 * found[0]
