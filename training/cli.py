"""`wetgen-train`."""

from collections.abc import Callable
from pathlib import Path

import click

from wetgen.runtime.cli import Cli
from wetgen.runtime.errors import missing


def run_options(command: Callable[..., None]) -> Callable[..., None]:
    """CONFIG --data --out --resume --dry-run, shared by every stage."""
    for option in (
        click.argument("config", type=click.Path(path_type=Path)),
        click.option(
            "--data", required=True, type=click.Path(path_type=Path), help="Dataset folder, or a folder of them."
        ),
        click.option(
            "--out", required=True, type=click.Path(path_type=Path), help="The run's folder; gets checkpoint/."
        ),
        click.option("--resume", is_flag=True, help="Go on with the run in --out from its last saved state."),
        click.option("--dry-run", is_flag=True, help="Print the resolved configuration and stop."),
    ):
        command = option(command)
    return command


@click.group(cls=Cli)
@click.version_option(package_name="wetgen")
def cli() -> None:
    """Train the joint VAE and the denoiser; CONFIG is a TOML file, or one of tiny, cpu-128, gpu-256, gpu-512.

    The same command trains on the CPU and on one GPU. On many, put `accelerate launch --multi_gpu -m
    wetgen.training.cli` in place of `wetgen-train`.
    """


@cli.command()
@run_options
def vae(config: Path, data: Path, out: Path, resume: bool, dry_run: bool) -> None:
    """Train the joint VAE."""
    _train(("vae",), config, data, out, resume, dry_run)


@cli.command()
@run_options
def denoiser(config: Path, data: Path, out: Path, resume: bool, dry_run: bool) -> None:
    """Train text encoder and denoiser on the latents of the VAE in --out; leaves --out/checkpoint."""
    _train(("denoiser",), config, data, out, resume, dry_run)


@cli.command("all")
@run_options
def both(config: Path, data: Path, out: Path, resume: bool, dry_run: bool) -> None:
    """Train the VAE, then the denoiser; leaves --out/checkpoint."""
    _train(("vae", "denoiser"), config, data, out, resume, dry_run)


@cli.command()
@click.option(
    "--teacher", required=True, type=click.Path(path_type=Path), help="A finished checkpoint, or the run that holds it."
)
@run_options
def distill(config: Path, data: Path, out: Path, resume: bool, dry_run: bool, teacher: Path) -> None:
    """Distill guidance into a copy of TEACHER's denoiser: a step then costs half; leaves --out/checkpoint."""
    _train((), config, data, out, resume, dry_run, teacher)


@cli.command()
@click.option("--count", type=click.IntRange(min=1), help="How many scenes the folder shall hold.")
@click.option("--size", default=256, show_default=True, type=click.IntRange(32, 2048), help="Pixels a side.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Another seed, other scenes.")
@click.option("--processes", default=1, show_default=True, type=click.IntRange(min=1), help="Scenes drawn in parallel.")
@click.option("--textures", type=click.Path(path_type=Path), help="Folder of surface photographs with an INDEX.jsonl.")
@click.option("--again", type=click.Path(path_type=Path), help="Render the scenes of this folder once more, at --size.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Dataset folder; what it holds is kept.")
def scenes(
    count: int | None, size: int, seed: int, processes: int, textures: Path | None, again: Path | None, out: Path
) -> None:
    """Render pairs of wet damage, their masks exact by construction, into a dataset folder."""
    if (count is None) == (again is None):
        raise click.UsageError("give either --count or --again.")
    try:
        from wetgen.training.scenes.write import write_again, write_scenes
    except ImportError as error:
        raise missing(str(error.name), extra="scenes", needed_to="render scenes") from error

    def say(line: str) -> None:
        click.echo(line, err=True)

    if again is not None:
        write_again(again, out, size, processes, say, textures)
    elif count is not None:
        write_scenes(out, count, size, seed, processes, say, textures)
    click.echo(out)


def _train(
    stages: tuple[str, ...],
    path: Path,
    data: Path,
    out: Path,
    resume: bool,
    dry_run: bool,
    teacher: Path | None = None,
) -> None:
    import json

    from wetgen.training.config import load

    config = load(path)
    if dry_run:
        click.echo(json.dumps(config.to_json(), indent=1))
        return
    try:
        from wetgen.training import distill, run
    except ImportError as error:
        raise missing(str(error.name), extra="train", needed_to="train") from error
    taught_by = None if teacher is None else distill.open_teacher(teacher)
    started = run.start(config, data, out, resume=resume)
    try:
        if "vae" in stages:
            run.train_vae(started)
        finished = run.train_denoiser(started) if "denoiser" in stages else None
        if taught_by is not None:
            finished = distill.distill(started, taught_by)
        if finished is not None and started.accelerator.is_main_process:
            click.echo(finished)
    finally:
        started.journal.close()


if __name__ == "__main__":
    cli()
