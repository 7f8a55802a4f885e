"""Random shapes of damage: what a stain, a crack, a puddle looks like as an outline.

A shape is the first so many pixels of a growth field (of a form, of cracks, of lifted tiles), so with the same random
numbers a smaller area is a part of a larger one.

In which order the pixels of a damage become damaged: one field per class, larger values first.

Whatever the area, a shape is the first so many pixels of its field. So a smaller damage lies inside a larger one of the
same random numbers: it grows. A field depends on nothing but the rectangle, the class's statistics and the generator.

Lifted tiles and boards: adjoining rectangles that come up one after another.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.layouts.cracks import crack_order
from wetgen.runtime.layouts.fields import Field, Grid, cells, fractal, profile, smooth, spots, waves
from wetgen.runtime.masks.statistics import ClassStatistics

MARGIN = 2  # pixels along the edge that are covered last

Where = NDArray[np.bool_]


def draw_shape(
    kind: str,
    size: tuple[int, int],
    area: float,
    statistics: ClassStatistics | None,
    rng: np.random.Generator,
    *,
    side: int | None = None,
    within: Where | None = None,
) -> Where:
    """A random region bool (H, W) of a class in a rectangle of `size` that covers the share `area` of its pixels.

    Known by their names are crack, stain, mold, peeling, puddle, lifted, spalling, efflorescence and corrosion; any
    other class is a plain patch. The area is met to the pixel, or where pixels grow together (a column of a tile) to
    the first of them. The outer MARGIN pixels stay free as long as the area fits inside. A crack of little area is a
    part of its whole length, as thin as its class; of more, all of its length and wider.

    `side` is the shorter side of the whole picture in pixels, which thickness is measured against (the rectangle's own
    without it). `within` bool (H, W) says which pixels may be covered at all; what it takes away is made up elsewhere,
    as far as there is room. The same `rng` state gives nested shapes for all areas. Raises WetgenError for an area
    outside 0 to 1.
    """
    if not 0 <= area <= 1:
        raise WetgenError(
            f"The area is {area}.", why="it is a share of the rectangle, 0 to 1.", fix="use a number in that range."
        )
    order = growth(kind, size, statistics, rng, side=side)
    return first_pixels(order, round(area * order.size), within)


def growth(
    kind: str,
    size: tuple[int, int],
    statistics: ClassStatistics | None,
    rng: np.random.Generator,
    *,
    side: int | None,
    pull: Field | None = None,
) -> Field:
    """In which order the pixels of a rectangle become damaged, float32 (H, W), the first largest; see `draw_shape`.

    `pull` float32 (H, W), 0 at most, draws a patch away from pixels; cracks and tiles lie as they lie.
    """
    if kind == "crack":
        return crack_order(rng, size, min(size) if side is None else side, statistics)
    if kind == "lifted":
        return lifted_order(rng, size)
    order = smooth(order_of(kind, rng, Grid.over(size), statistics), size)
    return order if pull is None else order + pull


def first_pixels(order: Field, count: int, within: Where | None = None) -> Where:
    """The `count` largest of a growth field float32 (H, W) as bool (H, W), the outer MARGIN pixels last."""
    free = np.ones(order.shape, bool) if within is None else within
    inner = free.copy()
    inner[:MARGIN] = inner[-MARGIN:] = False
    inner[:, :MARGIN] = inner[:, -MARGIN:] = False
    room = int(np.count_nonzero(inner))
    if count <= room:
        return _largest(order, inner, count)
    return inner | _largest(order, free & ~inner, min(count - room, int(np.count_nonzero(free)) - room))


def _largest(order: Field, among: Where, count: int) -> Where:
    """The `count` largest values of `order` among some pixels, and those that equal the last of them."""
    if count <= 0:
        return np.zeros(order.shape, bool)
    values = order[among]
    last = np.partition(values, len(values) - count)[len(values) - count]
    found: Where = among & (order >= last)
    return found


_MOST_TILT = 0.8  # correlation of x and y in a leaning ellipse; beyond it the shape would be a diagonal bar
_REACH = 0.92  # of half the rectangle: where an ellipse's rim lies


class Form(NamedTuple):
    """How a class grows, and the roughness of outline that `draw` gives by itself."""

    draw: Callable[[np.random.Generator, Grid, float, float], Field]  # generator, grid, roughness factor, tilt
    usual_roughness: float
    leans: bool = True  # whether its long axis may lie diagonally; what water and gravity shape doesn't


def order_of(kind: str, rng: np.random.Generator, grid: Grid, statistics: ClassStatistics | None) -> Field:
    """The growth field (height, width) of a class; one that is not known by its name grows as a plain patch."""
    form = FORMS.get(kind, PATCH)
    rough, tilt = 1.0, 0.0
    ahead = np.random.Generator(np.random.Philox(rng.integers(2**63)))  # so that statistics move no other number
    if statistics is not None:
        rough = float(np.clip((statistics.drawn("roughness", ahead) / form.usual_roughness) ** 0.5, 0.5, 1.8))
        tilt = _tilt(grid, statistics.drawn("elongation", ahead)) if form.leans else 0.0
    field = form.draw(rng, grid, rough, tilt if ahead.random() < 0.5 else -tilt) - _inwards(grid)
    return field.astype(np.float32)


def _tilt(grid: Grid, elongation: float) -> float:
    """The correlation of x and y that gives an ellipse in this rectangle the elongation; 0 where it has it upright.

    From the eigenvalues of [[w^2, c w h], [c w h, h^2]], whose ratio is elongation^2.
    """
    wide, high = grid.proportions
    spread = ((wide**2 + high**2) * elongation / ((1 + elongation**2) * wide * high)) ** 2
    return float(min(_MOST_TILT, max(0.0, 1 - spread) ** 0.5))


def _inwards(grid: Grid) -> Field:
    """What is taken from a field towards the rectangle's edge, so that a shape bends before it would be cut off."""
    return 0.5 * (grid.x**6 + grid.y**6)


