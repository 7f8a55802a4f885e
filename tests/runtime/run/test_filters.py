"""Which pairs are kept: every limit by itself, at its border, and what its reason says."""

from dataclasses import replace

import numpy as np
import pytest

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.run.filters import Examiner, Filter, mean_confidence
from wetgen.runtime.run.fingerprints import Fingerprints, fingerprint
from wetgen.runtime.run.options import RunOptions
from wetgen.runtime.sampling.sampler import CONSTANT, NOT_FINITE, Pair

PLAIN = Filter(refuse_copies=False)


def wall(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def judged(tiny, tmp_path_factory) -> Bundle:
    """A bundle with a judge, and with the fingerprints of two pictures, wall(0) and wall(1)."""
    known = Fingerprints(fingerprint(np.stack([wall(0), wall(1)])), 20)
    return Bundle.open(tiny.write_bundle(tmp_path_factory.mktemp("judged"), judge=True, known=known))


def pair(prompt: str = "a crack", *, crack: int = 0, seen: int = 0, sure: int = 255, **values) -> Pair:
    """A pair with the first `crack` of its 1024 pixels damaged, of which the judge sees the first `seen`."""
    mask, looked = np.zeros((2, 32, 32), np.uint8)
    mask.flat[:crack], looked.flat[:seen] = 1, 1
    confidence = np.full((32, 32), sure, np.uint8)
    given = {"image": wall(9), "mask": mask, "confidence": confidence, "judged": looked, "judge_confidence": confidence}
    return Pair(**{"index": 0, "prompt": prompt, "seed": 0, **given, **values})


def reasons(bundle: Bundle, limits: Filter, *args, **values) -> dict[str, str]:
    return dict(Examiner(limits, bundle)(pair(*args, **values)).reasons)


def test_without_limits_only_broken_pairs_are_rejected(judged):
    assert reasons(judged, PLAIN) == {}
    assert reasons(judged, PLAIN, faults=("asked for crack, none in the mask",)) == {}
    assert reasons(judged, PLAIN, faults=(NOT_FINITE, CONSTANT)) == {"broken": f"{NOT_FINITE}; {CONSTANT}"}
    verdict = Examiner(Filter(keep_agreement=0.9, least_area=0.5), judged)(pair(faults=(CONSTANT,)))
    assert set(verdict.reasons) == {"broken"} and verdict.scores == {}  # figures of no picture would say nothing


@pytest.mark.parametrize("seen, kept", [(60, True), (59, False)])
def test_the_judge_must_agree_at_least_so_much(judged, seen, kept):
    limits = replace(PLAIN, keep_agreement=0.6)
    verdict = Examiner(limits, judged)(pair(crack=100, seen=seen))
    assert verdict.scores["agreement"] == seen / 100 and verdict.scores["class_agreement"] == {"crack": seen / 100}
    said = {} if kept else {"agreement": "judge and mask agree 0.59 (crack 0.59), least is 0.6"}
    assert verdict.reasons == said


def test_an_agreement_of_0_is_asked_for_and_rejects_nothing(judged):
    examine = Examiner(replace(PLAIN, keep_agreement=0.0), judged)
    assert examine.needs_judge and not Examiner(PLAIN, judged).needs_judge
    verdict = examine(pair(crack=100, seen=0))
    assert verdict.reasons == {} and verdict.scores["agreement"] == 0.0 and verdict.scores["judge_confidence"] == 1.0


def test_what_the_judge_does_not_know_is_kept_and_said(judged):
    mold = np.full((32, 32), 3, np.uint8)
    verdict = Examiner(replace(PLAIN, keep_agreement=0.9), judged)(pair("black mold", mask=mold))
    assert verdict.reasons == {} and verdict.scores["agreement"] is None


def test_the_prompt_decides_what_the_judge_is_asked_about(judged):
    """The judge sees a stain on the right half and the mask only the crack on the left."""
    looked = np.zeros((32, 32), np.uint8)
    looked[:, :16], looked[:, 16:] = 1, 2
    examine = Examiner(replace(PLAIN, keep_agreement=0.0), judged)
    values = {"mask": looked * (looked == 1), "judged": looked}
    assert examine(pair("a crack", **values)).scores["class_agreement"] == {"crack": 1.0}
    assert examine(pair("a crack and a stain", **values)).scores["agreement"] == 0.5


def test_the_judges_confidence_is_of_the_masks_damage(judged):
    sure = np.zeros((32, 32), np.uint8)
    sure.flat[:100] = 51
    examine = Examiner(replace(PLAIN, keep_agreement=0.0), judged)
    assert examine(pair(crack=100, seen=200, judge_confidence=sure)).scores["judge_confidence"] == 0.2


def test_a_clean_picture_needs_a_judge_that_sees_none(judged):
    limits = replace(PLAIN, keep_agreement=0.9)
    assert reasons(judged, limits, "a dry wall", seen=51) == {}
    assert "0.8994 (background alone)" in reasons(judged, limits, "a dry wall", seen=103)["agreement"]


@pytest.mark.parametrize("found, kept", [(0.6, True), (0.5999, False), (1.0, True), (0.0, False)])
def test_the_mask_must_show_the_layout_it_was_given(judged, found, kept):
    limits = replace(PLAIN, keep_layout=0.6)
    said = {} if kept else {"layout": f"mask and layout have an IoU of {found:g}, least is 0.6"}
    assert reasons(judged, limits, crack=9, metadata={"layout_iou": found, "layout_agreement": 0.1}) == said
    assert reasons(judged, PLAIN, crack=9, metadata={"layout_iou": found}) == {}


def test_a_pair_without_a_layout_has_none_to_show(judged):
    assert reasons(judged, replace(PLAIN, keep_layout=1.0), crack=9) == {}
    assert reasons(judged, replace(PLAIN, keep_layout=0.0), crack=9, metadata={"layout_iou": 0.0}) == {}


@pytest.mark.parametrize("crack, kept", [(102, False), (103, True), (307, True), (308, False)])
def test_damage_has_a_least_and_a_greatest_area(judged, crack, kept):
    limits = replace(PLAIN, least_area=0.1, most_area=0.3)
    assert (reasons(judged, limits, crack=crack) == {}) == kept


def test_a_limit_itself_is_allowed(judged):
    limits = replace(PLAIN, least_area=0.5, most_area=0.5, least_confidence=0.2)
    assert reasons(judged, limits, crack=512, sure=51) == {}


def test_a_picture_meant_to_be_clean_needs_no_damage(judged):
    limits = replace(PLAIN, least_area=0.1)
    assert reasons(judged, limits, "a dry wall without cracks") == {}
    assert reasons(judged, limits, "a dry wall", crack=1) == {
        "area": "damage covers 0.00098 of the picture, least is 0.1"
    }
    assert reasons(judged, limits, "a crack") == {"area": "damage covers 0 of the picture, least is 0.1"}


def test_the_mask_must_be_sure_of_the_damage(judged):
    confidence = np.full((32, 32), 255, np.uint8)
    confidence.flat[:100] = 127
    limits = replace(PLAIN, least_confidence=0.5)
    assert reasons(judged, limits, crack=100, confidence=confidence) == {
        "confidence": "the mask is 0.498 sure of itself, least is 0.5"
    }
    assert reasons(judged, limits, crack=200, confidence=confidence) == {}
    assert reasons(judged, limits, crack=0, confidence=confidence) == {}


def test_confidence_is_of_the_damage_and_of_all_where_there_is_none():
    mask, confidence = np.array([[0, 1], [2, 0]], np.uint8), np.array([[255, 51], [153, 0]], np.uint8)
    assert mean_confidence(mask, confidence) == 0.4
    assert mean_confidence(np.zeros_like(mask), confidence) == 0.45
    assert mean_confidence(np.ones((512, 512), np.uint8), np.full((512, 512), 255, np.uint8)) == 1.0


def test_copies_are_rejected_where_the_bundle_knows_its_training_pictures(judged):
    limits = Filter()
    said = "0 of 256 bits differ from training picture 1; up to 20 is a copy"
    assert reasons(judged, limits, image=wall(1)) == {"copy": said}
    assert reasons(judged, limits, image=wall(1)[:, ::-1]) == {"copy": said}
    verdict = Examiner(limits, judged)(pair(image=wall(2)))
    assert verdict.reasons == {} and verdict.scores["copy_bits"] > 60
    assert "copy_bits" not in Examiner(PLAIN, judged)(pair(image=wall(1))).scores


def test_a_copy_is_one_up_to_the_limit_and_not_beyond(tiny, tmp_path, judged):
    bits = Examiner(Filter(), judged)(pair(image=wall(2))).scores["copy_bits"]
    for most, found in ((bits, True), (bits - 1, False)):
        known = Fingerprints(fingerprint(np.stack([wall(0), wall(1)])), most)
        bundle = Bundle.open(tiny.write_bundle(tmp_path / str(most), known=known))
        assert ("copy" in reasons(bundle, Filter(), image=wall(2))) == found


def test_a_class_that_was_asked_for_may_be_required(judged):
    fault = "asked for crack, none in the mask"
    assert reasons(judged, replace(PLAIN, require_asked=True), faults=(fault,)) == {"asked": fault}


def test_every_reason_is_given(judged):
    limits = Filter(0.9, 0.8, 0.5, None, 0.9, True, True)
    given = {"faults": ("asked for stain, none in the mask",), "metadata": {"layout_iou": 0.7}}
    found = reasons(judged, limits, image=wall(0), crack=10, sure=100, **given)
    assert list(found) == ["copy", "asked", "layout", "area", "confidence", "agreement"]


def test_pictures_without_masks_are_only_held_against_copies(tiny, tmp_path):
    known = Fingerprints(fingerprint(wall(0)[None]), 20)
    bundle = Bundle.open(tiny.write_bundle(tmp_path, tiny.NO_MASK_SIZES, known=known))
    nothing = {"mask": None, "confidence": None, "judged": None, "judge_confidence": None}
    assert set(reasons(bundle, Filter(), image=wall(0), **nothing)) == {"copy"}
    with pytest.raises(WetgenError, match="--least-area is not possible with this bundle"):
        RunOptions(least_area=0.0).limits(bundle)


def test_copies_are_refused_by_default_where_that_is_possible(judged, bundle):
    assert RunOptions().limits(judged).refuse_copies is True
    assert RunOptions().limits(bundle).refuse_copies is False
    assert RunOptions(refuse_copies=False).limits(judged).refuse_copies is False


@pytest.mark.parametrize(
    "values, said",
    [
        ({"keep_agreement": 0.5}, "--keep-agreement is not possible with this bundle"),
        ({"refuse_copies": True}, "--refuse-copies is not possible with this bundle"),
    ],
)
def test_what_a_bundle_cannot_measure_is_said_with_the_command_that_adds_it(bundle, values, said):
    with pytest.raises(WetgenError, match=said) as caught:
        RunOptions(**values).limits(bundle)
    assert "wetgen judge REAL --bundle BUNDLE --out NEW" in caught.value.fix


@pytest.mark.parametrize(
    "name", ["keep_agreement", "keep_layout", "least_area", "most_area", "least_confidence", "ignore_below"]
)
@pytest.mark.parametrize("value", [-0.1, 1.1, 60, float("nan"), float("inf")])
def test_a_limit_is_a_share(judged, name, value):
    with pytest.raises(WetgenError, match=rf"--{name.replace('_', '-')} is {value}\.\n  why: it is a share"):
        RunOptions(**{name: value}).config(judged, 1, "")


@pytest.mark.parametrize("name", ["least_region", "fill_holes", "ignore_band"])
def test_a_size_is_a_number_of_pixels(judged, name):
    with pytest.raises(WetgenError, match=rf"--{name.replace('_', '-')} is -1\.\n  why: it is a number of pixels"):
        RunOptions(**{name: -1}).config(judged, 1, "")


def test_limits_between_which_nothing_lies_are_refused(judged):
    RunOptions(least_area=0.2, most_area=0.2).config(judged, 1, "")
    with pytest.raises(WetgenError, match="no pair lies between"):
        RunOptions(least_area=0.3, most_area=0.2).config(judged, 1, "")
