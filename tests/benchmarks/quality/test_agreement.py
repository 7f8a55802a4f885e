"""Agreement with judges whose answers are known."""

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from tests.benchmarks.quality.walls import CRACK, STAIN, TABLE, walls
from wetgen.benchmarks.quality.agreement import agreement, read
from wetgen.benchmarks.quality.controls import shifted
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.runtime.errors import WetgenError


class Knowing:
    """A judge that looks the mask up and moves it by some pixels."""

    module: nn.Module = nn.Identity()

    def __init__(self, *known: Pairs, off: int = 0, votes: float = 1.0) -> None:
        self.masks = {
            image.tobytes(): mask
            for pairs in known
            for image, mask in zip(pairs.images, np.roll(pairs.masks, off, axis=2), strict=True)
        }
        self.votes = votes

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        masks = np.stack([self.masks[image.tobytes()] for image in images])
        return self.votes * np.eye(len(TABLE), dtype=np.float32)[masks].transpose(0, 3, 1, 2)

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.zeros((len(images), 1))


@pytest.fixture(scope="module")
def sets() -> tuple[Pairs, Pairs]:
    return walls(40, 3, 32), walls(30, 2, 32)


def test_a_judge_who_finds_the_masks_agrees_wholly(sets: tuple[Pairs, Pairs]) -> None:
    found = agreement([Knowing(*sets)], *sets)
    assert set(found["classes"]) == {"crack", "stain"}
    for figures in (found["mean"], *found["classes"].values()):
        assert {figures[name]["value"] for name in ("iou", "boundary_f1")} == {1.0}
        assert figures["iou"]["gap"] == 0 and not figures["iou"]["flagged"]


def test_masks_beside_what_the_judge_sees_are_flagged(sets: tuple[Pairs, Pairs]) -> None:
    fresh, validation = sets
    moved = fresh.with_pixels(fresh.images, shifted(fresh.masks, 6))
    found = agreement([Knowing(*sets)], moved, validation)
    assert found["mean"]["iou"]["flagged"] and found["mean"]["boundary_f1"]["flagged"]
    assert found["mean"]["iou"]["gap"] == 1 - found["mean"]["iou"]["value"]


def test_the_score_is_of_one_confusion_matrix(sets: tuple[Pairs, Pairs]) -> None:
    fresh, validation = sets
    judge = Knowing(*sets, off=1)
    seen = read([judge], fresh.images)
    per_class = [
        ((seen == id) & (fresh.masks == id)).sum() / ((seen == id) | (fresh.masks == id)).sum() for id in (CRACK, STAIN)
    ]
    found = agreement([judge], fresh, validation)
    assert found["classes"]["crack"]["iou"]["value"] == pytest.approx(per_class[0])
    assert found["mean"]["iou"]["value"] == pytest.approx(np.mean(per_class))


def test_an_ensemble_votes(sets: tuple[Pairs, Pairs]) -> None:
    fresh = sets[0]
    judge = [Knowing(fresh), Knowing(fresh), Knowing(fresh, off=9, votes=1.5)]
    np.testing.assert_array_equal(read(judge, fresh.images), fresh.masks)


def test_a_class_that_few_pairs_show_has_no_score(sets: tuple[Pairs, Pairs]) -> None:
    fresh, validation = sets
    rare = fresh.with_pixels(fresh.images, np.where(fresh.masks == STAIN, 0, fresh.masks).astype(np.uint8))
    assert set(agreement([Knowing(rare, validation)], rare, validation)["classes"]) == {"crack"}
    bare = fresh.with_pixels(fresh.images, np.zeros_like(fresh.masks))
    assert "not_measured" in agreement([Knowing(bare, validation)], bare, validation)["mean"]["iou"]


def test_a_judge_that_diverged_is_an_error(sets: tuple[Pairs, Pairs]) -> None:
    with pytest.raises(WetgenError, match="not finite"):
        read([Knowing(*sets, votes=float("nan"))], sets[0].images)
