"""Sheets of a dataset folder: one for each prompt, with the prompt's own pairs and no others."""

from pathlib import Path

import numpy as np
from click.testing import CliRunner
from PIL import Image

from wetgen.benchmarks.experiments.prompt_sheets import main, write_sheets
from wetgen.runtime.dataset.sheet import LIMIT
from wetgen.runtime.dataset.writer import DatasetWriter
from wetgen.runtime.masks.classes import ClassTable

RED, GREEN = (220, 20, 20), (20, 220, 20)


def folder(path: Path, per_prompt: int) -> Path:
    """Pairs of two prompts, taking turns: red pictures and green ones."""
    writer = DatasetWriter(path, ClassTable(("background", "stain")))
    for number in range(2 * per_prompt):
        image = np.full((32, 32, 3), (RED, GREEN)[number % 2], np.uint8)
        text = ("A red wall, wet!", "a green wall")[number % 2]
        writer.add(f"{number:03d}", image, np.zeros((32, 32), np.uint8), {"text": text, "scene": f"s{number}"})
    return path


def share(path: Path, colour: tuple[int, int, int]) -> float:
    """The share of a sheet that is about this colour."""
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet).astype(int)
    return float((np.abs(pixels - colour).max(-1) < 40).mean())


def test_each_prompt_has_a_sheet_of_its_own_pairs(tmp_path: Path) -> None:
    red, green = write_sheets(folder(tmp_path / "pairs", 6), tmp_path / "sheets")
    assert (red.name, green.name) == ("01-a-red-wall-wet.jpg", "02-a-green-wall.jpg")
    assert share(red, RED) > 0.5 and share(red, GREEN) == 0
    assert share(green, GREEN) > 0.5 and share(green, RED) == 0


def test_a_sheet_holds_no_more_than_the_first_pairs(tmp_path: Path) -> None:
    sizes = set()
    for count in (LIMIT, LIMIT + 5):
        with Image.open(write_sheets(folder(tmp_path / f"pairs{count}", count), tmp_path / str(count))[0]) as sheet:
            sizes.add(sheet.size)
    assert len(sizes) == 1


def test_what_is_no_dataset_folder_is_refused(tmp_path: Path) -> None:
    told = CliRunner().invoke(main, [str(tmp_path / "none"), str(tmp_path / "out")])
    assert told.exit_code == 1 and "why:" in told.output
