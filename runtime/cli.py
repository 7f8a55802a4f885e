"""The `wetgen` command. Imports stand inside the commands, so that `--help` answers at once."""

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from wetgen.runtime.bundle.targets import DEVICES
from wetgen.runtime.errors import WetgenError

if TYPE_CHECKING:
    from wetgen.runtime.bundle.bundle import Bundle
    from wetgen.runtime.run.options import DrawOptions
    from wetgen.runtime.run.tasks import Task

OptionsT = TypeVar("OptionsT", bound="DrawOptions")


def _limit_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options by which a run rejects pairs and draws others in their place."""
    options = (
        click.option(
            "--keep-agreement",
            type=float,
            metavar="SHARE",
            help="Least IoU of the mask and what the bundle's judge sees; 0 measures it and keeps everything.",
        ),
        click.option(
            "--keep-layout", type=float, metavar="SHARE", help="Least mean IoU of the mask and the layout it was given."
        ),
        click.option("--least-area", type=float, metavar="SHARE", help="Least share of the picture that is damage."),
        click.option("--most-area", type=float, metavar="SHARE", help="Greatest share of the picture that is damage."),
        click.option(
            "--least-confidence",
            type=float,
            metavar="SHARE",
            help="Least mean probability of the mask on damage.",
        ),
        click.option(
            "--refuse-copies/--keep-copies",
            default=None,
            help="Reject copies of training pictures.  [default: where the bundle has their fingerprints]",
        ),
        click.option("--require-asked", is_flag=True, help="Reject masks without a class that the prompt asks for."),
        click.option(
            "--tries", type=click.IntRange(min=1), help="How often a rejected pair is drawn, at most.  [default: 4]"
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _tidy_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that change a drawn mask; all are off unless they are given."""
    options = (
        click.option(
            "--least-region",
            type=int,
            default=0,
            metavar="PIXELS",
            help="Smaller regions take their surroundings' class.",
        ),
        click.option("--fill-holes", type=int, default=0, metavar="PIXELS", help="Fill holes of up to so many pixels."),
        click.option(
            "--ignore-below", type=float, metavar="SHARE", help="Less confident pixels become 255, to be ignored."
        ),
        click.option(
            "--ignore-band", type=int, default=0, metavar="PIXELS", help="So much on each side of a border becomes 255."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def drawing_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that draws pairs into a folder."""
    options = (
        click.option(
            "--out",
            type=click.Path(path_type=Path),
            default=Path("wetgen-out"),
            show_default=True,
            help="Dataset folder to write; new or empty.",
        ),
        click.option(
            "--bundle", type=click.Path(path_type=Path), help="Exported bundle.  [default: the one that ships]"
        ),
        click.option("--seed", type=int, default=0, show_default=True, help="Another seed makes other pairs."),
        click.option("--plan", metavar="NAME", help="Sampling plan.  [default: the bundle's]"),
        click.option("--guidance", type=float, help="How strongly the prompt pulls.  [default: the bundle's]"),
        click.option("--negative", default="", help="What the pictures should keep away from."),
        click.option("--batch", type=click.IntRange(min=1), help="Pairs made at a time.  [default: 4]"),
        click.option(
            "--device",
            type=click.Choice(DEVICES),
            default="cpu",
            show_default=True,
            help="What computes.",
        ),
        click.option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: all usable cores]"),
        _limit_options,
        _tidy_options,
        click.option(
            "--shards",
            type=click.IntRange(min=1),
            metavar="PAIRS",
            help="Write WebDataset tar files of so many pairs each.",
        ),
        click.option("--resume", is_flag=True, help="Make what an earlier run left undone in --out."),
        click.option("--quiet", is_flag=True, help="No progress."),
        click.option("--json", "json_events", is_flag=True, help="Events as JSON lines on standard output."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def picture_size(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """(width, height) of "256x192"."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise click.BadParameter("width x height in pixels: 256x192")
    return int(parts[0]), int(parts[1])


@click.command()
@click.option(
    "--prompts",
    metavar="FILE",
    help="A .txt, .csv or .jsonl file of prompts; - reads standard input. See `wetgen prompts`.",
)
@click.option("--layouts", type=click.Path(path_type=Path), metavar="DIR", help="Masks of class ids to be shown.")
@click.option(
    "--count", type=int, default=1, show_default=True, help="How often the prompts, or layouts, are gone through."
)
@click.option("--quota", metavar="CLASS=N,...", help="Pairs of each class, in place of --count.")
@click.option("--size", callback=picture_size, metavar="WxH", help="Pictures of another size.  [default: the bundle's]")
@click.option("--surface-lines", metavar="LINES", help="Where surfaces meet, for severities: ceiling=0.2,floor=0.8")
@click.option(
    "--counterfactual",
    metavar="clean|severity|OLD=NEW",
    help="Families of pairs that differ in one thing: with and without damage, by severity, by a word.",
)
@click.option("--truncate", is_flag=True, help="Cut prompts that are too long instead of refusing them.")
@drawing_options
def run(**values: Any) -> None:
    """Generate pairs for a file of prompts, or of layouts, into a dataset folder."""
    from wetgen.runtime.run.options import RunOptions, build_task

    _draw(RunOptions(**values), build_task)


def _draw(options: OptionsT, build: "Callable[[Bundle, OptionsT], Task]") -> None:
    """Build the task that the options describe, run it into a folder, and say how it went."""
    import wetgen.runtime.run.run as runs
    from wetgen.runtime.bundle.bundle import open_bundle

    bundle = open_bundle(options.bundle)
    task = build(bundle, options)
    progress = runs.choose_progress(quiet=options.quiet, json_events=options.json_events)
    try:
        record = runs.run(bundle, task, options, progress)
    except KeyboardInterrupt:
        said = f"Interrupted. Every finished pair is in {options.out}; the same command with --resume makes the rest."
        click.echo(said, err=True)
        raise
    if not options.json_events:
        click.echo(runs.summary(options.out, record))


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
    from wetgen.runtime.dataset.convert import convert_from, convert_to, parse_shares
    from wetgen.runtime.dataset.formats.base import Options

    if bool(to) == (from_ is not None):
        raise WetgenError(
            "Either --to or --from is needed.",
            why="one side is always the dataset folder.",
            fix="--to FORMAT writes a format, --from FORMAT reads one; for both, convert twice.",
        )
    context = click.get_current_context()
    _refuse_unused(context, "--from" if from_ else "--to", _ONLY_TO if from_ else ("classes_file",))
    report = _counter()
    if from_ is not None:
        click.echo(convert_from(from_, source, out, classes_file=classes_file, ignore=ignore, report=report))
        return
    options = Options(polygons, min_area, shard_size * 2**20)
    shares = None if split is None else parse_shares(split)
    for name in dict.fromkeys(to):
        goal = out if len(set(to)) == 1 else out / name
        click.echo(convert_to(name, source, goal, options, shares=shares, group=group, ignore=ignore, report=report))


def _counter() -> Callable[[int], None]:
    """Shows how many pairs are written, on a terminal only and a few times a second at most."""
    import sys
    import time

    shown = time.monotonic()

    def report(count: int) -> None:
        nonlocal shown
        if sys.stderr.isatty() and time.monotonic() - shown > 0.3:
            click.echo(f"{count:,} pairs\r", nl=False, err=True)
            shown = time.monotonic()

    return report


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
    from wetgen.runtime.run.card import write_card

    path = dataset / "README.md" if out is None else out
    write_card(dataset, path, bundle=bundle, name=name, license=license, ignore=ignore)
    click.echo(f"{path}: written")


_DETAIL = click.option(
    "--detail",
    type=click.IntRange(1, 8),
    help="Windows of the graphs to the longer side of what is painted: finer, and slower.",
)
_LINES = click.option(
    "--surface-lines", metavar="LINES", help="Where surfaces meet: ceiling=0.2,floor=0.8, or surface=wall"
)


@click.command()
@click.option("--photos", type=_PATH, required=True, help="Clean photographs: a folder, or one file; any size.")
@click.option("--damage", type=_PATH, help="CSV of classes: class, prompt, probability, counts, sizes, severities.")
@click.option("--boxes", type=_PATH, help="CSV of boxes to paint in: file_name, class, x, y, width, height.")
@click.option("--masks", type=_PATH, help="Folder of masks, named as the photographs, that say what lies where.")
@click.option("--auto", is_flag=True, help="Places at random; what --damage alone does.")
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="Pairs of each photograph.")
@_DETAIL
@_LINES
@drawing_options
def paint(**values: Any) -> None:
    """Paint damage into clean photographs: image, mask and boxes.

    What lies outside the painted regions stays as it was, byte for byte.
    """
    from wetgen.runtime.run.options import PaintOptions
    from wetgen.runtime.run.paint_tasks import paint_task

    _draw(PaintOptions(**_small_batch(values)), paint_task)


@click.command()
@click.option("--backgrounds", type=_PATH, required=True, help="CSV: prompt, weight, guidance, surface_lines.")
@click.option("--classes", type=_PATH, required=True, help="CSV: class, prompt, probability, counts, sizes, ...")
@click.option("--count", type=click.IntRange(min=1), required=True, help="How many pairs.")
@click.option("--size", callback=picture_size, metavar="WxH", help="Pictures of another size.  [default: the bundle's]")
@_DETAIL
@drawing_options
def compose(**values: Any) -> None:
    """Draw undamaged backgrounds and paint damage into boxes at random: images, masks and boxes."""
    from wetgen.runtime.run.options import ComposeOptions
    from wetgen.runtime.run.paint_tasks import compose_task

    _draw(ComposeOptions(**_small_batch(values)), compose_task)


def _small_batch(values: dict[str, Any]) -> dict[str, Any]:
    """Batches of two, unless another size is asked for: strokes come in small numbers, and a batch is padded."""
    return {**values, "batch": 2} if values["batch"] is None and not values["resume"] else values


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
    from wetgen.runtime.bundle.bundle import open_bundle
    from wetgen.runtime.errors import WetgenError
    from wetgen.runtime.layouts.boxes import read_boxes
    from wetgen.runtime.layouts.surfaces import SurfaceLines, parse_lines, possible
    from wetgen.runtime.layouts.write import CSV_NAME, LayoutOptions, parse_size, write_layouts
    from wetgen.runtime.masks.classes import check_severity

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
    lines = SurfaceLines() if surface_lines is None else parse_lines(surface_lines)
    names = tuple(name for name in table.names[1:] if possible(name, lines))
    plan = LayoutOptions(
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

    from wetgen.runtime.bundle.bundle import open_bundle
    from wetgen.runtime.prompts.quota import parse_quota
    from wetgen.runtime.prompts.read import examine_prompt_file
    from wetgen.runtime.run.check import bundle_faults, cuts, report, survey

    wanted = None if quota is None else parse_quota(quota)
    opened = open_bundle(bundle)
    reading = examine_prompt_file(file, opened.words, count=count, quota=wanted)
    faults = [*reading.faults, *bundle_faults(reading.lines, reading.names, file, opened)]
    if reading.requests is not None:
        seen = survey(reading.requests)
        faults += cuts(seen, reading.names, opened)
        said = (json.dumps(asdict(ask), ensure_ascii=False) for ask in reading.requests)
        for line in said if as_json else report(reading.requests, seen):
            click.echo(line)
    for fault in faults:
        click.echo(f"Error: {fault}", err=True)
    if faults:
        click.echo(f"{len(faults)} {'thing is' if len(faults) == 1 else 'things are'} wrong.", err=True)
        raise SystemExit(1)


INTERRUPTED = 130  # what shells expect after Ctrl-C: 128 + SIGINT
_COMMANDS = "wetgen.commands"  # the entry point group by which upper floors add commands


class Cli(click.Group):
    """A group that prints a WetgenError without a traceback and exits with 1; a bug keeps its traceback.

    Ctrl-C exits with 130, where click would exit with 1.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except WetgenError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None


class Extensible(Cli):
    """A group that also holds the commands which upper floors add by entry point."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *sorted(_added())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        return own if own is not None else _load(_added().get(cmd_name))


def _added() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=_COMMANDS)}


