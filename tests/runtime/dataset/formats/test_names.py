"""Names of files: portable, unique, and the same whatever else is in the dataset."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wetgen.runtime.dataset.formats.base import Names

PARTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=150)


@pytest.mark.parametrize("name", ["a", "A-1_b", "zimmer_äöü", "壁", "000017"])
def test_ordinary_names_stay(name: str) -> None:
    assert Names().give(f"images/{name}.jpg") == name


# Letters that some file systems turn into others; the Korean one is all letters even in parts.
DECOMPOSED = [unicodedata.normalize("NFD", letter) for letter in "ä한"]


@pytest.mark.parametrize("name", ["a b", "a,b", "a.b", 'a"b', "a'b", "a:b", "a%b", "a\tb", *DECOMPOSED])
def test_other_characters_give_way_to_a_hash(name: str) -> None:
    given = Names().give(f"images/{name}.jpg")
    assert given != name and all(c.isalnum() or c in "-_" for c in given)
    assert given != Names().give(f"images/{name}!.jpg")


@given(st.lists(PARTS, min_size=1, max_size=8, unique=True))
def test_no_two_are_equal_even_where_case_does_not_count(parts: list[str]) -> None:
    names = Names()
    given = [names.give(f"images/{part}.png") for part in parts]
    assert len({name.casefold() for name in given}) == len(parts)
    assert max(len(name.encode()) for name in given) < 250 - len(".mask.png") or max(map(len, given)) <= 131


def test_what_differs_in_suffix_case_or_folder_is_told_apart() -> None:
    names = Names()
    files = ["images/a.png", "images/a.jpg", "images/A.png", "images/x/a.png", "images/x_a.png", "images/a.jpeg"]
    given = [names.give(file) for file in files]
    assert len({name.casefold() for name in given}) == len(files) and given[0] == "a" and given[3] == "x_a"
    assert len(given[2]) == len("A-") + 10  # a hash of its file name, not a number by its place


def test_a_name_given_twice_is_numbered() -> None:
    names = Names()
    given = [names.give("1.jpg") for _ in range(4)]
    assert len(set(given)) == 4 and given[0] == "1" and given[3].endswith("-3")


def test_folders_converted_together_are_told_apart() -> None:
    names = Names()
    assert [names.give("images/1.jpg", folder) for folder in ("north", "south")] == ["north_1", "south_1"]
