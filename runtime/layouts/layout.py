"""Draws a layout, a mask of class ids: from damages in boxes, or all at random."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from wetgen.runtime.errors import WetgenError, suggestion
from wetgen.runtime.layouts.boxes import BoxDamage
from wetgen.runtime.layouts.fields import FloatMap
from wetgen.runtime.layouts.place import BRANCHES, spread
from wetgen.runtime.layouts.shapes import first_pixels, growth
from wetgen.runtime.layouts.surfaces import SurfaceLines, preference_map
from wetgen.runtime.masks.classes import TYPICAL, ClassStatistics, ClassTable, area_for
from wetgen.runtime.masks.images import Pixels
from wetgen.runtime.masks.regions import BoolMask, Box, Size

Statistics = Mapping[str, ClassStatistics]

FILL = (0.15, 0.5)  # share of its box that a patch covers at severities 0 and 1; a fuller one would show the corners
CORE = 0.25  # share of a damage, its first pixels, that later damages may not cover when little else stays visible
LEAST_SEEN = 0.1  # share of a damage that later damages leave visible
PULL = 0.3  # how strongly a patch grows towards places that its class prefers, in units of its radius
_LANE = 0x1A70  # counter word of Philox for layouts; starting noise and scenes count from 0
_CRACK_GROWTH = ((0.0, 0.5, 1.0), (0.35, 1.0, 3.5))  # severity to area, in lengths of the crack at its thinnest


def random_layout(
    seed: int,
    index: int,
    size: Size,
    names: Sequence[str],
    statistics: Statistics,
    table: ClassTable,
    severity: float | None = None,
    lines: SurfaceLines | None = None,
) -> Pixels:
    """A mask uint8 (H, W) that shows the named classes, each drawn to its statistics.

    The severity decides the area of a class; without one it is random. (seed, index) alone decides number, shape and
    place of its regions. So a greater severity of the same seed and index covers more pixels, including all pixels of
    the smaller one. Where surfaces are known, every class stays on those it occurs on, and covers less where they have
    too little room. Raises WetgenError for a class that occurs on none of them, and for one missing from the table.
    """
    canvas, boxes, known = MaskBuilder(size), list[Box](), lines or SurfaceLines()
    for number, name in enumerate(names):
        id, figures, ground = class_id(table, name), statistics.get(name), _Ground.of(name, size, known)
        rng = stream(seed, index, number)
        chance = float(rng.random())  # drawn even if it is not used, so that a severity moves nothing
        area = area_for(figures, chance if severity is None else severity) * size[0] * size[1]
        for region in spread(rng, size, name, figures, known, ground.free, boxes):
            boxes.append(region.box)
            share = min(1.0, area * region.share / region.box.area)
            canvas.paint(id, region.box, _grown(name, region.box, share, figures, region.key, ground))
    return canvas.ids


def draw_layout(
    rng: np.random.Generator,
    size: Size,
    damages: Sequence[BoxDamage],
    statistics: Statistics,
    table: ClassTable,
    lines: SurfaceLines | None = None,
) -> Pixels:
    """A mask uint8 (H, W) of damages in their boxes; later ones lie over earlier ones and never hide one completely.

    A patch covers a seventh of its box at severity 0, half of it at 1. A crack first grows in length, then in width.
    Damages without a severity get a random one. Where surfaces are known, a class stays on those it occurs on. With the
    same `rng` state, a greater severity covers more pixels, including all pixels of the smaller one. Boxes lie inside
    the picture. Raises WetgenError for a class missing from the table, and for a box on surfaces without its class.
    """
    canvas, known = MaskBuilder(size), lines or SurfaceLines()
    for damage in damages:
        chance, key = float(rng.random()), int(rng.integers(2**63))  # drawn even if not used
        severity, id = chance if damage.severity is None else damage.severity, class_id(table, damage.class_name)
        figures, ground = statistics.get(damage.class_name), _Ground.of(damage.class_name, size, known)
        if ground.room(damage.box) == 0:
            raise WetgenError(
                f"{damage.class_name} cannot be in the box at ({damage.box.left}, {damage.box.top}).",
                why=f"{damage.class_name} does not occur on the surface there.",
                fix="move the box, or correct the surface lines.",
            )
        share = fill(damage.class_name, damage.box, severity, figures, min(size))
        share *= ground.room(damage.box)
        canvas.paint(id, damage.box, _grown(damage.class_name, damage.box, share, figures, key, ground))
    return canvas.ids


def fill(name: str, box: Box, severity: float, statistics: ClassStatistics | None, side: int) -> float:
    """The share of its box that a damage covers at a severity, 0 to 1; `side` is the picture's shorter side."""
    if name != "crack":
        return FILL[0] + (FILL[1] - FILL[0]) * severity
    thin = (TYPICAL if statistics is None else statistics).thickness[1] * side
    thin = max(1.0, min(thin, 0.1 * max(box.size)))  # a crack stays thin, whatever was measured
    lengths = float(np.interp(severity, *_CRACK_GROWTH))
    return min(1.0, lengths * BRANCHES * max(box.size) * thin / box.area)


