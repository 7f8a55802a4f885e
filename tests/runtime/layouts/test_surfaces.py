"""Surfaces: the lines' grammar, the map, and where each class is found."""

import numpy as np
import pytest

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.layouts.surfaces import (
    CEILING,
    FLOOR,
    UNKNOWN,
    WALL,
    SurfaceLines,
    allowed_map,
    parse_lines,
    possible,
    preference_map,
    surface_map,
)
from wetgen.training.scenes.scene import CLASSES

SIZE = (100, 80)
ROOM = parse_lines("ceiling=0.2,floor=0.7")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("ceiling=0.2,floor=0.8", SurfaceLines(ceiling=(0.2, 0.2), floor=(0.8, 0.8))),
        (" floor = 0.75:0.8 ", SurfaceLines(floor=(0.75, 0.8))),
        ("corner=0.3", SurfaceLines(corner=(0.3, 0.3))),
        ("surface=wall", SurfaceLines(surface="wall")),
    ],
)
def test_lines_are_read(text, lines):
    assert parse_lines(text) == lines


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the names are ceiling"),
        ("celing=0.2", "did you mean 'ceiling'?"),
        ("ceiling", "the names are"),
        ("ceiling=", "one share"),
        ("ceiling=low", "one share"),
        ("ceiling=0.1:0.2:0.3", "one share"),
        ("ceiling=0.2,ceiling=0.3", "is given twice"),
        ("floor=1.2", "0 to 1"),
        ("floor=nan", "0 to 1"),
        ("surface=roof", "surfaces are ceiling, wall, floor, unknown"),
        ("surface=wall,floor=0.8", "more than one surface"),
        ("ceiling=0.8,floor=0.2", "above the floor"),
        ("ceiling=0.2:0.6,floor=0.9:0.5", "at both edges"),
    ],
)
def test_lines_that_are_none_are_refused_in_words(text, said):
    with pytest.raises(WetgenError) as caught:
        parse_lines(text)
    assert "cannot be used" in caught.value.what and said in f"{caught.value.why} {caught.value.fix}", str(caught.value)


def test_the_map_has_the_surfaces_between_the_lines():
    surfaces = surface_map(SIZE, ROOM)
    assert (surfaces[:20] == CEILING).all() and (surfaces[20:70] == WALL).all() and (surfaces[70:] == FLOOR).all()


def test_a_slanting_line_runs_from_edge_to_edge():
    surfaces = surface_map(SIZE, SurfaceLines(ceiling=(0.0, 0.4)))
    heights = np.count_nonzero(surfaces == CEILING, axis=0)
    np.testing.assert_allclose(heights, np.linspace(0.25, 39.75, 80), atol=0.51)  # rounded to pixels
    assert not (surfaces == FLOOR).any()


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        (SurfaceLines(), UNKNOWN),
        (SurfaceLines(surface="floor"), FLOOR),
        (SurfaceLines(surface="ceiling"), CEILING),
        (SurfaceLines(corner=(0.5, 0.5)), WALL),
    ],
)
def test_without_lines_all_of_it_is_one_surface(lines, value):
    assert (surface_map(SIZE, lines) == value).all()


@pytest.mark.parametrize("name", [*CLASSES.names[1:], "lichen"])
def test_where_nothing_is_known_everything_is_allowed_alike(name):
    assert (preference_map(name, SIZE, SurfaceLines()) == 1).all() and allowed_map(name, SIZE, SurfaceLines()).all()


@pytest.mark.parametrize(
    ("name", "surfaces"),
    [
        ("puddle", {FLOOR}),
        ("lifted", {FLOOR}),
        ("stain", {CEILING, WALL}),
        ("peeling", {CEILING, WALL}),
        ("efflorescence", {CEILING, WALL}),
        ("mold", {CEILING, WALL, FLOOR}),
        ("crack", {CEILING, WALL, FLOOR}),
        ("spalling", {CEILING, WALL, FLOOR}),
        ("corrosion", {CEILING, WALL, FLOOR}),
        ("lichen", {CEILING, WALL, FLOOR}),
    ],
)
def test_each_class_keeps_to_its_surfaces(name, surfaces):
    allowed = allowed_map(name, SIZE, ROOM)
    assert set(np.unique(surface_map(SIZE, ROOM)[allowed])) == surfaces
    assert np.array_equal(preference_map(name, SIZE, ROOM) > 0, allowed)


@pytest.mark.parametrize(
    ("name", "surface"), [("puddle", "wall"), ("puddle", "ceiling"), ("lifted", "ceiling"), ("stain", "floor")]
)
def test_a_class_that_cannot_be_there_is_refused_in_words(name, surface):
    with pytest.raises(WetgenError, match=f"{name} cannot be on this {surface}"):
        preference_map(name, SIZE, SurfaceLines(surface=surface))
    assert not possible(name, SurfaceLines(surface=surface)) and possible("crack", SurfaceLines(surface=surface))


def test_tiles_come_off_the_wall_only_where_no_floor_is_seen():
    assert possible("lifted", SurfaceLines(surface="wall"))
    assert not allowed_map("lifted", SIZE, ROOM)[:70].any()


def rows(name: str, lines: SurfaceLines = ROOM) -> np.ndarray:
    return preference_map(name, SIZE, lines).mean(axis=1)


def test_a_puddle_seeks_the_lowest_place():
    assert (np.diff(rows("puddle")[70:]) > 0).all()
    assert (np.diff(rows("puddle", SurfaceLines(surface="floor"))) > 0).all()


def test_a_stain_begins_below_the_ceiling():
    assert (np.diff(rows("stain")[20:70]) < 0).all()
    assert (np.diff(rows("stain", SurfaceLines(surface="wall"))) < 0).all()


def test_mold_grows_where_surfaces_meet():
    prefer = rows("mold")
    assert min(prefer[20], prefer[70]) > 3 * prefer[45]
    columns = preference_map("mold", SIZE, SurfaceLines(corner=(0.25, 0.25))).mean(axis=0)
    assert columns.argmax() in (19, 20) and columns[20] > 2 * columns[60]


def test_damp_rises_from_the_floor_and_comes_less_often_from_above():
    for name in ("efflorescence", "peeling"):
        prefer = rows(name)
        assert prefer[69] > prefer[20] > prefer[45]
