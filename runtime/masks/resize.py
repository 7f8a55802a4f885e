"""The user's masks, of any size, resized for the networks so that thin cracks survive."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.masks.classes import ClassTable, unknown_ids
from wetgen.runtime.masks.images import Pixels, read_mask

COVERED = 0.3  # a pixel of the smaller mask is damaged if this share of it is, as in training
_THIN = 0.1  # or this share, along a line that covers no more of any: one pixel of eight, but not a speck


def read_layout(path: Path, table: ClassTable, size: tuple[int, int]) -> Pixels:
    """Reads a mask PNG and resizes it to (H, W); raises WetgenError if it is no mask of this class table."""
    mask = read_mask(path)
    fault = unknown_ids(mask, table, str(path))
    if fault is not None:
        raise fault
    return resize_mask(mask, size)


def resize_mask(mask: NDArray[np.uint8], size: tuple[int, int]) -> Pixels:
    """A mask of class ids uint8 (H, W) at another size; it is stretched, nothing is cut off.

    In a smaller mask a pixel is damaged if at least COVERED of it is, and gets the class that covers most of it. If a
    line covers less of every pixel, the pixels that it covers most are damaged, so that a thin crack stays whole.
    """
    if mask.shape == size:
        return mask
    best, most, damaged = np.zeros(size, np.uint8), np.zeros(size, np.float32), np.zeros(size, np.float32)
    for class_id in np.unique(mask):
        if class_id:
            share = _shares(mask == class_id, size)
            best[share > most] = class_id
            most, damaged = np.maximum(most, share), damaged + share
    return np.where((damaged >= COVERED) | _crests(damaged), best, 0).astype(np.uint8)


def _crests(damaged: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The pixels bool (H, W) along which a thin line runs, from the damaged share of each.

    Above and below them, or left and right, less is covered. Of two side by side that are covered alike it takes the
    second.
    """
    around = np.pad(damaged, 1, "reflect")  # so that the border of a patch is no line where it leaves the image
    beside = ((around[:-2, 1:-1], around[2:, 1:-1]), (around[1:-1, :-2], around[1:-1, 2:]))
    across, along = ((damaged >= one) & (damaged > other) for one, other in beside)
    crests: NDArray[np.bool_] = (damaged >= _THIN) & (across | along)
    return crests


def _shares(region: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.float32]:
    """The share of each pixel that a region covers, (H, W) of the new size."""
    rows, columns = (_overlaps(old, new) for old, new in zip(region.shape, size, strict=True))
    shares: NDArray[np.float32] = rows @ region.astype(np.float32) @ columns.T
    return shares


def _overlaps(old: int, new: int) -> NDArray[np.float32]:
    """(new, old): how much of each new pixel each old one covers; every row sums to 1."""
    edges = np.arange(new + 1) * (old / new)
    cells = np.arange(old)
    covered = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    shares: NDArray[np.float32] = (np.maximum(covered, 0) * (new / old)).astype(np.float32)
    return shares
