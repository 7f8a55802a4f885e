"""Tidying masks: the rules worked by hand, found again pixel by pixel, and what holds for every mask."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wetgen.runtime.masks.classes import IGNORE
from wetgen.runtime.masks.cleanup import MaskCleanup
from wetgen.runtime.masks.images import Pixels

Component = frozenset[tuple[int, int]]

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))
# Of runs rather than of single pixels, so that regions and holes of several pixels come about.
MASKS = st.one_of(
    arrays(np.uint8, SHAPES, elements=st.sampled_from([0, 0, 1, 1, 2, 3])),
    arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.sampled_from([0, 1, 2])).map(
        lambda small: np.kron(small, np.ones((2, 3), np.uint8))
    ),
)
MARKED = arrays(np.uint8, SHAPES, elements=st.sampled_from([0, 0, 1, 1, 1, 2, IGNORE]))
LIMITS = st.integers(1, 20)


def drawn(*lines: str) -> Pixels:
    """A mask from its rows: a dot is background, a digit its class, x IGNORE."""
    ids = {".": 0, "x": IGNORE, **{str(id): id for id in range(1, 10)}}
    return np.array([[ids[letter] for letter in line] for line in lines], np.uint8)


def components(where: np.ndarray, corners: bool) -> list[Component]:
    """The components of bool (H, W), found pixel by pixel."""
    todo, found = set(map(tuple, np.argwhere(where).tolist())), []
    while todo:
        component, edge = set(), [todo.pop()]
        while edge:
            y, x = edge.pop()
            component.add((y, x))
            near = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1) if corners or not i or not j} & todo
            todo -= near
            edge += near
        found.append(frozenset(component))
    return found


def regions(mask: Pixels) -> list[Component]:
    ids = set(mask.ravel().tolist()) - {0, IGNORE}
    return [component for id in sorted(ids) for component in components(mask == id, corners=True)]


def ring(component: Component, shape: tuple[int, ...]) -> set[tuple[int, int]]:
    near = {(y + i, x + j) for y, x in component for i in (-1, 0, 1) for j in (-1, 0, 1)} - component
    return {(y, x) for y, x in near if 0 <= y < shape[0] and 0 <= x < shape[1]}


def cleaned_one_by_one(mask: Pixels, least: int) -> Pixels:
    """The rule, region by region: those that are decided at once are changed at once."""
    mask = mask.copy()
    waiting = {region for region in regions(mask) if len(region) < least}
    while waiting:
        hidden = set().union(*waiting)
        decided = {}
        for region in waiting:
            votes = Counter(int(mask[place]) for place in ring(region, mask.shape) - hidden if mask[place] != IGNORE)
            if votes:
                decided[region] = min(votes, key=lambda id: (-votes[id], id))
        for region, id in decided.items():
            mask[tuple(np.array(list(region)).T)] = id
        if not decided:
            break
        waiting -= decided.keys()
    return mask


def filled_one_by_one(mask: Pixels, most: int) -> Pixels:
    """The rule, hole by hole, from the smallest to the largest: what lies outside paints over what lies inside."""
    height, width = mask.shape
    all_regions, holes = regions(mask), []
    for region in all_regions:
        rest = np.ones(mask.shape, bool)
        rest[tuple(np.array(list(region)).T)] = False
        for part in components(rest, corners=False):
            open_ = any(y in (0, height - 1) or x in (0, width - 1) for y, x in part)
            crossed = any(other & part and not other <= part for other in all_regions)
            if not open_ and not crossed and len(part) <= most:
                holes.append((len(part), part, mask[next(iter(region))]))
    result = mask.copy()
    for _, part, id in sorted(holes, key=lambda hole: hole[0]):
        for place in part:
            if result[place] != IGNORE:
                result[place] = id
    return result


# By hand


def test_a_small_region_takes_the_class_that_most_of_its_ring_has() -> None:
    mask = drawn(
        "222....",
        "2122...",
        "222....",
        "......3",
    )
    tidied = MaskCleanup(least_region=2)(mask)
    # The ring of the 1 is eight 2s, that of the 3 three background pixels.
    assert tidied.changed == {"small_regions": 2}
    np.testing.assert_array_equal(tidied.mask, drawn("222....", "2222...", "222....", "......."))


def test_each_pixel_of_a_ring_votes_once_and_a_tie_goes_to_the_lowest_id() -> None:
    mask = drawn("23332", "23332", "21112", "2...2", "2...2")
    bar = frozenset({(2, 1), (2, 2), (2, 3)})
    assert Counter(mask[place] for place in ring(bar, mask.shape)) == {2: 6, 3: 3, 0: 3}
    # Pixel by pixel of the bar the 3s above it would be counted seven times, and the 2s six times.
    assert MaskCleanup(least_region=4)(mask).mask[2].tolist() == [2, 2, 2, 2, 2]
    tie = drawn("2222", "211.", "....")
    assert Counter(tie[place] for place in ring(frozenset({(1, 1), (1, 2)}), tie.shape)) == {2: 5, 0: 5}
    assert MaskCleanup(least_region=3)(tie).mask[1].tolist() == [2, 0, 0, 0]


def test_a_region_of_just_the_least_size_stays_and_a_hairline_is_one_region() -> None:
    line = np.eye(5, dtype=np.uint8)
    assert not MaskCleanup(least_region=5)(line).changed["small_regions"]
    assert not MaskCleanup(least_region=6)(line).mask.any()


def test_small_regions_have_no_say_over_one_another() -> None:
    """The ring of either is mostly the other; both lie on background and become it."""
    mask = drawn("....", ".12.", ".12.", "....")
    assert not MaskCleanup(least_region=3)(mask).mask.any()
    # What nothing but small regions surrounds waits until they have their class.
    nested = drawn("2222222", "2333332", "2311132", "2311132", "2333332", "2222222")
    assert (MaskCleanup(least_region=15)(nested).mask == 2).all()


def test_regions_with_nothing_around_them_stay() -> None:
    for mask in (drawn("11", "11"), drawn("12", "12"), drawn("xxx", "x1x", "xxx")):
        np.testing.assert_array_equal(MaskCleanup(least_region=100)(mask).mask, mask)


def test_holes_are_filled_up_to_their_size_whatever_they_show() -> None:
    mask = drawn(
        "1111111.",
        "1.11221.",
        "1111231.",
        "1111111.",
    )
    one = MaskCleanup(fill_holes=1)(mask)
    assert one.changed == {"holes": 1}
    np.testing.assert_array_equal(one.mask, drawn("1111111.", "1111221.", "1111231.", "1111111."))
    assert MaskCleanup(fill_holes=3)(mask).changed == {"holes": 1}
    four = MaskCleanup(fill_holes=4)(mask)
    assert four.changed == {"holes": 5} and (four.mask[:, :7] == 1).all() and not four.mask[:, 7].any()


def test_a_bay_and_what_the_picture_cuts_off_are_no_holes() -> None:
    bay = drawn("111", "1..", "111")
    cut_off = drawn(".1", "1.")
    for mask in (bay, cut_off):
        np.testing.assert_array_equal(MaskCleanup(fill_holes=99)(mask).mask, mask)


def test_a_ring_that_holds_together_by_corners_shuts_off() -> None:
    diamond = drawn("..1..", ".1.1.", "1...1", ".1.1.", "..1..")
    filled = MaskCleanup(fill_holes=5)(diamond)
    assert filled.changed == {"holes": 5}
    np.testing.assert_array_equal(filled.mask, drawn("..1..", ".111.", "11111", ".111.", "..1.."))


def test_a_hole_that_another_region_leads_out_of_by_a_corner_is_left() -> None:
    crossed = drawn(".21..", ".121.", "1...1", ".1.1.", "..1..")
    np.testing.assert_array_equal(MaskCleanup(fill_holes=99)(crossed).mask, crossed)
    inside = drawn("..1..", ".121.", "1...1", ".1.1.", "..1..")
    assert MaskCleanup(fill_holes=99)(inside).changed == {"holes": 5}


def test_the_outer_of_two_nested_holes_decides() -> None:
    nested = np.ones((7, 9), np.uint8)
    nested[1:6, 1:8], nested[2:5, 2:7], nested[3, 3:6] = 0, 2, 0
    inner, outer = MaskCleanup(fill_holes=3)(nested), MaskCleanup(fill_holes=35)(nested)
    assert inner.changed == {"holes": 3} and (inner.mask[3, 3:6] == 2).all() and not inner.mask[1, 1:8].any()
    assert outer.changed == {"holes": 35} and (outer.mask == 1).all()


def test_cleaning_comes_before_filling_and_marking_after_both() -> None:
    # The dot goes to the ring, and leaves a hole of three; before, it was one of four. The band knows neither.
    mask = drawn("......", ".1111.", ".1..1.", ".1.21.", ".1111.", "......")
    tidied = MaskCleanup(least_region=2, fill_holes=3, ignore_band=1)(mask)
    assert tidied.changed == {"small_regions": 1, "holes": 3, "ignored": 32}
    np.testing.assert_array_equal(tidied.mask, drawn("xxxxxx", "xxxxxx", "xx11xx", "xx11xx", "xxxxxx", "xxxxxx"))


def test_a_band_lies_on_both_sides_of_a_border() -> None:
    mask = drawn("111...", "111...", "111...")
    for width, expected in ((1, "11xx.."), (2, "1xxxx."), (3, "xxxxxx"), (10**9, "xxxxxx")):
        tidied = MaskCleanup(ignore_band=width)(mask)
        np.testing.assert_array_equal(tidied.mask, drawn(expected, expected, expected))
        assert tidied.changed == {"ignored": 3 * expected.count("x")}
    assert MaskCleanup(ignore_band=5)(drawn("11", "11")).changed == {"ignored": 0}
    corner = drawn("1..", "...", "...")
    np.testing.assert_array_equal(MaskCleanup(ignore_band=1)(corner).mask, drawn("xx.", "xx.", "..."))


def test_what_is_less_sure_than_the_limit_is_ignored_and_what_is_as_sure_is_not() -> None:
    mask, confidence = drawn("1122"), np.array([[152, 153, 154, 0]], np.uint8)
    tidied = MaskCleanup(ignore_below=0.6)(mask, confidence)  # 153 of 255 is 0.6
    assert tidied.mask.tolist() == [[IGNORE, 1, 2, IGNORE]] and tidied.changed == {"ignored": 2}
    assert MaskCleanup(ignore_below=0.0)(mask, confidence).changed == {"ignored": 0}
    assert MaskCleanup(ignore_below=1.0)(mask, np.full((1, 4), 255, np.uint8)).changed == {"ignored": 0}


def test_the_confidence_is_needed_where_it_is_asked_for() -> None:
    with pytest.raises(AssertionError):
        MaskCleanup(ignore_below=0.5)(drawn("1"))


# Of every mask


@given(mask=st.one_of(MASKS, MARKED), least=LIMITS)
def test_cleaning_is_the_rule_found_region_by_region(mask: Pixels, least: int) -> None:
    tidied = MaskCleanup(least_region=least)(mask)
    np.testing.assert_array_equal(tidied.mask, cleaned_one_by_one(mask, least))
    assert tidied.changed == {"small_regions": int((tidied.mask != mask).sum())}


@given(mask=st.one_of(MASKS, MARKED), most=LIMITS)
def test_filling_is_the_rule_found_hole_by_hole(mask: Pixels, most: int) -> None:
    tidied = MaskCleanup(fill_holes=most)(mask)
    np.testing.assert_array_equal(tidied.mask, filled_one_by_one(mask, most))
    assert tidied.changed == {"holes": int((tidied.mask != mask).sum())}


@given(mask=st.one_of(MASKS, MARKED), distance=st.integers(1, 4))
def test_a_band_is_what_is_near_another_class(mask: Pixels, distance: int) -> None:
    places = [(y, x) for y, x in np.ndindex(mask.shape) if mask[y, x] != IGNORE]
    expected = mask.copy()
    for y, x in places:
        if any(max(abs(y - i), abs(x - j)) <= distance and mask[i, j] != mask[y, x] for i, j in places):
            expected[y, x] = IGNORE
    np.testing.assert_array_equal(MaskCleanup(ignore_band=distance)(mask).mask, expected)


@given(mask=MASKS, least=LIMITS, most=LIMITS)
def test_a_clean_mask_stays_and_has_no_small_region_that_could_go(mask: Pixels, least: int, most: int) -> None:
    tidy = MaskCleanup(least_region=least, fill_holes=most)
    once = tidy(mask)
    again = tidy(once.mask)
    np.testing.assert_array_equal(again.mask, once.mask)
    assert set(again.changed.values()) == {0}
    if (mask == 0).any() or any(len(region) >= least for region in regions(mask)):
        assert all(len(region) >= least for region in regions(once.mask))


@given(mask=st.one_of(MASKS, MARKED), band=st.integers(0, 3), below=st.floats(0, 1), data=st.data())
def test_marking_twice_is_marking_once(mask: Pixels, band: int, below: float, data: st.DataObject) -> None:
    confidence = data.draw(arrays(np.uint8, mask.shape))
    tidy = MaskCleanup(ignore_below=below, ignore_band=band)
    once = tidy(mask, confidence)
    np.testing.assert_array_equal(tidy(once.mask, confidence).mask, once.mask)
    assert ((once.mask == mask) | (once.mask == IGNORE)).all()
    assert once.changed == {"ignored": int(((once.mask == IGNORE) & (mask != IGNORE)).sum())}


@given(mask=st.one_of(MASKS, MARKED), least=LIMITS, most=LIMITS, band=st.integers(0, 2))
def test_no_class_appears_that_was_not_there_and_ignored_pixels_stay(
    mask: Pixels, least: int, most: int, band: int
) -> None:
    before = mask.copy()
    tidied = MaskCleanup(least_region=least, fill_holes=most, ignore_band=band)(mask).mask
    assert set(tidied.ravel()) <= set(mask.ravel()) | ({IGNORE} if band else set())
    assert (tidied[mask == IGNORE] == IGNORE).all()
    assert tidied.dtype == np.uint8 and tidied.shape == mask.shape
    np.testing.assert_array_equal(mask, before)


@given(mask=st.one_of(MASKS, MARKED))
def test_off_is_identity(mask: Pixels) -> None:
    assert MaskCleanup()(mask) == (mask, {})
    assert not MaskCleanup().marks_ignored and MaskCleanup().to_row() == {}


def test_a_picture_of_64_by_96_keeps_its_sides() -> None:
    """Width and height are not exchanged anywhere, and views of other arrays are read as they look."""
    large = np.zeros((192, 128), np.uint8)
    large[20:60:2, 20:120:2] = 4  # each second pixel, which the view below takes
    large[100:140:2, 10:50:2] = 5
    mask = large[::2, ::2]
    mask[15, 30], mask[95, 0], mask[0, 63] = 0, 7, 7
    tidied = MaskCleanup(least_region=5, fill_holes=1, ignore_band=1)(mask)
    assert mask.shape == (96, 64) and tidied.changed["small_regions"] == 2 and tidied.changed["holes"] == 1
    expected = np.zeros((96, 64), np.uint8)
    expected[9:31, 9:61], expected[11:29, 11:59] = IGNORE, 4
    expected[49:71, 4:26], expected[51:69, 6:24] = IGNORE, 5
    np.testing.assert_array_equal(tidied.mask, expected)


# Options


def test_a_row_names_what_is_on_and_nothing_else() -> None:
    assert MaskCleanup(least_region=20).to_row() == {"least_region": 20}
    every = MaskCleanup(least_region=20, fill_holes=9, ignore_below=0.5, ignore_band=1)
    assert every.to_row() == {"least_region": 20, "fill_holes": 9, "ignore_below": 0.5, "ignore_band": 1}
    assert MaskCleanup(**every.to_row()) == every  # type: ignore[arg-type]
    assert every.marks_ignored and not MaskCleanup(fill_holes=1).marks_ignored
    zero = MaskCleanup(ignore_below=0.0)  # a limit of 0 is a limit
    assert zero.marks_ignored and zero.to_row() == {"ignore_below": 0.0}
