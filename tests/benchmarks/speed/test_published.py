"""What is published is what the committed rows say."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.benchmarks.speed.observed import CEILINGS, about, sampled, work
from wetgen.benchmarks.speed import published, rows
from wetgen.benchmarks.speed.cases import EAGER, OURS

ERROR = {"against": "the float32 reference sampler", "psnr_db": 60.0}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row) -> Path:
    """A checkout of nothing but rows of one run, a README and the document."""
    monkeypatch.setattr(published, "ROOT", tmp_path)
    for name, path in (("RESULTS", "results"), ("README", "README.md"), ("DOCUMENT", "docs/performance.md")):
        monkeypatch.setattr(published, name, tmp_path / path)
    (tmp_path / "docs").mkdir()
    for path in ("README.md", "docs/performance.md"):
        (tmp_path / path).write_text(f"before\n{published.START}\nold\n{published.END}\nafter\n")
    candidates = [
        {"name": name, "plan": "two", "times_ms": [took], "error": ERROR, "work": work()}
        for name, took in ((OURS, 10.0), (EAGER, 22.0))
    ]
    for one in (
        row("bundle", about()),
        row("ceilings", CEILINGS),
        row("sampling", sampled([10.0])),
        row("turns", {"batch": 1, "candidates": candidates}),
    ):
        rows.append(tmp_path / "results" / published.MAIN, one)
    return tmp_path


def run(*options: str) -> tuple[int, str]:
    result = CliRunner().invoke(published.main, list(options))
    return result.exit_code, result.output


def test_rendering_replaces_what_is_between_the_markers_and_then_the_check_passes(checkout: Path) -> None:
    code, said = run("--check")
    assert code == 1 and "README.md" in said
    assert run() == (0, "") and run("--check") == (0, "")
    text = (checkout / "README.md").read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| wetgen | 10.0 ms | 10.0 ms | 2.20 (2.20 to 2.20) | 60.0 dB" in text and "a CPU, 2 threads" in text
    document = (checkout / "docs" / "performance.md").read_text()
    for drawing in (checkout / "docs" / "performance").iterdir():
        assert f"(performance/{drawing.name})" in document
    assert "cost-pairs.svg" in document


@pytest.mark.parametrize("change", ["edit", "new", "left"])
def test_the_check_fails_for_an_edit_newer_rows_and_a_drawing_that_is_left(checkout: Path, row, change: str) -> None:
    run()
    figures = checkout / "docs" / "performance"
    if change == "edit":
        (checkout / "README.md").write_text((checkout / "README.md").read_text().replace("2.20", "9.90"))
    elif change == "new":
        rows.append(checkout / "results" / published.MAIN, row("sampling", sampled([5.0]), batch=2, number=1))
    else:
        (figures / "old.svg").write_bytes(b"<svg/>")
    assert run("--check")[0] == 1
    run()
    assert run("--check")[0] == 0 and not (figures / "old.svg").exists()


def test_without_rows_there_is_nothing_to_render(checkout: Path) -> None:
    (checkout / "results" / published.MAIN).unlink()
    code, said = run()
    assert code == 1 and "copy the rows.jsonl" in said
