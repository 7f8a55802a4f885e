"""`wetgen prompts`. Imports stand inside the commands, so that `--help` answers at once."""

from pathlib import Path

import click


@click.group()
def prompts() -> None:
    """Prompts files: what they would draw, before anything is drawn."""


@prompts.command()
@click.argument("file")
@click.option(
    "--bundle", type=click.Path(path_type=Path), help="Bundle that is to draw.  [default: the one that ships]"
)
@click.option("--count", type=int, default=1, show_default=True, help="How often the file is gone through.")
@click.option("--quota", metavar="CLASS=PAIRS,...", help="Pairs of each class, in place of counts: mold=200,stain=300")
@click.option("--json", "as_json", is_flag=True, help="What each pair is to be, as JSON lines on standard output.")
def check(file: str, bundle: Path | None, count: int, quota: str | None, as_json: bool) -> None:
    """Show what FILE (.txt, .csv, .jsonl, or - for standard input) would draw, and everything that is wrong with it."""
    import json
    from dataclasses import asdict

    from wetgen.runtime.generator import open_bundle
    from wetgen.runtime.prompts.asks import read_all
    from wetgen.runtime.prompts.check import bundle_faults, cuts, report, survey
    from wetgen.runtime.prompts.quota import parse_quota

    wanted = None if quota is None else parse_quota(quota)
    opened = open_bundle(bundle)
    reading = read_all(file, opened.words, count=count, quota=wanted)
    faults = [*reading.faults, *bundle_faults(reading.lines, reading.names, file, opened)]
    if reading.asks is not None:
        seen = survey(reading.asks)
        faults += cuts(seen, reading.names, opened)
        said = (json.dumps(asdict(ask), ensure_ascii=False) for ask in reading.asks)
        for line in said if as_json else report(reading.asks, seen):
            click.echo(line)
    for fault in faults:
        click.echo(f"Error: {fault}", err=True)
    if faults:
        click.echo(f"{len(faults)} {'thing is' if len(faults) == 1 else 'things are'} wrong.", err=True)
        raise SystemExit(1)