def _radius(x: Field, y: Field, tilt: float = 0.0) -> Field:
    """Distance from the middle, 1 on the rim of the ellipse."""
    squared: Field = (x * x - 2 * tilt * x * y + y * y) / ((1 - tilt * tilt) * _REACH**2)
    return np.sqrt(squared)


def _patch(rng: np.random.Generator, grid: Grid, rough: float, tilt: float) -> Field:
    bumps = fractal(rng, grid, 3, 5, 0.6)
    return 0.24 * rough * bumps - _radius(grid.x, grid.y, tilt)


def _runs(rng: np.random.Generator, grid: Grid, count: int, width: float, longest: float) -> Field:
    """(1, width) 0 to 1: how much further down water has run in each column; `count` narrow runs."""
    across = grid.x * grid.proportions[0]
    places, widths, lengths = rng.uniform(-0.62, 0.62, count), rng.uniform(0.5, 1.3, count), rng.uniform(0.3, 1, count)
    runs = np.zeros_like(across)
    for place, wide, length in zip(places, widths, lengths, strict=True):
        bell = np.exp(-((np.abs(across - place * grid.proportions[0]) / (width * wide)) ** 3))
        runs = np.maximum(runs, longest * length * bell)
    return runs


def _sunk(y: Field, source: float, runs: Field) -> Field:
    """y below `source` pulled up where water runs, so that a distance taken of it reaches further down there."""
    return np.where(y > source, source + (y - source) * (1 - runs), y)


def _stain(rng: np.random.Generator, grid: Grid, rough: float, tilt: float) -> Field:
    """A round patch that has run down in places."""
    bumps = fractal(rng, grid, 3, 6, 0.62)
    source = -0.18
    runs = _runs(rng, grid, int(rng.integers(3, 8)), 0.07, rng.uniform(0.25, 0.7))
    y = _sunk(grid.y, source, runs) - source
    return 0.21 * rough * bumps - _radius(grid.x * 1.05, y * 1.05)


def _mold(rng: np.random.Generator, grid: Grid, rough: float, tilt: float) -> Field:
    """Colonies in clusters, run together in the middle, and specks far out."""
    homes = rng.normal(0, 0.3, (9, 2))
    count = 220
    points = homes[rng.integers(len(homes), size=count)] + rng.standard_t(3, (count, 2)) * 0.2
    radii = 0.02 + 0.05 * rng.random(count) ** 3
    away = np.sqrt(np.square(points).sum(1))
    colonies = spots(grid, points, radii, 1.7 - 1.4 * away + rng.normal(0, 0.25, count))
    speckle = fractal(rng, grid, 12, 4, 0.85)
    zone = fractal(rng, grid, 3, 2, 0.6)
    zone = 0.2 * zone - 1.3 * _radius(grid.x, grid.y, tilt)
    grown: Field = zone + 0.33 * rough * speckle + 0.42 * np.clip(colonies, -1, 1.2)
    return grown


def _peeling(rng: np.random.Generator, grid: Grid, rough: float, tilt: float) -> Field:
    """Flakes that came off one by one: angular pieces, torn edges, some standing away from the rest."""
    flakes = cells(grid, rng.uniform(-1, 1, (46, 2)))
    loose: Field = rng.normal(0, 0.2, 46).astype(np.float32)[flakes.owner]
    edge = np.minimum((flakes.second - flakes.nearest) * 8, 1)
    torn = fractal(rng, grid, 6, 4, 0.6)
    radius = _radius(grid.x, grid.y, tilt)
    flaked: Field = loose + 0.16 * edge + 0.13 * rough * torn - radius
    return flaked