def stream(seed: int, index: int, number: int = 0) -> np.random.Generator:
    """The random numbers of one damage of one layout: Philox keyed by (seed, index)."""
    key, counter = np.array([seed, index], np.uint64), np.array([0, number, _LANE, 0], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def class_id(table: ClassTable, name: str) -> int:
    """The id of a damage class; raises WetgenError for a name missing from the table."""
    if name not in table.names[1:]:
        raise WetgenError(
            f"There is no class '{name}'.",
            why=f"the class table has {', '.join(table.names[1:])}.",
            fix=suggestion(name, table.names[1:]),
        )
    return table.names.index(name)


class MaskBuilder:
    """A mask to which damages are added one after another; it knows which pixels of each are still visible."""

    def __init__(self, size: Size) -> None:
        self.ids: Pixels = np.zeros(size, np.uint8)
        self._owners = np.zeros(size, np.int32)  # the damage that is visible at a pixel, counted from 1; 0 is none
        self._cores: list[tuple[Box, BoolMask]] = []
        self._areas: list[int] = [0]

    def paint(self, class_id: int, box: Box, grown: tuple[BoolMask, BoolMask]) -> None:
        """Add a shape and its core, bool (h, w) of the box, on top; the core of what it would hide stays visible.

        The core is the part where a damage begins. If it is hidden already, all pixels that are visible stay.
        """
        shape, core = grown
        visible = np.bincount(self._owners.ravel(), minlength=len(self._areas))
        hidden = np.bincount(self._owners[box.slices][shape], minlength=len(self._areas))
        for number in range(1, len(self._areas)):
            if hidden[number] and visible[number] - hidden[number] < max(1, LEAST_SEEN * self._areas[number]):
                shape = shape & ~self._kept(number)[box.slices]
        self._areas.append(int(np.count_nonzero(shape)))
        self._cores.append((box, core))
        self._owners[box.slices][shape] = len(self._cores)
        self.ids[box.slices][shape] = class_id

    def _kept(self, number: int) -> BoolMask:
        """The visible pixels of a damage that may not be hidden, bool (H, W)."""
        box, core = self._cores[number - 1]
        visible: BoolMask = self._owners == number
        kept = np.zeros_like(visible)
        kept[box.slices] = core & visible[box.slices]
        return kept if kept.any() else visible


class _Ground(NamedTuple):
    """The picture for one class: its size, where the class may be, and how much it avoids each pixel (None: not)."""

    size: Size
    free: BoolMask | None = None
    pull: FloatMap | None = None

    @classmethod
    def of(cls, name: str, size: Size, lines: SurfaceLines) -> "_Ground":
        """The picture with these surfaces; raises WetgenError where the class occurs on none of them."""
        if not lines.known:
            return cls(size)
        preference = preference_map(name, size, lines)
        return cls(size, preference > 0, PULL * np.log(np.maximum(preference / preference.max(), 1e-3)))

    def room(self, box: Box) -> float:
        """The share of a box where the class may be."""
        return 1.0 if self.free is None else float(self.free[box.slices].mean())


def _grown(
    name: str, box: Box, share: float, statistics: ClassStatistics | None, key: int, ground: _Ground
) -> tuple[BoolMask, BoolMask]:
    """A shape that covers a share of its box, and its core, both bool (h, w)."""
    pull = None if ground.pull is None else ground.pull[box.slices]
    within = None if ground.free is None else ground.free[box.slices]
    order = growth(name, box.size, statistics, stream(key, 0), side=min(ground.size), pull=pull)
    count = max(1, round(share * box.area))
    return first_pixels(order, count, within), first_pixels(order, max(1, round(CORE * count)), within)
