"""The realism probe: blind where there is nothing to see, sharp where there is, and silent about test rows."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wetgen.benchmarks.experiments import realism as module
from wetgen.benchmarks.experiments.realism import SIDE, Patches, features, main, probe, realism, take_patches
from wetgen.benchmarks.metrics import auc
from wetgen.runtime.dataset.writer import DatasetWriter
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import ClassTable

TABLE = ClassTable(("background", "stain"))


def _patches(count: int, seed: int, coarse: bool = False) -> Patches:
    """Random grey patches; coarse ones are made of blocks of four pixels and so differ in structure alone."""
    rng = np.random.default_rng(seed)
    step = 4 if coarse else 1
    small = rng.normal(128, 30, (count, SIDE // step, SIDE // step, 1)).repeat(step, 1).repeat(step, 2)
    pixels = np.clip(small.repeat(3, -1), 0, 255).astype(np.uint8)
    return Patches(pixels, tuple(f"{seed}/{i // 2}" for i in range(count)))


def _write(folder: Path, split: str, seed: int) -> None:
    """Six pictures 64 x 64 with a stain in the middle, in rows of one part."""
    writer = DatasetWriter(folder, TABLE)
    rng = np.random.default_rng(seed)
    for i in range(6):
        mask = np.zeros((64, 64), np.uint8)
        mask[20:44, 20:44] = 1
        image = rng.integers(90, 160, (64, 64, 3), dtype=np.uint8)
        surface = "plaster" if i % 2 else "brick"
        row = {"text": "a stain", "scene": f"s{i}", "split": split, "parameters": {"surface": surface}}
        writer.add(f"p{i}", image, mask, row)


def test_auc_by_the_textbook() -> None:
    rendered = np.array([True, True, False, False])
    assert auc(np.array([0.9, 0.8, 0.2, 0.1]), rendered) == 1.0
    assert auc(np.array([0.9, 0.1, 0.8, 0.2]), rendered) == 0.5
    assert auc(np.array([0.5, 0.5, 0.5, 0.5]), rendered) == 0.5  # ties count half


@given(arrays(np.float64, 12, elements=st.integers(-5, 5).map(float)), st.integers(1, 11))
def test_auc_is_the_share_of_ordered_pairs(scores: np.ndarray, ones: int) -> None:
    rendered = np.arange(12) < ones
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[rendered] for b in scores[~rendered]]
    np.testing.assert_allclose(auc(scores, rendered), np.mean(pairs), rtol=1e-12)


def test_the_same_kind_of_patches_cannot_be_told_apart() -> None:
    row = realism(_patches(120, 1), _patches(120, 2), seed=0)
    assert 0.35 < float(str(row["all"])) < 0.65  # 240 patches in 120 groups: about 0.04 of deviation
    assert 0.25 < float(str(row["floor"])) < 0.75


def test_another_structure_is_found_whatever_its_colour() -> None:
    row = realism(_patches(40, 1), _patches(40, 2, coarse=True), seed=0)
    assert float(str(row["structure"])) > 0.95 and float(str(row["spectrum"])) > 0.95


def test_structure_does_not_see_exposure_and_contrast() -> None:
    pixels = _patches(6, 3).pixels
    dimmed = (64 + pixels.astype(float) * 0.5).round().astype(np.uint8)
    one, other = features(pixels), features(dimmed)
    assert np.abs(one["structure"] - other["structure"]).mean() < 0.15
    assert np.abs(one["colour"] - other["colour"]).max() > 0.05


def test_a_group_is_never_on_both_sides_of_a_fold() -> None:
    """Features that name the group, with labels alternating by group, must not help: only leaks would."""
    groups = tuple(str(i // 4) for i in range(80))
    rendered = np.array([int(group) % 2 == 0 for group in groups])
    x = np.eye(20)[[int(group) for group in groups]]
    assert abs(probe(x, rendered, groups, seed=0) - 0.5) < 0.05


def test_the_probe_is_deterministic() -> None:
    first, second = (realism(_patches(20, 1), _patches(20, 2), seed=3) for _ in range(2))
    assert first == second


def test_patches_come_from_no_test_row_and_from_the_asked_surface(tmp_path: Path) -> None:
    _write(tmp_path / "real" / "train", "train", 1)
    _write(tmp_path / "real" / "test", "test", 2)
    found = take_patches(tmp_path / "real", 1, seed=0)
    assert {group.split("/")[0] for group in found.groups} == {"train"}
    assert len(found.pixels) == 6 * module.PER_PICTURE and found.pixels.shape[1:] == (SIDE, SIDE, 3)
    brick = take_patches(tmp_path / "real" / "train", 1, seed=0, surfaces=("brick",))
    assert len(set(brick.groups)) == 3


def test_the_command_prints_one_row_a_class(tmp_path: Path) -> None:
    _write(tmp_path / "scenes", "train", 1)
    _write(tmp_path / "real", "train", 2)
    result = CliRunner().invoke(main, [str(tmp_path / "scenes"), str(tmp_path / "real")])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.output.splitlines()]
    assert [row["class"] for row in rows] == ["stain"] and rows[0]["photographs"] == 6


def test_nothing_to_compare_is_an_error(tmp_path: Path) -> None:
    _write(tmp_path / "scenes", "test", 1)
    _write(tmp_path / "real", "train", 2)
    with pytest.raises(WetgenError, match="no class in common"):
        main.main([str(tmp_path / "scenes"), str(tmp_path / "real")], standalone_mode=False)
