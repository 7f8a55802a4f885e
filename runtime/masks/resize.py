"""Layouts: the user's masks, of any size, that pairs are to show."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.masks.classes import ClassTable, unknown_ids
from wetgen.runtime.masks.images import Pixels, read_mask

COVERED = 0.3  # a pixel of the smaller mask is damaged when this share of it is, as in training
_THIN = 0.1  # or this share, where a line is too thin to cover more of any: one pixel of eight, and no speck


def read_layout(path: Path, table: ClassTable, size: tuple[int, int]) -> Pixels:
    """The mask in a PNG, fitted to (H, W); raises WetgenError for what is no mask of this class table."""
    mask = read_mask(path)
    fault = unknown_ids(mask, table, str(path))
    if fault is not None:
        raise fault
    return resize_mask(mask, size)


def resize_mask(mask: NDArray[np.uint8], size: tuple[int, int]) -> Pixels:
    """A mask of class ids uint8 (H, W) at another size: stretched, so that nothing of it is cut off.

    Made smaller, a pixel is damaged when at least COVERED of it is, and has the class of the larger part of that. Of a
    line that covers less of every pixel, those are damaged that it covers most, so that a thin crack stays whole.
    """
    if mask.shape == size:
        return mask
    best, most, damaged = np.zeros(size, np.uint8), np.zeros(size, np.float32), np.zeros(size, np.float32)
    for class_id in np.unique(mask):
        if class_id:
            share = _resized(mask == class_id, size)
            best[share > most] = class_id
            most, damaged = np.maximum(most, share), damaged + share
    return np.where((damaged >= COVERED) | _crests(damaged), best, 0).astype(np.uint8)


def _crests(damaged: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which pixels bool (H, W) a thin line runs along, of the damaged share of each.

    Above and below, or left and right, less is covered. Where two lie side by side that it covers alike, it is the
    second.
    """
    around = np.pad(damaged, 1, "reflect")  # so that a patch's border is no line where it leaves the picture
    beside = ((around[:-2, 1:-1], around[2:, 1:-1]), (around[1:-1, :-2], around[1:-1, 2:]))
    across, along = ((damaged >= one) & (damaged > other) for one, other in beside)
    made: NDArray[np.bool_] = (damaged >= _THIN) & (across | along)
    return made


def _resized(region: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.float32]:
    """The share (H, W) of each pixel of the new size that a region covers."""
    rows, columns = (_overlaps(old, new) for old, new in zip(region.shape, size, strict=True))
    made: NDArray[np.float32] = rows @ region.astype(np.float32) @ columns.T
    return made


def _overlaps(old: int, new: int) -> NDArray[np.float32]:
    """(new, old) how much of each new pixel each old one covers; every row sums to 1."""
    edges = np.arange(new + 1) * (old / new)
    cells = np.arange(old)
    covered = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    made: NDArray[np.float32] = (np.maximum(covered, 0) * (new / old)).astype(np.float32)
    return made
