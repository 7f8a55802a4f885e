"""The `wetgen-export` command. Imports stand inside it, so that `--help` answers at once."""

from pathlib import Path
from typing import Any

import click

from wetgen.runtime.errors import WetgenError, missing


class Command(click.Command):
    """A command that prints a WetgenError without a traceback and exits with 1; a bug keeps its traceback.

    `wetgen-export engines ...` is a command of its own; all else exports a checkpoint.
    """

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == ["engines"]:
            from wetgen.export.engines import engines

            return engines.make_context(f"{info_name} engines", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)
        except WetgenError as error:
            raise click.ClickException(str(error)) from error


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--plan",
    "plans",
    multiple=True,
    default=("ddim:20",),
    show_default=True,
    metavar="PLAN",
    help="Sampling plan to put in, such as ddim:20, dpmpp:8 or fast=ddim:6,guided=none; auto:quality=0.98 searches for "
    "three. May be repeated, the first is the default.",
)
@click.option("--name", help="What the bundle calls itself.  [default: the folder's name]")
@click.option("--guidance", type=float, help="Default guidance.  [default: the checkpoint's]")
@click.option(
    "--weights",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="How weights are stored; float16 halves the bundle, computing stays float32.",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    default=("cpu",),
    show_default=True,
    metavar="NAME",
    help="cpu, cuda, jp6, jp7 or trt11; may be repeated, or a list with commas.",
)
@click.option(
    "--batches",
    default="1,2,4,8",
    show_default=True,
    metavar="LIST",
    help="Batches that engines are to be built for, for targets that have engines.",
)
@click.option("--prompts", metavar="FILE", help="Prompts to verify with.  [default: some of the checkpoint's]")
@click.option(
    "--judge",
    type=click.Path(path_type=Path),
    metavar="BUNDLE",
    help="With --plan auto: a bundle whose judge is asked about the plans.",
)
@click.option("--force", is_flag=True, help="Replace a bundle that stands at BUNDLE.")
@click.version_option(package_name="wetgen", prog_name="wetgen-export")
def cli(
    checkpoint: Path,
    bundle: Path,
    plans: tuple[str, ...],
    name: str | None,
    guidance: float | None,
    weights: Any,
    targets: tuple[str, ...],
    batches: str,
    prompts: str | None,
    judge: Path | None,
    force: bool,
) -> None:
    """Export CHECKPOINT, a folder of wetgen-train or of Stable Diffusion's layout, as the folder BUNDLE.

    The bundle is verified against the checkpoint, picture by picture, before it gets its name.

    `wetgen-export engines BUNDLE` builds and compares a bundle's TensorRT engines on a machine that has TensorRT.
    """
    from wetgen.runtime.prompts.read import read_prompts

    texts = () if prompts is None else tuple(read_prompts(prompts))
    try:
        from wetgen.export.bundle import Request, export_bundle
        from wetgen.training.checkpoint import Checkpoint
    except ModuleNotFoundError as error:
        raise missing(str(error.name), extra="export", needed_to="export a checkpoint") from error
    named = tuple(name.strip() for listed in targets for name in listed.split(",") if name.strip())
    request = Request(
        plans, bundle.name if name is None else name, guidance, weights, texts, force, named, _batches(batches), judge
    )
    measured = export_bundle(Checkpoint.load(checkpoint), bundle, request, lambda line: click.echo(line, err=True))
    for target, found in measured.items():
        rung = f": {found['precision']['rung']}" if "precision" in found else ""
        click.echo(f"{target}{rung}")
        for subject, figures in (*found["graphs"].items(), *found["plans"].items()):
            click.echo(f"  {subject:8}  {_listed(figures)}")
    click.echo(f"wrote {bundle}")


def _batches(listed: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(batch) for batch in listed.split(",")}))
    except ValueError as error:
        raise WetgenError(
            f"'{listed}' is no list of batches.", why="it is numbers with commas between.", fix="write --batches 1,2,4."
        ) from error


def _listed(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in figures.items())
