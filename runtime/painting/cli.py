"""`wetgen paint` and `wetgen compose`. Imports stand inside the commands, so that `--help` answers at once."""

from pathlib import Path
from typing import Any

import click

from wetgen.runtime.run_cli import draw_into, drawing_options, picture_size, settings_from

_PATH = click.Path(path_type=Path)
_DETAIL = click.option(
    "--detail",
    type=click.IntRange(1, 8),
    help="Windows of the graphs to the longer side of what is painted: finer, and slower.",
)
_LINES = click.option(
    "--surface-lines", metavar="LINES", help="Where surfaces meet: ceiling=0.2,floor=0.8, or surface=wall"
)


@click.command()
@click.option("--photos", type=_PATH, required=True, help="Clean photographs: a folder, or one file; any size.")
@click.option("--damage", type=_PATH, help="CSV of classes: class, prompt, probability, counts, sizes, severities.")
@click.option("--boxes", type=_PATH, help="CSV of boxes to paint in: file_name, class, x, y, width, height.")
@click.option("--masks", type=_PATH, help="Folder of masks, named as the photographs, that say what lies where.")
@click.option("--auto", is_flag=True, help="Places at random; what --damage alone does.")
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="Pairs of each photograph.")
@_DETAIL
@_LINES
@drawing_options
def paint(
    photos: Path,
    damage: Path | None,
    boxes: Path | None,
    masks: Path | None,
    auto: bool,
    count: int,
    detail: int | None,
    surface_lines: str | None,
    **how: Any,
) -> None:
    """Paint damage into clean photographs: image, mask and boxes.

    What lies outside the painted regions stays as it was, byte for byte.
    """
    from wetgen.runtime.generator import open_bundle
    from wetgen.runtime.painting.options import paint_task

    opened = open_bundle(how.pop("bundle"))
    said = settings_from(how)
    task = paint_task(opened, photos, damage, boxes, masks, auto, count, detail, surface_lines, said)
    draw_into(opened, task, task.settings, **_small_batch(how))


@click.command()
@click.option("--backgrounds", type=_PATH, required=True, help="CSV: prompt, weight, guidance, surface_lines.")
@click.option("--classes", type=_PATH, required=True, help="CSV: class, prompt, probability, counts, sizes, ...")
@click.option("--count", type=click.IntRange(min=1), required=True, help="How many pairs.")
@click.option("--size", callback=picture_size, metavar="WxH", help="Pictures of another size.  [default: the bundle's]")
@_DETAIL
@drawing_options
def compose(
    backgrounds: Path, classes: Path, count: int, size: tuple[int, int] | None, detail: int | None, **how: Any
) -> None:
    """Draw undamaged backgrounds and paint damage into boxes at random: images, masks and boxes."""
    from wetgen.runtime.generator import open_bundle
    from wetgen.runtime.painting.options import compose_task

    opened = open_bundle(how.pop("bundle"))
    task = compose_task(opened, backgrounds, classes, count, size, detail, settings_from(how))
    draw_into(opened, task, task.settings, **_small_batch(how))


def _small_batch(how: dict[str, Any]) -> dict[str, Any]:
    """Batches of two, unless another size is asked for: strokes come in small numbers, and a batch is padded."""
    return {**how, "batch": 2} if how["batch"] is None and not how["resume"] else how
