"""The statistics of a dataset folder count right and show every fault."""

from pathlib import Path

import numpy as np
import pytest

from wetgen.runtime.dataset.stats import check_and_count, inspect_dataset, render
from wetgen.runtime.dataset.writer import DatasetWriter
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.masks.images import encode_mask
from wetgen.training.scenes.scene import CLASSES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pairs of 20 wide and 10 high and one of 40 x 10; 0, 2 and 400 damaged pixels."""
    made = tmp_path / "made"
    writer = DatasetWriter(made, CLASSES)
    for name, width, damaged in (("none", 20, 0), ("little", 20, 2), ("all", 40, 400)):
        mask = np.zeros((10, width), np.uint8)
        mask.flat[:damaged] = 2
        row = {"text": f"a stain, {name}", "license": "CC0", "scene": "one" if name == "all" else "two"}
        writer.add(name, np.zeros((10, width, 3), np.uint8), mask, dict(row))
    return made


def test_pairs_classes_and_damage_are_counted(folder: Path) -> None:
    report, stats = check_and_count(folder)
    assert stats.pairs == 3 and report.ok
    assert stats.sizes == {(20, 10): 2, (40, 10): 1}
    assert stats.images[[0, 2]].tolist() == [2, 2]
    assert stats.pixels[[0, 2]].tolist() == [398, 402]
    assert stats.damage == [0.0, 0.01, 1.0]


def test_the_text_tells_sizes_classes_damage_captions_and_origins(folder: Path) -> None:
    text, ok = inspect_dataset(folder)
    assert ok
    for line in (
        f"{folder}: 3 rows, 3 sound pairs",
        "sizes (min / median / max): width 20 / 20 / 40, height 10 / 10 / 10",
        "  most common: 20 x 10 (2), 40 x 10 (1)",
        "    2  stain                 2   50.250 %",
        "    1  crack                 0    0.000 %",
        "  none               1  ########################################",
        "  up to 1 %          1  ########################################",
        "  up to 3 %          0",
        "  up to 100 %        1  ########################################",
        "captions: 3 distinct, words in one (min / median / max) 3 / 3 / 3, 5 distinct words",
        "  most common: a (3), stain (3), none (1), little (1), all (1)",
        "scenes: 2",
        "        3  CC0",
        "no faults",
    ):
        assert line in text.split("\n")


def test_ignored_pixels_are_counted_and_are_neither_damage_nor_background(folder: Path) -> None:
    writer = DatasetWriter(folder, CLASSES)
    mask = np.zeros((10, 20), np.uint8)
    mask.flat[:50], mask.flat[50:100] = 255, 1
    writer.add("some", np.zeros((10, 20, 3), np.uint8), mask, {"text": "a crack", "ignore_id": 255})
    writer.add("only", np.zeros((10, 20, 3), np.uint8), mask * 0 + 255, {"text": "a crack", "ignore_id": 255})
    writer.add("no", np.zeros((10, 20, 3), np.uint8), mask * 0, {"text": "a wall", "ignore_id": 255})
    report, stats = check_and_count(folder)
    assert report.ok and (stats.ignored, stats.ignoring) == (250, 2)
    assert stats.damage == [0.0, 0.01, 1.0, 50 / 150, 0.0, 0.0]
    assert stats.pixels[[0, 1, 2, 255]].tolist() == [698, 50, 402, 250]
    lines = render(report, stats).split("\n")
    assert "ignored: 250 pixels (17.857 %) of 2 pairs, as their rows say" in lines
    assert "    1  crack                 1    3.571 %" in lines


def test_255_that_no_row_speaks_of_is_not_called_ignored(folder: Path) -> None:
    """Such a pair is a fault; without a class table nobody knows, and it counts like any other id."""
    mask = np.full((10, 20), 255, np.uint8)
    (folder / "masks/none.png").write_bytes(encode_mask(mask))
    assert check_and_count(folder)[1].pairs == 2
    (folder / "classes.json").unlink()
    _, stats = check_and_count(folder)
    assert (stats.ignored, stats.damage) == (0, [1.0, 0.01, 1.0])


def test_without_ignored_pixels_nothing_is_said_of_them(folder: Path) -> None:
    assert "ignored:" not in inspect_dataset(folder)[0]


def test_every_fault_is_shown_and_sound_pairs_still_count(folder: Path) -> None:
    (folder / "masks/none.png").write_bytes(b"")
    (folder / "images/all.png").unlink()
    text, ok = inspect_dataset(folder)
    assert not ok
    assert "3 rows, 1 sound pair\n" in text and "\n2 faults:\n" in text
    assert "line 1: masks/none.png is not a PNG file." in text
    assert "line 3: the file images/all.png is missing." in text


def test_a_folder_with_nothing_sound_is_described(folder: Path) -> None:
    (folder / "metadata.jsonl").write_bytes(b"{}\n")
    (folder / "classes.json").unlink()
    text, ok = inspect_dataset(folder)
    assert not ok
    assert "0 rows, 0 sound pairs" in text and "4 faults:" in text


def test_pairs_are_counted_without_a_class_table(folder: Path) -> None:
    (folder / "classes.json").unlink()
    report, stats = check_and_count(folder)
    assert stats.pairs == 3 and report.classes is None
    assert "1 fault:" in render(report, stats)


def test_several_folders_are_described_and_must_agree(folder: Path) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    DatasetWriter(folder.parent / "same", CLASSES).add("x", pixels, pixels[..., 0], {"text": "x"})
    text, ok = inspect_dataset(folder.parent)
    assert ok and f"{folder.parent}: 2 datasets, 4 sound pairs, 0 faults" in text
    other = ClassTable(("background", "damp"))
    DatasetWriter(folder.parent / "other", other).add("x", pixels, pixels[..., 0], {"text": "x"})
    text, ok = inspect_dataset(folder.parent)
    assert not ok and "different class tables" in text


def test_a_folder_without_a_dataset_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WetgenError, match="not a dataset folder"):
        inspect_dataset(tmp_path)
