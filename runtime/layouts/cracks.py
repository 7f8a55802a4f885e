"""Cracks: a branching line that first grows in length and then in width.

Points are (x, y) in pixels. Lengths, widths and distances are in pixels too.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.layouts.fields import FloatMap, Grid, smooth
from wetgen.runtime.masks.classes import ClassStatistics

_Points = NDArray[np.float64]

MARGIN = 3.0  # pixels between a line's points and the rectangle's edge, which leave room for its width
HAIRLINE = 0.008  # thickness as a share of the picture's shorter side, where nothing was measured
_CORNERS = 40  # points along a whole line
_WANDERS = 0.16  # how far a line strays from straight, as a share of its length
_NEAR = 3.0  # line widths around a line within which distances are exact; beyond, they come from a coarse grid


@dataclass(frozen=True)
class CrackLine:
    """One line: its points (N, 2), when the crack reaches each, and how wide it may become there (0 to 1)."""

    points: _Points
    times: NDArray[np.float64]
    widths: NDArray[np.float64]


def crack_order(
    rng: np.random.Generator, size: tuple[int, int], side: int, statistics: ClassStatistics | None
) -> FloatMap:
    """The growth field float32 (H, W) of a crack in a rectangle of `size`, larger first.

    First the crack gets its full length, at the thickness of its class (at least a pixel), then it gets wider. `side`
    is the shorter side of the whole picture.
    """
    lines = draw_lines(rng, size)
    ahead = np.random.Generator(np.random.Philox(rng.integers(2**63)))
    share = HAIRLINE if statistics is None else min(statistics.drawn("thickness", ahead), statistics.thickness[2])
    thin = max(1.0, share * side)
    return -_birth(lines, size, thin)


def draw_lines(rng: np.random.Generator, size: tuple[int, int]) -> list[CrackLine]:
    """A main line along the rectangle's longer side, and its branches. The time at the root is 0."""
    main = _main(rng, size)
    root = int(rng.integers(_CORNERS // 4, 3 * _CORNERS // 4))
    along = _along(main)
    lines = [CrackLine(main, np.abs(along - along[root]), _widths(rng, len(main), np.abs(along - along[root])))]
    for _ in range(int(rng.integers(2, 7))):
        parent = lines[0] if rng.random() < 0.75 else lines[int(rng.integers(len(lines)))]
        branch = _branch(rng, parent, along[-1], size)
        if branch is not None:
            lines.append(branch)
    return lines


def _main(rng: np.random.Generator, size: tuple[int, int]) -> _Points:
    """Points (N, 2) from one end of the rectangle to the other: a straight line plus fractal noise."""
    height, width = size
    upright = height > width or (height == width and rng.random() < 0.5)
    length, across = (height, width) if upright else (width, height)
    first, last = rng.uniform(0.15, 0.85, 2)
    straight = np.linspace(first, last, _CORNERS) * across
    steps = np.linspace(MARGIN, max(MARGIN, length - MARGIN), _CORNERS)
    stray = _wander(rng, _CORNERS) * _WANDERS * min(length, 2.5 * across)
    side = np.clip(straight + stray, MARGIN, max(MARGIN, across - MARGIN))
    return np.stack([side, steps] if upright else [steps, side], axis=1)


def _wander(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Fractal noise (count,), zero at both ends, close to a Brownian bridge, as cracks are."""
    total = np.zeros(count)
    for octave in range(5):
        knots = np.concatenate([[0.0], rng.normal(0, 0.5, 2 ** (octave + 1) - 1), [0.0]]) * 0.58**octave
        total += np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(knots)), knots)
    return total


def _branch(rng: np.random.Generator, parent: CrackLine, longest: float, size: tuple[int, int]) -> CrackLine | None:
    """A line that leaves `parent` sideways, cut at the rectangle's edge; None where too little of it is left."""
    start = int(rng.integers(2, max(3, len(parent.points) - 2)))
    turn = np.radians(rng.uniform(25, 75)) * rng.choice((-1, 1))
    share = rng.uniform(0.12, 0.42)
    length, count = longest * share, max(4, int(_CORNERS * share))
    stray = _wander(rng, count) * 0.3 * length
    start = min(start, len(parent.points) - 2)
    outwards = 1 if parent.times[start + 1] >= parent.times[start] else -1
    ahead = (parent.points[start + 1] - parent.points[start]) * outwards
    heading = np.arctan2(ahead[1], ahead[0]) + turn
    steps = np.linspace(0, length, count)
    forward, sideways = np.array([np.cos(heading), np.sin(heading)]), np.array([-np.sin(heading), np.cos(heading)])
    points = parent.points[start] + steps[:, None] * forward + stray[:, None] * sideways
    inside = ((points >= MARGIN) & (points <= np.array([size[1], size[0]]) - MARGIN)).all(axis=1)
    kept = len(points) if inside.all() else int(np.argmin(inside))
    widths = 0.7 * parent.widths[start] * _widths(rng, count, steps)
    if kept < 3:
        return None
    return CrackLine(points[:kept], parent.times[start] + _along(points)[:kept], widths[:kept])


def _along(points: _Points) -> NDArray[np.float64]:
    """The length of a line up to each of its points, (N,)."""
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])


def _widths(rng: np.random.Generator, count: int, away: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) 0.15 to 1: widest at the root, tapering to the tips, uneven on the way."""
    taper = 1 - 0.8 * (away / max(float(away.max()), 1e-9)) ** 1.5
    uneven = np.interp(np.linspace(0, 1, count), np.linspace(0, 1, 12), rng.uniform(0.65, 1.2, 12))
    return np.clip(taper * uneven, 0.15, 1)


def _birth(lines: list[CrackLine], size: tuple[int, int], thin: float) -> FloatMap:
    """When each pixel cracks, float32 (H, W): 0 to 1 along the thin lines, above 1 as they get wider."""
    end = max(1e-9, *(float(line.times.max()) for line in lines))  # in a rectangle of one pixel the length is 0
    born = _far(lines, size, thin)
    near = np.full(size, np.inf, np.float32)
    for line in lines:
        for first in range(len(line.points) - 1):
            _widen(near, line, first, thin, end)
    return np.where(np.isfinite(near), near, born)


def _widen(near: FloatMap, line: CrackLine, first: int, thin: float, end: float) -> None:
    """Lower `near` (H, W) around one segment of a line, from the point `first` to the next."""
    (u, v), (s, t) = line.points[first], line.points[first + 1]
    pad = _NEAR * thin + 2
    rows = slice(max(0, int(min(v, t) - pad)), max(0, int(max(v, t) + pad) + 1))
    columns = slice(max(0, int(min(u, s) - pad)), max(0, int(max(u, s) + pad) + 1))
    window = near[rows, columns]
    y = (np.arange(window.shape[0], dtype=np.float32) + np.float32(rows.start + 0.5 - v))[:, None]
    x = (np.arange(window.shape[1], dtype=np.float32) + np.float32(columns.start + 0.5 - u))[None, :]
    squared = max((s - u) ** 2 + (t - v) ** 2, 1e-9)
    along = np.clip((x * np.float32(s - u) + y * np.float32(t - v)) / np.float32(squared), 0, 1)
    distance = np.hypot(x - along * np.float32(s - u), y - along * np.float32(t - v))
    reached = (line.times[first] + along * np.float32(line.times[first + 1] - line.times[first])) / np.float32(end)
    width = line.widths[first] + along * np.float32(line.widths[first + 1] - line.widths[first])
    beyond = distance - np.float32(thin / 2)
    born = np.where(beyond <= 0, reached, 1 + beyond / width).astype(np.float32)
    np.minimum(window, np.where(distance <= pad - 1, born, np.inf), out=window)


def _far(lines: list[CrackLine], size: tuple[int, int], thin: float) -> FloatMap:
    """When pixels away from the lines crack, from distances on a grid of 64 points, float32 (H, W)."""
    scale = min(1.0, 64 / max(size))
    grid = Grid(max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    y = ((grid.y + 1) / 2 * size[0]).astype(np.float32)
    x = ((grid.x + 1) / 2 * size[1]).astype(np.float32)
    born = np.full((grid.height, grid.width), np.inf, np.float32)
    for line in lines:
        for (u, v), width in zip(line.points, line.widths, strict=True):
            np.minimum(born, np.hypot(x - np.float32(u), y - np.float32(v)) / np.float32(width), out=born)
    # Later than every pixel near a line: distances are exact there, and would blur a thin line here.
    return smooth(born + np.float32(1 + _NEAR * thin / 0.15), size)
