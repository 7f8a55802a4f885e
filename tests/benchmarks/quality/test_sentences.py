"""The sentences a generator is measured by: complete, well formed, and unlike anything that training writes."""

import json
import re
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("scipy")

from wetgen.benchmarks.quality import sentences as module
from wetgen.benchmarks.quality.sentences import (
    GROUPS,
    HELD_OUT,
    Sentence,
    classes_shown,
    read_sentences,
    scores,
    wilson,
)
from wetgen.training.scenes import caption, draw_scene
from wetgen.training.scenes.scene import CLASSES as TABLE
from wetgen.training.scenes.settings import SETTINGS
from wetgen.training.scenes.wording import spoken

SENTENCES = read_sentences()
CLASSES = set(TABLE.names[1:])
FILLERS = {
    *("a", "an", "the", "this", "that", "there", "it", "its", "some", "is", "are", "was", "has", "have", "had"),
    *("of", "on", "in", "at", "with", "and", "to", "by", "or", "from"),
}
NEAR = 0.8  # of the words of two sentences together, the share they have in common from which on they are one


def content(text: str) -> frozenset[str]:
    """The words that say something, in any order."""
    return frozenset(re.findall(r"[a-z0-9]+", text.lower())) - FILLERS


def likeness(one: frozenset[str], other: frozenset[str]) -> float:
    """Words in common over words in either (Jaccard)."""
    return len(one & other) / len(one | other)


def test_groups_are_complete_and_no_sentence_stands_twice() -> None:
    assert Counter(sentence.group for sentence in SENTENCES) == GROUPS
    assert len({content(sentence.text) for sentence in SENTENCES}) == len(SENTENCES) == 160


@pytest.mark.parametrize("group", GROUPS)
def test_sentences_want_what_their_group_says(group: str) -> None:
    for sentence in (sentence for sentence in SENTENCES if sentence.group == group):
        check(sentence)


def check(sentence: Sentence) -> None:
    """The form of one row."""
    wanted, unwanted = set(sentence.wanted), set(sentence.unwanted)
    assert wanted | unwanted <= CLASSES and not wanted & unwanted
    assert sentence.surface is None or sentence.surface in SETTINGS
    assert sentence.text.strip() == sentence.text and len(sentence.text.split()) <= 25
    if sentence.group == "clean rooms":
        assert not wanted and unwanted == CLASSES
    elif sentence.group == "two or three damages":
        assert len(wanted) in (2, 3) and not unwanted
    else:
        assert len(wanted) == 1 and bool(unwanted) == (sentence.group == "negation")


def test_every_class_is_asked_for_in_every_way() -> None:
    for group in ("plain words", "synonyms", "terse notes", "full sentences", "two or three damages"):
        counts = Counter(name for sentence in SENTENCES if sentence.group == group for name in sentence.wanted)
        assert set(counts) == CLASSES and min(counts.values()) >= 2, (group, counts)


def test_a_third_of_the_synonyms_are_words_that_no_caption_uses() -> None:
    synonyms = [sentence for sentence in SENTENCES if sentence.group == "synonyms"]
    assert all(sum(word in sentence.text.split() for sentence in synonyms) == 1 for word in HELD_OUT)


def test_no_caption_is_like_a_sentence() -> None:
    sentences = {content(sentence.text): sentence.text for sentence in SENTENCES}
    for index in range(2000):
        scene = draw_scene(77, index)
        for text in (caption(scene), *spoken(scene)):
            written = content(text)
            near = [own for words, own in sentences.items() if likeness(words, written) >= NEAR]
            assert not near, (text, near)
            assert not written & HELD_OUT, text


def test_a_class_is_shown_from_its_share_of_the_mask_on() -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[0, :19], mask[1, :20] = 1, 3  # crack below, mold at 0.2 %
    assert classes_shown(mask, TABLE) == ["mold"]
    assert classes_shown(mask, TABLE, 0.0019) == ["crack", "mold"]


@pytest.mark.parametrize(
    "seen, obeyed", [([], False), (["stain"], True), (["stain", "crack"], True), (["stain", "mold"], False)]
)
def test_a_pair_obeys_when_it_shows_all_that_is_wanted_and_nothing_unwanted(seen: list[str], obeyed: bool) -> None:
    assert Sentence("a stain, no mold", ("stain",), ("mold",), None, "negation").obeyed(seen) is obeyed


def test_the_interval_is_wilsons() -> None:
    """Newcombe 1998, table I: 81 of 263 has 0.2553 to 0.3662, 0 of 20 has 0 to 0.1611."""
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0.0, 0) == (0.0, 1.0)


def test_pairs_that_show_just_what_is_wanted_score_one_and_empty_ones_only_as_clean() -> None:
    right = scores(SENTENCES, [[sentence.wanted] * 2 for sentence in SENTENCES])
    assert all(row["as_asked"] == row["all_wanted"] == row["nothing_else"] == 1 for row in right.values())
    assert right["all"]["pairs"] == 320 and right["words no caption uses"]["sentences"] == 10
    empty = scores(SENTENCES, [[()] for _ in SENTENCES])
    assert {name: row["as_asked"] for name, row in empty.items() if row["as_asked"]} == {"clean rooms": 1, "all": 0.094}


def test_the_command_reads_masks_of_a_bundle_and_writes_what_it_prints(monkeypatch, tmp_path) -> None:
    chosen = (SENTENCES[0], SENTENCES[1])
    monkeypatch.setattr(module, "read_sentences", lambda: chosen)
    out = tmp_path / "s.json"
    result = CliRunner().invoke(module.main, ["--pairs", "1", "--plan", "fast", "--threads", "1", "--out", str(out)])
    assert result.exit_code == 0, result.output
    written = json.loads(out.read_text())
    assert [row["text"] for row in written["rows"]] == [sentence.text for sentence in chosen]
    assert written["figures"] == scores(chosen, [row["shown"] for row in written["rows"]])
    line = next(line for line in result.output.splitlines() if line.startswith("plain words"))
    assert f"{written['figures']['plain words']['as_asked']:.2f}" in line
