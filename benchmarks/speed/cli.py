"""`wetgen bench`: measure a bundle on this machine; compare two measurements."""

from pathlib import Path
from typing import Any

import click

from wetgen.runtime.cli import batch_list


class Bench(click.Group):
    """A group whose first word may also be a bundle: `wetgen bench my-bundle` is `wetgen bench measure my-bundle`."""

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
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of rows and report; new or empty.")
@click.option("--resume", is_flag=True, help="Measure what an earlier run left undone in --out.")
@click.option("--plan", metavar="NAME", help="Sampling plan.  [default: the bundle's]")
@click.option("--batches", callback=batch_list, metavar="1,2,4", help="Batch sizes.  [default: 1,2,4,8]")
@click.option(
    "--device", type=click.Choice(["cpu", "cuda", "tensorrt"]), default="cpu", show_default=True, help="What computes."
)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: all usable cores]")
@click.option("--rounds", type=click.IntRange(min=1), help="New processes for each batch size.  [default: 3]")
@click.option("--seconds", type=click.FloatRange(min=0), help="Warm work in each of them.  [default: 3]")
@click.option("--quick", is_flag=True, help="One round of batches 1 and 4, one second each.")
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, path_type=Path),
    help="What the bundle was exported from: measure baselines too (needs torch).",
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

    Load, first pair, warm rate over batch sizes, time by graph and step, memory, power where the board tells, and the
    share of the machine's ceilings. Ctrl-C loses nothing that is finished; the same command with --resume goes on.
    """
    from wetgen.benchmarks.speed.cases import Asked
    from wetgen.benchmarks.speed.report import write_report
    from wetgen.benchmarks.speed.summary import Summary
    from wetgen.benchmarks.speed.sweep import sweep
    from wetgen.runtime.bundle.bundle import open_bundle

    asked: dict[str, Any] = {"batches": (1, 4), "rounds": 1, "seconds": 1.0} if quick else {}
    asked.update({name: value for name, value in how.items() if value is not None})
    if batches:
        asked["batches"] = batches
    if checkpoint is not None:
        asked.update(checkpoint=str(checkpoint), cache=str(out / "cache"))
    try:
        rows = sweep(open_bundle(bundle), out, Asked(**asked), lambda line: click.echo(line, err=True), resume=resume)
    except KeyboardInterrupt:
        click.echo(f"Interrupted. Finished cases are in {out}; the same command with --resume goes on.", err=True)
        raise
    summary = Summary(rows)
    page = write_report(summary, out)
    failed = f" {len(summary.failed)} cases failed; the report says why." if summary.failed else ""
    click.echo(f"{page}{failed}")


@bench.command()
@click.argument("first", type=click.Path(exists=True, path_type=Path))
@click.argument("second", type=click.Path(exists=True, path_type=Path))
@click.option("--tolerance", type=click.FloatRange(min=0, min_open=True), default=0.05, show_default=True)
def compare(first: Path, second: Path, tolerance: float) -> None:
    """Compare the measurements in SECOND with those in FIRST.

    Exits with 0 when nothing is slower, 1 when something is (or when the two did not do the same work), and 3 when the
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
    """Write the report of the rows in FOLDER again."""
    from wetgen.benchmarks.speed import rows
    from wetgen.benchmarks.speed.report import write_report
    from wetgen.benchmarks.speed.summary import Summary

    click.echo(write_report(Summary(rows.read(folder)), folder))
