"""Writes the measured rows into the README, between its markers: `python -m wetgen.benchmarks.render [--check]`."""

from pathlib import Path

import click

from wetgen.benchmarks import records
from wetgen.benchmarks.records import Record

README = Path(__file__).parents[1] / "README.md"
START = "<!-- speed: rendered by `python -m wetgen.benchmarks.render`; do not edit -->\n"
END = "<!-- /speed -->"


def table(rows: list[Record]) -> str:
    """The newest row of every candidate as a Markdown table."""
    newest = {(row.comparison, row.batch, row.name): row for row in rows}
    lines = [
        "| | batch | | median | times as fast | PSNR against float32 |",
        "|---|---|---|---|---|---|",
    ]
    for row in newest.values():
        lines.append(
            f"| {row.comparison} | {row.batch} | {row.name} | {row.median_ms:.1f} ms | {row.times_as_fast:.2f} "
            f"| {row.least_psnr_db:.1f} dB |"
        )
    last = rows[-1]
    packages = ", ".join(f"{name} {number}" for name, number in last.versions.items() if name != "wetgen")
    note = (
        f"{last.device}, {last.threads} threads, plan {last.plan}; both sides take turns in one run, and the ratio is "
        f"the median over turns. {packages}; commit {last.commit}. Measure yours: "
        "`python -m wetgen.benchmarks.sampling CHECKPOINT BUNDLE`."
    )
    return "\n".join([*lines, "", note, ""])


def rendered(text: str, rows: list[Record]) -> str:
    """The README with its table renewed."""
    before, rest = text.split(START)
    _, after = rest.split(END)
    return before + START + "\n" + table(rows) + "\n" + END + after


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; fail when the README is not what the rows say.")
def main(check: bool) -> None:
    """Render the rows of the results folder into the README."""
    text = README.read_text(encoding="utf-8")
    new = rendered(text, records.read(records.RESULTS / "sampling-cpu.jsonl"))
    if check and new != text:
        raise click.ClickException("README.md does not show the newest rows; run python -m wetgen.benchmarks.render.")
    if not check:
        README.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
