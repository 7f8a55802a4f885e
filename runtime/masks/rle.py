"""COCO's run-length encoding: the lengths of background and foreground runs in turn, down the columns.

The string form is that of pycocotools (maskApi.c, rleToString): from the fourth number on the difference to the one two
places before, in groups of five bits, lowest first, as characters from code 48 on; bit 5 says that more groups follow.

Rows of metadata hold masks in this form, so that a row alone is enough to draw its pair again.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.masks.images import MAX_PIXELS, Pixels
from wetgen.runtime.masks.regions import Component


def encode_component(component: Component, height: int, width: int) -> list[int]:
    """The run lengths of a component in an image of height x width; the first may be 0."""
    columns = np.zeros((component.width, height), bool)  # (its width, H): a row is a column of the image
    columns[:, component.top : component.top + component.height] = component.pixels.T
    flat = columns.ravel()
    changes = np.flatnonzero(np.diff(flat.view(np.int8), prepend=0, append=0)) + component.left * height
    counts: list[int] = np.diff(changes, prepend=0, append=height * width).tolist()
    return counts if counts[-1] else counts[:-1]


def encode(pixels: NDArray[np.bool_]) -> list[int]:
    """The run lengths of a whole mask bool (H, W)."""
    height, width = pixels.shape
    return encode_component(Component(0, 0, 0, pixels), height, width)


def decode(counts: list[int], height: int, width: int) -> NDArray[np.bool_]:
    """The mask bool (H, W) of run lengths; raises ValueError if they do not fill it exactly."""
    if any(count < 0 for count in counts) or sum(counts) != height * width:
        raise ValueError(f"its runs cover {sum(counts)} pixels of {height * width}")
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(width, height).T


def compress(counts: list[int]) -> str:
    """Run lengths as pycocotools' string."""
    return "".join(_characters(count - counts[i - 2] if i > 2 else count) for i, count in enumerate(counts))


def decompress(text: str) -> list[int]:
    """The run lengths in pycocotools' string; raises ValueError if it is cut off or has other characters."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise ValueError(f"it has the character {character!r}")
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


def mask_from_json(data: object, table: ClassTable, where: str) -> Pixels:
    """The mask uint8 (H, W) that `mask_to_json` wrote; raises WetgenError, which says `where`, for anything else."""
    try:
        size, classes = _parts(data, "classes")
        mask = np.zeros(size, np.uint8)
        for name, runs in dict(classes).items():
            mask[decode(decompress(runs), *size)] = table.names.index(name)
        return mask
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _unreadable(where, error) from error


def region_from_json(data: object, where: str) -> NDArray[np.bool_]:
    """The region bool (H, W) that `region_to_json` wrote; raises WetgenError for anything else."""
    try:
        size, runs = _parts(data, "pixels")
        return decode(decompress(str(runs)), *size)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _unreadable(where, error) from error


def _parts(data: object, key: str) -> tuple[tuple[int, int], Any]:
    if not isinstance(data, Mapping):
        raise TypeError(f"it is a {type(data).__name__}")
    width, height = (int(side) for side in data["size"])
    if min(width, height) < 1 or width * height > MAX_PIXELS:
        raise ValueError(f"its size is {width} x {height}")
    return (height, width), data[key]


def _unreadable(where: str, error: Exception) -> WetgenError:
    return WetgenError(
        f"{where}: its mask cannot be read.",
        why=f"{type(error).__name__}: {error}.",
        fix="the row was changed; restore metadata.jsonl.",
    )
