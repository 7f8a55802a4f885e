"""Which classes a prompt asks for, and the faults that follow."""

from dataclasses import replace

import numpy as np
import pytest

from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.prompts.text import mentioned_classes
from wetgen.runtime.sampling.sampler import CONSTANT, NOT_FINITE, Pair, class_faults, missing_class, picture_faults

WORDS = {
    "crack": ("crack", "cracks", "cracked"),
    "stain": ("stain", "stains", "rust stain", "water stain"),
    "mold": ("mold", "mould", "black mold"),
    "corrosion": ("rust", "corroded pipe"),
}


@pytest.mark.parametrize(
    "prompt, asked",
    [
        ("black mold in a corner", ["mold"]),
        ("MOLD and a Crack", ["crack", "mold"]),
        ("moldy smell, a crackle glaze", []),
        ("a water-stain; a corroded  pipe", ["stain", "corrosion"]),
        ("a rust stain on the wall", ["stain"]),
        ("rust, and a rust stain", ["stain", "corrosion"]),
        ("a dry wall", []),
        ("", []),
        # negations
        ("no mold", []),
        ("a wall without cracks", []),
        ("without any visible cracks or stains", []),
        ("no cracks and stains", []),
        ("no cracks and a large stain", ["stain"]),
        ("no mold, cracks", ["crack"]),
        ("no mold but a stain", ["stain"]),
        ("no mold on a wall with cracks", ["crack"]),
        ("a crack without mold", ["crack"]),
        ("free of mold", []),
        ("a mold-free ceiling with a stain", ["stain"]),
        ("a mold free ceiling", []),
        ("mold freely growing", ["mold"]),
        ("not a crack. mold", ["mold"]),
        ("a note on nothing: mold", ["mold"]),
        ("mold, no mold behind it", ["mold"]),
    ],
)
def test_asked_classes(prompt, asked):
    assert list(mentioned_classes(prompt, WORDS)) == asked


def test_without_words_nothing_is_asked():
    assert mentioned_classes("mold", {}) == ()
    assert mentioned_classes("mold", {"mold": ()}) == ()


def test_words_are_text_and_no_patterns():
    assert mentioned_classes("a b c", {"x": ("a.b",)}) == ()
    assert mentioned_classes("Nässe", {"wet": ("nässe",)}) == ("wet",)


def test_a_class_that_is_asked_for_and_absent_is_a_fault():
    classes = ClassTable(("background", "crack", "stain", "mold", "corrosion"))
    mask = np.zeros((4, 4), np.uint8)
    mask[0, 0] = 3
    assert class_faults(["mold", "crack", "moss"], mask, classes) == tuple(map(missing_class, ("crack", "moss")))
    assert class_faults(["mold"], mask, classes) == ()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_latent_that_is_not_finite_is_broken(value):
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    latent = np.zeros((4, 2, 2), np.float32)
    assert picture_faults(latent, image) == ()
    latent[3, 1, 1] = value
    assert picture_faults(latent, image) == (NOT_FINITE,)
    plain = Pair(0, "mold", 0, image, None, None)
    assert replace(plain, faults=(NOT_FINITE,)).broken
    assert not replace(plain, faults=(missing_class("mold"),)).broken and not plain.broken


@pytest.mark.parametrize("colour, noise, constant", [(0, 0, True), (0, 3, True), (90, 2, True), (0, 60, False)])
def test_a_picture_of_one_colour_is_broken(colour, noise, constant):
    image = (colour + np.random.default_rng(0).integers(0, noise + 1, (8, 8, 3))).astype(np.uint8)
    assert picture_faults(np.zeros(1), image) == ((CONSTANT,) if constant else ())


def test_a_picture_with_structure_in_one_channel_is_no_constant():
    image = np.zeros((8, 8, 3), np.uint8)
    image[:4, :, 1] = 20
    assert picture_faults(np.zeros(1), image) == ()
