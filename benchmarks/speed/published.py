"""Render the committed rows into the table of README.md and the charts and tables of docs/performance.md.

`python -m wetgen.benchmarks.speed.published [--check]`, in a checkout: the rows are those of benchmarks/results.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import click

from wetgen.benchmarks import plots
from wetgen.benchmarks.document import Block, Figure, Heading, Table, as_markdown
from wetgen.benchmarks.speed import rows
from wetgen.benchmarks.speed.cases import OURS
from wetgen.benchmarks.speed.comparison import candidates_table
from wetgen.benchmarks.speed.rates import percentile
from wetgen.benchmarks.speed.report import blocks, conditions
from wetgen.benchmarks.speed.summary import BenchSummary

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
README, DOCUMENT = ROOT / "README.md", ROOT / "docs" / "performance.md"
FIGURES = "performance"  # the folder beside the document
COMMAND = "python -m wetgen.benchmarks.speed.published"
START, END = f"<!-- rendered by `{COMMAND}`; do not edit -->", "<!-- /rendered -->"
MAIN = "speed-cpu.jsonl"  # the run of the README and of most of the document


def results() -> dict[str, BenchSummary]:
    """The committed runs by file name, the main one first: each file is one run of `wetgen bench`."""
    names = sorted((path.name for path in RESULTS.glob("speed-*.jsonl")), key=lambda name: (name != MAIN, name))
    return {name: BenchSummary(rows.read(RESULTS / name)) for name in names}


def readme(main: BenchSummary) -> str:
    """The table of candidates at the smallest batch, and the conditions of the measurement."""
    found: list[Block] = []
    for batch, candidates in main.candidates()[:1]:
        found.append(_titled(f"batch {batch}", candidates_table(candidates, main.about["plan"])))
    note = (
        f"{conditions(main)} All take turns in one process; ratios are medians over turns with 95 % intervals. "
        "[Performance](docs/performance.md) has other batches, plans, and how it is measured."
    )
    return "\n\n".join([*(as_markdown(block, FIGURES) for block in found), note])


def _titled(corner: str, table: Table) -> Table:
    return Table([corner, *table.head[1:]], table.rows)


def document(runs: dict[str, BenchSummary]) -> list[Block]:
    """Every run's report, and how cost grows."""
    main = next(iter(runs.values()))
    found: list[Block] = [_below(block) for block in (*blocks(main), *_growth(main, list(runs.values())))]
    for name, summary in list(runs.items())[1:]:
        run = name.removesuffix(".jsonl")
        found += [Heading(run, 3), *(_below(block, f"{run}-") for block in blocks(summary))]
    return found


def _below(block: Block, run: str = "") -> Block:
    """A block as a part of the document: headings a level lower, figures named after their run."""
    match block:
        case Heading(text, level):
            return Heading(text, level + (2 if run else 1))
        case Figure(name, draw, caption):
            return Figure(f"{run}{name}", draw, caption)
    return block


def _growth(main: BenchSummary, runs: Sequence[BenchSummary]) -> Iterator[Block]:
    yield Heading("How cost grows")
    for batch, candidates in main.candidates()[:1]:
        plans = main.about["plans"]
        listed = [one for one in candidates if one["name"] == OURS and "times_ms" in one]
        points = sorted((float(len(plans[one["plan"]]["kinds"])), percentile(one["times_ms"], 0.5)) for one in listed)
        chart = partial(plots.lines, {"plans": points}, "steps", "ms")
        yield Figure("cost-steps.svg", chart, f"Steps: every plan of the bundle, at batch {batch}.")
    series = {f"batch {batch}": main.pairs_over_time(batch) for batch in main.batches}
    yield Figure(
        "cost-pairs.svg", partial(plots.lines, series, "pairs", "s"), "Pairs: seconds since the process was started."
    )
    sizes = {
        (float(run.about["sizes"]["height"]), run.rates()[0].p50_ms / run.batches[0])
        for run in runs
        if run.rows[-1]["machine"] == main.rows[-1]["machine"] and run.batches
    }
    if len(sizes) > 1:
        chart = partial(plots.lines, {"a pair": sorted(sizes)}, "pixels a side", "ms")
        yield Figure("cost-size.svg", chart, "Size: a pair at the smallest batch of bundles of other sizes.")


def rendered(text: str, new: str) -> str:
    """The text with the part between its markers replaced."""
    before, rest = text.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n\n{new}\n\n{END}{after}"


def rendered_files() -> dict[Path, bytes]:
    """The expected content of every file that is rendered from the rows."""
    runs = results()
    if not runs:
        raise click.ClickException(f"{RESULTS} has no speed-*.jsonl; copy the rows.jsonl of a run there.")
    main, found = next(iter(runs.values())), document(runs)
    texts = {README: readme(main), DOCUMENT: "\n\n".join(as_markdown(block, FIGURES) for block in found)}
    files = {path: rendered(path.read_text(encoding="utf-8"), new).encode() for path, new in texts.items()}
    figures = {DOCUMENT.parent / FIGURES / b.name: b.data for b in found if isinstance(b, Figure)}
    return {**files, **figures}


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; fail if a file is out of date.")
def main(check: bool) -> None:
    """Render the committed rows."""
    files = rendered_files()
    folder = DOCUMENT.parent / FIGURES
    left = sorted(path for path in folder.glob("*.svg") if path not in files)
    stale = [path for path, data in files.items() if not path.is_file() or path.read_bytes() != data]
    if check and (stale or left):
        names = ", ".join(str(path.relative_to(ROOT)) for path in [*stale, *left])
        raise click.ClickException(f"{names}: out of date with the rows; run {COMMAND}.")
    if not check:
        folder.mkdir(parents=True, exist_ok=True)
        for path, data in files.items():
            path.write_bytes(data)
        for path in left:
            path.unlink()


if __name__ == "__main__":
    main()
