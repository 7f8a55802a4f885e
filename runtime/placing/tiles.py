"""Lifted tiles and boards: adjoining rectangles that come up one after another."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.placing.fields import Field

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
