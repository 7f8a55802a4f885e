"""What a judge and a mask agree on: intersection over union, on the classes that are in question."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.run.filters import SPECK, Agreement, agreement

TABLE = ClassTable(("background", "crack", "stain", "mold"))
KNOWN = ("crack", "stain")
MASKS = arrays(np.uint8, (8, 8), elements=st.integers(0, 3))


def picture(*rows: str) -> np.ndarray:
    return np.array([[int(id) for id in row] for row in rows], np.uint8)


def test_a_worked_example():
    mask = picture(
        "1100",
        "1100",
        "0022",
        "0022",
    )
    judged = picture(
        "1000",
        "1000",
        "0222",
        "0222",
    )
    # crack: 2 in both, 4 in either; stain: 4 in both, 6 in either
    assert agreement(mask, judged, TABLE, KNOWN) == Agreement(
        round((1 / 2 + 2 / 3) / 2, 4), {"crack": 0.5, "stain": 0.6667}
    )


def test_what_the_judge_sees_elsewhere_counts_against_a_class():
    mask, judged = picture("1000", "0000"), picture("1111", "0000")
    assert agreement(mask, judged, TABLE, KNOWN).value == 0.25


def test_a_class_that_was_asked_for_is_in_question_though_the_mask_has_none():
    mask, judged = picture("1100"), picture("1120")
    assert agreement(mask, judged, TABLE, KNOWN) == Agreement(1.0, {"crack": 1.0})
    assert agreement(mask, judged, TABLE, KNOWN, ["stain"]) == Agreement(0.5, {"crack": 1.0, "stain": 0.0})
    # neither has it: there is nothing to agree on
    assert agreement(mask, picture("1100"), TABLE, KNOWN, ["stain"]) == Agreement(1.0, {"crack": 1.0})


def test_a_pair_without_damage_is_judged_by_its_background():
    clean = picture("0000", "0000")
    assert agreement(clean, clean, TABLE, KNOWN) == Agreement(1.0, {})
    assert agreement(clean, picture("0002", "0002"), TABLE, KNOWN) == Agreement(0.75, {})
    assert agreement(clean, picture("2222", "2222"), TABLE, KNOWN) == Agreement(0.0, {})


def test_pixels_of_classes_that_the_judge_does_not_know_are_left_out():
    mask = picture("1133", "1133")
    assert agreement(mask, picture("1111", "1111"), TABLE, KNOWN).value == 1.0
    assert agreement(mask, picture("1100", "1122"), TABLE, KNOWN).value == 1.0


def test_a_pair_of_which_the_judge_knows_nothing_has_no_agreement():
    mask, clean = picture("0033"), picture("0000")
    assert agreement(mask, clean, TABLE, KNOWN) == Agreement(None, {})
    assert agreement(clean, clean, TABLE, KNOWN, ["mold"]) == Agreement(None, {})
    assert agreement(picture("3333"), clean, TABLE, KNOWN) == Agreement(None, {})
    assert agreement(clean, clean, TABLE, KNOWN, ["mold", "crack"]).value is None
    assert agreement(mask, picture("1000"), TABLE, KNOWN, ["mold", "crack"]) == Agreement(0.0, {"crack": 0.0})


def test_a_speck_is_not_in_question_unless_it_was_asked_for():
    mask = np.zeros((64, 64), np.uint8)
    mask.flat[: int(SPECK * mask.size)] = 1  # 4 of 4096 pixels
    mask[32:] = 2
    judged = np.where(mask == 2, mask, 0).astype(np.uint8)
    assert agreement(mask, judged, TABLE, KNOWN).by_class == {"stain": 1.0}
    assert agreement(mask, judged, TABLE, KNOWN, ["crack"]).by_class == {"crack": 0.0, "stain": 1.0}
    mask.flat[int(SPECK * mask.size)] = 1
    assert agreement(mask, judged, TABLE, KNOWN).by_class == {"crack": 0.0, "stain": 1.0}


@given(MASKS, MASKS, st.sets(st.sampled_from(TABLE.names[1:])))
def test_it_is_a_share_and_whole_for_a_judge_that_sees_the_mask(mask, judged, asked):
    found = agreement(mask, judged, TABLE, KNOWN, asked)
    assert found.value is None or 0 <= found.value <= 1
    assert set(found.by_class) <= set(KNOWN)
    if found.by_class:
        assert found.value == pytest.approx(np.mean(list(found.by_class.values())), abs=1e-4)  # both rounded
    assert agreement(mask, mask, TABLE, KNOWN, asked).value in (1.0, None)


@given(MASKS, MASKS)
def test_turning_both_masks_changes_nothing(mask, judged):
    assert agreement(mask, judged, TABLE, KNOWN) == agreement(mask[::-1].T, judged[::-1].T, TABLE, KNOWN)