def _puddle(rng: np.random.Generator, grid: Grid, rough: float, tilt: float) -> Field:
    """A smooth pool seen at an angle: wider than high, its near side broader than its far side."""
    banks = fractal(rng, grid, 2, 3, 0.45)
    fine = fractal(rng, grid, 8, 3, 0.6)
    wide, high = grid.proportions
    flat = max(1.0, 1.4 * high / wide)  # a pool in a tall box still lies flat, at its foot
    y = (grid.y - (1 - 1 / flat)) * flat
    x = grid.x / (1 + 0.22 * np.clip(y, -1, 1))
    pool: Field = 0.18 * rough * banks + 0.05 * rough * fine - _radius(x, y)
    return pool


def _spalling(rng: np.random.Generator, grid: Grid, rough: float, tilt: float) -> Field:
    """A ragged hollow: pieces broken off along angular edges."""
    pieces = cells(grid, rng.uniform(-1, 1, (90, 2)))
    broken: Field = rng.normal(0, 0.11, 90).astype(np.float32)[pieces.owner]
    bumps = fractal(rng, grid, 3, 2, 0.6)
    torn = fractal(rng, grid, 10, 4, 0.75)
    hollow: Field = 0.22 * bumps + rough * broken + 0.055 * rough * torn - _radius(grid.x, grid.y, tilt)
    return hollow


def _efflorescence(rng: np.random.Generator, grid: Grid, rough: float, tilt: float) -> Field:
    """A cloud of salt with holes, dense inside, that has run down in many thin streaks."""
    cloud = fractal(rng, grid, 3, 2, 0.6)
    grain = fractal(rng, grid, 12, 4, 0.85)
    source = -0.3
    streaks = np.clip(profile(rng, grid, 12, 3, 0.9) - 0.4, 0, 1.6) * rng.uniform(0.2, 0.45)
    y = _sunk(grid.y, source, np.minimum(streaks, 0.7)) - source
    salt: Field = 0.2 * cloud + 0.2 * rough * grain - 1.15 * _radius(grid.x, y)
    return salt


def _corrosion(rng: np.random.Generator, grid: Grid, rough: float, tilt: float) -> Field:
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
    rust: Field = ragged - np.sqrt(np.square(x * 0.9) + np.square(below))
    return rust


PATCH = Form(_patch, 3.0)
FORMS = {
    "stain": Form(_stain, 3.7, leans=False),
    "mold": Form(_mold, 16.0),
    "peeling": Form(_peeling, 4.2),
    "puddle": Form(_puddle, 2.0, leans=False),
    "spalling": Form(_spalling, 3.5),
    "efflorescence": Form(_efflorescence, 16.0, leans=False),
    "corrosion": Form(_corrosion, 3.7, leans=False),
}


_ROWS, _COLUMNS = 9, 15  # of the laid floor; more than a rectangle ever shows


class Laying(NamedTuple):
    """How a floor is laid and seen: sizes in halves of the rectangle's longer side, angle in radians."""

    long: float
    short: float
    angle: float
    shift: float  # of every second row, as a share of a tile
    depth: float  # perspective: how much narrower the far end is


def lifted_order(rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """The growth field float32 (H, W) of lifted tiles or boards: tile after tile, each from one end to the other."""
    laying = _laying(rng)
    came_up = _came_up(rng)
    height, width = size
    longest = max(size)
    y = ((np.arange(height, dtype=np.float32) + 0.5) * 2 - height)[:, None] / np.float32(longest)
    x = ((np.arange(width, dtype=np.float32) + 0.5) * 2 - width)[None, :] / np.float32(longest)
    x = x / (1 + np.float32(laying.depth) * y)
    cos, sin = np.float32(np.cos(laying.angle)), np.float32(np.sin(laying.angle))
    along, across = x * cos + y * sin, (y * cos - x * sin) / np.float32(laying.short) + np.float32(_ROWS / 2)
    row = np.clip(np.floor(across).astype(np.intp), 0, _ROWS - 1)
    place = along / np.float32(laying.long) + np.float32(_COLUMNS / 2) + np.float32(laying.shift) * (row % 2)
    column = np.clip(np.floor(place).astype(np.intp), 0, _COLUMNS - 1)
    part = np.clip(place - column, 0, 1)
    # The end that faces the middle comes up first: beside it lies what is up already.
    return -(came_up[row, column] + np.where(column < _COLUMNS // 2, 1 - part, part))


def _laying(rng: np.random.Generator) -> Laying:
    boards = rng.random() < 0.4
    short = rng.uniform(0.2, 0.34) if boards else rng.uniform(0.42, 0.62)
    long = rng.uniform(1.0, 1.7) if boards else short * rng.uniform(0.95, 1.4)
    angle = np.radians(rng.normal(0, 14))
    return Laying(long, short, float(angle), 0.5 if boards or rng.random() < 0.3 else 0.0, rng.uniform(0.05, 0.3))


def _came_up(rng: np.random.Generator) -> NDArray[np.float32]:
    """The turn (rows, columns) of every tile: from the middle, always one that adjoins another, near ones likelier."""
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
