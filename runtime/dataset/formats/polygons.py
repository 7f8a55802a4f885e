"""The outline of a region as one closed polygon, and the pixels of a polygon.

Polygons run along pixel edges: x to the right, y down, pixel (i, j) covers [i, i + 1] x [j, j + 1]. They turn
clockwise on the screen, the region on their right. One polygon can't have a hole, so each hole is joined to the line
left of it by a cut that is walked to and fro and has no width ("keyhole"): under the even-odd and the nonzero rule the
hole stays one.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.masks.regions import Component

Points = NDArray[np.float64]  # (N, 2) x, y

# Directions of a unit edge of the outline, turning right: east, south, west, north. The inside is one step further.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
_SOUTH, _NORTH = 1, 3


def outline(region: Component, inset: float = 0.0) -> Points:
    """The polygon float64 (N, 2) around a region, in its mask's pixels.

    `inset` draws it that far (in pixels, below 0.5) into the region's own pixels, so that a reader who cuts coordinates
    off to whole pixels hits those and not their neighbours.
    """
    loops = _Loops(region.pixels)
    points = np.array(list(loops.points(inset)), np.float64)
    return _corners(points + np.array([region.left, region.top]))


def filled(polygon: Points, height: int, width: int) -> NDArray[np.bool_]:
    """The pixels bool (H, W) whose centres lie inside the polygon float64 (N, 2), by the even-odd rule."""
    (x0, y0), (x1, y1) = polygon.T, np.roll(polygon, -1, axis=0).T
    # Row j is crossed by an edge when its centre j + 0.5 lies in [upper end, lower end).
    first = np.clip(np.ceil(np.minimum(y0, y1) - 0.5), 0, height).astype(np.int64)
    behind = np.clip(np.ceil(np.maximum(y0, y1) - 0.5), 0, height).astype(np.int64)
    counts = behind - first
    edges = np.repeat(np.arange(len(polygon)), counts)
    rows = np.repeat(first, counts) + np.arange(len(edges)) - np.repeat(np.cumsum(counts) - counts, counts)
    crossed = x0[edges] + (rows + 0.5 - y0[edges]) * (x1 - x0)[edges] / (y1 - y0)[edges]
    columns = np.clip(np.ceil(crossed - 0.5), 0, width).astype(np.int64)
    crossings = np.zeros((height, width + 1), np.int64)
    np.add.at(crossings, (rows, columns), 1)
    inside: NDArray[np.bool_] = np.cumsum(crossings, axis=1)[:, :width] % 2 == 1
    return inside


class _Loops:
    """The closed lines between a region and what is not the region, as unit edges numbered (y (W+1) + x) 4 + direction.

    Edge e starts at corner (x, y) of the pixel grid. Where two pixels of the region touch by a corner only, the line
    passes from one to the other, as befits eight neighbours: so the region has exactly one outer line.
    """

    def __init__(self, pixels: NDArray[np.bool_]) -> None:
        height, width = pixels.shape
        self._stride = width + 1
        inside = np.pad(pixels, 1)
        core = inside[1:-1, 1:-1]
        exists = np.zeros((height + 1, width + 1, 4), bool)
        exists[:-1, :-1, 0] = core & ~inside[:-2, 1:-1]  # nothing above: east along the upper side
        exists[:-1, 1:, 1] = core & ~inside[1:-1, 2:]
        exists[1:, 1:, 2] = core & ~inside[2:, 1:-1]
        exists[1:, :-1, 3] = core & ~inside[1:-1, :-2]
        self._edges = np.flatnonzero(exists)
        self._next = dict(zip(self._edges.tolist(), self._successors(exists.ravel()).tolist(), strict=True))
        self._pixels = pixels
        self._loops = self._trace()
        self._cuts = self._find_cuts()

    def points(self, inset: float) -> Iterator[tuple[float, float]]:
        """The outer line with every hole cut in, two points an edge; unrolled, for holes may hang on holes for long."""
        stack = [iter([(edge, "whole") for edge in self._loops[0]])]
        while stack:
            edge, part = next(stack[-1], (None, ""))
            if edge is None:
                stack.pop()
                continue
            hole = self._cuts.get(edge) if part == "whole" else None
            if hole is None:
                yield from self._ends(edge, part, inset)
                continue
            yield from self._ends(edge, "first half", inset)
            around = [(hole[0], "second half"), *((other, "whole") for other in hole[1:]), (hole[0], "first half")]
            stack.append(iter([(edge, "second half")]))
            stack.append(iter(around))

    def _successors(self, exists: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The edge that follows each edge: a left turn before straight on before a right turn."""
        corners, directions = np.divmod(self._edges, 4)
        moves = np.array([x + y * self._stride for x, y in _STEPS])
        ends = (corners + moves[directions]) * 4
        left, straight, right = (ends + (directions + turn) % 4 for turn in (3, 0, 1))
        following: NDArray[np.int64] = np.where(exists[left], left, np.where(exists[straight], straight, right))
        return following

    def _trace(self) -> list[list[int]]:
        """Each loop's edges; the first loop is the outer one, for it holds the topmost edge."""
        loops, seen = [], set()
        for edge in self._edges.tolist():
            if edge in seen:
                continue
            loop = [edge]
            while (following := self._next[loop[-1]]) != edge:
                loop.append(following)
            seen.update(loop)
            loops.append(loop)
        return loops

    def _find_cuts(self) -> dict[int, list[int]]:
        """The holes by the edge, left of them, at which their cut begins; a hole's list starts where the cut ends."""
        cuts = {}
        for loop in self._loops[1:]:
            # The leftmost edge with the region on its left side; the region goes on to the west of it.
            place = min((i for i, e in enumerate(loop) if e % 4 == _SOUTH), key=lambda i: self._column_row(loop[i]))
            column, row = self._column_row(loop[place])
            outside = np.flatnonzero(~self._pixels[row, :column])
            reached = int(outside[-1]) + 1 if len(outside) else 0
            # An edge north starts at the lower corner of the pixel right of it.
            edge = ((row + 1) * self._stride + reached) * 4 + _NORTH
            cuts[edge] = loop[place:] + loop[:place]
        return cuts

    def _column_row(self, edge: int) -> tuple[int, int]:
        row, column = divmod(edge // 4, self._stride)
        return column, row

    def _ends(self, edge: int, part: str, inset: float) -> Iterator[tuple[float, float]]:
        """Start and end of an edge or of half of it, moved into its pixel by `inset`."""
        corner, direction = divmod(edge, 4)
        y, x = divmod(corner, self._stride)
        (along_x, along_y), (in_x, in_y) = _STEPS[direction], _STEPS[(direction + 1) % 4]
        start = 0.5 if part == "second half" else inset
        end = 0.5 if part == "first half" else 1 - inset
        for way in (start, end):
            yield x + way * along_x + inset * in_x, y + way * along_y + inset * in_y


def _corners(points: Points) -> Points:
    """Without points that repeat the one before or lie on the way straight on."""
    points = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]  # nowhere does an outline turn right back
    corners: Points = points[turns]
    return corners
