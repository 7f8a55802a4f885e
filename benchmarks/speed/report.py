"""The report of a run as blocks, which are written as Markdown and as one HTML page."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from wetgen.benchmarks import plots
from wetgen.benchmarks.document import Block, Figure, Heading, Paragraph, Table, write
from wetgen.benchmarks.speed.comparison import candidates_table, plans_table
from wetgen.benchmarks.speed.rates import Rate, percentile
from wetgen.benchmarks.speed.summary import HOST, KNEE, BenchSummary

TITLE, STEM = "How fast", "report"
NONE = "—"


def write_report(summary: BenchSummary, out: Path, *, charts: bool) -> Path:
    """Write out/report.md and out/report.html, with charts if asked for (they need matplotlib); returns the page."""
    chosen = [block for block in blocks(summary) if charts or not isinstance(block, Figure)]
    write(chosen, TITLE, out, STEM)
    return out / f"{STEM}.html"


def blocks(summary: BenchSummary) -> Iterator[Block]:
    """All of the report."""
    yield Paragraph(conditions(summary))
    yield from _rates(summary)
    yield from _stages(summary)
    yield from _ceilings(summary)
    yield from _turns(summary)
    yield from _storing(summary)
    yield from _failures(summary)


def conditions(summary: BenchSummary) -> str:
    """The conditions of the measurement, in a sentence or two."""
    last, about = summary.rows[-1], summary.about
    where, sizes = last["machine"], about["sizes"]
    packages = ", ".join(f"{name} {number}" for name, number in last["versions"].items() if name != "wetgen")
    case = next((row["case"] for row in summary.newest if row["case"]["kind"] == "sampling"), {"threads": None})
    threads = where["cores"] if case["threads"] is None else case["threads"]
    board = f"{where['board']}, " if "board" in where else ""
    return (
        f"{board}{where['processor']}, {threads} threads of {where['cores']} cores, {where['memory_gib']} GiB; device "
        f"{last['case']['device']}. Bundle {last['bundle']['name']} "
        f"({last['bundle']['hash']}), target {about['target']}, {sizes['width']} x {sizes['height']} pixels, latents "
        f"{sizes['latent_width']} x {sizes['latent_height']}; plan {about['plan']}. {packages}; "
        f"commit {last['commit']}, {last['date']}."
    )


def _rates(summary: BenchSummary) -> Iterator[Block]:
    rates, knee = summary.rates(), summary.knee()
    if not rates:
        return
    yield Heading("Batches")
    yield Paragraph(
        "Load is from the start of a new process to loaded graphs (the disk's cache is warm), the first batch what the "
        "next one takes there; warm are all later batches. Peak memory is that of the process which drew the batch. "
        f"The knee is the smallest batch with {KNEE:.0%} of the best rate."
    )
    head = ["batch", "load", "first batch", "warm p50", "p90", "p99", "pairs/s", "of the matrix rate", "host", "device"]
    yield Table([*head, "unified", "J/pair"], [_rate_cells(summary, rate, knee) for rate in rates])
    points = [(float(rate.batch), rate.pairs_per_second) for rate in rates]
    mark = None if knee is None else (float(knee), "knee")
    chart = partial(plots.lines, {"pairs/s": points}, "batch", "pairs/s", mark)
    yield Figure("batches.svg", chart, "Pairs a second over the batch size; the knee is marked.")


def _rate_cells(summary: BenchSummary, rate: Rate, knee: int | None) -> list[str]:
    share = summary.share_of_matrix(rate.batch)
    return [
        f"{rate.batch}{' (knee)' if rate.batch == knee else ''}",
        *(_ms(value) for value in (rate.to_loaded_ms, rate.first_ms, rate.p50_ms, rate.p90_ms, rate.p99_ms)),
        f"{rate.pairs_per_second:.2f}",
        NONE if share is None else f"{share:.0%}",
        *(_mib(value) for value in (rate.host_mib, rate.device_mib, rate.unified_mib)),
        "not measured here" if rate.joules is None else f"{rate.joules:.2f}",
    ]


def _stages(summary: BenchSummary) -> Iterator[Block]:
    staged = [(batch, summary.stages(batch)) for batch in summary.batches]
    if not any(stages for _, stages in staged):
        return
    yield Heading("Where the time goes")
    yield Paragraph(f'Calls of graphs in warm batches, and "{HOST}": the gaps before, between and after them.')
    cells = [
        [
            str(batch),
            stage.name,
            str(stage.calls),
            *(_ms(took) for took in (stage.p50_ms, stage.p90_ms, stage.p99_ms)),
            f"{stage.share:.1%}",
        ]
        for batch, stages in staged
        for stage in stages
    ]
    yield Table(["batch", "graph", "calls a batch", "p50", "p90", "p99", "of the time"], cells)
    bars = [(f"batch {batch}", {stage.name: 100 * stage.share for stage in stages}) for batch, stages in staged]
    yield Figure("stages.svg", partial(plots.stacked, bars, "%"), "Shares of a warm batch's time.")
    steps = summary.steps(summary.batches[0])
    series: dict[str, list[tuple[float, float]]] = {}
    for i, (kind, took) in enumerate(steps, start=1):
        series.setdefault(kind, []).append((float(i), took))
    caption = f"Median time of every step at batch {summary.batches[0]}, by kind of step."
    yield Figure("steps.svg", partial(plots.lines, series, "step", "ms"), caption)


def _ceilings(summary: BenchSummary) -> Iterator[Block]:
    if summary.matrix is None:
        return
    yield Heading("Shares of the machine")
    yield Paragraph(
        f"Matrix ceiling {summary.matrix:.1f} GFLOP/s, copy ceiling {summary.copy(float('inf')):.1f} GB/s beyond the "
        "caches: the best that products, convolutions and copies reached in the same run, with the same engine and "
        "threads. FLOPs are the multiplications and additions of convolutions, matrix products and attention; bytes "
        f"the least that must move (weights, inputs, outputs); {summary.about['work_is']}. A graph is bound by what "
        "would take longer at its ceiling, and its share is that time over the time it took."
    )
    lines = [line for batch in summary.batches for line in summary.roofline(batch)]
    rows = [
        [
            line.name,
            str(line.batch),
            f"{line.gflop:.3f}",
            f"{line.mb:.1f}",
            f"{line.gflops:.1f}",
            f"{line.gbs:.1f}",
            f"{line.share:.0%}",
            line.bound,
        ]
        for line in lines
    ]
    head = ["graph", "batch", "GFLOP", "MB", "GFLOP/s", "GB/s", "of its ceiling", "bound by"]
    yield Table(head, rows)


def _turns(summary: BenchSummary) -> Iterator[Block]:
    for batch, candidates in summary.candidates():
        table = candidates_table(candidates, summary.about["plan"])
        if len(table.rows) > 1:
            yield Heading(f"Against others, batch {batch}")
            yield Paragraph(
                "The same weights, plan, noise and prompts in one process, taking turns; text included. Every speed "
                "is shown with its error against the float32 reference sampler (the worst pair)."
            )
            yield table
            yield Figure(
                f"turns-{batch}.svg", partial(_bars, candidates, summary.about["plan"]), "Milliseconds of a batch."
            )
        plans = plans_table(candidates, summary.about, batch)
        if len(plans.rows) > 1:
            yield Heading(f"Plans, batch {batch}")
            yield Paragraph(
                "What each of the bundle's plans takes, in the same turns. Other plans are other work: they draw other "
                "pictures, and how far these are from those of the plan first named is stated beside."
            )
            yield plans


def _bars(candidates: Sequence[Mapping[str, Any]], plan: str) -> bytes:
    found = [
        (one["name"], {"a batch": percentile(one["times_ms"], 0.5)})
        for one in candidates
        if one["plan"] == plan and "times_ms" in one
    ]
    return plots.stacked(found, "ms")


def _storing(summary: BenchSummary) -> Iterator[Block]:
    found = summary.storing()
    if not found:
        return
    yield Heading("Files")
    yield Paragraph(
        "The same pairs with and without writing the dataset folder, in turns; each time from a new generator."
    )
    rows = []
    for batch, observed in found:
        without, with_files = (sorted(observed[name])[len(observed[name]) // 2] for name in _FILES)
        pairs = observed["pairs"]
        rates = [f"{1000 * pairs / took:.2f}" for took in (without, with_files)]
        rows.append([str(batch), str(pairs), *rates, f"{with_files / without - 1:+.1%}"])
    yield Table(["batch", "pairs", "pairs/s without", "with files", "files cost"], rows)


_FILES = ("without_files_ms", "with_files_ms")


def _failures(summary: BenchSummary) -> Iterator[Block]:
    if not summary.failed:
        return
    yield Heading("What failed")
    rows = [
        [
            " ".join(str(row["case"][name]) for name in ("kind", "plan", "batch")),
            row["error"]["what"],
            row["error"]["why"],
        ]
        for row in summary.failed
    ]
    yield Table(["case", "what", "why"], rows)


def _ms(value: float) -> str:
    return f"{value:.0f} ms" if value >= 100 else f"{value:.2f} ms"


def _mib(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.0f} MiB"
