"""Random shapes of damage: what a stain, a crack, a puddle looks like as an outline.

A shape is the first so many pixels of a growth field (`forms.py`, `cracks.py`, `tiles.py`), so with the same random
numbers a smaller area is a part of a larger one.
"""

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.placing.cracks import crack_order
from wetgen.runtime.placing.fields import Field, Grid, smooth
from wetgen.runtime.placing.forms import order_of
from wetgen.runtime.placing.statistics import ClassStatistics
from wetgen.runtime.placing.tiles import lifted_order

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
