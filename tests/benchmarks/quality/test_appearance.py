"""Figures of how pictures look, on pictures whose figures are known."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from wetgen.benchmarks.quality.appearance import appearance, compare, main
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.runtime.dataset.writer import DatasetWriter
from wetgen.runtime.masks.classes import ClassTable

TABLE = ClassTable(("background", "stain", "crack"))


def pairs(images: NDArray[np.uint8], masks: NDArray[np.uint8] | None = None) -> Pairs:
    if masks is None:
        masks = np.zeros(images.shape[:3], np.uint8)
    names = tuple(map(str, range(len(images))))
    return Pairs(TABLE, images, masks, names, names, names, names, ("",) * len(images))


def noise(count: int, side: int = 64) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 1), np.uint8).repeat(3, 3)


def test_white_noise_has_the_gradient_of_uniform_numbers_and_an_even_spectrum() -> None:
    found = appearance(pairs(noise(8)))
    assert found.gradient == pytest.approx(256 / 3, rel=0.02), "E|U - V| of even levels"
    outside = 1 - np.pi * 0.25**2  # of the unit square of rates, what lies beyond a circle of radius 1/4
    assert found.fine == pytest.approx(outside, abs=0.02)
    assert found.grid8 < 0.05 and found.edge is None and found.parts is None and found.crack is None


def test_a_smooth_ramp_has_nothing_fine_and_a_chessboard_of_cells_is_a_grid() -> None:
    wave = 127 + 100 * np.sin(2 * np.pi * np.arange(64) / 64)
    smooth = np.broadcast_to(wave[None, None, :, None], (2, 64, 64, 3)).astype(np.uint8)
    assert appearance(pairs(smooth)).fine < 1e-3
    cells = np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((8, 8))) * 90 + 60
    board = np.broadcast_to(cells[None, ..., None], (1, 64, 64, 3)).astype(np.uint8)
    found = appearance(pairs(board))
    assert found.grid8 == pytest.approx(7.0), "all steps lie in one of eight columns"
    assert found.grid16 > 3


def test_masks_are_counted_in_pieces_and_their_borders_measured() -> None:
    image, mask = np.full((1, 64, 64, 3), 100, np.uint8), np.zeros((1, 64, 64), np.uint8)
    mask[0, 10:20, 10:20] = 1
    mask[0, 40, 5:35] = 2  # 30 pixels of crack, then 10 apart
    mask[0, 40, 40:50] = 2
    image[0, 10:20, 10:20] = 200
    found = appearance(pairs(image, mask))
    assert found.parts == 3 and found.crack == pytest.approx(0.75)
    assert found.damaged == pytest.approx((100 + 40) / 64**2)
    assert found.edge is not None and found.edge > 10, "the stain's border is the only gradient there is"


def test_a_crack_that_turns_at_corners_is_one_piece() -> None:
    mask = np.zeros((1, 64, 64), np.uint8)
    mask[0, np.arange(10, 50), np.arange(10, 50)] = 2
    assert appearance(pairs(noise(1), mask)).crack == 1.0


def test_a_set_is_nearer_to_itself_than_its_blurred_copy_is() -> None:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (24, 16, 16, 3), np.uint8).repeat(4, 1).repeat(4, 2)
    blurred = (coarse.astype(int) + np.roll(coarse, 3, 1) + np.roll(coarse, 3, 2)) // 3
    same = compare(pairs(coarse[:12]), pairs(coarse[12:]))
    other = compare(pairs(blurred[:12].astype(np.uint8)), pairs(coarse[12:]))
    assert other["kernel_distance"] > 2 * abs(same["kernel_distance"])
    assert same["sharp"] == pytest.approx(1, abs=0.05) and other["sharp"] < 0.9


def test_the_command_prints_and_writes_the_same_figures(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path / "set", TABLE)
    for n, image in enumerate(noise(6)):
        writer.add(f"{n}", image, np.zeros((64, 64), np.uint8), {"text": "noise"})
    folder = str(tmp_path / "set")
    done = CliRunner().invoke(main, [folder, folder, "--out", str(tmp_path / "figures.json")])
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert json.loads(done.stdout) == figures and figures["sharp"] == 1.0 and figures["size"] == 64
