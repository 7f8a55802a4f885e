"""How a class spreads over a picture: how many regions it has, how large they get and where they lie."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from wetgen.runtime.placing.boxes import Box, Size
from wetgen.runtime.placing.place import Placed, Wish, place
from wetgen.runtime.placing.severity import area_for
from wetgen.runtime.placing.shapes import Where
from wetgen.runtime.placing.statistics import TYPICAL, ClassStatistics
from wetgen.runtime.placing.surfaces import Lines

ROOMY = 0.42  # the share of its box that a region covers at the worst, so that it ends before the box does
BRANCHES = 1.6  # times the longer side of a crack's box: about the length of all its lines
MOST_REGIONS = 4
ON_STRIP = 0.6  # the most of a surface that a class covers where its statistics ask for more
_ASPECTS = (0.3, 3.3)  # width to height: a box more narrow leaves its shape no room
_SHRINKS = (1.0, 0.6, 0.35, 0.2)  # of the area, where there is no place for all of it


class Region(NamedTuple):
    """One region of a class: its box, its area as a share of its class's, and the key of its random numbers."""

    box: Box
    share: float
    key: int


def spread(
    rng: np.random.Generator,
    size: Size,
    name: str,
    statistics: ClassStatistics | None,
    lines: Lines,
    free: Where | None,
    others: Sequence[Box],
) -> list[Region]:
    """The regions of a class in a picture of `size` (H, W), which depend on no severity; the largest comes first.

    `free` bool (H, W) is where the class may be (None: everywhere); where that is little, everything is smaller. No
    region lies over another or over `others` where that is possible.
    """
    figures = TYPICAL if statistics is None else statistics
    room = 1.0 if free is None else float(free.mean())
    fits = min(1.0, ON_STRIP * room / area_for(figures, 1.0))
    taken = [Placed(name, box, 0.0, "any") for box in others]
    regions = []
    for weight in _weights(rng, figures):
        wish = _wish(rng, size, name, figures, fits * weight)
        found = _placed(rng, size, wish, lines, taken)
        # On a strip too narrow for any box its shape is given all of it.
        placed, shrunk = (Placed(name, _around(free, size), 0.0), 1.0) if found is None else found
        taken.append(replace(placed, overlap="any"))  # the next one's rule says whether it may lie over this
        regions.append(Region(placed.box, fits * weight * shrunk, int(rng.integers(2**63))))
    return regions


def _placed(
    rng: np.random.Generator, size: Size, wish: Wish, lines: Lines, taken: Sequence[Placed]
) -> tuple[Placed, float] | None:
    """A box for the wish and how much smaller it had to become: beside the others, else over them, else smaller."""
    for shrunk in _SHRINKS:
        for overlap in ("never", "any"):
            smaller = replace(wish, size=(wish.size[0] * shrunk,) * 2, overlap=overlap)
            for placed in place(rng, size, [smaller], lines, taken=taken, dropped=_silent):
                return placed, shrunk
    return None


def _silent(wish: Wish, why: str) -> None:
    """What found no place is tried again: nobody need hear of it."""


def _around(free: Where | None, size: Size) -> Box:
    """The smallest box around where a class may be."""
    if free is None:
        return Box(0, 0, size[1], size[0])
    rows, columns = np.flatnonzero(free.any(axis=1)), np.flatnonzero(free.any(axis=0))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1)


def _weights(rng: np.random.Generator, figures: ClassStatistics) -> list[float]:
    """The shares of a class's regions of its area, the largest first."""
    count = int(np.clip(round(figures.drawn("regions", rng)), 1, MOST_REGIONS))
    sizes = np.sort(0.55 ** np.arange(count) * rng.uniform(0.7, 1.3, count))[::-1]
    return [float(part) for part in sizes / sizes.sum()]


def _wish(rng: np.random.Generator, size: Size, name: str, figures: ClassStatistics, weight: float) -> Wish:
    """A box with room for a region at its worst, of the proportions that its class has."""
    elongation = min(figures.drawn("elongation", rng), 6.0)
    angle = math.radians(figures.drawn("orientation", rng))
    across = math.hypot(elongation * math.cos(angle), math.sin(angle))
    down = math.hypot(elongation * math.sin(angle), math.cos(angle))
    aspect = float(np.clip(across / down, *_ASPECTS))
    chance = rng.uniform(0.8, 1.3)
    pixels = size[0] * size[1]
    if name == "crack":
        # At middling severity all of its length is there, as thin as the class is.
        length = figures.area[2] * pixels / max(figures.thickness[1] * min(size), 1.0)
        longer = min(0.94 * min(size), weight**0.5 * chance * length / BRANCHES)
        share = longer**2 / max(aspect, 1 / aspect) / pixels
    else:
        # A leaning ellipse fills less of the box around it than one that lies or stands.
        share = weight * area_for(figures, 1.0) / ROOMY * math.sqrt(across * down / elongation)
    share = float(np.clip(share, 0.0008, 0.94))
    return Wish(name, (share, share), (aspect, aspect), 0.0, heights=figures.height)
