"""Severities as words, and where they go; the first damage word that a prompt asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.prompts.text import first_mention, mentioned_classes, severity_words, with_severity

WORDS = {
    "crack": ("crack", "cracks"),
    "stain": ("stain", "rust stain", "damp patch"),
    "mold": ("mold", "algae"),
    "corrosion": ("rust",),
}


@pytest.mark.parametrize(
    "severity, words",
    [
        (0, "slight small"),
        (0.1999, "slight small"),
        (0.2, "slight"),
        (0.3999, "slight"),
        (0.4, "moderate"),
        (0.5999, "moderate"),
        (0.6, "severe"),
        (0.7999, "severe"),
        (0.8, "severe large"),
        (1, "severe large"),
    ],
)
def test_five_steps_of_severity(severity, words):
    assert severity_words(severity) == words


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a brown stain on a ceiling", "a severe brown stain on a ceiling"),
        ("a brown water stain", "a severe brown water stain"),
        ("a photo of mold", "a photo of severe mold"),
        ("a wall and dark mold", "a wall and dark severe mold"),
        ("a very old dark brown stain", "a very old dark brown severe stain"),  # more than three: not looked for
        ("stain", "severe stain"),
        ("a rust stain", "a severe rust stain"),
        ("a damp-patch and a crack", "a severe damp-patch and a crack"),
        ("an algae film", "a severe algae film"),
        ("An algae film", "A severe algae film"),
        ("an old algae film", "a severe old algae film"),
        ("Japan algae", "Japan severe algae"),
        ("a wall without mold, with a Crack", "a wall without mold, with a severe Crack"),
        ("no mold but an algae bloom", "no mold but a severe algae bloom"),
        ("cracked wall, mold", "cracked wall, severe mold"),
    ],
)
def test_the_words_stand_before_the_first_damage_that_is_asked_for(text, expected):
    assert with_severity(text, 0.7, WORDS) == expected


@pytest.mark.parametrize("text", ["a clean wall", "a wall without cracks", "mold-free", "a stainless sink"])
def test_a_severity_of_nothing_is_refused(text):
    with pytest.raises(WetgenError, match="a severity needs a class"):
        with_severity(text, 0.7, WORDS)


def test_without_words_there_is_no_first():
    assert first_mention("mold", {}) is None and first_mention("mold", {"mold": ()}) is None


PIECES = st.sampled_from(
    ["mold", "rust", "rust stain", "crack", "a wall", "no", "without", ",", "but", "with", "and a", "-free", "."]
)


@given(st.lists(PIECES, max_size=8).map(" ".join))
def test_the_first_word_is_one_of_a_class_that_is_asked_for(prompt):
    """Cut off up to its end, it still asks for a class; cut off before it, for none."""
    found = first_mention(prompt, WORDS)
    assert (found is None) == (mentioned_classes(prompt, WORDS) == ())
    if found is not None:
        start, end = found
        (owner,) = mentioned_classes(prompt[start:end], WORDS)
        assert owner in mentioned_classes(prompt, WORDS)
        assert mentioned_classes(prompt[:start], WORDS) == ()
