"""The sentences a generator is measured by: complete, well formed, and unlike anything that training writes."""

import re
from collections import Counter

import pytest

pytest.importorskip("scipy")

from wetgen.benchmarks.quality.sentences import GROUPS, Sentence, read_sentences
from wetgen.training.scenes import caption, draw_scene
from wetgen.training.scenes.scene import DEFAULT
from wetgen.training.scenes.settings import SETTINGS
from wetgen.training.scenes.wording import spoken

SENTENCES = read_sentences()
CLASSES = set(DEFAULT.names[1:])
# Words for damage that captions leave to these sentences: whether a generator knows more words than it was taught.
HELD_OUT = {
    *("blotch", "crazing", "delaminated", "oxidised", "ponding"),
    *("saltpetre", "scaling", "spores", "tenting", "unstuck"),
}
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
