"""The outline of a region as one closed polygon, and the pixels of a polygon.

Polygons run along pixel edges: x to the right, y down, pixel (i, j) covers [i, i + 1] x [j, j + 1]. They turn
clockwise on the screen, with the region on their right. A polygon cannot have a hole, so each hole is joined to the
line left of it by a cut without width, which is drawn there and back ("keyhole"): the hole stays a hole under the
even-odd and the nonzero rule.
"""

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.masks.regions import Component

Polygon = NDArray[np.float64]  # (N, 2) x, y

# Directions of a unit edge of the outline, turning right: east, south, west, north. The inside is one step further.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
_SOUTH, _NORTH = 1, 3


def outline(region: Component, inset: float = 0.0) -> Polygon:
    """The polygon float64 (N, 2) around a region, in its mask's pixels.

    `inset` moves it that far (in pixels, below 0.5) into the region's own pixels, so that a reader who rounds
    coordinates down to whole pixels gets those and not their neighbours.
    """
    return _corners(_Loops(region.pixels).points(inset) + np.array([region.left, region.top]))


def filled(polygon: Polygon, height: int, width: int) -> NDArray[np.bool_]:
    """The pixels bool (H, W) whose centres lie inside the polygon float64 (N, 2), by the even-odd rule."""
    (x0, y0), (x1, y1) = polygon.T, np.roll(polygon, -1, axis=0).T
    # An edge crosses row j when the row's centre j + 0.5 is in [upper end, lower end).
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
    """The closed lines around a region and its holes, as unit edges numbered (y (W+1) + x) 4 + direction.

    Edge e starts at corner (x, y) of the pixel grid. Where two pixels of the region touch only by a corner, the line
    passes from one to the other, because regions are 8-connected: so a region has exactly one outer line.
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

    def points(self, inset: float) -> Polygon:
        """The outer line with every hole cut in, as two points (2 N, 2) per edge or half an edge, moved by `inset`.

        At a cut the line leaves an edge in its middle, runs around the hole and comes back to the edge's middle. Holes
        can have cuts at their own edges, so deeply nested that this is a loop and not a recursion.
        """
        cuts, drawn = self._find_cuts(), []
        left = [(edge, 0.0, 1.0) for edge in reversed(self._loops[0])]  # edges from start to stop; the next one last
        while left:
            segment = left.pop()
            hole = cuts.pop(segment[0], None)
            if hole is None:
                drawn.append(segment)
                continue
            entry, *others = hole
            left += [(segment[0], 0.5, 1.0), (entry, 0.0, 0.5), *((edge, 0.0, 1.0) for edge in reversed(others))]
            left += [(entry, 0.5, 1.0), (segment[0], 0.0, 0.5)]
        edges, starts, stops = np.array(drawn).T
        corners, directions = np.divmod(edges.astype(np.int64), 4)
        xy = np.stack([corners % self._stride, corners // self._stride], axis=1)[:, None]  # (N, 1, 2)
        along, inwards = np.array(_STEPS)[directions], np.array(_STEPS)[(directions + 1) % 4]
        ways = np.stack([np.maximum(starts, inset), np.minimum(stops, 1 - inset)], axis=1)[..., None]  # (N, 2, 1)
        points: Polygon = xy + ways * along[:, None] + inset * inwards[:, None]
        return points.reshape(-1, 2)

    def _successors(self, exists: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The edge that follows each edge: a left turn before straight on before a right turn."""
        corners, directions = np.divmod(self._edges, 4)
        moves = np.array([x + y * self._stride for x, y in _STEPS])
        ends = (corners + moves[directions]) * 4
        left, straight, right = (ends + (directions + turn) % 4 for turn in (3, 0, 1))
        following: NDArray[np.int64] = np.where(exists[left], left, np.where(exists[straight], straight, right))
        return following

    def _trace(self) -> list[list[int]]:
        """Each loop's edges. The first loop is the outer one, because it has the topmost edge."""
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
        """Each hole's edges, from the one where its cut ends, by the edge left of the hole where the cut begins."""
        cuts = {}
        for loop in self._loops[1:]:
            # The hole's leftmost edge: the region continues west of it.
            souths = [(*divmod(e // 4, self._stride)[::-1], i) for i, e in enumerate(loop) if e % 4 == _SOUTH]
            column, row, first = min(souths)
            outside = np.flatnonzero(~self._pixels[row, :column])
            reached = int(outside[-1]) + 1 if len(outside) else 0
            # An edge north starts at the lower corner of the pixel right of it.
            cuts[((row + 1) * self._stride + reached) * 4 + _NORTH] = loop[first:] + loop[:first]
        return cuts


def _corners(points: Polygon) -> Polygon:
    """The polygon without points that repeat the previous one or lie on a straight line."""
    points = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]  # an outline never turns straight back
    corners: Polygon = points[turns]
    return corners
