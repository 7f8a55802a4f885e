"""`wetgen-train`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from wetgen.runtime.cli import Cli
from wetgen.runtime.errors import missing


def run_options(command: Callable[..., None]) -> Callable[..., None]:
    """CONFIG --data --out --resume --init-from --dry-run, shared by every stage."""
    for option in (
        click.argument("config", type=click.Path(path_type=Path)),
        click.option(
            "--data", required=True, type=click.Path(path_type=Path), help="Dataset folder, or a folder of them."
        ),
        click.option(
            "--out", required=True, type=click.Path(path_type=Path), help="The run's folder; gets checkpoint/."
        ),
        click.option("--resume", is_flag=True, help="Go on with the run in --out from its last saved state."),
        click.option(
            "--init-from",
            type=click.Path(path_type=Path),
            help="Start from the weights of this run or checkpoint; takes the place of the config's init.",
        ),
        click.option("--dry-run", is_flag=True, help="Print the resolved configuration and stop."),
    ):
        command = option(command)
    return command


vae_option = click.option(
    "--vae", type=click.Path(path_type=Path), help="Take this VAE, a vae/ folder, in place of one that the run trained."
)


@click.group(cls=Cli)
@click.version_option(package_name="wetgen")
def cli() -> None:
    """Train the joint VAE and the denoiser; CONFIG is a TOML file, or one of tiny, cpu-256, gpu-256, gpu-512.

    The same command trains on the CPU and on one GPU. On many, put `accelerate launch --multi_gpu -m
    wetgen.training.cli` in place of `wetgen-train`.
    """


@cli.command()
@run_options
def vae(**given: Any) -> None:
    """Train the joint VAE on reconstruction; then its encoder is frozen."""
    _train(("vae",), **given)


@cli.command()
@vae_option
@run_options
def decoder(**given: Any) -> None:
    """Train the decoder of the VAE in --out further, with critics; a denoiser can be trained meanwhile."""
    _train(("decoder",), **given)


@cli.command()
@run_options
def text(**given: Any) -> None:
    """Let a pretrained sentence encoder teach the text encoder; the denoiser then reads with it."""
    _train(("text",), **given)


@cli.command()
@vae_option
@run_options
def denoiser(**given: Any) -> None:
    """Train the denoiser on the latents of the VAE in --out; leaves --out/checkpoint."""
    _train(("denoiser",), **given)


@cli.command("all")
@run_options
def everything(**given: Any) -> None:
    """Train the VAE, its decoder, the text encoder, then the denoiser; leaves --out/checkpoint."""
    _train(("vae", "decoder", "text", "denoiser"), **given)


@cli.command()
@click.option(
    "--teacher", required=True, type=click.Path(path_type=Path), help="A finished checkpoint, or the run that holds it."
)
@run_options
def distill(teacher: Path, **given: Any) -> None:
    """Distill guidance into a copy of TEACHER's denoiser: a step then costs half; leaves --out/checkpoint."""
    _train((), teacher=teacher, **given)


@cli.command()
@click.option("--count", type=click.IntRange(min=1), help="How many scenes the folder shall hold.")
@click.option("--size", default=256, show_default=True, type=click.IntRange(32, 2048), help="Pixels a side.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Another seed, other scenes.")
@click.option("--processes", default=1, show_default=True, type=click.IntRange(min=1), help="Scenes drawn in parallel.")
@click.option("--textures", type=click.Path(path_type=Path), help="Folder of surface photographs with an INDEX.jsonl.")
@click.option("--again", type=click.Path(path_type=Path), help="Render the scenes of this folder once more, at --size.")
@click.option(
    "--recaption", type=click.Path(path_type=Path), help="Give the scenes of this folder their captions anew; no --out."
)
@click.option("--out", type=click.Path(path_type=Path), help="Dataset folder; what it holds is kept.")
def scenes(
    count: int | None,
    size: int,
    seed: int,
    processes: int,
    textures: Path | None,
    again: Path | None,
    recaption: Path | None,
    out: Path | None,
) -> None:
    """Render pairs of wet damage, their masks exact by construction, into a dataset folder."""
    if [count, again, recaption].count(None) != 2:
        raise click.UsageError("give one of --count, --again and --recaption.")
    if (out is None) == (recaption is None):
        raise click.UsageError("give --out to render; --recaption changes its folder in place.")
    try:
        from wetgen.training.scenes import write
    except ImportError as error:
        raise missing(str(error.name), extra="scenes", needed_to="render scenes") from error

    def say(line: str) -> None:
        click.echo(line, err=True)

    if recaption is not None:
        say(f"{write.recaption(recaption)} rows")
    elif again is not None and out is not None:
        write.write_again(again, out, size, processes, say, textures)
    elif count is not None and out is not None:
        write.write_scenes(out, count, size, seed, processes, say, textures)
    click.echo(recaption or out)


def _train(
    stages: tuple[str, ...],
    *,
    config: Path,
    data: Path,
    out: Path,
    resume: bool,
    init_from: Path | None,
    dry_run: bool,
    teacher: Path | None = None,
    vae: Path | None = None,
) -> None:
    import json
    from dataclasses import replace

    from wetgen.training.config import load

    settings = load(config)
    if init_from is not None:
        settings = replace(settings, init=str(init_from))
    if dry_run:
        click.echo(json.dumps(settings.to_json(), indent=1))
        return
    try:
        from wetgen.training import distill, pretrained, run
    except ImportError as error:
        raise missing(str(error.name), extra="train", needed_to="train") from error
    taught_by = None if teacher is None else pretrained.open_checkpoint(teacher)
    started = run.start(settings, data, out, resume=resume)
    train_stage = {
        "vae": run.train_vae,
        "decoder": run.train_decoder,
        "text": run.train_text,
        "denoiser": run.train_denoiser,
    }
    try:
        if vae is not None:
            run.adopt_vae(started, vae)
        finished = [train_stage[name](started) for name in stages]
        if taught_by is not None:
            finished.append(distill.distill(started, taught_by))
        if finished[-1] is not None and started.accelerator.is_main_process:
            click.echo(finished[-1])
    finally:
        started.journal.close()


if __name__ == "__main__":
    cli()
