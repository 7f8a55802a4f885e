"""One sheet of pairs for every prompt of a dataset folder.

`python -m wetgen.benchmarks.experiments.prompt_sheets PAIRS OUT`
"""

import re
from itertools import islice
from pathlib import Path

import click
from PIL import Image

from wetgen.export.cli import Command
from wetgen.runtime.dataset.reader import Dataset, Row
from wetgen.runtime.dataset.sheet import LIMIT, Tile, contact_sheet
from wetgen.runtime.files import os_errors

QUALITY = 80  # of the JPEGs


def write_sheets(pairs: Path, out: Path) -> list[Path]:
    """The first pairs of each prompt, in the order of the folder, on a JPEG named after it; returns the paths.

    A sheet shows LIMIT pairs at most. Nothing is chosen: a pair that came out badly is on it, too.
    """
    dataset = Dataset.open(pairs)
    with os_errors(out, "created"):
        out.mkdir(parents=True, exist_ok=True)
    by_prompt: dict[str, list[Row]] = {}
    for row in dataset.rows:
        by_prompt.setdefault(row.text, []).append(row)
    paths = []
    for i, (prompt, rows) in enumerate(by_prompt.items(), 1):
        tiles = [Tile(*dataset.load(row), "") for row in islice(rows, LIMIT)]
        path = out / f"{i:02d}-{_slug(prompt)}.jpg"
        with os_errors(path, "written"):
            Image.fromarray(contact_sheet(tiles, dataset.classes)).save(path, quality=QUALITY)
        paths.append(path)
    return paths


def _slug(prompt: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:60]


@click.command(cls=Command)
@click.argument("pairs", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def main(pairs: Path, out: Path) -> None:
    """Draw the first pairs of every prompt of PAIRS into the folder OUT."""
    for path in write_sheets(pairs, out):
        click.echo(path)


if __name__ == "__main__":
    main()
