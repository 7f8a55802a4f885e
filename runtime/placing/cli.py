"""`wetgen layouts`. Imports stand inside the command, so that `--help` answers at once."""

from pathlib import Path

import click

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--out", type=_PATH, required=True, help="Folder to write; new or empty.")
@click.option(
    "--count", type=click.IntRange(min=1), default=24, show_default=True, help="How many layouts.", metavar="LAYOUTS"
)
@click.option("--classes", metavar="NAMES", help="Such as stain,mold: one each in turn.  [default: all that fit]")
@click.option("--severity", type=float, metavar="0..1", help="From a trace to the worst.  [default: any]")
@click.option("--boxes", type=_PATH, help="CSV file of boxes to fill: class, x, y, width, height.")
@click.option(
    "--surface-lines",
    metavar="LINES",
    help="Where surfaces meet: ceiling=0.2,floor=0.75:0.8, corner=0.3, or surface=floor.  [default: not known]",
)
@click.option("--size", metavar="WIDTHxHEIGHT", help="Pixels of a layout.  [default: the bundle's pictures]")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Another, other layouts.")
@click.option("--bundle", type=_PATH, help="Bundle that is to draw them.  [default: the one that ships]")
def layouts(
    out: Path,
    count: int,
    classes: str | None,
    severity: float | None,
    boxes: Path | None,
    surface_lines: str | None,
    size: str | None,
    seed: int,
    bundle: Path | None,
) -> None:
    """Draw random masks after the training masks' statistics, and the prompts file that asks a run for them.

    OUT gets 000000.png and so on, layouts.csv for `wetgen run --prompts`, and layouts.png to look at.
    """
    from wetgen.runtime.errors import WetgenError
    from wetgen.runtime.generator import open_bundle
    from wetgen.runtime.placing.boxes import read_boxes
    from wetgen.runtime.placing.severity import check_severity
    from wetgen.runtime.placing.surfaces import Lines, parse_lines, possible
    from wetgen.runtime.placing.write import CSV_NAME, Plan, parse_size, write_layouts

    opened = open_bundle(bundle)
    table = opened.classes
    if table is None:
        raise WetgenError(
            "This bundle takes no layouts.",
            why=f"{opened.folder} draws pictures without masks.",
            fix="use a bundle that draws masks.",
        )
    if boxes is not None and classes is not None:
        raise WetgenError(
            "--classes does nothing with --boxes.", why="the boxes say which classes there are.", fix="leave one out."
        )
    if severity is not None:
        check_severity(severity, "--severity")
    lines = Lines() if surface_lines is None else parse_lines(surface_lines)
    names = tuple(name for name in table.names[1:] if possible(name, lines))
    plan = Plan(
        seed=seed,
        size=(opened.sizes.height, opened.sizes.width) if size is None else parse_size(size),
        table=table,
        statistics=opened.mask_statistics,
        words=opened.words,
        names=names if classes is None else tuple(name.strip() for name in classes.split(",")),
        severity=severity,
        lines=lines,
        boxes=() if boxes is None else tuple(read_boxes(boxes, table)),
    )
    write_layouts(out, plan, count)
    click.echo(f"{count} layouts in {out}; wetgen run --prompts {out / CSV_NAME} draws pairs for them.")
