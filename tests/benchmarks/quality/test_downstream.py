"""The arms, and the trial as a whole with a segmenter so simple that its answers can be foretold."""

import json
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from tests.benchmarks.quality.walls import CRACK, STAIN, TABLE, walls
from wetgen.benchmarks.quality.arms import (
    ALL,
    BESIDE,
    CLASSICAL,
    COPIES,
    MIXED,
    REAL,
    SHIFTED,
    SYNTHETIC,
    UNFILTERED,
    Arm,
    arms,
    shares,
)
from wetgen.benchmarks.quality.downstream import counted_classes, downstream, gathered, measure, summarise
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.scores import iou
from wetgen.runtime.errors import WetgenError

REAL_PAIRS, SYNTHETIC_PAIRS, VALIDATION, TEST = walls(20, 1, 32), walls(70, 2, 32), walls(6, 3, 32), walls(30, 4, 32)


class Colours:
    """Knows each class by its mean colour."""

    def __init__(self, means: np.ndarray, share: np.ndarray) -> None:
        self.module = torch.nn.Identity()
        self.means, self.share = means, share

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        apart = ((images[:, None] - self.means[:, None, None]) ** 2).sum(-1) / 2000
        shares = np.exp(-apart) * self.share[:, None, None] + 1e-30
        return (shares / shares.sum(1, keepdims=True)).astype(np.float32)

    def features(self, images: np.ndarray) -> np.ndarray:
        return images.mean((1, 2), dtype=np.float64)


class ColoursTrainer:
    name = "colours"

    def __init__(self) -> None:
        self.trained = 0

    def train(self, real: Pairs | None, extra: Pairs | None, seed: int) -> Colours:
        self.trained += 1
        sets = [pairs for pairs in (real, extra) if pairs is not None]
        images, masks = (np.concatenate([getattr(pairs, name) for pairs in sets]) for name in ("images", "masks"))
        share = np.bincount(masks.ravel(), minlength=len(TABLE)) / masks.size
        means = [images[masks == id].mean(0) if share[id] else np.full(3, -1e4) for id in range(len(TABLE))]
        return Colours(np.stack(means) + seed, share)