def _load(entry: EntryPoint | None) -> click.Command | None:
    if entry is None:
        return None
    try:
        command = entry.load()
    except (ImportError, WetgenError) as error:
        return _stand_in(entry, error)
    assert isinstance(command, click.Command), f"{entry.value} is no command"
    return command


def _stand_in(entry: EntryPoint, error: Exception) -> click.Command:
    """A command that only says what to install, in place of one whose packages are missing."""
    extra = entry.extras[0] if entry.extras else entry.name
    install = f"pip install 'wetgen[{extra}]'"

    def fail(**_: object) -> None:
        raise WetgenError(f"`wetgen {entry.name}` cannot run here.", why=f"{error}.", fix=install) from error

    return click.Command(
        entry.name,
        callback=fail,
        short_help=f"(not installed: {install})",
        help=f"Not installed here.\n\nTo install it: {install}",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )


@click.group(cls=Extensible, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="wetgen", prog_name="wetgen")
def cli() -> None:
    """Image-mask pairs of wet damage in buildings, generated from prompts."""


def batch_list(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, ...]:
    """The numbers of "1,2,4", in order and once each."""
    if text is None:
        return ()
    try:
        batches = {int(part) for part in text.split(",")}
    except ValueError:
        batches = {0}
    if min(batches) < 1:
        raise click.BadParameter("numbers from 1 on, with commas: 1,2,4")
    return tuple(sorted(batches))


