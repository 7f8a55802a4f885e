"""`wetgen compose`: backgrounds that are drawn, and damage painted into them."""

import json
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner

from tests.runtime.read_back import files, rows
from wetgen.runtime.bundle.bundle import open_bundle
from wetgen.runtime.cli import cli
from wetgen.runtime.dataset.reader import Dataset
from wetgen.runtime.inpaint.backgrounds import CLEAN_TRIES
from wetgen.runtime.masks.images import read_image, read_mask
from wetgen.runtime.masks.regions import Box

STAIN, MOLD = 2, 3
BACKGROUNDS = "prompt,weight,negative,guidance,surface_lines\na wall,3,,,\na ceiling,1,dirt,1.5,surface=ceiling\n"
CLASSES = (
    "class,prompt,probability,least_count,most_count,least_size,most_size,overlap\n"
    "stain,a stain,1,1,2,0.05,0.2,never\nmold,,0.5,1,1,0.05,0.2,never\n"
)


@pytest.fixture
def compose(tmp_path, bundle_folder):
    """Run `wetgen compose` in this process, into tmp_path/OUT unless told otherwise."""
    (tmp_path / "backgrounds.csv").write_text(BACKGROUNDS)
    (tmp_path / "classes.csv").write_text(CLASSES)

    def call(*words, out="out", code=0):
        given = ["--bundle", bundle_folder, "--out", tmp_path / out, "--threads", 1, "--quiet", "--count", 6]
        given += ["--backgrounds", tmp_path / "backgrounds.csv", "--classes", tmp_path / "classes.csv"]
        result = CliRunner().invoke(cli, ["compose", *map(str, [*given, *words])])
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    return call


def test_damage_lies_on_backgrounds_that_were_drawn_without(compose, tmp_path, bundle, on_the_double):
    compose("--count", 12)
    found = rows(tmp_path / "out")
    assert len(Dataset.open(tmp_path / "out").rows) == 12
    for row in found.values():
        said = row["background"]
        assert said["prompt"] in ("a wall", "a ceiling") and said["number"] == row["index"] and said["seed"] == 0
        assert (said["guidance"], said["negative"]) == ((3.0, "") if said["prompt"] == "a wall" else (1.5, "dirt"))
        assert row["text"].startswith(f"{said['prompt']}, a stain")
        assert [each["class"] for each in row["painted"]].count("stain") in (1, 2)
        mask = read_mask(tmp_path / "out" / row["mask_file_name"])
        assert mask.shape == (32, 32) and (mask == STAIN).any()
        for said in row["boxes"]:
            box = Box(said["x"], said["y"], said["width"], said["height"])
            there = mask[box.slices] == bundle.classes.names.index(said["class"])
            assert box.inside((32, 32)) and there[0].any() and there[-1].any()
            assert there[:, 0].any() and there[:, -1].any()
    assert {row["background"]["prompt"] for row in found.values()} == {"a wall", "a ceiling"}
    assert 0 < sum(any(each["class"] == "mold" for each in row["painted"]) for row in found.values()) < 12


def test_backgrounds_come_as_often_as_they_weigh(compose, tmp_path, on_the_double):
    (tmp_path / "backgrounds.csv").write_text("prompt,weight\na wall,3\na floor,1\na roof,0\n")
    (tmp_path / "classes.csv").write_text("class,probability\nstain,0\n")
    compose("--count", 200)
    found = Counter(row["background"]["prompt"] for row in rows(tmp_path / "out").values())
    assert set(found) == {"a wall", "a floor"}
    assert found["a wall"] == pytest.approx(150, abs=3 * (200 * 0.75 * 0.25) ** 0.5)  # three standard deviations


def test_pictures_of_another_size_are_composed(compose, tmp_path, on_the_double):
    compose("--size", "48x40", "--count", 2)
    for row in rows(tmp_path / "out").values():
        assert read_image(tmp_path / "out" / row["file_name"]).shape == (40, 48, 3)
        assert row["size"] == [48, 40]
        assert all(Box(*each["box"]).inside((40, 48)) for each in row["painted"])