def _always(_: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    return compute()


@pytest.fixture(scope="module")
def listed() -> list[Arm]:
    return list(arms(REAL_PAIRS, SYNTHETIC_PAIRS, SYNTHETIC_PAIRS, seed=0))


def test_every_arm_is_there_once(listed: list[Arm]) -> None:
    at_shares = {(name, share) for name in (REAL, COPIES, CLASSICAL, MIXED, ALL) for share in (1, 0.5, 0.25, 0.1)}
    others = {(name, 1.0) for name in (f"{MIXED} 0.5x", f"{MIXED} 1x", SHIFTED, UNFILTERED)} | {(SYNTHETIC, 0.0)}
    assert sorted((arm.name, arm.share) for arm in listed) == sorted(at_shares | others)


def test_extra_pairs_come_in_the_numbers_that_the_names_say(listed: list[Arm]) -> None:
    counts = {arm.name: len(arm.extra) for arm in listed if arm.share == 1 and arm.extra is not None}
    assert counts == {
        COPIES: 60,
        CLASSICAL: 60,
        MIXED: 60,
        ALL: 70,
        f"{MIXED} 0.5x": 10,
        f"{MIXED} 1x": 20,
        SHIFTED: 60,
        UNFILTERED: 60,
    }
    for arm in listed:
        if arm.name in (COPIES, CLASSICAL, MIXED):
            assert arm.real is not None and arm.extra is not None and len(arm.extra) == BESIDE * len(arm.real)


def test_arms_of_a_share_have_the_same_real_pairs_and_smaller_shares_lie_in_larger_ones(listed: list[Arm]) -> None:
    kept = {arm.share: arm.real for arm in listed if arm.name == REAL and arm.real is not None}
    for arm in listed:
        if arm.real is not None:
            assert arm.real.digest == kept[arm.share].digest
    for smaller, larger in ((0.1, 0.25), (0.25, 0.5), (0.5, 1.0)):
        assert set(kept[smaller].names) < set(kept[larger].names)
    assert kept[1.0].digest == REAL_PAIRS.digest
    for some in kept.values():  # whole groups
        outside = set(REAL_PAIRS.names) - set(some.names)
        assert not {g for g, n in zip(REAL_PAIRS.groups, REAL_PAIRS.names, strict=True) if n in outside} & set(
            some.groups
        )


def test_synthetic_pairs_of_a_smaller_number_come_first_in_a_larger_one(listed: list[Arm]) -> None:
    mixed = [arm.extra for arm in listed if arm.name.startswith(MIXED) and arm.extra is not None]
    for first, then in pairwise(mixed):
        assert then.names[: len(first)] == first.names


def test_the_control_has_the_main_arms_pictures_and_other_masks(listed: list[Arm]) -> None:
    main, control = (next(arm for arm in listed if (arm.name, arm.share) == (name, 1)) for name in (MIXED, SHIFTED))
    assert main.extra is not None and control.extra is not None
    np.testing.assert_array_equal(main.extra.images, control.extra.images)
    moved = (main.extra.masks != control.extra.masks).any((1, 2))
    assert moved[main.extra.masks.any((1, 2))].all()


def test_classical_pairs_come_from_the_share_alone(listed: list[Arm]) -> None:
    for arm in listed:
        if arm.name == CLASSICAL:
            assert arm.real is not None and arm.extra is not None
            assert set(arm.extra.names) == set(arm.real.names)


def test_few_synthetic_pairs_are_never_stretched() -> None:
    listed = list(arms(REAL_PAIRS, SYNTHETIC_PAIRS.take(range(15)), None, seed=0))
    counts = {(arm.name, arm.share): len(arm.extra) for arm in listed if arm.extra is not None}
    assert counts[MIXED, 1.0] == 15 and counts[f"{MIXED} 0.5x", 1.0] == 10 and counts[SHIFTED, 1.0] == 15
    assert (f"{MIXED} 1x", 1.0) not in counts and (ALL, 1.0) not in counts and (UNFILTERED, 1.0) not in counts


def test_shares_hold_each_class_in_proportion_and_follow_the_seed() -> None:
    real = walls(200, 5, 16)
    first, other = shares(real, 0), shares(real, 1)
    assert not np.array_equal(first[0.5], other[0.5])
    for share, places in first.items():
        assert len(places) == pytest.approx(share * 200, abs=4)
        for id in (CRACK, STAIN):
            shown = (real.masks == id).any((1, 2))
            assert shown[places].sum() == pytest.approx(share * shown.sum(), abs=4)


def test_a_share_of_a_few_large_groups_is_never_empty() -> None:
    real = walls(12, 6, 16)
    three = Pairs(TABLE, real.images, real.masks, real.texts, ("a", "b", "c", "c") * 3, *[real.names] * 3)
    for places in shares(three, 0).values():
        assert len(places)
        kept = {three.groups[i] for i in places}
        assert len(places) == sum(group in kept for group in three.groups)


def test_hardly_any_synthetic_pairs_are_an_error() -> None:
    with pytest.raises(WetgenError, match="9 synthetic pairs for 20 real"):
        _trial(synthetic=SYNTHETIC_PAIRS.take(range(9)))


def _trial(
    synthetic: Pairs = SYNTHETIC_PAIRS,
    test: Pairs = TEST,
    trainer: ColoursTrainer | None = None,
    cache: Callable[[str, Callable[[], dict[str, Any]]], dict[str, Any]] = _always,
) -> dict[str, Any]:
    segmenter = ColoursTrainer() if trainer is None else trainer
    return downstream(REAL_PAIRS, VALIDATION, test, synthetic, None, segmenter, 2, cache)


@pytest.fixture(scope="module")
def trial() -> dict[str, Any]:
    return _trial()


def _found(trial: dict[str, Any], name: str, share: float = 1.0) -> dict[str, Any]:
    return next(arm for arm in trial["arms"] if (arm["arm"], arm["share"]) == (name, share))


def test_results_are_plain_json_without_nan(trial: dict[str, Any]) -> None:
    assert json.loads(json.dumps(trial, allow_nan=False)) == trial
    assert trial["segmenter"] == "colours" and trial["seeds"] == 2 and trial["ratio"] == 3
    assert trial["classes"] == ["crack", "stain"] and trial["absent"] == [] and trial["losses"] is None


def test_shifted_masks_lose(trial: dict[str, Any]) -> None:
    assert trial["control"]["loses"] and trial["control"]["mean"]["delta"] < 0
    assert trial["control"]["loses_clearly"] == (trial["control"]["mean"]["high"] < 0)
    assert not _found(trial, SHIFTED)["against"][REAL]["mean"]["gain"]


def test_copies_are_compared_and_gain_nothing(trial: dict[str, Any]) -> None:
    found = _found(trial, COPIES)["against"][REAL]["mean"]
    assert found["delta"] == found["low"] == found["high"] == 0 and not found["gain"]


def test_arms_are_compared_with_those_of_their_own_share(trial: dict[str, Any]) -> None:
    for share in (1.0, 0.5, 0.25, 0.1):
        real, mixed = _found(trial, REAL, share), _found(trial, MIXED, share)
        assert set(mixed["against"]) == {REAL, COPIES, CLASSICAL} and set(real["against"]) == {COPIES, CLASSICAL}
        for name in ("crack", "stain"):
            scores = [arm["test"]["classes"][name]["iou"]["mean"] for arm in (mixed, real)]
            assert mixed["against"][REAL]["classes"][name]["delta"] == pytest.approx(scores[0] - scores[1])
        assert mixed["extra_pairs"] == 3 * mixed["real_pairs"] == 3 * real["real_pairs"]
    assert _found(trial, SYNTHETIC, 0.0)["against"] == {}


def test_scores_are_those_of_the_segmenters(trial: dict[str, Any]) -> None:
    each = []
    for seed in range(2):
        predicted = ColoursTrainer().train(REAL_PAIRS, None, seed).probabilities(TEST.images).argmax(1)
        joint = (predicted == CRACK) | (TEST.masks == CRACK)
        each.append(((predicted == CRACK) & (TEST.masks == CRACK)).sum() / joint.sum())
    assert np.sum(_found(trial, REAL)["test"]["confusion"]) == 2 * TEST.masks.size
    found = _found(trial, REAL)["test"]["classes"]["crack"]["iou"]
    assert found["mean"] == pytest.approx(np.mean(each)) and found["deviation"] == pytest.approx(np.std(each, ddof=1))


def test_every_arm_and_seed_passes_once_through_the_cache_and_a_second_run_trains_nothing(
    trial: dict[str, Any],
) -> None:
    stored: dict[str, str] = {}

    def cache(name: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if name not in stored:
            stored[name] = json.dumps(compute())
        return dict(json.loads(stored[name]))

    trainer = ColoursTrainer()
    first = _trial(trainer=trainer, cache=cache)
    assert trainer.trained == len(stored) == 2 * len(first["arms"])
    assert _trial(trainer=trainer, cache=cache) == first == trial
    assert trainer.trained == len(stored)


def test_a_class_without_a_true_test_pixel_is_absent_not_scored() -> None:
    cracks = TEST.with_pixels(TEST.images, np.where(TEST.masks == STAIN, 0, TEST.masks).astype(np.uint8))
    found = _trial(test=cracks)
    assert found["classes"] == ["crack"] and found["absent"] == ["stain"]
    assert set(_found(found, MIXED)["test"]["classes"]) == {"crack"}


def test_a_class_that_validation_does_not_show_has_no_score_there(trial: dict[str, Any]) -> None:
    bare = VALIDATION.with_pixels(VALIDATION.images, np.where(VALIDATION.masks == CRACK, 0, VALIDATION.masks))
    found = downstream(REAL_PAIRS, bare, TEST, SYNTHETIC_PAIRS, None, ColoursTrainer(), 2, _always)
    json.dumps(found, allow_nan=False)
    assert _found(found, REAL)["validation"]["classes"]["crack"]["iou"] == {"mean": None, "deviation": None}
    assert _found(found, REAL)["test"] == _found(trial, REAL)["test"]


def test_no_class_in_common_is_an_error() -> None:
    clean = TEST.with_pixels(TEST.images, np.zeros_like(TEST.masks))
    with pytest.raises(WetgenError, match="No class of damage"):
        counted_classes(REAL_PAIRS, clean)


def test_a_few_test_places_get_no_interval() -> None:
    found = _found(_trial(test=TEST.take(range(6))), MIXED)["against"][REAL]["mean"]
    assert found["low"] is None and found["high"] is None and not found["gain"] and found["groups"] <= 3


def test_folds_are_pooled_picture_by_picture() -> None:
    halves = [TEST.take(range(0, 14)), TEST.take(range(14, 30))]
    parts = [
        gathered(measure(REAL_PAIRS, {"test": half}, SYNTHETIC_PAIRS, None, ColoursTrainer(), 2, _always))
        for half in halves
    ]
    pooled = {key: {"test": found["test"].beside(parts[1][key]["test"])} for key, found in parts[0].items()}
    whole = gathered(measure(REAL_PAIRS, {"test": TEST}, SYNTHETIC_PAIRS, None, ColoursTrainer(), 2, _always))
    key = (MIXED, 1.0)
    assert pooled[key]["test"].matrices.shape[1] == len(set(TEST.groups))
    np.testing.assert_array_equal(pooled[key]["test"].matrices.sum(1), whole[key]["test"].matrices.sum(1))
    found = summarise(pooled, TABLE, (CRACK, STAIN))
    expected = np.mean([iou(matrix.sum(0))[[CRACK, STAIN]].mean() for matrix in whole[key]["test"].matrices])
    assert math.isclose(_found(found, MIXED)["test"]["mean_iou"]["mean"], expected)
