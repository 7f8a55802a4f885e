"""Curves: drawn from a run's own rows, and the same rows give the same file."""

import json
from pathlib import Path

from click.testing import CliRunner

from wetgen.benchmarks.experiments.curves import main, series

ROWS = [
    {"stage": "vae", "step": 1, "l1": 0.5, "mask": 0.7},
    {"stage": "vae", "step": 2, "l1": 0.25, "mask": 0.6, "critic": 2.0},
    {"stage": "vae-validation", "step": 2, "l1": 0.3, "damage_iou": 0.8},
    {"stage": "denoiser", "step": 1, "loss": 0.9},
    {"stage": "denoiser-validation", "step": 1, "loss": 0.8},
]


def test_a_scalar_that_joins_late_starts_late() -> None:
    assert series(ROWS, "vae", "critic") == ([2], [2.0])
    assert series(ROWS, "vae", "l1") == ([1, 2], [0.5, 0.25])


def test_the_same_rows_give_the_same_picture(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for name in ("a.svg", "b.svg"):
        result = CliRunner().invoke(main, [str(tmp_path), str(tmp_path / name)])
        assert result.exit_code == 0, result.output
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "damage_iou" in (tmp_path / "a.svg").read_text()


def test_a_folder_without_metrics_is_said_to_be_none(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(tmp_path), str(tmp_path / "c.svg")])
    assert result.exit_code == 1 and "wetgen-train" in result.output
