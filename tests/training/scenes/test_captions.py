"""The captions: short, lower case, grammatical, and about what is in the scene."""

import re

import pytest

pytest.importorskip("scipy")

from wetgen.training.scenes import Scene, caption, draw_scene
from wetgen.training.scenes.captions import MOST_WORDS
from wetgen.training.scenes.phrases import GRADES, SURFACES, article, plural

# How each class may be spoken of, beyond the names in the grammar.
WORDS = {
    "crack": ("crack", "fracture"),
    "stain": ("stain", "mark", "patch"),
    "mold": ("mold", "mildew", "fungal"),
    "peeling": ("peel", "flak", "bubbl", "blister"),
    "puddle": ("puddle", "pool", "standing water"),
    "lifted": ("lifted", "loose", "warped", "cupped", "buckled", "raised"),
    "spalling": ("spall", "crumbling"),
    "efflorescence": ("efflorescence", "salt"),
    "corrosion": ("rust", "corrosion"),
}


@pytest.fixture(scope="module")
def told() -> list[tuple[Scene, str]]:
    return [(scene, caption(scene)) for scene in (draw_scene(12, index) for index in range(1500))]


def test_captions_name_damage_and_surface(told: list[tuple[Scene, str]]) -> None:
    for scene, text in told:
        assert any(name in text for name in SURFACES[scene.surface]) or "wall" in text, text
        for damage in scene.damages:
            assert any(word in text for word in WORDS[damage.kind]), (damage.kind, text)


def test_captions_are_short_plain_and_lower_case(told: list[tuple[Scene, str]]) -> None:
    for _, text in told:
        assert text == text.lower() and 2 <= len(text.split()) <= MOST_WORDS, text
        assert not re.search(r"[{}]|  |,,| ,|\bnone\b", text) and text[-1] not in " ,", text
        assert not {"left", "right"} & set(text.replace(" left by ", " ").replace(" left a", " ").split()), text


def test_articles_and_verbs_agree(told: list[tuple[Scene, str]]) -> None:
    for _, text in told:
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text.replace("a one", "")), text
        assert not re.search(r"\b(tiles|panels) (has|shows)\b|\b(wall|floor|ceiling|carpet) (have|show)\b", text), text
        assert not re.search(r"\ba (\w+ )?(mold|mildew|rust|efflorescence|corrosion|tiles|boards)$", text), text


def test_no_class_is_always_told_in_the_same_words(told: list[tuple[Scene, str]]) -> None:
    for kind in WORDS:
        texts = [text for scene, text in told if [damage.kind for damage in scene.damages] == [kind]]
        assert len(set(texts)) >= 0.9 * len(texts)


def test_words_of_severity_belong_to_the_damages(told: list[tuple[Scene, str]]) -> None:
    """A word of severity stands only where some damage has that severity."""
    for scene, text in (pair for pair in told if pair[0].damages):
        for severity, words in GRADES.items():
            spoken = set(words) & set(text.replace("light grey", "").replace("light blue", "").split())
            if spoken:
                assert severity in {damage.severity for damage in scene.damages}, (spoken, text)


@pytest.mark.parametrize(
    "noun, expected",
    [
        ("mold", "mold"),
        ("black patch of mold", "a black patch of mold"),
        ("orange stain", "an orange stain"),
        ("floor tiles", "floor tiles"),
        ("carpet", "a carpet"),
        ("water stain with drips", "a water stain with drips"),
    ],
)
def test_article(noun: str, expected: str) -> None:
    assert article(noun) == expected


def test_number_is_that_of_the_head_noun() -> None:
    assert plural("flakes of peeling paint") and plural("ceiling panels")
    assert not plural("patch of mold spots") and not plural("stain with runs")
