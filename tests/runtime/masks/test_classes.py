"""The class table."""

import json
from pathlib import Path

import pytest

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import MAX_CLASSES, PALETTE, ClassTable, colour
from wetgen.training.scenes.scene import CLASSES


def test_a_table_survives_its_file(tmp_path: Path):
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(CLASSES.to_json()))
    assert ClassTable.load(path) == CLASSES
    assert len(CLASSES) == 10 and CLASSES.names[0] == "background"


def test_the_order_of_keys_in_the_file_does_not_matter():
    assert ClassTable.from_json({"1": "wet", "0": "dry"}).names == ("dry", "wet")


@pytest.mark.parametrize(
    "data, message",
    [
        ([], "is not an object of id to name"),
        ({"0": "background", "1": 7}, "is not an object of id to name"),
        ({"0": "background", "2": "crack"}, "the ids in classes.json are 0, 2"),
        ({"1": "background", "2": "crack"}, "the ids in classes.json are 1, 2"),
        ({"0": "background"}, "it has 1 classes"),
        ({str(id): f"c{id}" for id in range(MAX_CLASSES + 1)}, "it has 256 classes"),
        ({"0": "background", "1": " "}, "a name is empty or appears twice"),
        ({"0": "crack", "1": "crack"}, "a name is empty or appears twice"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(data, message):
    with pytest.raises(WetgenError, match=message):
        ClassTable.from_json(data)


def test_a_missing_or_broken_file_is_said_in_words(tmp_path: Path):
    with pytest.raises(WetgenError, match="is missing"):
        ClassTable.load(tmp_path / "classes.json")
    (tmp_path / "classes.json").write_text("{")
    with pytest.raises(WetgenError, match="cannot be read"):
        ClassTable.load(tmp_path / "classes.json")


def test_colours_repeat_without_reusing_the_background():
    assert colour(0) == PALETTE[0]
    assert len({colour(id) for id in range(len(PALETTE))}) == len(PALETTE)
    assert colour(len(PALETTE)) == PALETTE[1]
