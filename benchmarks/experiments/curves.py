"""The curves of a training run as one SVG: `python -m wetgen.benchmarks.experiments.curves RUN OUT.svg`."""

import json
from pathlib import Path
from typing import Any

import click

from wetgen.benchmarks.plots import log_panels
from wetgen.runtime.files import atomic_write

SHOWN = {
    "vae": ("l1", "mask", "critic"),
    "vae-validation": ("l1", "damage_iou"),
    "denoiser": ("loss",),
    "denoiser-validation": ("loss",),
}


def series(rows: list[dict[str, Any]], stage: str, name: str) -> tuple[list[int], list[float]]:
    """Steps and values of one scalar of one stage."""
    found = [(row["step"], row[name]) for row in rows if row["stage"] == stage and name in row]
    return [step for step, _ in found], [value for _, value in found]


def draw(rows: list[dict[str, Any]]) -> bytes:
    """Two panels, one per network: training as lines, validation as dots."""
    panels = {
        network: {
            f"{name}, {kind}": series(rows, stage, name)
            for stage, kind in ((network, "training"), (f"{network}-validation", "validation"))
            for name in SHOWN[stage]
        }
        for network in ("vae", "denoiser")
    }
    return log_panels(panels, "step")


@click.command()
@click.argument("run", type=click.Path(exists=True, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def main(run: Path, out: Path) -> None:
    """Draw the metrics.jsonl of RUN into OUT."""
    path = run / "metrics.jsonl"
    if not path.is_file():
        raise click.ClickException(f"{path} is missing: give the --out folder of a wetgen-train run.")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    atomic_write(out, draw(rows))


if __name__ == "__main__":
    main()
