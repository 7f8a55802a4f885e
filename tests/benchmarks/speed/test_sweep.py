"""A sweep loses nothing when it is interrupted, keeps what failed, and mixes no two machines, bundles or versions."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.speed.observed import CEILINGS, sampled
from wetgen.benchmarks.speed import rows, sweep
from wetgen.benchmarks.speed.cases import BenchCase, BenchOptions, cases_of
from wetgen.benchmarks.speed.report import write_report
from wetgen.benchmarks.speed.summary import BenchSummary
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.errors import WetgenError

OPTIONS = BenchOptions(batches=(1, 2), rounds=2)
FILES = {"pairs": 8, "without_files_ms": [80.0, 82.0], "with_files_ms": [90.0, 91.0]}


@pytest.fixture
def bundle(bundle_folder: Path) -> Bundle:
    return Bundle.open(bundle_folder)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[BenchCase]:
    """The cases that were measured, by a process that is not there; a case that is in `failing` fails."""
    ran: list[BenchCase] = []

    def run(case: BenchCase, bundle: Bundle) -> dict[str, Any]:
        ran.append(case)
        if case.kind == "files" and len(ran) < 9:
            return {"error": {"what": "It failed.", "why": "the disk is full", "fix": "free some"}}
        seen = {"ceilings": CEILINGS, "files": FILES, "turns": {"batch": 1, "candidates": []}}
        return {"observed": seen.get(case.kind) or sampled([10.0 * case.batch], batch=case.batch, calls=[[]])}

    monkeypatch.setattr(sweep, "_run", run)
    return ran


def test_rounds_go_over_all_batches_between_two_looks_at_the_ceilings(bundle: Bundle) -> None:
    listed = [(case.kind, case.round, case.batch) for case in cases_of(bundle, OPTIONS)]
    assert listed == [
        ("ceilings", 0, 0),
        *[("sampling", number, batch) for number in (0, 1) for batch in (1, 2)],
        ("ceilings", 1, 0),
        ("turns", 0, 1),
        ("files", 0, 2),
    ]


def test_a_path_is_no_part_of_a_row(bundle: Bundle, tmp_path: Path) -> None:
    for case in cases_of(bundle, BenchOptions(checkpoint=str(tmp_path / "secret"), cache=str(tmp_path))):
        assert str(tmp_path) not in json.dumps(case.settings())
        assert BenchCase(**case.to_json()) == case


def test_an_interrupted_sweep_resumes_with_what_is_missing(
    bundle: Bundle, tmp_path: Path, ran: list[BenchCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = sweep._run

    def interrupted(case: BenchCase, bundle: Bundle) -> dict[str, Any]:
        if len(ran) == 3:
            raise KeyboardInterrupt
        return honest(case, bundle)

    monkeypatch.setattr(sweep, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep.sweep(bundle, tmp_path, OPTIONS, lambda _: None)
    assert len(rows.read(tmp_path)) == 1 + 3  # the bundle's own row comes first
    with pytest.raises(WetgenError, match="already holds measurements"):
        sweep.sweep(bundle, tmp_path, OPTIONS, lambda _: None)
    monkeypatch.setattr(sweep, "_run", honest)
    sweep.sweep(bundle, tmp_path, OPTIONS, lambda _: None, resume=True)
    assert ran == list(cases_of(bundle, OPTIONS))  # each once


def test_a_failed_case_is_a_row_is_told_and_is_measured_again(
    bundle: Bundle, tmp_path: Path, ran: list[BenchCase]
) -> None:
    said: list[str] = []
    found = BenchSummary(sweep.sweep(bundle, tmp_path, OPTIONS, said.append))
    assert [row["case"]["kind"] for row in found.failed] == ["files"] and "the disk is full" in said[-1]
    assert "the disk is full" in write_report(found, tmp_path, charts=False).read_text()
    again = BenchSummary(sweep.sweep(bundle, tmp_path, OPTIONS, said.append, resume=True))
    assert not again.failed and len(ran) == 9


@pytest.mark.parametrize("what", ["bundle", "machine", "versions", "commit"])
def test_rows_of_something_else_are_not_gone_on_with(
    bundle: Bundle, tmp_path: Path, ran: list[BenchCase], what: str
) -> None:
    (first, *_) = sweep.sweep(bundle, tmp_path / "a", OPTIONS, lambda _: None)
    rows.append(tmp_path / "b" / rows.FILE_NAME, {**first, what: {"other": 1}})
    with pytest.raises(WetgenError, match=f"another {what}"):
        sweep.sweep(bundle, tmp_path / "b", OPTIONS, lambda _: None, resume=True)


def test_a_process_that_dies_is_a_failed_case(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep.sys, "executable", "/bin/false")
    said = sweep._run(BenchCase("ceilings", 0, "cpu", 1), bundle)
    assert said["error"]["what"] == "The process of the case ended with exit status 1."


def test_the_page_holds_its_drawings_and_fetches_nothing(bundle: Bundle, tmp_path: Path, ran: list[BenchCase]) -> None:
    found = BenchSummary(sweep.sweep(bundle, tmp_path, OPTIONS, lambda _: None))
    assert "<img" not in write_report(found, tmp_path, charts=False).read_text()
    page = write_report(found, tmp_path, charts=True).read_text()
    assert page.count("data:image/svg+xml") == 1 and "(knee)" in page and "not measured here" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert (tmp_path / "report.md").read_text().startswith("# How fast")
