"""`wetgen layouts`: the folder that it writes is one that a run takes."""

import csv
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from wetgen.runtime.bundle.bundle import Bundle, open_bundle
from wetgen.runtime.cli import Cli, layouts
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.layouts.write import CSV_NAME, SHEET_NAME, parse_size
from wetgen.runtime.masks.images import read_image, read_mask
from wetgen.runtime.prompts.read import read_prompt_file

group = Cli(commands={"layouts": layouts})


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(None)


def run(out: Path, *options: str, fails: bool = False) -> str:
    done = CliRunner().invoke(group, ["layouts", "--out", str(out), "--size", "48x32", *options])
    assert done.exit_code == int(fails) and "Traceback" not in done.output, done.output
    return done.output


def rows(out: Path) -> list[dict[str, str]]:
    with (out / CSV_NAME).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_class_takes_its_turn_and_a_run_reads_what_is_written(tmp_path, bundle):
    said = run(tmp_path / "out", "--count", "11", "--seed", "3")
    assert "11 layouts in" in said
    names = bundle.classes.names
    for index, row in enumerate(rows(tmp_path / "out")):
        wanted = names[1 + index % 9]
        mask = read_mask(tmp_path / "out" / row["layout"])
        assert row["layout"] == f"{index:06d}.png" and row["class"] == wanted and mask.shape == (32, 48)
        assert set(np.unique(mask)) == {0, names.index(wanted)} and 0 <= float(row["severity"]) <= 1
    asks = read_prompt_file(str(tmp_path / "out" / CSV_NAME), bundle.words)
    assert [ask.asked for ask in asks][:3] == ["crack", "stain", "mold"] and asks[1].layout == "000001.png"
    assert read_image(tmp_path / "out" / SHEET_NAME).shape[2] == 3
    assert len(list((tmp_path / "out").iterdir())) == 11 + 2


def test_prompts_ask_for_their_class_and_nothing_else(tmp_path, bundle):
    from wetgen.runtime.prompts.text import mentioned_classes

    run(tmp_path / "out", "--count", "9", "--surface-lines", "ceiling=0.1,floor=0.7")
    for row in rows(tmp_path / "out"):
        assert mentioned_classes(row["prompt"], bundle.words) == (row["class"],)
    prompts = {row["class"]: row["prompt"] for row in rows(tmp_path / "out")}
    assert prompts["puddle"] == "a puddle on the floor" and prompts["stain"].startswith("a stain on the ")


def test_the_same_options_write_the_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        run(tmp_path / name, "--count", "2", "--seed", seed, "--classes", "stain, mold")
    a, b, c = ({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in "abc")
    assert a == b and a["000000.png"] != c["000000.png"]
    run(tmp_path / "d", "--count", "1", "--seed", "1", "--classes", "stain, mold")
    assert (tmp_path / "d" / "000000.png").read_bytes() == a["000000.png"], "more layouts change none"


def test_a_severity_is_that_of_every_layout(tmp_path):
    for severity in ("0", "1"):
        run(tmp_path / severity, "--count", "4", "--classes", "stain", "--severity", severity)
        assert {row["severity"] for row in rows(tmp_path / severity)} == {severity}
    for name in ("000000.png", "000003.png"):
        slight, worst = (read_mask(tmp_path / severity / name) > 0 for severity in ("0", "1"))
        assert not (slight & ~worst).any() and slight.sum() < worst.sum()


def test_surfaces_leave_out_what_they_lack_unless_it_is_asked_for(tmp_path):
    run(tmp_path / "a", "--count", "14", "--surface-lines", "surface=ceiling")
    assert not {"puddle", "lifted"} & {row["class"] for row in rows(tmp_path / "a")}
    said = run(tmp_path / "b", "--classes", "puddle", "--surface-lines", "surface=ceiling", fails=True)
    assert "puddle cannot be on this ceiling" in said and not (tmp_path / "b").exists()


def test_boxes_are_filled(tmp_path):
    (tmp_path / "boxes.csv").write_text(
        "file_name,class,x,y,width,height,severity,prompt\n"
        "000000.png,stain,0,0,50%,100%,0.3,\n000001.png,mold,50%,0,20,30,,black mold\n000000.png,crack,24,0,24,32,1,\n"
    )
    run(tmp_path / "out", "--count", "2", "--boxes", str(tmp_path / "boxes.csv"), "--severity", "0.8")
    first, second = rows(tmp_path / "out")
    assert first == {"prompt": "a stain and a crack", "class": "stain", "layout": "000000.png", "severity": "0.3"}
    assert (second["prompt"], second["class"], second["severity"]) == ("black mold", "mold", "0.8")
    mask = read_mask(tmp_path / "out" / "000000.png")
    assert set(np.unique(mask[:, :24])) == {0, 2} and set(np.unique(mask[:, 24:])) == {0, 1}
    said = run(tmp_path / "more", "--count", "3", "--boxes", str(tmp_path / "boxes.csv"), fails=True)
    assert "no boxes for 000002.png" in said and not (tmp_path / "more").exists()


def test_a_severity_that_is_missing_is_drawn_whatever_the_others_are(tmp_path):
    masks = []
    for severity in ("", "0.9"):
        boxes = f"class,x,y,width,height,severity\nmold,0,0,40%,100%,{severity}\nstain,50%,0,50%,100%,\n"
        (tmp_path / "boxes.csv").write_text(boxes)
        run(tmp_path / f"out{severity}", "--count", "1", "--boxes", str(tmp_path / "boxes.csv"))
        masks.append(read_mask(tmp_path / f"out{severity}" / "000000.png"))
    half = masks[0].shape[1] // 2
    np.testing.assert_array_equal(masks[0][:, half:], masks[1][:, half:])
    assert (masks[0] != masks[1]).any()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--classes", "stian"), "did you mean 'stain'?"),
        (("--severity", "1.2"), "--severity is 1.2"),
        (("--surface-lines", "floor=2"), "surface lines cannot be used"),
        (("--size", "large"), "'large' is not a size"),
        (("--boxes", "none.csv"), "none.csv could not be read"),
        (("--boxes", "none.csv", "--classes", "stain"), "--classes does nothing with --boxes"),
        (("--bundle", "none"), "is not a bundle"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_written(tmp_path, options, said):
    assert said in run(tmp_path / "out", *options, fails=True)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    assert "is not empty" in run(tmp_path / "out", fails=True)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("text", ["128", "0x20", "15x20", "20x", "-20x20", "2²x20", "99999x99999", "1e3x20", ""])
def test_sizes_that_are_none_are_refused(text):
    with pytest.raises(WetgenError, match="is not a size"):
        parse_size(text)
    assert parse_size(" 128 X 64 ") == (64, 128)
