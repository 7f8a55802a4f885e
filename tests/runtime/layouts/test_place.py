"""Placing boxes: sizes, overlap, surfaces, and what is said when there is no place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.layouts import place as module
from wetgen.runtime.layouts.place import ON_SURFACE, Placement, TakenBox, place
from wetgen.runtime.layouts.surfaces import SurfaceLines, allowed_map, parse_lines
from wetgen.runtime.masks.regions import Box

SIZE = (120, 160)
UNKNOWN = SurfaceLines()


def put(*placements: Placement, seed: int = 0, size=SIZE, lines=UNKNOWN, taken=()) -> list[Box]:
    """The boxes of placements, one beside the other."""
    rng, found = np.random.default_rng(seed), list(taken)
    for placement in placements:
        found.append(TakenBox(place(rng, size, placement, lines, found), placement.overlap))
    return [box for box, _ in found[len(taken) :]]


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(20, 300), st.integers(20, 300)),
    st.floats(0.01, 1),
    st.floats(0.2, 5),
    st.integers(0, 2**32),
)
def test_every_box_lies_in_the_picture(size, share, aspect, seed):
    (box,) = put(Placement("stain", (share, share), (aspect, aspect)), seed=seed, size=size)
    assert box.inside(size)


def test_sizes_and_aspects_are_in_their_ranges():
    for seed in range(30):
        (box,) = put(Placement("stain", (0.05, 0.1), (0.5, 2)), seed=seed)
        assert 0.045 < box.area / (120 * 160) < 0.11  # sides are whole pixels
        assert 0.45 < box.width / box.height < 2.2


def test_what_one_edge_cuts_off_goes_to_the_other_side():
    (box,) = put(Placement("stain", (0.5, 0.5), (8, 8)))
    assert box.width == 160 and box.height == 60
    assert put(Placement("stain", (1, 1), (1, 1))) == [Box(0, 0, 160, 120)]


def test_never_means_never_and_any_means_any():
    for seed in range(10):
        boxes = put(*[Placement("stain", (0.06, 0.06), (1, 1))] * 5, seed=seed)
        assert all(one.overlap(other) == 0 for i, one in enumerate(boxes) for other in boxes[:i])
    crowd = put(*[Placement("stain", (0.5, 0.5), overlap=1.0)] * 3)
    assert crowd[0].overlap(crowd[1])


def test_a_greatest_overlap_is_kept_by_both_sides():
    for seed in range(10):
        first, second = put(*[Placement("stain", (0.3, 0.3), overlap=0.25)] * 2, seed=seed)
        assert first.iou(second) <= 0.25
        strict, lax = put(Placement("stain", (0.1, 0.1)), Placement("mold", (0.2, 0.2), overlap=1.0), seed=seed)
        assert strict.overlap(lax) == 0, "the first allows none"


def test_what_is_taken_stays_free():
    for seed in range(10):
        (box,) = put(Placement("stain", (0.1, 0.1), (0.7, 0.7)), seed=seed, taken=[TakenBox(Box(0, 0, 80, 120))])
        assert box.left >= 80


def test_no_place_is_an_error(monkeypatch):
    monkeypatch.setattr(module, "TRIES", 20)
    with pytest.raises(WetgenError, match="no place for stain") as caught:
        put(*[Placement("stain", (0.6, 0.6), (1, 1))] * 2)
    assert "20 tries in a picture of 160 x 120 with 1 other damages" in caught.value.why


def test_a_class_that_the_surfaces_lack_is_an_error():
    with pytest.raises(WetgenError, match="puddle cannot be on this wall"):
        put(Placement("puddle", (0.05, 0.05)), lines=SurfaceLines(surface="wall"))


@pytest.mark.parametrize("name", ["puddle", "lifted", "stain", "efflorescence", "crack"])
def test_boxes_lie_on_the_surfaces_of_their_class(name):
    room = parse_lines("ceiling=0.2,floor=0.65:0.7")
    allowed = allowed_map(name, SIZE, room)
    for seed in range(20):
        (box,) = put(Placement(name, (0.04, 0.12)), seed=seed, lines=room)
        assert allowed[box.slices].mean() > ON_SURFACE - 0.05  # measured on a coarse grid when placed


def centres(name: str, lines: SurfaceLines, **more) -> np.ndarray:
    """(80,) how far down 80 boxes have their middles."""
    boxes = [put(Placement(name, (0.02, 0.02), (1, 1), **more), seed=seed, lines=lines)[0] for seed in range(80)]
    return np.array([box.top + box.height / 2 for box in boxes]) / SIZE[0]


def test_puddles_gather_low_stains_high_and_rising_damp_above_the_floor():
    room = parse_lines("ceiling=0.15,floor=0.6")
    puddles, stains, damp = (centres(name, room) for name in ("puddle", "stain", "efflorescence"))
    assert np.median(puddles) > 0.85 and np.median(stains) < 0.4
    assert np.mean(damp > 0.4) > 2 * np.mean((damp > 0.22) & (damp < 0.35))


def test_heights_are_followed_where_nothing_is_known_of_the_surfaces():
    low = centres("puddle", UNKNOWN, heights=(0.7, 0.75, 0.8, 0.85, 0.9))
    high = centres("puddle", UNKNOWN, heights=(0.1, 0.15, 0.2, 0.25, 0.3))
    assert abs(np.median(low) - 0.8) < 0.05 and abs(np.median(high) - 0.2) < 0.05
