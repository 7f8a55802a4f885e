"""What becomes of a drawn pair: what is said of it, what it lacks, how far it agrees with its layout, a tidied mask."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.masks.classes import IGNORE
from wetgen.runtime.masks.cleanup import MaskCleanup
from wetgen.runtime.run.tasks import layout_agreement, postprocess_pair
from wetgen.runtime.sampling.sampler import CONSTANT, Pair, missing_class

OFF = MaskCleanup()
CRACK, STAIN, MOLD = 1, 2, 3


def pair(mask, prompt="a wall", **given):
    mask = None if mask is None else np.array(mask, np.uint8)
    shape = (2, 2) if mask is None else mask.shape
    confidence = None if mask is None else given.pop("confidence", np.full(shape, 255, np.uint8))
    return Pair(3, prompt, 0, np.zeros((*shape, 3), np.uint8), mask, confidence, **given)


def test_without_anything_to_do_only_what_is_said_is_added(bundle):
    drawn = pair([[0, 1], [1, 1]], faults=("asked for mold, none in the mask",), metadata={"detail": 2})
    done = postprocess_pair(drawn, {"severity": 0.4}, bundle, OFF)
    assert done.metadata == {"detail": 2, "severity": 0.4} and done.mask is drawn.mask
    assert replace(done, metadata={}).faults == drawn.faults and done.image is drawn.image


@pytest.mark.parametrize(
    "asked, faults",
    [([], []), (["crack"], []), (["mold"], ["mold"]), (["mold", "crack", "stain"], ["mold", "stain"])],
)
def test_a_class_that_was_asked_for_and_is_not_there_is_a_fault(bundle, asked, faults):
    done = postprocess_pair(pair([[0, CRACK], [0, 0]]), {}, bundle, OFF, asked=asked)
    assert done.faults == tuple(map(missing_class, faults)) and not done.broken


def test_a_fault_is_told_once_and_after_those_that_were_found_before(bundle):
    drawn = pair([[0, 0]], "a stain", faults=(missing_class("stain"),))
    done = postprocess_pair(drawn, {}, bundle, OFF, asked=["mold", "stain"])
    assert done.faults == (missing_class("stain"), missing_class("mold"))


def test_of_a_broken_pair_nothing_is_missing(bundle):
    done = postprocess_pair(pair([[0, 0]], faults=(CONSTANT,)), {}, bundle, OFF, asked=["mold"])
    assert done.faults == (CONSTANT,)


def test_a_mask_is_tidied_and_its_row_says_so(bundle):
    mask = np.zeros((6, 6), np.uint8)
    mask[1:4, 1:4], mask[2, 2], mask[5, 5] = STAIN, 0, MOLD
    done = postprocess_pair(pair(mask), {"severity": 0.4}, bundle, MaskCleanup(least_region=2, fill_holes=1))
    expected = np.zeros((6, 6), np.uint8)
    expected[1:4, 1:4] = STAIN
    np.testing.assert_array_equal(done.mask, expected)
    said = {"least_region": 2, "fill_holes": 1, "changed": {"small_regions": 1, "holes": 1}}
    assert done.metadata == {"severity": 0.4, "tidy": said} and mask[5, 5] == MOLD


def test_pixels_to_be_ignored_are_named_in_the_row(bundle):
    sure = np.array([[255, 100], [100, 255]], np.uint8)
    done = postprocess_pair(pair([[1, 1], [0, 0]], confidence=sure), {}, bundle, MaskCleanup(ignore_below=0.5))
    assert done.mask.tolist() == [[1, IGNORE], [IGNORE, 0]]
    assert done.metadata["ignore_id"] == IGNORE and done.metadata["tidy"]["changed"] == {"ignored": 2}
    assert "ignore_id" not in postprocess_pair(pair([[1, 1], [0, 0]]), {}, bundle, MaskCleanup(least_region=2)).metadata


@pytest.mark.parametrize("prompt", ["a crack in a wall", "mold and a crack"])
def test_a_class_that_tidying_took_away_is_a_fault(bundle, prompt):
    """The mask had it, so the generator found nothing to tell."""
    mask = np.zeros((6, 6), np.uint8)
    mask[:3, :3], mask[5, 5] = MOLD, CRACK
    done = postprocess_pair(pair(mask, prompt), {}, bundle, MaskCleanup(least_region=4))
    assert done.faults == (missing_class("crack"),)
    assert postprocess_pair(pair(mask, prompt), {}, bundle, OFF).faults == ()
    assert (
        postprocess_pair(pair(mask, "a wall"), {}, bundle, MaskCleanup(least_region=4), asked=["crack"]).faults
        == done.faults
    )


def test_a_class_whose_every_pixel_is_to_be_ignored_is_missing(bundle):
    sure = np.array([[255, 0]], np.uint8)
    done = postprocess_pair(
        pair([[MOLD, CRACK]], "a crack", confidence=sure), {}, bundle, MaskCleanup(ignore_below=0.5)
    )
    assert done.faults == (missing_class("crack"),)


def test_pictures_without_masks_are_given_what_is_said(images_only_folder):
    only = Bundle.open(images_only_folder)
    done = postprocess_pair(
        pair(None), {"number": 1}, only, MaskCleanup(least_region=9), layout=np.zeros((2, 2), np.uint8)
    )
    assert done.metadata == {"number": 1} and done.mask is None


# Agreement with a layout


def test_agreement_by_hand():
    """5 of 8 pixels agree; crack has 2 of 4 pixels in common, stain 1 of 3."""
    layout = np.array([[0, 0, 1, 1], [2, 2, 1, 0]], np.uint8)
    mask = np.array([[0, 0, 1, 1], [2, 1, 0, 2]], np.uint8)
    assert layout_agreement(mask, layout) == {"layout_agreement": 0.625, "layout_iou": round((2 / 4 + 1 / 3) / 2, 4)}


def test_a_class_that_the_layout_does_not_show_counts_through_what_it_takes_from_others():
    layout, mask = np.array([[1, 1, 0, 0]], np.uint8), np.array([[1, 3, 0, 3]], np.uint8)
    assert layout_agreement(mask, layout) == {"layout_agreement": 0.5, "layout_iou": 0.5}


def test_a_layout_of_background_is_held_against_the_background():
    assert layout_agreement(np.array([[0, 0, 0, 1]], np.uint8), np.zeros((1, 4), np.uint8)) == {
        "layout_agreement": 0.75,
        "layout_iou": 0.75,
    }


@given(arrays.arrays(np.uint8, (3, 4), elements=st.integers(0, 3)), st.integers(0, 2**32 - 1))
def test_a_mask_agrees_wholly_with_itself_and_any_two_between_0_and_1(layout, seed):
    assert layout_agreement(layout, layout) == {"layout_agreement": 1.0, "layout_iou": 1.0}
    other = np.random.default_rng(seed).integers(0, 4, layout.shape).astype(np.uint8)
    assert all(0 <= share <= 1 for share in layout_agreement(other, layout).values())


def test_agreement_is_measured_on_the_mask_as_it_was_drawn(bundle):
    """Tidying says nothing of how well the generator obeyed; and the figures go into JSON."""
    mask, layout = np.zeros((2, 4, 4), np.uint8)
    mask[0, 0] = layout[0, 0] = layout[0, 1] = CRACK
    done = postprocess_pair(pair(mask), {}, bundle, MaskCleanup(least_region=3), layout=layout)
    assert done.metadata["layout_agreement"] == 15 / 16 and done.metadata["layout_iou"] == 0.5 and not done.mask.any()
    assert json.loads(json.dumps(done.metadata)) == done.metadata