@cli.command()
@click.argument("bundle", type=click.Path(path_type=Path), required=False)
@click.option("--batches", callback=batch_list, metavar="1,2,4", help="Batch sizes to build.  [default: the bundle's]")
@click.option("--target", help="Which of the bundle's targets.  [default: the newest that this TensorRT reads]")
@click.option("--workspace", type=click.IntRange(min=64), metavar="MIB", help="Most scratch memory of a build.")
@click.option("--version-compatible", is_flag=True, help="Engines that later TensorRT versions run too; may be slower.")
@click.option("--check", is_flag=True, help="Compare every engine with ONNX Runtime on the CPU.")
@click.option("--quiet", is_flag=True, help="No progress.")
def build(
    bundle: Path | None,
    batches: tuple[int, ...],
    target: str | None,
    workspace: int | None,
    version_compatible: bool,
    check: bool,
    quiet: bool,
) -> None:
    """Build TensorRT engines from BUNDLE for this machine's GPU; those that fit are kept.

    Ctrl-C ends it between two steps; the same command goes on with what is missing.
    """
    import sys

    from wetgen.runtime.bundle.bundle import open_bundle
    from wetgen.runtime.engines.build import BuildOptions, build_engines
    from wetgen.runtime.engines.build_progress import BuildStatus

    options = BuildOptions(
        batches, None if workspace is None else workspace * 2**20, version_compatible, target=target, check=check
    )
    status = BuildStatus(None if quiet else sys.stderr)
    try:
        build_engines(open_bundle(bundle), options, status, lambda line: click.echo(line, err=True))
    except KeyboardInterrupt:
        click.echo("Interrupted. Finished engines are kept; the same command builds the rest.", err=True)
        raise


