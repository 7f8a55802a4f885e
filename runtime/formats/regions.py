"""Regions of a mask: its 8-connected components of one class each.

Eight neighbours rather than four, because a hairline crack often runs diagonally: under four every step of it would be
an instance of its own.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.classes import IGNORE
from wetgen.runtime.pictures import Pixels

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Region:
    """One component: where it lies in its mask, and which pixels of that rectangle are its own."""

    class_id: int
    left: int
    top: int
    pixels: NDArray[np.bool_]  # (height, width) of the smallest rectangle around it

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def area(self) -> int:
        """Its number of pixels, holes not counted."""
        return int(np.count_nonzero(self.pixels))


def regions_of(mask: Pixels) -> list[Region]:
    """The regions of a mask uint8 (H, W), background and IGNORE left out, in the order of their first pixels."""
    rows, starts, ends, ids = _runs(mask)
    labels = _join(len(rows), *_touching(rows, starts, ends, ids, mask.shape[1]))
    order = np.argsort(labels, kind="stable")
    _, firsts = np.unique(labels[order], return_index=True)
    regions = []
    for members in np.split(order, firsts[1:]) if len(order) else []:
        top, left = int(rows[members[0]]), int(starts[members].min())
        shape = int(rows[members[-1]]) + 1 - top, int(ends[members].max()) - left
        # A difference along each row, summed up, fills its runs without a loop over them.
        steps = np.zeros((shape[0], shape[1] + 1), np.int8)
        steps[rows[members] - top, starts[members] - left] += 1
        steps[rows[members] - top, ends[members] - left] -= 1
        filled = np.cumsum(steps, axis=1, dtype=np.int8)[:, :-1] > 0
        regions.append(Region(int(ids[members[0]]), left, top, filled))
    return regions


def _runs(mask: Pixels) -> tuple[Ints, Ints, Ints, Ints]:
    """Row, first column, column behind the last, and class of every run of one class, in raster order."""
    height, width = mask.shape
    begins = np.ones((height, width), bool)
    begins[:, 1:] = mask[:, 1:] != mask[:, :-1]
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], mask.size)
    ids = mask.ravel()[starts].astype(np.int64)
    kept = (ids != 0) & (ids != IGNORE)
    rows = starts // width
    return rows[kept], (starts - rows * width)[kept], (ends - rows * width)[kept], ids[kept]


def _touching(rows: Ints, starts: Ints, ends: Ints, ids: Ints, width: int) -> tuple[Ints, Ints]:
    """Pairs of runs (lower, upper) of one class that touch from row to row, corners included."""
    stride = width + 2  # a gap between rows, so that no run reaches a neighbour through the picture's edge
    first = np.searchsorted(rows * stride + ends, (rows - 1) * stride + starts, "left")
    behind = np.searchsorted(rows * stride + starts, (rows - 1) * stride + ends, "right")
    counts = np.maximum(behind - first, 0)
    lower = np.repeat(np.arange(len(rows)), counts)
    upper = np.repeat(first, counts) + np.arange(len(lower)) - np.repeat(np.cumsum(counts) - counts, counts)
    same = ids[lower] == ids[upper]
    return lower[same], upper[same]


def _join(count: int, lower: Ints, upper: Ints) -> Ints:
    """For each of `count` runs the smallest run that it hangs together with, over any chain of pairs."""
    roots = np.arange(count)
    while True:
        smallest = np.minimum(roots[lower], roots[upper])
        before = roots.copy()
        np.minimum.at(roots, before[lower], smallest)
        np.minimum.at(roots, before[upper], smallest)
        while (roots[roots] != roots).any():
            roots = roots[roots]
        if (roots[lower] == roots[upper]).all():
            return roots
