"""Rows survive the file, and the README shows the newest of each candidate."""

from dataclasses import replace
from pathlib import Path

from wetgen.benchmarks import records, render
from wetgen.benchmarks.records import Record

ROW = Record(
    comparison="guided step",
    name="ours",
    bundle="abc",
    plan="ddim:20",
    batch=1,
    threads=2,
    runs=5,
    median_ms=12.34,
    p90_ms=15.0,
    times_as_fast=1.75,
    least_psnr_db=61.2,
    mask_agreement=1.0,
    device="a CPU",
    cores=2,
    date="2026-01-01",
    commit="0123456789ab",
    versions={"torch": "2.13.0"},
)


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.jsonl"
    records.append(path, [ROW])
    records.append(path, [replace(ROW, batch=4)])
    assert records.read(path) == [ROW, replace(ROW, batch=4)]


def test_the_newest_row_of_a_candidate_replaces_the_older_one() -> None:
    table = render.table([ROW, replace(ROW, median_ms=10.0, times_as_fast=2.0)])
    assert "10.0 ms | 2.00" in table and "12.3 ms" not in table
    assert "a CPU, 2 threads" in table and "torch 2.13.0" in table


def test_only_the_part_between_the_markers_is_rendered() -> None:
    text = f"before\n{render.START}old\n{render.END}\nafter"
    new = render.rendered(text, [ROW])
    assert new.startswith("before\n") and new.endswith("\nafter") and "old" not in new
    assert render.rendered(new, [ROW]) == new
