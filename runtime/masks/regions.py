"""The connected components of a mask, each of one class, the holes in them, and boxes.

Components are 8-connected, because a hairline crack often runs diagonally: with four neighbours every step of it would
be an instance of its own. Holes are 4-connected: where a component is connected by a corner, nothing passes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.masks.classes import IGNORE
from wetgen.runtime.masks.images import Pixels

Ints = NDArray[np.int64]
BoolMask = NDArray[np.bool_]


@dataclass(frozen=True)
class Component:
    """A connected component: its smallest rectangle in the mask, and which pixels of the rectangle belong to it."""

    class_id: int
    left: int
    top: int
    pixels: NDArray[np.bool_]  # (height, width)

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


def connected_components(mask: Pixels) -> list[Component]:
    """The components of a mask uint8 (H, W) without background and IGNORE, in the order of their first pixels."""
    rows, starts, ends, ids = _runs(mask)
    labels = _join(len(rows), *_touching(rows, starts, ends, ids, mask.shape[1], corners=True))
    order = np.argsort(labels, kind="stable")
    _, firsts = np.unique(labels[order], return_index=True)
    components = []
    for members in np.split(order, firsts[1:]) if len(order) else []:
        top, left = int(rows[members[0]]), int(starts[members].min())
        shape = int(rows[members[-1]]) + 1 - top, int(ends[members].max()) - left
        # The sum along each row of +1 where a run starts and -1 where it ends fills the runs without a loop.
        steps = np.zeros((shape[0], shape[1] + 1), np.int8)
        steps[rows[members] - top, starts[members] - left] += 1
        steps[rows[members] - top, ends[members] - left] -= 1
        filled = np.cumsum(steps, axis=1, dtype=np.int8)[:, :-1] > 0
        components.append(Component(int(ids[members[0]]), left, top, filled))
    return components


def label_components(mask: Pixels, *, corners: bool = True) -> tuple[Ints, Ints]:
    """The number of the component of each pixel, int64 (H, W), 0 where there is none, and the areas by number.

    Numbers count from 1 in the order of `connected_components`; areas[0] is 0. Without `corners` they are 4-connected.
    """
    rows, starts, ends, ids = _runs(mask)
    labels = _join(len(rows), *_touching(rows, starts, ends, ids, mask.shape[1], corners=corners))
    firsts, ranks = np.unique(labels, return_inverse=True)
    numbers = np.zeros(mask.shape, np.int64)
    numbers[(mask != 0) & (mask != IGNORE)] = np.repeat(ranks + 1, ends - starts)
    areas = np.zeros(len(firsts) + 1, np.int64)
    np.add.at(areas, ranks + 1, ends - starts)
    return numbers, areas


def label_holes(component: Component) -> Ints:
    """The number of the hole that each pixel of the rectangle lies in, int64 (height, width); 0 for no hole.

    A hole is a 4-connected area outside the component, of whatever classes, that the component separates from the edge
    of its rectangle.
    """
    pixels, either = component.pixels, np.logical_or.accumulate
    # Most components have no outside pixel with the component on all four sides, which is much quicker to find out.
    among = either(pixels, 1) & either(pixels[:, ::-1], 1)[:, ::-1] & either(pixels, 0) & either(pixels[::-1], 0)[::-1]
    if not (among & ~pixels).any():
        return np.zeros(pixels.shape, np.int64)
    numbers, areas = label_components((~pixels).view(np.uint8), corners=False)
    outside = np.zeros(len(areas), bool)
    for edge in (numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]):
        outside[edge] = True
    numbers[outside[numbers]] = 0
    return numbers


def _runs(mask: Pixels) -> tuple[Ints, Ints, Ints, Ints]:
    """Row, first column, column after the last, and class of every run of one class, in raster order."""
    height, width = mask.shape
    begins = np.ones((height, width), bool)
    begins[:, 1:] = mask[:, 1:] != mask[:, :-1]
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], mask.size)
    ids = mask.ravel()[starts].astype(np.int64)
    kept = (ids != 0) & (ids != IGNORE)
    rows = starts // width
    return rows[kept], (starts - rows * width)[kept], (ends - rows * width)[kept], ids[kept]


def _touching(rows: Ints, starts: Ints, ends: Ints, ids: Ints, width: int, *, corners: bool) -> tuple[Ints, Ints]:
    """Pairs of runs (lower, upper) of one class that touch from row to row; with `corners`, a corner is enough."""
    stride = width + 2  # with a gap between rows, so that no run touches one across the image's edge
    # Runs that meet in a corner end in the column where the other starts.
    first = np.searchsorted(rows * stride + ends, (rows - 1) * stride + starts, "left" if corners else "right")
    behind = np.searchsorted(rows * stride + starts, (rows - 1) * stride + ends, "right" if corners else "left")
    counts = np.maximum(behind - first, 0)
    lower = np.repeat(np.arange(len(rows)), counts)
    upper = np.repeat(first, counts) + np.arange(len(lower)) - np.repeat(np.cumsum(counts) - counts, counts)
    same = ids[lower] == ids[upper]
    return lower[same], upper[same]


def _join(count: int, lower: Ints, upper: Ints) -> Ints:
    """For each of `count` runs the smallest run that any chain of pairs connects it with."""
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


Size = tuple[int, int]  # (H, W) in pixels, as arrays have it


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels: columns left to left + width - 1, rows top to top + height - 1."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def around(cls, region: BoolMask) -> "Box":
        """The smallest box around the True pixels of a region bool (H, W), which must have some."""
        rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
        return cls(int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1)

    @property
    def right(self) -> int:
        """The first column behind it."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The first row below it."""
        return self.top + self.height

    @property
    def area(self) -> int:
        """Its number of pixels, 0 if a side is not positive."""
        return max(0, self.width) * max(0, self.height)

    @property
    def size(self) -> Size:
        """(height, width)."""
        return self.height, self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """The slices that cut it out of an array (H, W); only for a box inside the picture."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def inside(self, size: Size) -> bool:
        """Whether it has pixels and all of them lie in a picture of `size` (H, W)."""
        return self.area > 0 and min(self.left, self.top) >= 0 and self.bottom <= size[0] and self.right <= size[1]

    def clip(self, size: Size) -> "Box":
        """The part inside a picture of `size` (H, W), with area 0 if there is none."""
        left, top = min(max(self.left, 0), size[1]), min(max(self.top, 0), size[0])
        right, bottom = min(max(self.right, left), size[1]), min(max(self.bottom, top), size[0])
        return Box(left, top, right - left, bottom - top)

    def grown(self, margin: int) -> "Box":
        """The box with `margin` more pixels on every side, or fewer if it is negative."""
        return Box(self.left - margin, self.top - margin, self.width + 2 * margin, self.height + 2 * margin)

    def overlap(self, other: "Box") -> int:
        """The number of pixels in both."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0, width) * max(0, height)

    def iou(self, other: "Box") -> float:
        """Intersection over union of the two, 0 to 1."""
        both = self.overlap(other)
        return both / (self.area + other.area - both) if both else 0.0
