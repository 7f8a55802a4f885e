"""Sheets to judge scenes by: `python -m wetgen.training.scenes.sheets OUT` draws the first scenes of a seed.

`scenes.jpg` holds the first 24, `<class>.jpg` the first 24 with that damage and `surfaces.jpg` two of each surface
without damage; each picture stands beside itself under its mask.
"""

from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path

import click
from PIL import Image

from wetgen.runtime.dataset.sheet import LIMIT, Tile, contact_sheet
from wetgen.training.scenes.captions import caption
from wetgen.training.scenes.draw import draw_scene
from wetgen.training.scenes.render import render
from wetgen.training.scenes.scene import CLASSES, Scene
from wetgen.training.scenes.settings import SETTINGS

SIZE = 192  # pixels a side, as contact sheets show them
QUALITY = 78  # of the JPEG


def matching(seed: int, wanted: Callable[[Scene], bool]) -> Iterator[Scene]:
    """The scenes of a seed that are wanted, in order, without end."""
    return (scene for scene in (draw_scene(seed, index) for index in count()) if wanted(scene))


def undamaged(seed: int) -> list[Scene]:
    """The first two scenes without damage of every surface."""
    return [
        scene
        for surface in SETTINGS
        for scene in islice(matching(seed, lambda s, name=surface: s.surface == name and not s.damages), 2)  # type: ignore[misc]
    ]


def write_sheet(path: Path, scenes: list[Scene]) -> None:
    """Render the scenes, at most LIMIT, onto one JPEG."""
    tiles = [Tile(*render(scene, SIZE), caption(scene)) for scene in scenes[:LIMIT]]
    Image.fromarray(contact_sheet(tiles, CLASSES)).save(path, quality=QUALITY)


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seed", default=2024, show_default=True, type=click.IntRange(min=0))
def main(out: Path, seed: int) -> None:
    """Draw the sheets of a seed into the folder OUT."""
    out.mkdir(parents=True, exist_ok=True)
    write_sheet(out / "scenes.jpg", [draw_scene(seed, index) for index in range(LIMIT)])
    write_sheet(out / "surfaces.jpg", undamaged(seed))
    for kind in CLASSES.names[1:]:
        with_it = matching(seed, lambda s, name=kind: name in {damage.kind for damage in s.damages})  # type: ignore[misc]
        write_sheet(out / f"{kind}.jpg", list(islice(with_it, LIMIT)))


if __name__ == "__main__":
    main()
