"""`wetgen-export engines`: engines of a bundle, built as `wetgen build` does, compared, and inspected by Polygraphy."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from wetgen.runtime.cli import batch_list
from wetgen.runtime.errors import WetgenError


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--batches", callback=batch_list, metavar="1,2,4", help="Batch sizes to build.  [default: the bundle's]")
@click.option("--target", help="Which of the bundle's targets.  [default: the newest that this TensorRT reads]")
@click.option("--version-compatible", is_flag=True, help="Engines that later TensorRT versions run too; may be slower.")
@click.option(
    "--inspect",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for Polygraphy's list of every engine's layers.",
)
def engines(
    bundle: Path, batches: tuple[int, ...], target: str | None, version_compatible: bool, inspect: Path | None
) -> None:
    """Build TensorRT engines from BUNDLE for this machine's GPU, and compare each with ONNX Runtime on the CPU."""
    from wetgen.runtime.bundle.bundle import Bundle
    from wetgen.runtime.engines.build import BuildOptions, build_engines
    from wetgen.runtime.engines.build_progress import BuildStatus

    if inspect is not None:
        require_polygraphy()
    options = BuildOptions(batches, None, version_compatible, target, check=True)
    built = build_engines(
        Bundle.open(bundle), options, BuildStatus(sys.stderr), lambda line: click.echo(line, err=True)
    )
    if inspect is not None:
        inspect.mkdir(parents=True, exist_ok=True)
        for engine in built:
            (inspect / f"{engine.name}.txt").write_text(layers_of(engine), encoding="utf-8")
        click.echo(f"layers of {len(built)} engines: {inspect}")


def require_polygraphy() -> None:
    """Raise WetgenError unless Polygraphy is installed; 0.49 and earlier do not work with TensorRT 11."""
    if find_spec("polygraphy") is None:
        raise WetgenError(
            "Polygraphy is needed to list the layers of engines.",
            why="it is not installed in this environment.",
            fix="pip install 'polygraphy>=0.53', or leave --inspect out.",
        )


def layers_of(engine: Path) -> str:
    """What `polygraphy inspect model` tells of an engine."""
    start = "from polygraphy.tools import main; raise SystemExit(main())"
    asked = ["inspect", "model", str(engine), "--model-type", "engine", "--show", "layers", "attrs"]
    result = subprocess.run([sys.executable, "-c", start, *asked], capture_output=True, text=True, check=False)
    if result.returncode:
        raise WetgenError(
            f"Polygraphy cannot inspect {engine.name}.",
            why=f"{(result.stderr or result.stdout).strip()[-500:]}.",
            fix="install the Polygraphy that belongs to this TensorRT, or leave --inspect out.",
        )
    return result.stdout
