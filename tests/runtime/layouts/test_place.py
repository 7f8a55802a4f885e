"""Placing boxes: sizes, overlap, surfaces, and what is said when there is no place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.layouts.place import ON_SURFACE, PlacedDamage, Placement, place
from wetgen.runtime.layouts.surfaces import SurfaceLines, allowed_map, parse_lines
from wetgen.runtime.masks.regions import Box

SIZE = (120, 160)


def put(*wishes: Placement, seed: int = 0, size=SIZE, lines=None, **more) -> list[PlacedDamage]:
    return place(np.random.default_rng(seed), size, wishes, lines, **more)


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(20, 300), st.integers(20, 300)),
    st.floats(0.01, 1),
    st.floats(0.2, 5),
    st.sampled_from(["area", "side"]),
    st.integers(0, 2**32),
)
def test_every_box_lies_in_the_picture_whatever_is_wished(size, share, aspect, of, seed):
    (placed,) = put(Placement("stain", (share, share), (aspect, aspect), of=of), seed=seed, size=size)
    assert placed.box.inside(size)


def test_sizes_and_aspects_are_those_of_the_wish():
    for seed in range(30):
        (one,) = put(Placement("stain", (0.05, 0.1), (0.5, 2)), seed=seed)
        assert 0.045 < one.box.area / (120 * 160) < 0.11  # sides are whole pixels
        assert 0.45 < one.box.width / one.box.height < 2.2
        (other,) = put(Placement("stain", (0.5, 0.5), (1, 1), of="side"), seed=seed)
        assert other.box.size == (60, 60)


def test_what_one_edge_cuts_off_goes_to_the_other_side():
    (placed,) = put(Placement("stain", (0.5, 0.5), (8, 8)))
    assert placed.box.width == 160 and placed.box.height == 60
    (all_of_it,) = put(Placement("stain", (1, 1), (1, 1)))
    assert all_of_it.box == Box(0, 0, 160, 120)


def test_never_means_never_and_any_means_any():
    wish = Placement("stain", (0.06, 0.06), (1, 1))
    for seed in range(10):
        boxes = [p.box for p in put(*[wish] * 5, seed=seed)]
        assert all(one.overlap(other) == 0 for i, one in enumerate(boxes) for other in boxes[:i])
    crowd = [p.box for p in put(*[Placement("stain", (0.5, 0.5), overlap="any")] * 3)]
    assert crowd[0].overlap(crowd[1])


def test_a_greatest_overlap_is_kept_by_both_sides():
    for seed in range(10):
        first, second = put(*[Placement("stain", (0.3, 0.3), overlap=0.25)] * 2, seed=seed)
        assert first.box.iou(second.box) <= 0.25
        strict, lax = put(Placement("stain", (0.1, 0.1)), Placement("mold", (0.2, 0.2), overlap="any"), seed=seed)
        assert strict.box.overlap(lax.box) == 0, "the first allows none"


def test_what_is_taken_stays_free():
    taken = [PlacedDamage("crack", Box(0, 0, 80, 120), 0.5)]
    for seed in range(10):
        (placed,) = put(Placement("stain", (0.1, 0.1), (0.7, 0.7)), seed=seed, taken=taken)
        assert placed.box.left >= 80


def test_no_place_is_an_error_or_told_and_left_out():
    large, small = Placement("stain", (0.6, 0.6), (1, 1)), Placement("mold", (0.01, 0.01))
    with pytest.raises(WetgenError, match="no place for stain") as caught:
        put(large, large, tries=20)
    assert "20 tries in a picture of 160 x 120 with 1 other damages" in caught.value.why
    said: list[tuple[str, str]] = []
    placed = put(large, large, small, tries=20, dropped=lambda wish, why: said.append((wish.class_name, why)))
    assert [p.class_name for p in placed] == ["stain", "mold"]
    assert said == [("stain", "There is no place for stain of that size")]


def test_a_class_that_the_surfaces_lack_is_an_error_or_told():
    wish, wall = Placement("puddle", (0.05, 0.05)), SurfaceLines(surface="wall")
    with pytest.raises(WetgenError, match="puddle cannot be on this wall"):
        put(wish, lines=wall)
    said: list[str] = []
    assert put(wish, lines=wall, dropped=lambda _, why: said.append(why)) == []
    assert said == ["puddle cannot be on this wall"]


@pytest.mark.parametrize("name", ["puddle", "lifted", "stain", "efflorescence", "crack"])
def test_boxes_lie_on_the_surfaces_of_their_class(name):
    room = parse_lines("ceiling=0.2,floor=0.65:0.7")
    allowed = allowed_map(name, SIZE, room)
    for seed in range(20):
        (placed,) = put(Placement(name, (0.04, 0.12)), seed=seed, lines=room)
        assert allowed[placed.box.slices].mean() > ON_SURFACE - 0.05  # measured on a coarse grid when placed


def centres(name: str, lines: SurfaceLines | None, **more) -> np.ndarray:
    """(80,) how far down 80 boxes have their middles."""
    boxes = [put(Placement(name, (0.02, 0.02), (1, 1), **more), seed=seed, lines=lines)[0].box for seed in range(80)]
    return np.array([box.top + box.height / 2 for box in boxes]) / SIZE[0]


def test_puddles_gather_low_stains_high_and_rising_damp_above_the_floor():
    room = parse_lines("ceiling=0.15,floor=0.6")
    puddles, stains, damp = (centres(name, room) for name in ("puddle", "stain", "efflorescence"))
    assert np.median(puddles) > 0.85 and np.median(stains) < 0.4
    assert np.mean(damp > 0.4) > 2 * np.mean((damp > 0.22) & (damp < 0.35))


def test_heights_are_followed_where_nothing_is_known_of_the_surfaces():
    low = centres("puddle", None, heights=(0.7, 0.75, 0.8, 0.85, 0.9))
    high = centres("puddle", None, heights=(0.1, 0.15, 0.2, 0.25, 0.3))
    assert abs(np.median(low) - 0.8) < 0.05 and abs(np.median(high) - 0.2) < 0.05


def test_a_severity_is_kept_and_a_missing_one_drawn_and_neither_moves_a_box():
    free, fixed = (put(*[Placement("stain", (0.05, 0.1), severity=s)] * 2, seed=3) for s in (None, 0.25))
    assert [p.box for p in free] == [p.box for p in fixed]
    assert {p.severity for p in fixed} == {0.25} and 0 <= free[0].severity <= 1
    assert free[0].severity != free[1].severity


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": (0, 0.1)}, "range of its size"),
        ({"size": (0.2, 0.1)}, "range of its size"),
        ({"size": (0.2, 1.1)}, "range of its size"),
        ({"aspect": (2, 1)}, "range of its aspect"),
        ({"severity": 1.5}, "1, the worst"),
        ({"overlap": 1.5}, "its overlap is 1.5"),
        ({"overlap": "some"}, "its overlap is some"),
    ],
)
def test_wishes_that_are_none_are_refused(change, said):
    with pytest.raises(WetgenError) as caught:
        Placement(**{"class_name": "stain", "size": (0.1, 0.2), **change})
    assert said in str(caught.value)
