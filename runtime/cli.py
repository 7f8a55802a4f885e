"""The `wetgen` command. Imports stand inside the commands, so that `--help` answers at once."""

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import click

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.formats.cli import card, convert
from wetgen.runtime.painting.cli import compose, paint
from wetgen.runtime.placing.cli import layouts
from wetgen.runtime.prompts.cli import prompts
from wetgen.runtime.run_cli import run

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

    from wetgen.runtime.engines.build import BuildOptions, build_engines
    from wetgen.runtime.engines.build_progress import BuildStatus
    from wetgen.runtime.generator import open_bundle

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
    from wetgen.runtime.generator import open_bundle
    from wetgen.runtime.pack import SUFFIX
    from wetgen.runtime.pack import pack as write

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
    from wetgen.runtime.bundle import Bundle
    from wetgen.runtime.bundle_files import JSON_NAME
    from wetgen.runtime.stored import exists

    if folder.is_file() and folder.suffix.lower() == ".png":
        from wetgen.runtime.provenance import describe_picture

        click.echo(describe_picture(folder))
        return
    if exists(folder / JSON_NAME):
        from wetgen.runtime.describe import describe_bundle

        click.echo(describe_bundle(Bundle.open(folder)))
        return
    from wetgen.runtime.census import inspect_dataset

    text, sound = inspect_dataset(folder)
    click.echo(text)
    if not sound:
        raise SystemExit(1)


@cli.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.argument("index", type=int)
@click.option("--bundle", type=click.Path(path_type=Path), help="Bundle that drew it.  [default: the one that ships]")
@click.option("--photos", type=click.Path(path_type=Path), help="Where the photographs lie that were painted in.")
@click.option("--device", type=click.Choice(["cpu", "cuda", "tensorrt"]), help="What computes.  [default: the run's]")
def reproduce(dataset: Path, index: int, bundle: Path | None, photos: Path | None, device: str | None) -> None:
    """Make the pair INDEX of DATASET again from its row, and compare its files byte for byte.

    Exits with 1 where they differ.
    """
    from wetgen.runtime.generator import open_bundle
    from wetgen.runtime.reproduce import compare, find_row, how_drawn, make_again, rows_text

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
    from wetgen.runtime.doctor import examine, render

    click.echo(render(examine()))


for command in (run, paint, compose, prompts, layouts):
    cli.add_command(command)
cli.add_command(convert)
cli.add_command(card)


if __name__ == "__main__":
    cli()
