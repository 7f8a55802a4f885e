"""Random fields on a small grid, from which the outlines of damage are made.

A grid covers a picture, or a box of one, with at most GRID points on its longer side. Coordinates are x to the right
and y down, -1 to 1 from edge to edge. Every function draws the same numbers for every size of grid, so that a shape
looks the same in a thumbnail and in a photograph.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_FAR = -2.0  # lower than any value that is used
GRID = 256  # points; detail finer than a 256th of the picture is interpolated smoothly

FloatMap = NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """Points (height, width) over a rectangle of pixels."""

    height: int
    width: int

    @classmethod
    def over(cls, size: tuple[int, int]) -> "Grid":
        """The grid for a rectangle of `size` (H, W): one point a pixel, fewer where it is large."""
        scale = min(1.0, GRID / max(size))
        return cls(max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))

    @property
    def x(self) -> FloatMap:
        """(1, width), -1 to 1 from edge to edge."""
        return _middles(self.width)[None, :]

    @property
    def y(self) -> FloatMap:
        """(height, 1), -1 to 1 from edge to edge."""
        return _middles(self.height)[:, None]

    @property
    def proportions(self) -> tuple[float, float]:
        """Half the length of x and y, in halves of the longer side."""
        return self.width / max(self.height, self.width), self.height / max(self.height, self.width)


def _middles(count: int) -> FloatMap:
    """The middles of `count` equal parts of -1 to 1."""
    return ((np.arange(count) + 0.5) * 2 / count - 1).astype(np.float32)


def smooth(field: FloatMap, size: tuple[int, int]) -> FloatMap:
    """A field resized to `size` (H, W), bicubic."""
    if field.shape == size:
        return field
    return np.asarray(Image.fromarray(field).resize(size[::-1], Image.Resampling.BICUBIC))


def waves(rng: np.random.Generator, grid: Grid, cells: int) -> FloatMap:
    """Smooth noise (height, width) of about unit variance, with so many cells along the longer side."""
    lattice = rng.standard_normal((cells + 2, cells + 2), dtype=np.float32)
    wide, high = grid.proportions
    box = (1.0, 1.0, 1.0 + cells * wide, 1.0 + cells * high)
    image = Image.fromarray(lattice).resize((grid.width, grid.height), Image.Resampling.BICUBIC, box)
    return np.asarray(image) * np.float32(1.25)  # bicubic interpolation of white noise has a variance of about 0.64


def fractal(rng: np.random.Generator, grid: Grid, low: int, octaves: int, gain: float) -> FloatMap:
    """Noise (height, width) of about unit variance: `low` cells, then twice as many each octave, `gain` as strong."""
    return _sum_octaves(lambda cells: waves(rng, grid, cells), low, octaves, gain)


def profile(rng: np.random.Generator, grid: Grid, low: int, octaves: int, gain: float) -> FloatMap:
    """Noise along x alone, (1, width), about unit variance."""

    def wave(cells: int) -> FloatMap:
        row = Image.fromarray(rng.standard_normal((1, cells + 2), dtype=np.float32))
        box = (1.0, 0.0, 1.0 + cells * grid.proportions[0], 1.0)
        return np.asarray(row.resize((grid.width, 1), Image.Resampling.BICUBIC, box))

    return _sum_octaves(wave, low, octaves, gain, 1.15)


def _sum_octaves(wave: Callable[[int], FloatMap], low: int, octaves: int, gain: float, scale: float = 1.0) -> FloatMap:
    fields = [np.float32(scale * gain**octave) * wave(low * 2**octave) for octave in range(octaves)]
    total: FloatMap = np.stack(fields).sum(0)
    power = sum(gain ** (2 * octave) for octave in range(octaves))
    return total / np.float32(power**0.5)


class Cells(NamedTuple):
    """The Voronoi cells of random points."""

    owner: NDArray[np.intp]  # (height, width), which point is nearest
    nearest: FloatMap  # distance to it, in halves of the longer side
    second: FloatMap  # distance to the next


def cells(grid: Grid, points: NDArray[np.float64]) -> Cells:
    """The cells of `points` (P, 2), at least two, each (x, y) in the grid's coordinates."""
    wide, high = grid.proportions
    x, y = grid.x * np.float32(wide), grid.y * np.float32(high)
    shape = (grid.height, grid.width)
    first, second = np.full(shape, np.inf, np.float32), np.full(shape, np.inf, np.float32)
    owner = np.zeros(shape, np.intp)
    for index, (u, v) in enumerate(points):
        squared = np.square(x - np.float32(u * wide)) + np.square(y - np.float32(v * high))
        nearer = squared < first
        second = np.where(nearer, first, np.minimum(second, squared))
        first = np.minimum(first, squared)
        owner[nearer] = index
    return Cells(owner, np.sqrt(first), np.sqrt(second))


def spots(
    grid: Grid, points: NDArray[np.float64], radii: NDArray[np.float64], weights: NDArray[np.float64]
) -> FloatMap:
    """Round spots: the maximum of weight - distance / radius over points (P, 2) in the grid's coordinates.

    Radii are in halves of the longer side. Far from every point the value is _FAR.
    """
    wide, high = grid.proportions
    across, down = grid.x * np.float32(wide), grid.y * np.float32(high)
    found = np.full((grid.height, grid.width), _FAR, np.float32)
    for (u, v), radius, weight in zip(points.tolist(), radii.tolist(), weights.tolist(), strict=True):
        reach = radius * (weight - _FAR)
        rows, columns = _span(v, reach / high, grid.height), _span(u, reach / wide, grid.width)
        x, y = across[:, columns] - u * wide, down[rows] - v * high
        near = weight - np.sqrt(x * x + y * y) / radius
        np.maximum(found[rows, columns], near, out=found[rows, columns])
    return found


def _span(middle: float, reach: float, count: int) -> slice:
    """The grid's indices from middle - reach to middle + reach, as far as they lie inside."""
    first, last = ((middle - reach + 1) / 2 * count, (middle + reach + 1) / 2 * count)
    return slice(min(max(int(first), 0), count), min(max(math.ceil(last), 0), count))
