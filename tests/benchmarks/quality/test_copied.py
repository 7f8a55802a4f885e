"""Pairs held against the training data of their own generator."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.benchmarks.quality.conftest import WriteFolder
from wetgen.benchmarks.quality import copied
from wetgen.runtime.errors import WetgenError
from wetgen.training.checkpoint import PARTS
from wetgen.training.config import load

SIDE = 48
Pictures = list[tuple[int, int, str]]


def pictures(start: int, count: int) -> Pictures:
    return [(start + n, 1, f"place {start + n}") for n in range(count)]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """What the check reads of a checkpoint: how its training data was split."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for part in ("model_index.json", *PARTS, "tokenizer", "scheduler"):
        (folder / part).touch()
    (folder / "wetgen.json").write_text(json.dumps({"config": load(Path("tiny")).to_json()}))
    return folder


def check(pairs: Path, checkpoint: Path, data: Path, out: Path) -> Result:
    arguments = [
        str(pairs),
        "--checkpoint",
        str(checkpoint),
        "--data",
        str(data),
        "--size",
        str(SIDE),
        "--out",
        str(out),
    ]
    return CliRunner().invoke(copied.main, arguments)


def test_copies_of_training_pairs_are_found_and_other_pairs_are_not(
    write_folder: WriteFolder, checkpoint: Path, tmp_path: Path
) -> None:
    data = write_folder("data", pictures(0, 90), SIDE)
    other = check(write_folder("other", pictures(500, 30), SIDE), checkpoint, data, tmp_path / "fresh")
    assert other.exit_code == 0, other.output
    assert "No sign of copies." in (tmp_path / "fresh" / "copied.md").read_text()
    same = check(write_folder("same", pictures(0, 30), SIDE), checkpoint, data, tmp_path / "copies")
    assert same.exit_code == 1
    found = json.loads((tmp_path / "copies" / "copied.json").read_text())
    assert found["passed"] is False and found["image"]["suspects"]["flagged"]
    assert "COPIES FOUND." in (tmp_path / "copies" / "copied.md").read_text()


def test_what_training_held_out_is_no_copy(write_folder: WriteFolder, checkpoint: Path, tmp_path: Path) -> None:
    """The split is the training's own: a picture counts as held out exactly where training did not see it."""
    rows = [{"split": "validation" if n >= 60 else "train"} for n in range(90)]
    data = write_folder("data", pictures(0, 90), SIDE, rows)
    held_out = check(write_folder("held", pictures(60, 30), SIDE), checkpoint, data, tmp_path / "out")
    assert held_out.exit_code == 0, held_out.output


def test_a_checkpoint_of_others_is_refused(write_folder: WriteFolder, checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "wetgen.json").unlink()
    data = write_folder("data", pictures(0, 40), SIDE)
    with pytest.raises(WetgenError, match="how its training data was split"):
        copied.run(write_folder("made", pictures(100, 20), SIDE), checkpoint, data, SIDE, tmp_path / "out")
