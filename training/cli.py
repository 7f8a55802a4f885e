"""`wetgen-train`."""

from pathlib import Path

import click

from wetgen.runtime.errors import WetgenError, missing

STAGES = ("vae", "denoiser", "all")


@click.command()
@click.argument("stage", type=click.Choice(STAGES))
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Dataset folder, or a folder of them.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the run; checkpoint/ ends up in it.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out from its last saved state.")
@click.option("--dry-run", is_flag=True, help="Print the resolved configuration and stop.")
@click.version_option(package_name="wetgen")
def cli(stage: str, config: Path, data: Path, out: Path, resume: bool, dry_run: bool) -> None:
    """Train STAGE (vae, denoiser, or all) as CONFIG says: a TOML file, or one of tiny, cpu-128, gpu-256, gpu-512.

    The same command trains on the CPU and on one GPU; `accelerate launch --multi_gpu $(which wetgen-train) ...` on many.
    """
    try:
        _train(stage, config, data, out, resume, dry_run)
    except WetgenError as error:
        raise click.ClickException(str(error)) from error


def _train(stage: str, path: Path, data: Path, out: Path, resume: bool, dry_run: bool) -> None:
    import json

    from wetgen.training.config import load

    config = load(path)
    if dry_run:
        click.echo(json.dumps(config.to_json(), indent=1))
        return
    try:
        from wetgen.training import run
    except ImportError as error:
        raise missing(str(error.name), extra="train", needed_to="train") from error
    started = run.start(config, data, out, resume=resume)
    try:
        if stage in ("vae", "all"):
            run.train_vae(started)
        if stage in ("denoiser", "all"):
            click.echo(run.train_denoiser(started))
    finally:
        started.journal.close()