@cli.command()
@click.argument("bundle", type=click.Path(path_type=Path), required=False)
@click.option("--out", type=click.Path(path_type=Path), help="File to write.  [default: BUNDLE.wetgen.zip, here]")
@click.option("--target", "targets", multiple=True, metavar="NAME", help="Keep only these targets; may be repeated.")
@click.option("--engines/--no-engines", default=True, show_default=True, help="Take engine files along.")
def pack(bundle: Path | None, out: Path | None, targets: tuple[str, ...], engines: bool) -> None:
    """Write BUNDLE as one file, which runs as it is."""
    from wetgen.runtime.bundle.bundle import open_bundle
    from wetgen.runtime.bundle.pack import SUFFIX
    from wetgen.runtime.bundle.pack import pack as write

    opened = open_bundle(bundle)
    file = Path(f"{opened.folder.name}{SUFFIX}") if out is None else out
    write(opened, file, targets=targets, engines=engines)
    click.echo(f"{file}: {file.stat().st_size / 2**20:.1f} MiB")


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
def inspect(folder: Path) -> None:
    """Say what a bundle (packed or not) or a dataset FOLDER holds, and whether all of it is sound.

    Of a PNG file that wetgen drew: how it was made.
    """
    from wetgen.runtime.bundle.archive import JSON_NAME, exists
    from wetgen.runtime.bundle.bundle import Bundle

    if folder.is_file() and folder.suffix.lower() == ".png":
        from wetgen.runtime.masks.images import describe_picture

        click.echo(describe_picture(folder))
        return
    if exists(folder / JSON_NAME):
        from wetgen.runtime.bundle.describe import describe_bundle

        click.echo(describe_bundle(Bundle.open(folder)))
        return
    from wetgen.runtime.dataset.stats import inspect_dataset

    text, sound = inspect_dataset(folder)
    click.echo(text)
    if not sound:
        raise SystemExit(1)


@cli.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.argument("index", type=int)
@click.option("--bundle", type=click.Path(path_type=Path), help="Bundle that drew it.  [default: the one that ships]")
@click.option("--photos", type=click.Path(path_type=Path), help="Where the photographs lie that were painted in.")
@click.option("--device", type=click.Choice(DEVICES), help="What computes.  [default: the run's]")
def reproduce(dataset: Path, index: int, bundle: Path | None, photos: Path | None, device: str | None) -> None:
    """Make the pair INDEX of DATASET again from its row, and compare its files byte for byte.

    Exits with 1 where they differ.
    """
    from wetgen.runtime.bundle.bundle import open_bundle
    from wetgen.runtime.run.reproduce import compare, find_row, how_drawn, make_again, rows_text

    row = find_row(dataset, index)
    how = how_drawn(dataset) | ({} if device is None else {"device": device})
    pair = make_again(row, open_bundle(bundle), photos, **how)
    click.echo(rows_text(row))
    files = compare(dataset, row, pair)
    for file in files:
        click.echo(f"{file.kind}: {'equal' if file.difference is None else file.difference}")
    if any(file.difference is not None for file in files):
        raise SystemExit(1)


@cli.command()
def doctor() -> None:
    """Say what this machine offers, and why what is missing is missing."""
    from wetgen.runtime.run.check import examine, render

    click.echo(render(examine()))


for command in (run, paint, compose, prompts, layouts):
    cli.add_command(command)
cli.add_command(convert)
cli.add_command(card)


if __name__ == "__main__":
    cli()
