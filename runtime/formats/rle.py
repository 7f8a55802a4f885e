"""COCO's run-length encoding: the lengths of background and foreground runs in turn, down the columns.

The string form is that of pycocotools (maskApi.c, rleToString): from the fourth number on the difference to the one two
places before, in groups of five bits, lowest first, as characters from code 48 on; bit 5 says that more groups follow.
"""

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.formats.regions import Region


def region_counts(region: Region, height: int, width: int) -> list[int]:
    """The run lengths of a region in a picture of height x width; the first may be 0."""
    columns = np.zeros((region.width, height), bool)  # (width of the region, H): a row is a column of the picture
    columns[:, region.top : region.top + region.height] = region.pixels.T
    flat = columns.ravel()
    changes = np.flatnonzero(np.diff(flat.view(np.int8), prepend=0, append=0)) + region.left * height
    counts: list[int] = np.diff(changes, prepend=0, append=height * width).tolist()
    return counts if counts[-1] else counts[:-1]


def counts_of(pixels: NDArray[np.bool_]) -> list[int]:
    """The run lengths of a whole mask bool (H, W)."""
    height, width = pixels.shape
    return region_counts(Region(0, 0, 0, pixels), height, width)


def pixels_of(counts: list[int], height: int, width: int) -> NDArray[np.bool_]:
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
