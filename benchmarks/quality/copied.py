"""Whether pairs repeat what their generator was trained on, for a bundle whose training data is at hand.

`python -m wetgen.benchmarks.quality.copied PAIRS --checkpoint CHECKPOINT --data DATA --out DIR`

The data is split as the training split it; nothing nearer to a training pair than its validation pairs are is expected.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from wetgen.benchmarks.document import Heading, Table, write
from wetgen.benchmarks.quality.memorisation import memorisation
from wetgen.benchmarks.quality.pairs import Pairs, common_size, load_pairs
from wetgen.benchmarks.quality.report.words import figure_row, figures
from wetgen.benchmarks.quality.report.worth import FIGURE_HEAD, closest_sheets
from wetgen.benchmarks.quality.results import plain
from wetgen.export.cli import Command
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import atomic_write, os_errors
from wetgen.runtime.masks.classes import ClassTable
from wetgen.training.checkpoint import Checkpoint
from wetgen.training.config import DataConfig, from_data
from wetgen.training.data import Photo, load_photos, plain_view

RESULTS_NAME = "copied.json"


def run(pairs: Path, checkpoint: Path, data: Path, size: int, out: Path) -> dict[str, Any]:
    """Hold pairs against the training and the validation pairs of their generator; returns the figures."""
    synthetic = load_pairs(pairs, min(size, common_size(pairs)))
    stated = Checkpoint.load(checkpoint).info.get("config")
    if stated is None:
        raise WetgenError(
            f"{checkpoint} does not say how its training data was split.",
            why="it is no checkpoint of wetgen-train.",
            fix="give the `checkpoint` folder of a wetgen-train run.",
        )
    config = from_data(stated, str(checkpoint))
    photos = load_photos(data, config.data, config.seed)
    views = replace(config.data, size=synthetic.size)
    seen, unseen = (as_pairs(part, photos.table, views) for part in (photos.training, photos.validation))
    with os_errors(out, "created"):
        out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = plain(memorisation(seen, unseen, synthetic), "copied")
    atomic_write(out / RESULTS_NAME, (json.dumps(found, indent=1, allow_nan=False) + "\n").encode())
    rows = [figure_row(name, figure) for name, figure in figures(found)]
    verdict = {True: "No sign of copies.", False: "COPIES FOUND.", None: "Could not be judged."}[found["passed"]]
    blocks = [Heading(verdict), Table(FIGURE_HEAD, rows), *closest_sheets(found, synthetic, seen)]
    write(
        blocks, f"{len(synthetic)} pairs against {len(seen)} training and {len(unseen)} held-out pairs", out, "copied"
    )
    return found


def as_pairs(photos: Sequence[Photo], table: ClassTable, config: DataConfig) -> Pairs:
    """The central square of each photograph at config.size."""
    views = [plain_view(photo, config) for photo in photos]
    return Pairs(
        table,
        np.stack([image for image, _ in views]),
        np.stack([mask for _, mask in views]),
        tuple(photo.text for photo in photos),
        tuple(f"{photo.source}/{photo.scene}" for photo in photos),
        tuple(photo.source for photo in photos),
        tuple(f"{photo.source}/{photo.scene}/{i}" for i, photo in enumerate(photos)),
        ("",) * len(photos),
    )


@click.command(cls=Command)
@click.argument("pairs", type=click.Path(path_type=Path))
@click.option("--checkpoint", required=True, type=click.Path(path_type=Path), help="What the bundle was exported from.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="What the checkpoint was trained on.")
@click.option("--size", type=click.IntRange(min=32), default=64, show_default=True, help="Pixels a side to compare at.")
@click.option("--out", required=True, type=click.Path(path_type=Path))
def main(pairs: Path, checkpoint: Path, data: Path, size: int, out: Path) -> None:
    """Say whether PAIRS repeat pairs that their generator was trained on."""
    found = run(pairs, checkpoint, data, size, out)
    click.echo(out / "copied.md")
    if found["passed"] is False:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
