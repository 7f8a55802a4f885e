"""COCO's run-length encoding: the lengths of background and foreground runs in turn, down the columns.

The string form is that of pycocotools (maskApi.c, rleToString): from the fourth number on the difference to the one two
places before, in groups of five bits, lowest first, as characters from code 48 on; bit 5 says that more groups follow.

Masks as rows state them, so that a row alone makes its pair again: a run-length string for every class.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.masks.images import MAX_PIXELS, Pixels
from wetgen.runtime.masks.regions import Component


def encode_component(region: Component, height: int, width: int) -> list[int]:
    """The run lengths of a region in a picture of height x width; the first may be 0."""
    columns = np.zeros((region.width, height), bool)  # (width of the region, H): a row is a column of the picture
    columns[:, region.top : region.top + region.height] = region.pixels.T
    flat = columns.ravel()
    changes = np.flatnonzero(np.diff(flat.view(np.int8), prepend=0, append=0)) + region.left * height
    counts: list[int] = np.diff(changes, prepend=0, append=height * width).tolist()
    return counts if counts[-1] else counts[:-1]


def encode(pixels: NDArray[np.bool_]) -> list[int]:
    """The run lengths of a whole mask bool (H, W)."""
    height, width = pixels.shape
    return encode_component(Component(0, 0, 0, pixels), height, width)


def decode(counts: list[int], height: int, width: int) -> NDArray[np.bool_]:
    """The mask bool (H, W) of run lengths; ValueError when they do not fill it exactly."""
    if any(count < 0 for count in counts) or sum(counts) != height * width:
        raise ValueError(f"its runs cover {sum(counts)} pixels of {height * width}")
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(width, height).T


def compress(counts: list[int]) -> str:
    """Run lengths as pycocotools' string."""
    return "".join(_characters(count - counts[place - 2] if place > 2 else count) for place, count in enumerate(counts))


def decompress(text: str) -> list[int]:
    """The run lengths in pycocotools' string; ValueError when it is cut off or has other characters."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise ValueError(f"{character!r} stands in it")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:  # the highest bit of the last group is the sign
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("it is cut off")
    return counts


def _characters(value: int) -> str:
    characters = []
    while True:
        group, value = value & 31, value >> 5
        more = value != (-1 if group & 16 else 0)
        characters.append(chr(48 + (group | 32 if more else group)))
        if not more:
            return "".join(characters)


def mask_to_json(mask: Pixels, table: ClassTable) -> dict[str, object]:
    """A mask of class ids uint8 (H, W) for JSON: its size and, by class name, COCO's compressed run lengths."""
    present = [int(class_id) for class_id in np.unique(mask) if class_id]
    return {
        "size": [mask.shape[1], mask.shape[0]],
        "classes": {table.names[class_id]: compress(encode(mask == class_id)) for class_id in present},
    }


def region_to_json(region: NDArray[np.bool_]) -> dict[str, object]:
    """A region bool (H, W) for JSON."""
    return {"size": [region.shape[1], region.shape[0]], "pixels": compress(encode(region))}


def mask_from_json(stated: object, table: ClassTable, where: str) -> Pixels:
    """The mask uint8 (H, W) that `mask_to_json` stated; raises WetgenError, which says where, for anything else."""
    try:
        size, classes = _parts(stated, "classes")
        mask = np.zeros(size, np.uint8)
        for name, runs in dict(classes).items():
            mask[decode(decompress(runs), *size)] = table.names.index(name)
        return mask
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _unreadable(where, error) from error


def region_from_json(stated: object, where: str) -> NDArray[np.bool_]:
    """The region bool (H, W) that `region_to_json` stated; raises WetgenError for anything else."""
    try:
        size, runs = _parts(stated, "pixels")
        return decode(decompress(str(runs)), *size)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _unreadable(where, error) from error


def _parts(stated: object, what: str) -> tuple[tuple[int, int], Any]:
    if not isinstance(stated, Mapping):
        raise TypeError(f"it is a {type(stated).__name__}")
    width, height = (int(side) for side in stated["size"])
    if min(width, height) < 1 or width * height > MAX_PIXELS:
        raise ValueError(f"its size is {width} x {height}")
    return (height, width), stated[what]


def _unreadable(where: str, error: Exception) -> WetgenError:
    return WetgenError(
        f"{where}: the mask that it states cannot be read.",
        why=f"{type(error).__name__}: {error}.",
        fix="the row was changed; restore metadata.jsonl.",
    )
