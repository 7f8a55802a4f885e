"""Captions read back, swapped words, and what they change."""

import numpy as np
import pytest

from tests.benchmarks.quality.walls import CRACK, STAIN, TABLE, WORDS, walls
from wetgen.benchmarks.quality.captions import Swap, one_word, read_back, swaps
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.training.scenes.scene import CLASSES
from wetgen.training.synonyms import words_of


@pytest.fixture(scope="module")
def sets() -> tuple[Pairs, Pairs]:
    return walls(60, 3, 32), walls(40, 2, 32)


def wide(masks: np.ndarray) -> np.ndarray:
    """Only classes of 1 % and more, as the judge's reading counts them."""
    kept = masks.copy()
    for mask in kept:
        for id in (CRACK, STAIN):
            if (mask == id).mean() < 0.01:
                mask[mask == id] = 0
    return kept


def test_what_the_judge_finds_is_recalled(sets: tuple[Pairs, Pairs]) -> None:
    fresh, real = sets
    found = read_back(fresh, fresh.masks, real, real.masks, WORDS)
    assert found["recall"]["value"] > 0.95 and not found["recall"]["flagged"]
    assert set(found["classes"]) == set(found["confusion"]["synthetic"]) == {"crack", "stain"}


def test_what_it_does_not_find_is_not(sets: tuple[Pairs, Pairs]) -> None:
    fresh, real = sets
    blind = np.where(fresh.masks == CRACK, 0, fresh.masks).astype(np.uint8)
    found = read_back(fresh, blind, real, real.masks, WORDS)
    assert found["classes"]["crack"]["value"] == 0 and found["classes"]["crack"]["flagged"]
    assert not found["classes"]["stain"]["flagged"] and found["recall"]["flagged"]


def test_a_class_under_one_percent_is_not_read(sets: tuple[Pairs, Pairs]) -> None:
    fresh, real = sets
    speck = np.zeros_like(fresh.masks)
    speck[:, 0, :10] = CRACK  # 10 of 1024 pixels
    assert read_back(fresh, speck, real, real.masks, WORDS)["classes"]["crack"]["value"] == 0
    speck[:, 0, :11] = CRACK
    assert read_back(fresh, speck, real, real.masks, WORDS)["classes"]["crack"]["value"] == 1


def test_the_confusion_says_what_is_read_for_what_was_asked(sets: tuple[Pairs, Pairs]) -> None:
    fresh, real = sets
    swapped = np.array([0, STAIN, CRACK], np.uint8)[wide(fresh.masks)]
    row = read_back(fresh, swapped, real, real.masks, WORDS)["confusion"]["synthetic"]["crack"]
    asked = [text for text in fresh.texts if "crack" in text]
    both = sum("stain" in text for text in asked)
    assert row["pairs"] == len(asked) and row["stain"] > 0.9
    assert row["crack"] == pytest.approx(both / len(asked), abs=0.1)
    assert read_back(fresh, 0 * swapped, real, real.masks, WORDS)["confusion"]["synthetic"]["crack"]["none"] == 1


def test_classes_that_few_prompts_ask_for_are_left_out(sets: tuple[Pairs, Pairs]) -> None:
    fresh, real = sets
    few = fresh.take([i for i in range(60) if "stain" in fresh.texts[i]][:4])
    found = read_back(few, few.masks, real, real.masks, WORDS)
    assert "stain" not in found["classes"] and "not_measured" in found["recall"]


def test_one_word_is_swapped_with_its_article_and_number() -> None:
    words = words_of(CLASSES)
    prompts = ["a crack in a wall", "Cracks under the window", "a wall with two stains", "a crack in a wall"]
    crack, stain, efflorescence = (CLASSES.names.index(name) for name in ("crack", "stain", "efflorescence"))
    found = swaps(prompts, words, CLASSES, (crack, efflorescence), 9)
    assert found == [
        Swap(prompts[0], "an efflorescence in a wall", crack, efflorescence),
        Swap(prompts[1], "efflorescence under the window", crack, efflorescence),
    ]
    assert swaps(prompts[1:2], words, CLASSES, (crack, stain), 9)[0].swapped == "stains under the window"


def test_other_classes_take_turns_and_the_count_is_kept() -> None:
    words = words_of(CLASSES)
    found = swaps([f"a crack in wall {i}" for i in range(9)], words, CLASSES, (1, 2, 3, 7), 5)
    assert [swap.swapped_for for swap in found] == [2, 3, 7, 2, 3]


@pytest.mark.parametrize(
    "prompt", ["a plain wall", "a crack and a stain", "a cracked wall", "a crack in a cracked wall", "no crack at all"]
)
def test_prompts_that_do_not_ask_for_one_class_by_its_noun_are_left_out(prompt: str) -> None:
    assert swaps([prompt], words_of(CLASSES), CLASSES, (1, 2), 9) == []


def twins(outside: int) -> tuple[Pairs, Pairs]:
    """A crack in the first, a stain in the second; elsewhere they differ by `outside` levels, other noise by 60."""
    images = np.full((4, 64, 64, 3), 100, np.uint8)
    images[1::2] = 160
    changed, first, second = images + np.uint8(outside), *np.zeros((2, 4, 64, 64), np.uint8)
    first[:, 10:14], second[:, 30:50, 30:50] = CRACK, STAIN
    changed[(first | second) > 0] = 255
    listed = (("",) * 4,) * 5
    return Pairs(TABLE, images, first, *listed), Pairs(TABLE, changed, second, *listed)


SWAPPED = [Swap("a crack", "a stain", CRACK, STAIN)] * 4


def test_a_swap_that_changes_only_what_it_should() -> None:
    first, second = twins(outside=0)
    found = one_word(first, second, first.masks, second.masks, SWAPPED)
    assert found["mask_follows"] == found["reading_follows"] == 1
    assert found["outside"] == 0 and found["inside"] == pytest.approx((155 + 95) / 2 / 255)
    assert found["other_picture"] == pytest.approx(60 / 255)


def test_a_swap_that_changes_the_rest_or_not_the_damage() -> None:
    first, second = twins(outside=30)
    found = one_word(first, first.with_pixels(second.images, first.masks), first.masks, first.masks, SWAPPED)
    assert found["mask_follows"] == found["reading_follows"] == 0
    assert found["outside"] > 30 / 255
    both = np.where(second.masks > 0, second.masks, first.masks)
    half = one_word(first, second.with_pixels(second.images, both), first.masks, second.masks, SWAPPED)
    assert half["mask_follows"] == 0 and half["reading_follows"] == 1, "the first class must be gone"


def test_twins_that_are_damaged_everywhere_have_no_outside() -> None:
    first, second = twins(outside=5)
    full = first.with_pixels(first.images, np.full_like(first.masks, CRACK))
    found = one_word(full, second, full.masks, second.masks, SWAPPED)
    assert found["outside"] is None and found["other_picture"] is None and found["inside"] > 0
