"""The many captions of a scene: the same for the same record, true of it, and in as many words as people have."""

import re
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("scipy")

from wetgen.runtime.prompts.text import mentioned_classes
from wetgen.training.scenes import Scene, captions, draw_scene, scene_from_json
from wetgen.training.scenes.scene import CLASSES
from wetgen.training.scenes.settings import SETTINGS
from wetgen.training.scenes.vocabulary import ABSENT, COLOURS, GRADES, ROOMS, SURFACES, damage_nouns, noun
from wetgen.training.scenes.wording import CAPTIONS, MOST_WORDS, TYPOS, misspelt, spoken
from wetgen.training.synonyms import words_of

Told = list[tuple[Scene, list[str]]]
NEGATED = re.compile(r"\b(?:no|not|nor|neither|without|free of)\b")


@pytest.fixture(scope="module")
def told() -> Told:
    return [(scene, spoken(scene)) for scene in (draw_scene(21, index) for index in range(1000))]


def test_the_same_record_gets_the_same_captions() -> None:
    for index in range(20):
        scene = draw_scene(4, index)
        assert captions(scene) == captions(scene_from_json(scene.to_json()))
        assert captions(scene) != captions(replace(scene, index=index + 1000))


def test_every_scene_has_several_captions_and_few_are_written_twice(told: Told) -> None:
    assert all(len(set(texts)) == CAPTIONS for _, texts in told)
    assert len({text for _, texts in told for text in texts}) >= 0.98 * CAPTIONS * len(told)


def test_captions_are_short_and_whole(told: Told) -> None:
    for text in (text for _, texts in told for text in texts):
        assert text == text.lower() and 1 <= len(text.split()) <= MOST_WORDS, text
        assert not re.search(r"[{}\[\]]|  |,,|\.\.| [,.;:?]|\bnone\b(?!\.)", text) and text[0].isalnum() | (
            text[0] == "~"
        )
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text), text


def test_a_caption_names_the_damages_of_its_scene_and_no_other(told: Told) -> None:
    """What is negated counts as not named, so classes said to be absent are absent."""
    words = words_of(CLASSES)
    for scene, texts in told:
        for text in texts:
            assert set(mentioned_classes(text, words)) == {damage.kind for damage in scene.damages}, text


def test_what_is_negated_is_absent(told: Told) -> None:
    negated = 0
    for scene, texts in told:
        there = {damage.kind for damage in scene.damages}
        for text in texts:
            kinds = {kind for kind, listed in ABSENT.items() for word in listed if _denied(word, text)}
            negated += bool(kinds)
            assert not {kind.split()[0] for kind in kinds} & there, text
    assert negated >= CAPTIONS * len(told) / 10


def _denied(word: str, text: str) -> bool:
    """Whether a clause says that something is not there: "no stains or mold"."""
    clauses = re.split(r"[,.;:]| but ", text)
    return any(re.search(rf"{NEGATED.pattern}.*\b{word}\b", clause) for clause in clauses)


def test_words_of_severity_belong_to_some_damage(told: Told) -> None:
    for scene, texts in told:
        there = {damage.severity for damage in scene.damages}
        wrong = {word for severity, words in GRADES.items() if severity not in there for word in words} - {"visible"}
        assert not any(wrong & set(text.split()) for text in texts), texts


def test_colours_of_the_surface_are_its_own(told: Told) -> None:
    """A word for a colour in front of the surface is one of its colour's words."""
    known = {word for words in COLOURS.values() for word in words}
    for scene, texts in told:
        names = "|".join({noun(name).text for name in SURFACES[scene.surface]})
        for text in texts:
            for said in re.findall(rf"\b({'|'.join(known)}) (?:{names})\b", text):
                assert any(said in word for word in COLOURS[scene.colour]), (scene.colour, text)


def test_sides_are_those_of_the_damage_and_few_scenes_have_one(told: Told) -> None:
    sided = 0
    for scene, texts in told:
        for side in ("left", "right"):
            for text in texts:
                if re.search(rf"(?:on|to) the {side}\b", text):
                    (damage,) = scene.damages
                    assert (damage.centre[0] < 0.5) == (side == "left"), text
        sided += any(re.search(r"\b(?:left|right)\b(?! by| with)", text) for text in texts)
    assert 0 < sided <= 0.15 * len(told)


def test_clean_is_said_of_nothing_dirty(told: Told) -> None:
    for scene, texts in told:
        if scene.look_alike in ("dirt", "scuffs"):
            assert not any(re.search(r"\bclean\b", text) for text in texts)


def test_the_stated_share_of_captions_has_one_typo(told: Told) -> None:
    pairs = [(right, text) for scene, texts in told for right, text in zip(texts, captions(scene), strict=True)]
    changed = [(right, text) for right, text in pairs if right != text]
    # Four standard errors of a share of 8,000.
    assert len(changed) / len(pairs) == pytest.approx(TYPOS, abs=4 * (TYPOS * (1 - TYPOS) / len(pairs)) ** 0.5)
    for right, text in changed:
        (wrong,) = [(a, b) for a, b in zip(right.split(" "), text.split(" "), strict=True) if a != b]
        assert abs(len(wrong[0]) - len(wrong[1])) <= 1 and wrong[0][0] == wrong[1][0]


def test_a_typo_swaps_drops_or_doubles_a_letter() -> None:
    seen = {misspelt("a wall", np.random.default_rng(seed)) for seed in range(100)}
    assert seen == {"a wlal", "a wall".replace("ll", "l"), "a wll", "a waall", "a walll"}
    assert misspelt("a 12 cm", np.random.default_rng(0)) == "a 12 cm"


def test_there_are_many_words_for_every_class_and_surface_and_some_for_every_room() -> None:
    used: dict[str, set[str]] = {name: set() for name in CLASSES.names[1:]}
    for index in range(1500):
        scene = draw_scene(8, index)
        for damage in scene.damages:
            used[damage.kind] |= {noun(name).text for name in damage_nouns(scene, damage)}
    assert all(len(names) >= 12 for names in used.values())
    assert set(SURFACES) == set(SETTINGS) and all(len(set(names)) >= 4 for names in SURFACES.values())
    assert {room for setting in SETTINGS.values() for room in setting.rooms} == set(ROOMS)
    assert {colour for setting in SETTINGS.values() for colour in setting.colours} == set(COLOURS)
