"""Places damages in random boxes: on the surfaces where a class occurs, within its range of sizes and overlaps.

`spread` chooses the regions of one class in a picture: how many there are, how large they get and where they lie.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.layouts.surfaces import ANYWHERE, RULES, SurfaceLines, allowed_map, preference_map
from wetgen.runtime.masks.classes import TYPICAL, ClassStatistics, Quantiles, area_for
from wetgen.runtime.masks.regions import BoolMask, Box, Size

TRIES = 200
SMALLEST = 5  # pixels: a shape leaves two free on either side
ON_SURFACE = 0.6  # share of a box that must lie on surfaces where its class occurs
_GRID = 96  # points of the grid of preferences, along the picture's longer side


@dataclass(frozen=True)
class Placement:
    """A damage to place; ranges are least and greatest."""

    class_name: str
    size: tuple[float, float]  # share of the picture's area
    aspect: tuple[float, float] = (0.6, 1.7)  # width to height
    overlap: float = 0.0  # greatest intersection over union with other damages, whose own limit holds as well
    heights: Quantiles | None = None  # how far down its middle lies (0 to 1), used where no surface is known


class TakenBox(NamedTuple):
    """The box of a damage that is placed already, and its limit for overlaps."""

    box: Box
    overlap: float = 0.0


def place(
    rng: np.random.Generator, size: Size, placement: Placement, lines: SurfaceLines, taken: Sequence[TakenBox]
) -> Box:
    """A random box for a damage in a picture of `size` (H, W), where its class prefers to be, beside the `taken` ones.

    Raises WetgenError if no box is found, or if the class does not occur on the picture's surfaces.
    """
    rng.random()  # not used; without it a seed would give other boxes than in earlier versions
    ground = _PreferenceGrid(placement, size, lines)
    for _ in range(TRIES):
        height, width = _sides(rng, size, placement)
        box = ground.box(rng, height, width)
        crowded = any(box.iou(other.box) > min(placement.overlap, other.overlap) for other in taken)
        if not crowded and ground.on_surface(box) >= ON_SURFACE:
            return box
    raise WetgenError(
        f"There is no place for {placement.class_name} of that size.",
        why=f"{TRIES} tries in a picture of {size[1]} x {size[0]} with {len(taken)} other damages all left its "
        "surface or overlapped too much.",
        fix="make it smaller, ask for fewer, or allow more overlap.",
    )


def _sides(rng: np.random.Generator, size: Size, placement: Placement) -> tuple[int, int]:
    """A random height and width in pixels, no larger than the picture; small ones are as likely as large ones."""
    share = math.exp(rng.uniform(math.log(placement.size[0]), math.log(placement.size[1])))
    aspect = math.exp(rng.uniform(math.log(placement.aspect[0]), math.log(placement.aspect[1])))
    area = share * size[0] * size[1]
    width = min(float(size[1]), math.sqrt(area * aspect))
    height = min(float(size[0]), area / width)
    width = min(float(size[1]), area / height)  # what was cut off at one edge is added to the other side
    return max(min(SMALLEST, size[0]), round(height)), max(min(SMALLEST, size[1]), round(width))


class _PreferenceGrid:
    """How much a class prefers each place of a picture, on a coarse grid."""

    def __init__(self, placement: Placement, size: Size, lines: SurfaceLines) -> None:
        scale = min(1.0, _GRID / max(size))
        self.grid = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
        self.size, self.source = size, RULES.get(placement.class_name, ANYWHERE).source if lines.known else 0.5
        weights = preference_map(placement.class_name, self.grid, lines).astype(np.float64)
        if placement.heights is not None and not lines.known:
            # Weights around the median height; the quartiles decide how wide.
            y, (_, low, middle, high, _) = (np.arange(self.grid[0]) + 0.5) / self.grid[0], placement.heights
            weights *= np.exp(-0.5 * ((y - middle) / (0.75 * max(high - low, 0.1))) ** 2)[:, None]
        self._ends = np.cumsum(weights)
        # Sums over all rectangles from the upper left corner (rows + 1, columns + 1): four of them give any box.
        self._sums = np.zeros((self.grid[0] + 1, self.grid[1] + 1))
        self._sums[1:, 1:] = allowed_map(placement.class_name, self.grid, lines).cumsum(0).cumsum(1)

    def box(self, rng: np.random.Generator, height: int, width: int) -> Box:
        """A box at a random point, chosen by preference; it is moved if it would leave the picture."""
        cell = int(np.searchsorted(self._ends, rng.random() * self._ends[-1], side="right"))
        row, column = divmod(min(cell, self.grid[0] * self.grid[1] - 1), self.grid[1])
        y, x = (row + rng.random()) / self.grid[0], (column + rng.random()) / self.grid[1]
        top = round(y * self.size[0] - self.source * height)
        left = round(x * self.size[1] - width / 2)
        left, top = min(max(0, left), self.size[1] - width), min(max(0, top), self.size[0] - height)
        return Box(left, top, width, height)

    def on_surface(self, box: Box) -> float:
        """The share of a box that lies on surfaces where the class occurs."""
        top, bottom = _span(box.top, box.bottom, self.size[0], self.grid[0])
        left, right = _span(box.left, box.right, self.size[1], self.grid[1])
        s = self._sums
        inside = s[bottom, right] - s[top, right] - s[bottom, left] + s[top, left]
        return float(inside) / ((bottom - top) * (right - left))


def _span(first: int, last: int, whole: int, cells: int) -> tuple[int, int]:
    """The grid's cells that pixels first to last touch, at least one."""
    start = min(first * cells // whole, cells - 1)
    return start, max(start + 1, -(-last * cells // whole))


ROOMY = 0.42  # share of its box that a region covers at severity 1, so that it ends before the box does
BRANCHES = 1.6  # length of all lines of a crack, roughly, in longer sides of its box
MOST_REGIONS = 4
ON_STRIP = 0.6  # largest share of its surfaces that a class covers, whatever its statistics ask for
_ASPECTS = (0.3, 3.3)  # width to height: a narrower box leaves its shape no room
_SHRINKS = (1.0, 0.6, 0.35, 0.2)  # of the area, tried in turn where a larger box finds no place


class ClassRegion(NamedTuple):
    """One region of a class: its box, its share of the area of its class, and the key of its random numbers."""

    box: Box
    share: float
    key: int


def spread(
    rng: np.random.Generator,
    size: Size,
    name: str,
    statistics: ClassStatistics | None,
    lines: SurfaceLines,
    free: BoolMask | None,
    others: Sequence[Box],
) -> list[ClassRegion]:
    """The regions of a class in a picture of `size` (H, W), the largest first; they do not depend on a severity.

    `free` bool (H, W) is where the class may be (None: everywhere); where that is little, all regions are smaller.
    Regions overlap each other and `others` only where there is no other place.
    """
    figures = TYPICAL if statistics is None else statistics
    room = 1.0 if free is None else float(free.mean())
    fits = min(1.0, ON_STRIP * room / area_for(figures, 1.0))
    taken = [TakenBox(box, 1.0) for box in others]
    regions = []
    for weight in _weights(rng, figures):
        box, shrunk = _fitting_box(rng, size, _placement(rng, size, name, figures, fits * weight), lines, taken)
        if box is None:  # on a strip too narrow for any box, the box is the whole strip
            box = Box(0, 0, size[1], size[0]) if free is None else Box.around(free)
        taken.append(TakenBox(box, 1.0))  # the limit of the next region decides
        regions.append(ClassRegion(box, fits * weight * shrunk, int(rng.integers(2**63))))
    return regions


def _fitting_box(
    rng: np.random.Generator, size: Size, placement: Placement, lines: SurfaceLines, taken: Sequence[TakenBox]
) -> tuple[Box | None, float]:
    """A box and how much smaller it had to become: beside the others, or else over them, or else smaller."""
    for shrunk in _SHRINKS:
        for overlap in (0.0, 1.0):
            smaller = replace(placement, size=(placement.size[0] * shrunk,) * 2, overlap=overlap)
            with suppress(WetgenError):
                return place(rng, size, smaller, lines, taken), shrunk
    return None, 1.0


def _weights(rng: np.random.Generator, figures: ClassStatistics) -> list[float]:
    """The share of each region in the area of its class, the largest first."""
    count = int(np.clip(round(figures.drawn("regions", rng)), 1, MOST_REGIONS))
    sizes = np.sort(0.55 ** np.arange(count) * rng.uniform(0.7, 1.3, count))[::-1]
    return [float(part) for part in sizes / sizes.sum()]


def _placement(rng: np.random.Generator, size: Size, name: str, figures: ClassStatistics, weight: float) -> Placement:
    """The placement of a region: room for its greatest extent, in the proportions of its class."""
    elongation = min(figures.drawn("elongation", rng), 6.0)
    angle = math.radians(figures.drawn("orientation", rng))
    across = math.hypot(elongation * math.cos(angle), math.sin(angle))
    down = math.hypot(elongation * math.sin(angle), math.cos(angle))
    aspect = float(np.clip(across / down, *_ASPECTS))
    chance = rng.uniform(0.8, 1.3)
    pixels = size[0] * size[1]
    if name == "crack":
        # At severity 0.5 a crack has its full length, at the thickness of its class.
        length = figures.area[2] * pixels / max(figures.thickness[1] * min(size), 1.0)
        longer = min(0.94 * min(size), weight**0.5 * chance * length / BRANCHES)
        share = longer**2 / max(aspect, 1 / aspect) / pixels
    else:
        # A leaning ellipse fills less of the box around it than one that lies or stands.
        share = weight * area_for(figures, 1.0) / ROOMY * math.sqrt(across * down / elongation)
    share = float(np.clip(share, 0.0008, 0.94))
    return Placement(name, (share, share), (aspect, aspect), heights=figures.height)