def test_surfaces_say_which_damage_may_lie_on_them(compose, tmp_path, on_the_double):
    """Stains come through ceilings and walls, not through floors."""
    (tmp_path / "backgrounds.csv").write_text("prompt,surface_lines\na floor,surface=floor\n")
    compose("--count", 4)
    for row in rows(tmp_path / "out").values():
        assert [each["class"] for each in row["painted"]] in ([], ["mold"])
        assert "stain: stain cannot be on this floor" in row["dropped"]


def test_a_background_that_shows_damage_is_never_stored(compose, tmp_path, on_the_double):
    """One that is drawn with it every time is rejected as broken, and drawn again from other noise."""
    on_the_double.shape = lambda mask, free: mask if not free.all() else np.full_like(mask, MOLD)
    result = compose("--count", 2, "--tries", 2, code=1)
    assert "None of the 2 pairs could be used." in result.stderr
    rejected = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert len(rejected) == 4 and {tuple(row["reasons"]) for row in rejected} == {("broken",)}
    tries = sorted((row["index"], row["background"]["try"]) for row in rejected)
    assert tries == [(index, attempt * CLEAN_TRIES + CLEAN_TRIES - 1) for index in (0, 1) for attempt in (0, 1)]
    assert not files(tmp_path / "out")


@pytest.mark.parametrize("batch", [1, 3])
def test_the_same_seed_composes_the_same_pairs_whatever_the_batch(compose, tmp_path, on_the_double, batch):
    compose("--seed", 4, "--batch", 2)
    compose("--seed", 4, "--batch", batch, out="again")
    assert files(tmp_path / "again") == files(tmp_path / "out") and rows(tmp_path / "again") == rows(tmp_path / "out")
    compose("--seed", 5, out="other")
    assert files(tmp_path / "other") != files(tmp_path / "out")


def test_more_pairs_change_none(compose, tmp_path, on_the_double):
    compose("--count", 3)
    compose("--count", 6, "--resume")
    compose("--count", 6, out="whole")
    assert files(tmp_path / "out") == files(tmp_path / "whole") and rows(tmp_path / "out") == rows(tmp_path / "whole")


@pytest.mark.parametrize("changed", ["backgrounds.csv", "classes.csv", "size"])
def test_another_run_is_not_gone_on_with(compose, tmp_path, on_the_double, changed):
    compose("--count", 1)
    if changed != "size":
        (tmp_path / changed).write_text((tmp_path / changed).read_text().replace(",1,", ",0.5,", 1))
    result = compose("--resume", *(["--size", "48x48"] if changed == "size" else []), code=1)
    assert "holds another run" in result.stderr


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--size", "30x32"), "Pictures of 30 x 32 pixels are not possible."),
        (("--size", "16x16"), "Pictures of 16 x 16 pixels are not possible."),
        (("--backgrounds", "no.csv"), "no.csv could not be read."),
        (("--classes", "."), ". could not be read."),
        (("--classes", "backgrounds.csv"), "there is no column 'weight'"),
        (("--backgrounds", "long.csv"), "A prompt is too long"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_written(compose, tmp_path, monkeypatch, words, what):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "long.csv").write_text(f"prompt\n{'wet ' * 60}\n")
    result = compose(*words, code=1)
    assert what in result.stderr and "why:" in result.stderr and "fix:" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_shipped_bundle_composes_whatever_the_batch(tmp_path):
    (tmp_path / "backgrounds.csv").write_text("prompt\na white plaster wall\n")
    (tmp_path / "classes.csv").write_text("class,prompt,least_size,most_size\nstain,a brown water stain,0.1,0.2\n")
    given = ["--backgrounds", tmp_path / "backgrounds.csv", "--classes", tmp_path / "classes.csv", "--count", 2]
    given += ["--plan", "fast", "--threads", 1, "--quiet"]
    for batch in (1, 2):
        words = [*given, "--batch", batch, "--out", tmp_path / f"out{batch}"]
        result = CliRunner().invoke(cli, ["compose", *map(str, words)])
        assert result.exit_code == 0, result.output
    assert files(tmp_path / "out1") == files(tmp_path / "out2") and rows(tmp_path / "out1") == rows(tmp_path / "out2")
    names = open_bundle(None).classes.names
    for row in rows(tmp_path / "out1").values():
        mask = read_mask(tmp_path / "out1" / row["mask_file_name"])
        assert mask.shape == (128, 128) and (mask == names.index("stain")).any()
        assert [each["class"] for each in row["boxes"]] == ["stain"]
