"""The column `photo` of a prompts file: damage painted into the middle of a photograph, at the pictures' size."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from wetgen.runtime.cli import cli
from wetgen.runtime.inpaint.backgrounds import cropped

pytestmark = pytest.mark.slow


def call(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asks")
    wall = np.random.default_rng(3).normal(200, 5, (300, 420, 3)).clip(0, 255).astype(np.uint8)
    Image.fromarray(wall).save(folder / "wall.png")
    (folder / "p.csv").write_text(
        "prompt,photo,severity,class\n"
        "a brown water stain on a wall,wall.png,0.6,\n"
        "a brown water stain on a wall,,,\n"
        "a damp wall,wall.png,,mold\n"
    )
    result = call("run", "--prompts", folder / "p.csv", "--out", folder / "out", "--plan", "fast", "--quiet")
    assert result.exit_code == 0, result.output
    return folder


def rows(folder):
    found = [json.loads(line) for line in (folder / "out" / "metadata.jsonl").read_text().splitlines()]
    return {row["index"]: row for row in found}


def test_photographs_and_free_pictures_in_one_file(drawn):
    found = rows(drawn)
    assert sorted(found) == [0, 1, 2]
    assert "background" not in found[1] and found[0]["background"]["photo"] == "wall.png"
    assert found[0]["license"].startswith("that of the photograph; generated")
    assert found[1]["license"].startswith("generated; trained on")
    assert found[0]["severity"] == 0.6 and found[2]["class"] == "mold" and "layout" not in found[0]


def test_outside_of_the_damage_it_is_the_photograph(drawn):
    photo = cropped(np.asarray(Image.open(drawn / "wall.png")), (128, 128))
    row = rows(drawn)[0]
    image = np.asarray(Image.open(drawn / "out" / row["file_name"]))
    free = np.ones((128, 128), bool)
    for painted in row["painted"]:
        left, top, width, height = painted.get("grown_to", painted["box"])
        free[top : top + height, left : left + width] = False
    assert free.any() and np.array_equal(image[free], photo[free]) and not np.array_equal(image, photo)


@pytest.mark.parametrize("index", [0, 1])
def test_it_is_made_again_wherever_the_photograph_lies(drawn, tmp_path, index, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call("reproduce", drawn / "out", index, "--photos", drawn)
    assert result.exit_code == 0, result.output
    if index == 0:
        lost = call("reproduce", drawn / "out", 0)
        assert lost.exit_code == 1 and "The photograph wall.png is needed" in lost.output
        Image.new("RGB", (300, 300)).save(tmp_path / "wall.png")
        assert "is not the photograph of this pair" in call("reproduce", drawn / "out", 0).output


@pytest.mark.parametrize(
    "line, said",
    [
        ("a wall --photo none.jpg", "line 1: none.jpg could not be read"),
        ("a clean wall --photo wall.png", "line 1: A photograph is given, and no damage for it"),
        ("mold on a wall --photo p.txt", "line 1: p.txt is not a PNG or JPEG picture"),
    ],
)
def test_what_cannot_be_painted_is_refused_with_its_line(drawn, tmp_path, bundle_folder, line, said):
    (drawn / "p.txt").write_text(line + "\n")
    result = call("run", "--prompts", drawn / "p.txt", "--bundle", bundle_folder, "--out", tmp_path / "out")
    assert result.exit_code == 1 and said in result.output
    assert not (tmp_path / "out").exists()


def test_a_crop_keeps_the_middle_and_its_shape():
    image = np.zeros((40, 100, 3), np.uint8)
    image[:, 30:70] = 200
    assert (cropped(image, (40, 40)) == 200).all()
    assert cropped(image, (20, 50)).shape == (20, 50, 3)
