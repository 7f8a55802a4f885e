"""`wetgen convert` and `wetgen card`. Imports stand inside the commands, so that `--help` answers at once."""

from collections.abc import Callable
from pathlib import Path

import click

from wetgen.runtime.errors import WetgenError

NAMES = ("coco", "yolo-seg", "yolo-det", "voc", "semantic", "webdataset", "parquet")

_FORMAT = click.Choice(NAMES)
_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("source", type=_PATH)
@click.option("--to", "to", type=_FORMAT, multiple=True, help="Write the dataset folder SOURCE in this format.")
@click.option("--from", "from_", type=_FORMAT, help="Read SOURCE in this format and write a dataset folder.")
@click.option(
    "--out", type=_PATH, required=True, help="Folder to write; new or empty. Several --to get one each in it."
)
@click.option(
    "--split",
    metavar="SHARES",
    help="Such as train=0.8,validation=0.1,test=0.1, by a hash of the group.  [default: as the rows say, else train]",
)
@click.option("--group", metavar="KEY", default="scene", show_default=True, help="Rows equal in it are never parted.")
@click.option("--polygons", is_flag=True, help="COCO: polygons in place of run lengths.")
@click.option(
    "--min-area",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="PIXELS",
    help="COCO, YOLO, VOC's boxes: leave out smaller regions.",
)
@click.option(
    "--shard-size",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    metavar="MIB",
    help="WebDataset, Parquet: most a shard holds.",
)
@click.option(
    "--ignore-255", "ignore", is_flag=True, help="Take 255 in masks for pixels to leave out where no row says so."
)
@click.option("--classes", "classes_file", type=_PATH, help="classes.json for a --from that lacks one.")
def convert(
    source: Path,
    to: tuple[str, ...],
    from_: str | None,
    out: Path,
    split: str | None,
    group: str,
    polygons: bool,
    min_area: int,
    shard_size: int,
    ignore: bool,
    classes_file: Path | None,
) -> None:
    """Write a dataset folder SOURCE in other formats, or read one of them into a dataset folder.

    SOURCE may also hold several dataset folders with one class table; they become one dataset.
    """
    from wetgen.runtime.formats.convert import convert_from, convert_to
    from wetgen.runtime.formats.example import Options
    from wetgen.runtime.formats.splits import parse_shares

    if bool(to) == (from_ is not None):
        raise WetgenError(
            "Either --to or --from is needed.",
            why="one side is always the dataset folder.",
            fix="--to FORMAT writes a format, --from FORMAT reads one; for both, convert twice.",
        )
    context = click.get_current_context()
    _refuse_unused(context, "--from" if from_ else "--to", _ONLY_TO if from_ else ("classes_file",))
    tell = _counter()
    if from_ is not None:
        click.echo(convert_from(from_, source, out, classes_file=classes_file, ignore=ignore, tell=tell))
        return
    options = Options(polygons, min_area, shard_size * 2**20)
    shares = None if split is None else parse_shares(split)
    for name in dict.fromkeys(to):
        goal = out if len(set(to)) == 1 else out / name
        click.echo(convert_to(name, source, goal, options, shares=shares, group=group, ignore=ignore, tell=tell))


def _counter() -> Callable[[int], None]:
    """Shows how many pairs are written, on a terminal only and a few times a second at most."""
    import sys
    import time

    shown = time.monotonic()

    def tell(count: int) -> None:
        nonlocal shown
        if sys.stderr.isatty() and time.monotonic() - shown > 0.3:
            click.echo(f"{count:,} pairs\r", nl=False, err=True)
            shown = time.monotonic()

    return tell


_ONLY_TO = ("split", "group", "polygons", "min_area", "shard_size")


def _refuse_unused(context: click.Context, direction: str, names: tuple[str, ...]) -> None:
    """Raise for an option that was given and would do nothing."""
    for parameter in context.command.params:
        given = context.get_parameter_source(str(parameter.name)) is click.core.ParameterSource.COMMANDLINE
        if parameter.name in names and given:
            raise WetgenError(
                f"{parameter.opts[0]} does nothing with {direction}.",
                why="it concerns the other direction.",
                fix="leave it out.",
            )


@click.command()
@click.argument("dataset", type=_PATH)
@click.option("--out", type=_PATH, help="File to write.  [default: README.md in DATASET]")
@click.option("--bundle", type=_PATH, help="The bundle that drew it.  [default: the one that ships, if it did]")
@click.option("--name", help="What to call the dataset.  [default: the folder's name]")
@click.option("--license", "license", default="other", show_default=True, help="The Hub's id of the dataset's licence.")
@click.option(
    "--ignore-255", "ignore", is_flag=True, help="Take 255 in masks for pixels to leave out where no row says so."
)
def card(dataset: Path, out: Path | None, bundle: Path | None, name: str | None, license: str, ignore: bool) -> None:
    """Write the dataset card of a dataset folder: counts, areas, sources, licences, limits, and how it was made.

    Beside Parquet or WebDataset shards (--out SHARDS/README.md) its header names those.
    """
    from wetgen.runtime.formats.card import write_card

    path = dataset / "README.md" if out is None else out
    write_card(dataset, path, bundle=bundle, name=name, license=license, ignore=ignore)
    click.echo(f"{path}: written")
