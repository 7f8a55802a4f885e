"""The worth of rendered scenes, with a segmenter whose only knowledge is how bright the pairs it was given were."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.benchmarks.quality.conftest import WriteFolder
from tests.benchmarks.quality.test_trial import DarkTrainer
from tests.benchmarks.quality.walls import CRACK, walls
from wetgen.benchmarks.quality import scenes
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.results import ResultCache
from wetgen.benchmarks.quality.scores import confusion_matrices, iou


def sourced(pairs: Pairs, name: str) -> Pairs:
    return replace(pairs, sources=(name,) * len(pairs))


def fold(seed: int) -> dict[str, Pairs]:
    return {
        "train": walls(20, seed, 32),
        "validation": walls(4, seed + 1, 32),
        "test": sourced(walls(8, seed + 2, 32), "wide") + sourced(walls(8, seed + 3, 32), "near"),
    }


def test_every_source_is_scored_alone_and_all_of_them_together(tmp_path: Path) -> None:
    folds, rendered, trainer = [fold(10), fold(20)], walls(12, 50, 32), DarkTrainer()
    stores = [ResultCache(tmp_path / str(i), "k", lambda _: None) for i in range(2)]
    found = scenes.trial(folds, rendered, "test", trainer, 1, stores)
    assert list(found) == ["all sources", "near", "wide"]
    tested = folds[0]["test"] + folds[1]["test"]
    near = tested.take([i for i, source in enumerate(tested.sources) if source == "near"])
    for name, pairs in {"all sources": tested, "near": near}.items():
        for arm, extra in {"real": None, "scenes": rendered}.items():
            wanted = iou(confusion_matrices(trainer.train(None, extra, 0), pairs).sum(0))[CRACK]
            assert found[name]["crack"]["iou"][arm] == pytest.approx(wanted, abs=1e-12)
    row = found["near"]["crack"]
    shown = {group for group, mask in zip(near.groups, near.masks, strict=True) if (mask == CRACK).any()}
    assert row["photographs"] == len(shown)
    assert row["against real"]["scenes"]["delta"] == pytest.approx(row["iou"]["scenes"] - row["iou"]["real"])
    assert row["iou"]["real+scenes"] == row["iou"]["scenes"]  # this trainer looks at what comes beside alone


def test_the_command_writes_a_report_of_what_it_measured(write_folder: WriteFolder, tmp_path: Path) -> None:
    parts = ("train", "train", "validation", "test")
    pairs = [(n, 1, f"place {n}") for n in range(16)]
    rows = [{"split": parts[n % 4]} for n in range(16)]
    real = write_folder("real", pairs, keys=rows)
    rendered = write_folder("rendered", [(100 + n, 1, f"scene {n}") for n in range(6)])
    told = CliRunner().invoke(
        scenes.main,
        ["--scenes", str(rendered), "--real", str(real), "--size", "32", "--out", str(tmp_path / "out")],
    )
    assert told.exit_code == 0, told.output
    table = (tmp_path / "out" / "scenes.md").read_text()
    assert "| crack | all sources | 4 |" in table and "6 scenes; 1 folds; 32 pixels" in table

    twice = CliRunner().invoke(
        scenes.main,
        ["--scenes", str(rendered), *["--real", str(real)] * 2, "--size", "32", "--out", str(tmp_path / "twice")],
    )
    assert twice.exit_code == 1 and "tested in two folds" in twice.output


def test_scenes_of_another_class_table_are_refused(write_folder: WriteFolder, tmp_path: Path) -> None:
    real = write_folder("real", [(n, 1, f"place {n}") for n in range(12)])
    rendered = write_folder("rendered", [(100 + n, 1, f"scene {n}") for n in range(3)])
    (rendered / "classes.json").write_text('{"0": "background", "1": "stain", "2": "crack"}')
    told = CliRunner().invoke(
        scenes.main, ["--scenes", str(rendered), "--real", str(real), "--size", "32", "--out", str(tmp_path / "out")]
    )
    assert told.exit_code == 1 and "different class tables" in told.output
    assert not np.any([path.suffix == ".md" for path in (tmp_path / "out").rglob("*")])
