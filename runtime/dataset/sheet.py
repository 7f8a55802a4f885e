"""The contact sheet: the first pairs of a run in one picture, to look at before training on them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from wetgen.runtime.masks.classes import IGNORE, ClassTable, colour
from wetgen.runtime.masks.images import Pixels

LIMIT = 24  # pairs
_COLUMNS = 4
_PICTURE = 192  # pixels on the longer side; smaller pictures are enlarged to it
_GAP, _LINE, _FONT = 10, 17, 13
_LABEL_LINES = 2
_PAPER, _INK = (255, 255, 255), (20, 20, 20)
_OPACITY = 0.55  # of the mask's colours over the picture


class Tile(NamedTuple):
    """A pair on the sheet: image uint8 (H, W, 3), mask uint8 (H, W) or None, and the text below it."""

    image: Pixels
    mask: Pixels | None
    label: str


def contact_sheet(tiles: Sequence[Tile], classes: ClassTable | None) -> Pixels:
    """Draw each picture beside the same picture under its mask, with its prompt below, and a legend at the bottom."""
    font = ImageFont.load_default(_FONT)
    pictures = [_side_by_side(tile) for tile in tiles]
    width = max((picture.width for picture in pictures), default=_PICTURE)
    height = max((picture.height for picture in pictures), default=0) + _LABEL_LINES * _LINE + _GAP
    columns = min(_COLUMNS, max(1, len(tiles)))
    rows = -(-len(tiles) // columns)
    legend = _legend(classes, font, columns * (width + _GAP) - _GAP)
    size = (columns * (width + _GAP) + _GAP, rows * (height + _GAP) + _GAP + legend.height)
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, (tile, picture) in enumerate(zip(tiles, pictures, strict=True)):
        left, top = _GAP + i % columns * (width + _GAP), _GAP + i // columns * (height + _GAP)
        sheet.paste(picture, (left, top))
        for number, line in enumerate(_wrapped(tile.label, font, width)):
            draw.text((left, top + picture.height + 3 + number * _LINE), line, _INK, font)
    sheet.paste(legend, (_GAP, size[1] - legend.height))
    return np.asarray(sheet)


def small(tile: Tile) -> Tile:
    """The tile, reduced to the size that a sheet shows: dozens of photographs would fill the memory."""
    height, width = tile.image.shape[:2]
    scale = _PICTURE / max(height, width)
    if scale >= 1:
        return tile
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = np.asarray(Image.fromarray(tile.image).resize(size, Image.Resampling.LANCZOS))
    mask = None if tile.mask is None else np.asarray(Image.fromarray(tile.mask).resize(size, Image.Resampling.NEAREST))
    return Tile(image, mask, tile.label)


def overlay(image: Pixels, mask: Pixels) -> Pixels:
    """Draw the colours of a mask uint8 (H, W) over its image uint8 (H, W, 3), except background and IGNORE."""
    colours = np.array([colour(id) for id in range(256)], np.float32)[mask]
    weight = np.where((mask > 0) & (mask != IGNORE), _OPACITY, 0.0).astype(np.float32)[..., None]
    return np.round(image * (1 - weight) + colours * weight).astype(np.uint8)


def _side_by_side(tile: Tile) -> Image.Image:
    both = [tile.image] if tile.mask is None else [tile.image, overlay(tile.image, tile.mask)]
    height, width = tile.image.shape[:2]
    scale = _PICTURE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    resample = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    sheet = Image.new("RGB", (len(both) * size[0] + 2 * (len(both) - 1), size[1]), _PAPER)
    for i, pixels in enumerate(both):
        sheet.paste(Image.fromarray(pixels).resize(size, resample), (i * (size[0] + 2), 0))
    return sheet


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """The text as the lines that fit below a picture, with an ellipsis where it is cut."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > _LABEL_LINES:
        lines = [*lines[: _LABEL_LINES - 1], lines[_LABEL_LINES - 1] + " ..."]
    return [_clipped(line, font, width) for line in lines]


def _clipped(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if font.getlength(line) <= width:
        return line
    line = line.removesuffix("...")
    while line and font.getlength(line + "...") > width:
        line = line[:-1]
    return line.rstrip() + "..."


def _legend(classes: ClassTable | None, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> Image.Image:
    """A colour and a name per class except the background, in as many rows as the width needs."""
    names = () if classes is None else classes.names[1:]
    places, left, row = [], 0, 0
    for name in names:
        entry = _LINE + 4 + round(font.getlength(name)) + 14
        if left and left + entry > width:
            left, row = 0, row + 1
        places.append((left, row))
        left += entry
    legend = Image.new("RGB", (width, (row + 1) * (_LINE + 4) + _GAP if names else 1), _PAPER)
    draw = ImageDraw.Draw(legend)
    for id, (name, (left, row)) in enumerate(zip(names, places, strict=True), 1):
        top = row * (_LINE + 4)
        draw.rectangle((left, top, left + _LINE - 3, top + _LINE - 3), colour(id))
        draw.text((left + _LINE + 2, top - 1), name, _INK, font)
    return legend
