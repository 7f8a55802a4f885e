"""`wetgen bench`: measure a bundle on this machine; compare two measurements."""

from pathlib import Path
from typing import Any

import click

from wetgen.runtime.bundle.targets import DEVICES
from wetgen.runtime.cli import batch_list


class Bench(click.Group):
    """A group that takes a bundle in place of a command: `wetgen bench B` means `wetgen bench measure B`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["measure", *args]
        return super().parse_args(ctx, args)


@click.group(cls=Bench)
def bench() -> None:
    """Measure a bundle on this machine, or compare two measurements.

    `wetgen bench [BUNDLE] --out DIR` measures: `wetgen bench measure --help` has the options.
    """


@bench.command()
@click.argument("bundle", type=click.Path(path_type=Path), required=False)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for rows and report; new or empty.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted run in --out.")
@click.option("--plan", metavar="NAME", help="Sampling plan.  [default: the bundle's]")
@click.option("--batches", callback=batch_list, metavar="1,2,4", help="Batch sizes.  [default: 1,2,4,8]")
@click.option(
    "--device",
    type=click.Choice(DEVICES),
    default="cpu",
    show_default=True,
    help="Where the graphs run.",
)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: all usable cores]")
@click.option("--rounds", type=click.IntRange(min=1), help="Processes for each batch size.  [default: 3]")
@click.option("--seconds", type=click.FloatRange(min=0), help="Seconds of warm batches per process.  [default: 3]")
@click.option("--quick", is_flag=True, help="One round of batches 1 and 4, one second each.")
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, path_type=Path),
    help="The checkpoint of the bundle: also measures baselines (needs torch).",
)
def measure(
    bundle: Path | None,
    out: Path,
    resume: bool,
    batches: tuple[int, ...],
    quick: bool,
    checkpoint: Path | None,
    **how: Any,
) -> None:
    """Measure BUNDLE into a folder: rows.jsonl, report.md, report.html.

    Measures load, first pair, warm rate by batch size, time by graph and step, memory, power where the board reports
    it, and the share of the machine's ceilings. After Ctrl-C, the same command with --resume goes on.
    """
    from wetgen.benchmarks.speed.cases import BenchOptions
    from wetgen.benchmarks.speed.report import write_report
    from wetgen.benchmarks.speed.summary import BenchSummary
    from wetgen.benchmarks.speed.sweep import sweep
    from wetgen.runtime.bundle.bundle import open_bundle

    options: dict[str, Any] = {"batches": (1, 4), "rounds": 1, "seconds": 1.0} if quick else {}
    options.update({name: value for name, value in how.items() if value is not None})
    if batches:
        options["batches"] = batches
    if checkpoint is not None:
        options.update(checkpoint=str(checkpoint), cache=str(out / "cache"))
    try:
        rows = sweep(
            open_bundle(bundle), out, BenchOptions(**options), lambda line: click.echo(line, err=True), resume=resume
        )
    except KeyboardInterrupt:
        click.echo(f"Interrupted. Finished cases are in {out}; the same command with --resume goes on.", err=True)
        raise
    summary = BenchSummary(rows)
    page = write_report(summary, out, charts=False)
    failed = f" {len(summary.failed)} cases failed; the report says why." if summary.failed else ""
    click.echo(f"{page}{failed}")
    click.echo(f"Charts: wetgen bench render {out}", err=True)


@bench.command()
@click.argument("first", type=click.Path(exists=True, path_type=Path))
@click.argument("second", type=click.Path(exists=True, path_type=Path))
@click.option("--tolerance", type=click.FloatRange(min=0, min_open=True), default=0.05, show_default=True)
def compare(first: Path, second: Path, tolerance: float) -> None:
    """Compare the measurements in SECOND with those in FIRST.

    Exits with 0 if nothing is slower, with 1 if something is slower or the two did different work, and with 3 if the
    measurements are too noisy to tell.
    """
    from wetgen.benchmarks.speed import compare as comparing
    from wetgen.benchmarks.speed import rows

    found = comparing.compare(rows.read(first), rows.read(second))
    click.echo(comparing.render(found, tolerance))
    verdicts = {one.ratio.verdict(tolerance) for one in found}
    if "slower" in verdicts:
        raise SystemExit(1)
    if "too noisy to tell" in verdicts:
        raise SystemExit(3)


@bench.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
def render(folder: Path) -> None:
    """Write the report of the rows in FOLDER again, with charts (needs matplotlib: wetgen[bench])."""
    from wetgen.benchmarks.speed import rows
    from wetgen.benchmarks.speed.report import write_report
    from wetgen.benchmarks.speed.summary import BenchSummary

    click.echo(write_report(BenchSummary(rows.read(folder)), folder, charts=True))
