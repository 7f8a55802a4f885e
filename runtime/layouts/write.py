"""Writes a folder of random layouts: masks, the prompts file that uses them, and a contact sheet."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wetgen.runtime.dataset.sheet import LIMIT, Tile, contact_sheet
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import new_folder, pair_name
from wetgen.runtime.layouts.boxes import BoxRow, boxes_of
from wetgen.runtime.layouts.layout import Statistics, class_id, draw_layout, random_layout, stream
from wetgen.runtime.layouts.surfaces import CEILING, FLOOR, WALL, SurfaceLines, surface_map
from wetgen.runtime.masks.classes import ClassTable, colour
from wetgen.runtime.masks.images import MAX_PIXELS, Pixels, encode_mask, encode_png
from wetgen.runtime.masks.regions import Size

CSV_NAME = "layouts.csv"
SHEET_NAME = "layouts.png"
COLUMNS = ("prompt", "class", "layout", "severity")
SMALLEST = 16  # pixels per side
_CHANCES = 2**32  # number of the random stream that chooses severities; classes count from 0
_PHRASES = {
    "crack": "a crack",
    "stain": "a stain",
    "mold": "mold",
    "peeling": "peeling paint",
    "puddle": "a puddle",
    "lifted": "lifted tiles",
    "spalling": "spalling",
    "efflorescence": "efflorescence",
    "corrosion": "rust",
}
_ON = {CEILING: "on the ceiling", WALL: "on the wall", FLOOR: "on the floor"}


@dataclass(frozen=True)
class LayoutOptions:
    """What layouts show: each shows one of the classes in turn, or the damages of `boxes`."""

    seed: int
    size: Size
    table: ClassTable
    statistics: Statistics
    words: Mapping[str, Sequence[str]]  # of the bundle, per class
    names: tuple[str, ...]
    severity: float | None = None
    lines: SurfaceLines = field(default_factory=SurfaceLines)
    boxes: tuple[BoxRow, ...] = ()


class DrawnLayout(NamedTuple):
    """One mask uint8 (H, W), and its row of the prompts file."""

    mask: Pixels
    prompt: str
    class_name: str
    severity: float


def write_layouts(out: Path, plan: LayoutOptions, count: int) -> None:
    """Write `count` layouts into a new or empty folder: 000000.png, ..., layouts.csv and layouts.png.

    The folder appears complete or not at all. Raises WetgenError for a folder that is not empty and for layouts that
    cannot be drawn.
    """
    rows = io.StringIO()
    table = csv.writer(rows, lineterminator="\n")
    table.writerow(COLUMNS)
    colours, tiles = np.array([colour(id) for id in range(256)], np.uint8), list[Tile]()
    with new_folder(out) as folder:
        for index, layout in enumerate(layouts(plan, count)):
            name = f"{pair_name(index)}.png"
            folder.write(name, encode_mask(layout.mask))
            table.writerow((layout.prompt, layout.class_name, name, f"{layout.severity:g}"))
            if len(tiles) < LIMIT:
                tiles.append(Tile(colours[layout.mask], None, f"{layout.prompt}, severity {layout.severity:g}"))
        folder.write(CSV_NAME, rows.getvalue().encode())
        folder.write(SHEET_NAME, encode_png(contact_sheet(tiles, plan.table)))


def layouts(plan: LayoutOptions, count: int) -> Iterator[DrawnLayout]:
    """The layouts 0 to `count` - 1; each depends on the options and its index alone."""
    for name in plan.names:
        class_id(plan.table, name)
    for index in range(count):
        yield _boxed(plan, index) if plan.boxes else _random(plan, index)


def parse_size(text: str) -> Size:
    """(H, W) of "WIDTHxHEIGHT"; raises WetgenError for anything else."""
    match = re.fullmatch(r"\s*(\d{1,5})\s*[xX]\s*(\d{1,5})\s*", text, re.ASCII)
    width, height = map(int, match.groups()) if match else (0, 0)
    why = f"a size is a width and a height in pixels, each {SMALLEST} or more"
    if width * height > MAX_PIXELS:
        why = f"that is more than {MAX_PIXELS:,} pixels"
    elif min(width, height) >= SMALLEST:
        return height, width
    raise WetgenError(f"{text!r} is not a size.", why=f"{why}.", fix="write, for example, 128x128.")


def _random(plan: LayoutOptions, index: int) -> DrawnLayout:
    name = plan.names[index % len(plan.names)]
    chance = float(stream(plan.seed, index, _CHANCES).random())
    severity = round(chance, 3) if plan.severity is None else plan.severity
    mask = random_layout(plan.seed, index, plan.size, [name], plan.statistics, plan.table, severity, plan.lines)
    return DrawnLayout(mask, _prompt(plan, [name], mask), name, severity)


def _boxed(plan: LayoutOptions, index: int) -> DrawnLayout:
    damages = boxes_of(plan.boxes, f"{pair_name(index)}.png", plan.size)
    if not damages:
        raise WetgenError(
            f"There are no boxes for {pair_name(index)}.png.",
            why="every row of the file of boxes names another file.",
            fix="leave file_name empty in rows that apply to every layout, or lower --count.",
        )
    chances = stream(plan.seed, index, _CHANCES).random(len(damages)).tolist()
    others = chances if plan.severity is None else [plan.severity] * len(damages)
    severities = [o if d.severity is None else d.severity for d, o in zip(damages, others, strict=True)]
    damages = [replace(damage, severity=severity) for damage, severity in zip(damages, severities, strict=True)]
    mask = draw_layout(stream(plan.seed, index), plan.size, damages, plan.statistics, plan.table, plan.lines)
    given = [damage.prompt for damage in damages if damage.prompt is not None]
    names = list(dict.fromkeys(damage.class_name for damage in damages))
    prompt = given[0] if given else _prompt(plan, names, mask)
    return DrawnLayout(mask, prompt, names[0], round(severities[0], 3))


def _prompt(plan: LayoutOptions, names: Sequence[str], mask: Pixels) -> str:
    """The damages in words and, if the surfaces are known, the surface that most of the damage lies on."""
    words = {name: words[0] for name, words in plan.words.items() if words}  # for a class of the user's own
    phrases = [_PHRASES.get(name) or words.get(name, name) for name in names]
    text = phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
    if not plan.lines.known or not mask.any():
        return text
    surface = int(np.bincount(surface_map(plan.size, plan.lines)[mask > 0]).argmax())
    return f"{text} {_ON[surface]}"
