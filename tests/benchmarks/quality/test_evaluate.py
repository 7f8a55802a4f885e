"""A whole evaluation on walls drawn in the test, through the command, and what it leaves."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.benchmarks.quality.walls import walls
from wetgen.benchmarks.quality.cli import evaluate
from wetgen.benchmarks.quality.evaluate import checks
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.report.words import figures
from wetgen.runtime.dataset.writer import DatasetWriter

SIZE = 32


def write(pairs: Pairs, folder: Path) -> Path:
    writer = DatasetWriter(folder, pairs.table)
    for i, (image, mask, text, group) in enumerate(
        zip(pairs.images, pairs.masks, pairs.texts, pairs.groups, strict=True)
    ):
        writer.add(f"{i:03d}", image, mask, {"text": text, "scene": group})
    return folder


def run(*arguments: object) -> Any:
    return CliRunner().invoke(evaluate, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real walls, synthetic walls that are as good as real ones, and their evaluation."""
    folder = tmp_path_factory.mktemp("evaluated")
    write(walls(60, 1, SIZE), folder / "real")
    write(walls(40, 2, SIZE), folder / "made")
    outcome = run(folder / "made", "--real", folder / "real", "--curve", "--out", folder / "out")
    assert outcome.exit_code == 0, outcome.output
    return folder


def results(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "out" / "results.json").read_text()))


def test_every_family_has_its_figures_beside_floors(folder: Path) -> None:
    found = results(folder)
    for family in ("integrity", "memorisation", "fidelity", "spread", "regions", "agreement", "captions"):
        assert any(figures(found[family])), family
    for _, figure in figures(found):
        assert "not_measured" in figure or figure["value"] is not None


def test_every_arm_stands_beside_those_it_must_beat(folder: Path) -> None:
    trial = results(folder)["downstream ridge"]
    named = {(arm["arm"], arm["share"]): arm for arm in trial["arms"]}
    assert {"synthetic", "real", "real copies", "real+classical", "real+synthetic", "real+shifted 6 px"} <= {
        name for name, _ in named
    }
    assert {share for _, share in named} == {0, 0.1, 0.25, 0.5, 1}
    assert set(named["real+synthetic", 1.0]["against"]) == {"real", "real copies", "real+classical"}
    for arm in trial["arms"]:
        for found in arm["against"].values():
            mean = found["mean"]
            assert mean["gain"] == (mean["delta"] > 0 and mean["low"] is not None and mean["low"] > 0)


def test_a_stopped_evaluation_goes_on_to_the_same_digits(folder: Path) -> None:
    """Results that a kill took away are computed again, in a process that knows nothing of the first one's sums."""
    whole = (folder / "out" / "results.json").read_bytes()
    lost = ["agreement.json", "fidelity.json", "downstream-ridge.json", "cases.json"]
    lost += [path.name for path in (folder / "out" / "results").glob("ridge-*-seed-1.json")]
    for name in lost:
        (folder / "out" / "results" / name).unlink()
    outcome = run(folder / "made", "--real", folder / "real", "--curve", "--out", folder / "out")
    assert outcome.exit_code == 0
    assert (folder / "out" / "results.json").read_bytes() == whole
    computed = [line for line in outcome.output.split("\n") if "seed" in line]
    assert computed and all("seed 1" in line for line in computed)


@pytest.mark.parametrize("stem", ["worth", "segmentation"])
def test_the_reports_stand_alone(folder: Path, stem: str) -> None:
    page = (folder / "out" / f"{stem}.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    text = (folder / "out" / f"{stem}.md").read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (folder / "out" / target).stat().st_size > 0
    assert "nan" not in text.lower().split() and "None" not in text


def test_a_failed_check_exits_with_1_after_the_reports(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = {"integrity": {"passed": False, "why": "of 40 pairs: 3 asked class absent"}}
    monkeypatch.setattr("wetgen.benchmarks.quality.evaluate.checks", lambda _: failed)
    (folder / "out" / "worth.html").unlink()
    outcome = run(folder / "made", "--real", folder / "real", "--curve", "--out", folder / "out")
    assert outcome.exit_code == 1 and "3 asked class absent" in str(outcome.exception)
    assert "3 asked class absent" in (folder / "out" / "worth.html").read_text()


def test_copies_fail_the_check() -> None:
    sound = {"passed": True, "counts": {}, "checked": 9}
    copied = {"image": {"ratio": {"value": 0.1, "flagged": True}, "suspects": {"value": 1.0, "flagged": True}}}
    found = checks({"integrity": {"pairs": sound, "files": sound}, "memorisation": {**copied, "passed": False}})
    assert found["integrity"]["passed"] and not found["memorisation"]["passed"]
    assert "image ratio: 0.1" in found["memorisation"]["why"]
