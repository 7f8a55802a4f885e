"""The `wetgen-export` command. Imports stand inside it, so that `--help` answers at once."""

from pathlib import Path
from typing import Any

import click

from wetgen.runtime.errors import WetgenError, missing


class Command(click.Command):
    """A command that prints a WetgenError without a traceback and exits with 1; a bug keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
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
    metavar="ddim:STEPS",
    help="Sampling plan to put in; may be repeated, the first is the default.",
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
@click.option("--prompts", metavar="FILE", help="Prompts to verify with.  [default: some of the checkpoint's]")
@click.option("--force", is_flag=True, help="Replace a bundle that stands at BUNDLE.")
@click.version_option(package_name="wetgen", prog_name="wetgen-export")
def cli(
    checkpoint: Path,
    bundle: Path,
    plans: tuple[str, ...],
    name: str | None,
    guidance: float | None,
    weights: Any,
    prompts: str | None,
    force: bool,
) -> None:
    """Export CHECKPOINT, a folder of wetgen-train or of Stable Diffusion's layout, as the folder BUNDLE.

    The bundle is verified against the checkpoint, picture by picture, before it gets its name.
    """
    from wetgen.runtime.prompts import read_prompts

    texts = tuple(prompt.text for prompt in read_prompts(prompts)) if prompts is not None else ()
    try:
        from wetgen.export.bundle import Request, export_bundle
        from wetgen.training.checkpoint import Checkpoint
    except ModuleNotFoundError as error:
        raise missing(str(error.name), extra="export", needed_to="export a checkpoint") from error
    request = Request(plans, bundle.name if name is None else name, guidance, weights, texts, force)
    measured = export_bundle(Checkpoint.load(checkpoint), bundle, request, lambda line: click.echo(line, err=True))
    for graph, figures in measured["graphs"].items():
        click.echo(f"{graph:8}  {_listed(figures)}")
    for plan, figures in measured["plans"].items():
        click.echo(f"{plan:8}  {_listed(figures)}")
    click.echo(f"wrote {bundle}")


def _listed(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in figures.items())
