"""Random shapes of damage: the outlines of a stain, a crack or a puddle.

A growth field says in which order pixels become damaged, larger values first. There is one per class; it depends only
on the rectangle, the statistics of the class and the random numbers. A shape of a given area is the first pixels of its
field. So a smaller damage lies inside a larger one with the same random numbers: damage grows.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.layouts.cracks import crack_order
from wetgen.runtime.layouts.fields import FloatMap, Grid, cells, fractal, profile, smooth, spots, waves
from wetgen.runtime.masks.classes import ClassStatistics
from wetgen.runtime.masks.regions import BoolMask

MARGIN = 2  # pixels along the edge that are covered last


def growth(
    kind: str,
    size: tuple[int, int],
    statistics: ClassStatistics | None,
    rng: np.random.Generator,
    *,
    side: int,
    pull: FloatMap | None = None,
) -> FloatMap:
    """The growth field float32 (H, W) of a class in a rectangle of `size`.

    The classes crack, stain, mold, peeling, puddle, lifted, spalling, efflorescence and corrosion have a shape of their
    own; any other class is a plain patch. A crack first gets its full length, at the thickness of its class, then it
    gets wider. `side` is the shorter side of the whole picture in pixels, to which thickness is relative. `pull`
    float32 (H, W), at most 0, pushes a patch away from pixels; it does not move cracks and tiles.
    """
    if kind == "crack":
        return crack_order(rng, size, side, statistics)
    if kind == "lifted":
        return lifted_order(rng, size)
    order = smooth(_patch_order(kind, rng, Grid.over(size), statistics), size)
    return order if pull is None else order + pull


def first_pixels(order: FloatMap, count: int, within: BoolMask | None = None) -> BoolMask:
    """The `count` largest of a growth field float32 (H, W) as bool (H, W), the outer MARGIN pixels last.

    Pixels of equal value (a column of a tile) are covered together. `within` bool (H, W) says which pixels may be.
    """
    free = np.ones(order.shape, bool) if within is None else within
    inner = free.copy()
    inner[:MARGIN] = inner[-MARGIN:] = False
    inner[:, :MARGIN] = inner[:, -MARGIN:] = False
    room = int(np.count_nonzero(inner))
    if count <= room:
        return _largest(order, inner, count)
    return inner | _largest(order, free & ~inner, min(count - room, int(np.count_nonzero(free)) - room))


def _largest(order: FloatMap, among: BoolMask, count: int) -> BoolMask:
    """The `count` largest values of `order` among some pixels, and all that equal the last of them."""
    if count <= 0:
        return np.zeros(order.shape, bool)
    values = order[among]
    last = np.partition(values, len(values) - count)[len(values) - count]
    found: BoolMask = among & (order >= last)
    return found


_MOST_TILT = 0.8  # correlation of x and y in a tilted ellipse; beyond it the shape would be a diagonal bar
_REACH = 0.92  # of half the rectangle: the rim of an ellipse


class GrowthForm(NamedTuple):
    """How a class grows, and the roughness of the outline that `draw` gives at a roughness factor of 1."""

    draw: Callable[[np.random.Generator, Grid, float, float], FloatMap]  # generator, grid, roughness factor, tilt
    usual_roughness: float
    leans: bool = True  # whether its long axis may be diagonal; not if water and gravity shape it


def _patch_order(kind: str, rng: np.random.Generator, grid: Grid, statistics: ClassStatistics | None) -> FloatMap:
    """The growth field (height, width) of a class; a class without a form of its own grows as a plain patch."""
    form = FORMS.get(kind, PATCH)
    rough, tilt = 1.0, 0.0
    ahead = np.random.Generator(np.random.Philox(rng.integers(2**63)))  # so that statistics change no other number
    if statistics is not None:
        rough = float(np.clip((statistics.drawn("roughness", ahead) / form.usual_roughness) ** 0.5, 0.5, 1.8))
        tilt = _tilt(grid, statistics.drawn("elongation", ahead)) if form.leans else 0.0
    field = form.draw(rng, grid, rough, tilt if ahead.random() < 0.5 else -tilt)
    # Less near the rectangle's edge, so that a shape bends before the edge cuts it off.
    return (field - 0.5 * (grid.x**6 + grid.y**6)).astype(np.float32)


def _tilt(grid: Grid, elongation: float) -> float:
    """The correlation of x and y that gives an ellipse in this rectangle its elongation; 0 if it needs no tilt.

    From the eigenvalues of [[w^2, c w h], [c w h, h^2]], whose ratio is elongation^2.
    """
    wide, high = grid.proportions
    spread = ((wide**2 + high**2) * elongation / ((1 + elongation**2) * wide * high)) ** 2
    return float(min(_MOST_TILT, max(0.0, 1 - spread) ** 0.5))


def _radius(x: FloatMap, y: FloatMap, tilt: float = 0.0) -> FloatMap:
    """Distance from the middle, 1 on the rim of the ellipse."""
    squared: FloatMap = (x * x - 2 * tilt * x * y + y * y) / ((1 - tilt * tilt) * _REACH**2)
    return np.sqrt(squared)


def _patch(rng: np.random.Generator, grid: Grid, rough: float, tilt: float) -> FloatMap:
    bumps = fractal(rng, grid, 3, 5, 0.6)
    return 0.24 * rough * bumps - _radius(grid.x, grid.y, tilt)


def _runs(rng: np.random.Generator, grid: Grid, count: int, width: float, longest: float) -> FloatMap:
    """How much further down water has run in each column, (1, width) 0 to 1; there are `count` narrow runs."""
    across = grid.x * grid.proportions[0]
    middles, widths, lengths = rng.uniform(-0.62, 0.62, count), rng.uniform(0.5, 1.3, count), rng.uniform(0.3, 1, count)
    runs = np.zeros_like(across)
    for middle, wide, length in zip(middles, widths, lengths, strict=True):
        bell = np.exp(-((np.abs(across - middle * grid.proportions[0]) / (width * wide)) ** 3))
        runs = np.maximum(runs, longest * length * bell)
    return runs


def _sunk(y: FloatMap, source: float, runs: FloatMap) -> FloatMap:
    """y, with all below `source` pulled up where water runs, so that shapes reach further down there."""
    return np.where(y > source, source + (y - source) * (1 - runs), y)


def _stain(rng: np.random.Generator, grid: Grid, rough: float, tilt: float) -> FloatMap:
    """A round patch that has run down in places."""
    bumps = fractal(rng, grid, 3, 6, 0.62)
    source = -0.18
    runs = _runs(rng, grid, int(rng.integers(3, 8)), 0.07, rng.uniform(0.25, 0.7))
    y = _sunk(grid.y, source, runs) - source
    return 0.21 * rough * bumps - _radius(grid.x * 1.05, y * 1.05)


def _mold(rng: np.random.Generator, grid: Grid, rough: float, tilt: float) -> FloatMap:
    """Colonies in clusters, merged in the middle, with specks far out."""
    homes = rng.normal(0, 0.3, (9, 2))
    count = 220
    points = homes[rng.integers(len(homes), size=count)] + rng.standard_t(3, (count, 2)) * 0.2
    radii = 0.02 + 0.05 * rng.random(count) ** 3
    away = np.sqrt(np.square(points).sum(1))
    colonies = spots(grid, points, radii, 1.7 - 1.4 * away + rng.normal(0, 0.25, count))
    speckle = fractal(rng, grid, 12, 4, 0.85)
    zone = fractal(rng, grid, 3, 2, 0.6)
    zone = 0.2 * zone - 1.3 * _radius(grid.x, grid.y, tilt)
    grown: FloatMap = zone + 0.33 * rough * speckle + 0.42 * np.clip(colonies, -1, 1.2)
    return grown


def _peeling(rng: np.random.Generator, grid: Grid, rough: float, tilt: float) -> FloatMap:
    """Flakes that came off one by one: angular pieces, torn edges, some standing away from the rest."""
    flakes = cells(grid, rng.uniform(-1, 1, (46, 2)))
    loose: FloatMap = rng.normal(0, 0.2, 46).astype(np.float32)[flakes.owner]
    edge = np.minimum((flakes.second - flakes.nearest) * 8, 1)
    torn = fractal(rng, grid, 6, 4, 0.6)
    radius = _radius(grid.x, grid.y, tilt)
    flaked: FloatMap = loose + 0.16 * edge + 0.13 * rough * torn - radius
    return flaked


def _puddle(rng: np.random.Generator, grid: Grid, rough: float, tilt: float) -> FloatMap:
    """A smooth pool seen at an angle: wider than high, its near side broader than its far side."""
    banks = fractal(rng, grid, 2, 3, 0.45)
    fine = fractal(rng, grid, 8, 3, 0.6)
    wide, high = grid.proportions
    flat = max(1.0, 1.4 * high / wide)  # a pool in a tall box still lies flat, at its foot
    y = (grid.y - (1 - 1 / flat)) * flat
    x = grid.x / (1 + 0.22 * np.clip(y, -1, 1))
    pool: FloatMap = 0.18 * rough * banks + 0.05 * rough * fine - _radius(x, y)
    return pool


def _spalling(rng: np.random.Generator, grid: Grid, rough: float, tilt: float) -> FloatMap:
    """A ragged hollow: pieces broken off along angular edges."""
    pieces = cells(grid, rng.uniform(-1, 1, (90, 2)))
    broken: FloatMap = rng.normal(0, 0.11, 90).astype(np.float32)[pieces.owner]
    bumps = fractal(rng, grid, 3, 2, 0.6)
    torn = fractal(rng, grid, 10, 4, 0.75)
    hollow: FloatMap = 0.22 * bumps + rough * broken + 0.055 * rough * torn - _radius(grid.x, grid.y, tilt)
    return hollow


def _efflorescence(rng: np.random.Generator, grid: Grid, rough: float, tilt: float) -> FloatMap:
    """A cloud of salt with holes, dense inside, that has run down in many thin streaks."""
    cloud = fractal(rng, grid, 3, 2, 0.6)
    grain = fractal(rng, grid, 12, 4, 0.85)
    source = -0.3
    streaks = np.clip(profile(rng, grid, 12, 3, 0.9) - 0.4, 0, 1.6) * rng.uniform(0.2, 0.45)
    y = _sunk(grid.y, source, np.minimum(streaks, 0.7)) - source
    salt: FloatMap = 0.2 * cloud + 0.2 * rough * grain - 1.15 * _radius(grid.x, y)
    return salt


def _corrosion(rng: np.random.Generator, grid: Grid, rough: float, tilt: float) -> FloatMap:
    """Rust that runs down from one point in narrow streams."""
    stain = fractal(rng, grid, 6, 4, 0.6)
    source = -0.7
    wide, high = grid.proportions
    narrow = max(1.0, 1.5 * wide / high)  # in a wide box the runs still fall straight
    x = (grid.x - 0.04 * waves(rng, grid, 3)) * (narrow * 1.25)
    runs = _runs(rng, grid, int(rng.integers(3, 6)), 0.075, 0.62)
    y = _sunk(grid.y, source, runs) - source
    below = np.where(y > 0, y * 0.8, y * 3.2)
    speckle = fractal(rng, grid, 20, 2, 0.7)
    ragged = 0.1 * rough * stain + 0.05 * rough * speckle
    rust: FloatMap = ragged - np.sqrt(np.square(x * 0.9) + np.square(below))
    return rust


PATCH = GrowthForm(_patch, 3.0)
FORMS = {
    "stain": GrowthForm(_stain, 3.7, leans=False),
    "mold": GrowthForm(_mold, 16.0),
    "peeling": GrowthForm(_peeling, 4.2),
    "puddle": GrowthForm(_puddle, 2.0, leans=False),
    "spalling": GrowthForm(_spalling, 3.5),
    "efflorescence": GrowthForm(_efflorescence, 16.0, leans=False),
    "corrosion": GrowthForm(_corrosion, 3.7, leans=False),
}


_ROWS, _COLUMNS = 9, 15  # of the floor; more than a rectangle ever shows


def lifted_order(rng: np.random.Generator, size: tuple[int, int]) -> FloatMap:
    """The growth field float32 (H, W) of lifted tiles or boards: one tile after another, each from end to end.

    Tiles are measured in halves of the rectangle's longer side.
    """
    boards = rng.random() < 0.4
    short = rng.uniform(0.2, 0.34) if boards else rng.uniform(0.42, 0.62)
    long = rng.uniform(1.0, 1.7) if boards else short * rng.uniform(0.95, 1.4)
    angle = np.radians(rng.normal(0, 14))
    shift = 0.5 if boards or rng.random() < 0.3 else 0.0  # of every second row, as a share of a tile
    depth = rng.uniform(0.05, 0.3)  # perspective: how much narrower the far end is
    came_up = _came_up(rng)
    height, width = size
    y = ((np.arange(height, dtype=np.float32) + 0.5) * 2 - height)[:, None] / np.float32(max(size))
    x = ((np.arange(width, dtype=np.float32) + 0.5) * 2 - width)[None, :] / np.float32(max(size))
    x = x / (1 + np.float32(depth) * y)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along, across = x * cos + y * sin, (y * cos - x * sin) / np.float32(short) + np.float32(_ROWS / 2)
    row = np.clip(np.floor(across).astype(np.intp), 0, _ROWS - 1)
    tiles = along / np.float32(long) + np.float32(_COLUMNS / 2) + np.float32(shift) * (row % 2)
    column = np.clip(np.floor(tiles).astype(np.intp), 0, _COLUMNS - 1)
    part = np.clip(tiles - column, 0, 1)
    # The end that faces the middle comes up first, because its neighbour is up already.
    return -(came_up[row, column] + np.where(column < _COLUMNS // 2, 1 - part, part))


def _came_up(rng: np.random.Generator) -> NDArray[np.float32]:
    """When each tile comes up, (rows, columns): it starts in the middle and spreads to adjacent, mostly near tiles."""
    turns = np.full((_ROWS, _COLUMNS), -1)
    middle = np.array([_ROWS // 2, _COLUMNS // 2])
    turns[tuple(middle)] = 0
    for turn in range(1, turns.size):
        up = turns >= 0
        beside = np.zeros_like(up)
        beside[1:] |= up[:-1]
        beside[:-1] |= up[1:]
        beside[:, 1:] |= up[:, :-1]
        beside[:, :-1] |= up[:, 1:]
        open_ = np.argwhere(beside & ~up)
        away = np.hypot(*(open_ - middle).T.astype(float)) + rng.uniform(0, 1.2, len(open_))
        turns[tuple(open_[int(np.argmin(away))])] = turn
    return turns.astype(np.float32)
