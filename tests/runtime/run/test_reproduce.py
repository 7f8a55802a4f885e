"""A pair is made again from its row alone; what differs is told."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from wetgen.runtime.cli import cli

PROMPTS = """\
a {white|cream} ceiling with {class} --class stain|mold --count 2 --severity 0.6
black mold in a corner --seed 11 --negative "crack" --guidance 2.5 --plan two
a crack --layout l.png
"""


def call(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture(scope="module")
def drawn(bundle_folder, tmp_path_factory):
    """Pairs of every way to ask for one, tidied, loose and in shards."""
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "p.txt").write_text(PROMPTS)
    mask = np.zeros((20, 40), np.uint8)
    mask[5:12, 10:30] = 1
    Image.fromarray(mask).save(folder / "l.png")
    asked = ["run", "--prompts", folder / "p.txt", "--bundle", bundle_folder, "--seed", 3, "--size", "48x40"]
    tidied = ["--least-region", 4, "--ignore-band", 1, "--quiet", "--batch", 3]
    for name, more in (("loose", []), ("sharded", ["--shards", 2])):
        result = call(*asked, *tidied, *more, "--out", folder / name)
        assert result.exit_code == 0, result.output
    return folder


@pytest.mark.parametrize("name", ["loose", "sharded"])
@pytest.mark.parametrize("index", range(4))
def test_every_pair_is_made_again(drawn, bundle_folder, name, index):
    result = call("reproduce", drawn / name, index, "--bundle", bundle_folder)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[1:] == ["image: equal", "mask: equal", "confidence: equal"]


def test_the_row_is_enough(drawn, bundle_folder, tmp_path):
    """Without run.json, and without the prompts file and the layout."""
    copy = tmp_path / "elsewhere"
    shutil.copytree(drawn / "loose", copy)
    (copy / "run.json").unlink()
    assert call("reproduce", copy, 3, "--bundle", bundle_folder).exit_code == 0


@pytest.fixture
def copy(drawn, tmp_path):
    return shutil.copytree(drawn / "loose", tmp_path / "copy")


def change(folder, index, **keys):
    path = folder / "metadata.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()]
    (row,) = [row for row in found if row["index"] == index]
    row.update(keys)
    for key in [key for key, value in keys.items() if value is None]:
        del row[key]
    path.write_text("".join(json.dumps(each) + "\n" for each in found))


def test_a_changed_picture_is_told(copy, bundle_folder):
    path = copy / "images" / "000001.png"
    pixels = np.array(Image.open(path))
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(path)
    result = call("reproduce", copy, 1, "--bundle", bundle_folder)
    assert result.exit_code == 1 and "image: 0.05% of its pixels differ, by up to 1 levels" in result.output
    Image.open(copy / "images" / "000002.png").save(copy / "images" / "000002.png")
    result = call("reproduce", copy, 2, "--bundle", bundle_folder)
    assert result.exit_code == 1 and "image: its pixels are equal, its bytes are not" in result.output


@pytest.mark.parametrize(
    "keys, said",
    [
        ({"seed": 4}, "image: "),
        ({"try": 1}, "image: "),
        ({"text": "a dry wall"}, "image: "),
        ({"number": 5}, "image: "),
        ({"layout": {"size": [48, 40], "classes": {}}}, "image: "),
    ],
)
def test_another_row_makes_another_pair(copy, bundle_folder, keys, said):
    change(copy, 1, **keys)
    result = call("reproduce", copy, 1, "--bundle", bundle_folder)
    assert result.exit_code == 1 and said in result.output and "equal" not in result.output.split(said)[1][:6]


@pytest.mark.parametrize(
    "keys, said",
    [
        ({"seed": None}, "does not say how its pair was drawn"),
        ({"plan": "none"}, "no plan 'none'"),
        ({"guidance": "strong"}, "does not say how its pair was drawn"),
        ({"layout": {"size": [48, 40], "classes": {"stain": "!"}}}, "its mask cannot be read"),
        ({"layout": {"size": [48, 40], "classes": {"soot": ""}}}, "its mask cannot be read"),
        ({"size": [50, 40]}, "50 x 40 pixels are not possible"),
        ({"bundle_sha256": "0" * 64}, "is not the bundle that drew this pair"),
        ({"tidy": {"shine": 1}}, "does not say how its pair was drawn"),
    ],
)
def test_a_row_that_does_not_say_how_is_refused(copy, bundle_folder, keys, said):
    change(copy, 1, **keys)
    result = call("reproduce", copy, 1, "--bundle", bundle_folder)
    assert result.exit_code == 1 and said in result.output and "fix: " in result.output


def test_what_is_not_there_is_said(copy, bundle_folder, tmp_path):
    assert "has no pair 9" in call("reproduce", copy, 9, "--bundle", bundle_folder).output
    assert "could not be read" in call("reproduce", tmp_path / "none", 0).output
    (copy / "images" / "000000.png").unlink()
    result = call("reproduce", copy, 0, "--bundle", bundle_folder)
    assert result.exit_code == 1 and "could not be read" in result.output


def test_a_picture_says_of_itself_how_it_was_made(drawn):
    result = call("inspect", drawn / "loose" / "masks" / "000002.png")
    assert result.exit_code == 0
    said = dict(line.split(None, 1) for line in result.output.splitlines()[1:])
    assert said["prompt"] == "black mold in a corner" and said["seed"] == "11" and said["negative"] == "crack"
