"""Masks in rows: read back as they were, and a row that somebody changed is named."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.masks.rle import mask_from_json, mask_to_json, region_from_json, region_to_json
from wetgen.training.scenes.scene import CLASSES

TABLE = ClassTable(("background", "crack", "stain", "mold"))

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))
masks = arrays.arrays(np.uint8, sizes, elements=st.integers(0, 3))
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
anything = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)


def through_json(stated):
    return json.loads(json.dumps(stated))


@given(masks)
def test_a_mask_comes_back_from_its_row(mask):
    again = mask_from_json(through_json(mask_to_json(mask, TABLE)), TABLE, "row 3")
    assert again.dtype == np.uint8
    np.testing.assert_array_equal(again, mask)


@given(arrays.arrays(bool, sizes))
def test_a_region_comes_back_from_its_row(region):
    again = region_from_json(through_json(region_to_json(region)), "row 3")
    assert again.dtype == bool
    np.testing.assert_array_equal(again, region)


def test_a_mask_is_stated_by_the_names_of_its_classes():
    """By hand, down the columns: 4 pixels of background, 2 of stain, 2 of none, 1 of stain, which is 1 less than 2."""
    mask = np.array([[0, 0, 0], [0, 2, 0], [0, 2, 2]], np.uint8)
    assert mask_to_json(mask, TABLE) == {"size": [3, 3], "classes": {"stain": "422O"}}
    assert mask_to_json(mask[:, :1], TABLE) == {"size": [1, 3], "classes": {}}
    np.testing.assert_array_equal(mask_from_json({"size": [3, 3], "classes": {"stain": "422O"}}, TABLE, "row"), mask)


def test_another_class_table_reads_the_names():
    mask = np.array([[0, 2], [3, 1]], np.uint8)
    again = mask_from_json(mask_to_json(mask, TABLE), CLASSES, "row")
    assert [CLASSES.names[class_id] for class_id in again.flat] == [TABLE.names[class_id] for class_id in mask.flat]


STATED = {"size": [3, 3], "classes": {"stain": "422O"}}


@pytest.mark.parametrize(
    "stated, why",
    [
        (None, "it is a NoneType"),
        ("4221", "it is a str"),
        ({}, "KeyError: 'size'"),
        ({"size": [3, 3]}, "KeyError: 'classes'"),
        ({**STATED, "size": 9}, "TypeError"),
        ({**STATED, "size": [3]}, "ValueError"),
        ({**STATED, "size": [3, 2]}, "its runs cover 9 pixels of 6"),
        ({**STATED, "size": [-3, -3]}, "its size is -3 x -3"),
        ({**STATED, "size": [0, 9]}, "its size is 0 x 9"),
        ({**STATED, "size": [10**9, 10**9]}, "its size is 1000000000 x 1000000000"),
        ({**STATED, "size": [float("inf"), 3]}, "OverflowError"),
        ({**STATED, "size": [float("nan"), 3]}, "ValueError"),
        ({**STATED, "classes": {"puddle": "422O"}}, "ValueError"),
        ({**STATED, "classes": {"stain": "422"}}, "its runs cover 8 pixels of 9"),
        ({**STATED, "classes": {"stain": "422Q"}}, "it is cut off"),
        ({**STATED, "classes": {"stain": "4 21"}}, "it has the character ' '"),
        ({**STATED, "classes": {"stain": None}}, "TypeError"),
        ({**STATED, "classes": "stain"}, "ValueError"),
        ({**STATED, "classes": 7}, "TypeError"),
    ],
    ids=str,
)
def test_what_states_no_mask_is_said_with_its_place(stated, why):
    with pytest.raises(WetgenError) as caught:
        mask_from_json(stated, TABLE, "metadata.jsonl, row 3")
    assert caught.value.what == "metadata.jsonl, row 3: its mask cannot be read."
    assert why in caught.value.why


@given(masks, st.data())
def test_a_string_that_was_cut_off_is_never_read_as_another_mask(mask, data):
    stated = mask_to_json(np.where(mask == 0, 1, mask), TABLE)
    name = data.draw(st.sampled_from(sorted(stated["classes"])))
    stated["classes"][name] = stated["classes"][name][: data.draw(st.integers(0, len(stated["classes"][name]) - 1))]
    with pytest.raises(WetgenError):
        mask_from_json(stated, TABLE, "row")


@given(anything | st.fixed_dictionaries({"size": anything, "classes": anything, "pixels": anything}))
def test_whatever_a_row_holds_it_is_a_mask_or_an_error(stated):
    for read in (lambda: mask_from_json(stated, TABLE, "row"), lambda: region_from_json(stated, "row")):
        try:
            assert read().ndim == 2
        except WetgenError as error:
            assert error.what.startswith("row: ")
