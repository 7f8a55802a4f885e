"""Layouts: masks of class ids drawn from damages in boxes, or all at random."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from wetgen.runtime.errors import WetgenError, suggestion
from wetgen.runtime.layouts.boxes import BoxDamage
from wetgen.runtime.layouts.fields import Field
from wetgen.runtime.layouts.place import BRANCHES, PlacedDamage, spread
from wetgen.runtime.layouts.shapes import Where, first_pixels, growth
from wetgen.runtime.layouts.surfaces import Lines, preference_map
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.masks.images import Pixels
from wetgen.runtime.masks.regions import Box, Size
from wetgen.runtime.masks.statistics import TYPICAL, ClassStatistics, area_for, check_severity

Statistics = Mapping[str, ClassStatistics]
Damage = PlacedDamage | BoxDamage

FILL = (0.15, 0.5)  # the share of its box that a patch covers at severities 0 and 1: fuller ones get the box's corners
HEART = 0.25  # of a damage, its first pixels: kept in sight where another would hide more than LEAST_SEEN leaves
LEAST_SEEN = 0.1
PULL = 0.3  # how strongly a patch grows towards where its class is readily found, in units of its radius
_LANE = 0x1A70  # Philox's counter word of layouts; starting noise and scenes count from 0
_CRACK_GROWTH = ((0.0, 0.5, 1.0), (0.35, 1.0, 3.5))  # severity to area, in whole lengths as thin as the class is


def random_layout(
    seed: int,
    index: int,
    size: Size,
    names: Sequence[str],
    statistics: Statistics,
    table: ClassTable,
    severity: float | None = None,
    lines: Lines | None = None,
) -> Pixels:
    """A mask uint8 (H, W) that shows the classes of these names, each as its statistics have it.

    The area of a class follows from the severity, its own at random without one; number, form and place of its regions
    from (seed, index) alone. So a greater severity of the same seed and index covers more pixels, the former ones
    among them. Where surfaces are known every class keeps to those it is found on, and covers less where there is not
    room enough. Raises WetgenError for a class that is found on none of them, and for one that the table lacks.
    """
    known = Lines() if lines is None else lines
    canvas, boxes = Canvas(size), list[Box]()
    for number, name in enumerate(names):
        id, figures, ground = class_id(table, name), statistics.get(name), _Ground.of(name, size, known)
        rng = stream(seed, index, number)
        chance = float(rng.random())  # drawn whether it is used or not: a severity moves nothing
        area = area_for(figures, chance if severity is None else severity) * size[0] * size[1]
        for region in spread(rng, size, name, figures, known, ground.free, boxes):
            boxes.append(region.box)
            share = min(1.0, area * region.share / region.box.area)
            canvas.paint(id, region.box, _grown(name, region.box, share, figures, region.key, ground))
    return canvas.ids


def draw_layout(
    rng: np.random.Generator,
    size: Size,
    damages: Sequence[Damage],
    statistics: Statistics,
    table: ClassTable,
    lines: Lines | None = None,
) -> Pixels:
    """A mask uint8 (H, W) of damages in their boxes; later ones lie over earlier ones and never hide one wholly.

    At severity 0 a patch covers a seventh of its box, at 1 half of it; a crack is a part of its length, then all of
    it, then wider. Damages without severity get one at random. Where surfaces are known a class keeps to those it is
    found on. Greater severities from the same `rng` state cover more pixels, the former ones among them. Raises
    WetgenError for a class that the table lacks, for a box that is not inside the picture, and for one that lies
    nowhere on a surface where its class is found.
    """
    known = Lines() if lines is None else lines
    canvas = Canvas(size)
    for damage in damages:
        chance, key = float(rng.random()), int(rng.integers(2**63))  # drawn whether used or not: nothing else moves
        severity, id = chance if damage.severity is None else damage.severity, class_id(table, damage.class_name)
        figures, ground = statistics.get(damage.class_name), _Ground.of(damage.class_name, size, known)
        _check_box(damage, ground)
        share = fill(damage.class_name, damage.box, severity, figures, min(size))
        share *= ground.room(damage.box)
        canvas.paint(id, damage.box, _grown(damage.class_name, damage.box, share, figures, key, ground))
    return canvas.ids


def with_severities(rng: np.random.Generator, damages: Sequence[Damage]) -> list[Damage]:
    """The damages, each with a severity; those without get one at random. A stated one moves no other."""
    chances = rng.random(len(damages))
    return [
        replace(damage, severity=float(chance)) if damage.severity is None else damage
        for damage, chance in zip(damages, chances, strict=True)
    ]


def fill(name: str, box: Box, severity: float, statistics: ClassStatistics | None, side: int) -> float:
    """The share of its box that a damage covers at a severity, 0 to 1; `side` is the picture's shorter side."""
    check_severity(severity)
    if name != "crack":
        return FILL[0] + (FILL[1] - FILL[0]) * severity
    thin = (TYPICAL if statistics is None else statistics).thickness[1] * side
    thin = max(1.0, min(thin, 0.1 * max(box.size)))  # no crack is a patch, whatever was measured
    lengths = float(np.interp(severity, *_CRACK_GROWTH))
    return min(1.0, lengths * BRANCHES * max(box.size) * thin / box.area)


def stream(seed: int, index: int, number: int = 0) -> np.random.Generator:
    """The random numbers of one damage of one layout: Philox keyed by (seed, index), in a lane of its own."""
    key, counter = np.array([seed, index], np.uint64), np.array([0, number, _LANE, 0], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def class_id(table: ClassTable, name: str) -> int:
    """The id of a damage class; raises WetgenError for a name that the table lacks."""
    if name not in table.names[1:]:
        raise WetgenError(
            f"There is no class '{name}'.",
            why=f"the class table has {', '.join(table.names[1:])}.",
            fix=suggestion(name, table.names[1:]),
        )
    return table.names.index(name)


class Canvas:
    """A mask under way, which remembers what of each damage is still in sight."""

    def __init__(self, size: Size) -> None:
        self.ids: Pixels = np.zeros(size, np.uint8)
        self._owners = np.zeros(size, np.int32)  # which damage shows at a pixel, counted from 1; 0 is none
        self._hearts: list[tuple[Box, Where]] = []
        self._areas: list[int] = [0]

    def paint(self, class_id: int, box: Box, grown: tuple[Where, Where]) -> None:
        """Lay a shape and its heart, bool (h, w) of the box, over what is there; the hearts of what would vanish stay.

        A heart is the part of a damage that is there from the first; one that is hidden already gives way to all that
        is left in sight.
        """
        shape, heart = grown
        seen = np.bincount(self._owners.ravel(), minlength=len(self._areas))
        hidden = np.bincount(self._owners[box.slices][shape], minlength=len(self._areas))
        for number in range(1, len(self._areas)):
            if hidden[number] and seen[number] - hidden[number] < max(1, LEAST_SEEN * self._areas[number]):
                shape = shape & ~self._kept(number)[box.slices]
        self._areas.append(int(np.count_nonzero(shape)))
        self._hearts.append((box, heart))
        self._owners[box.slices][shape] = len(self._hearts)
        self.ids[box.slices][shape] = class_id

    def _kept(self, number: int) -> Where:
        """What of a damage in sight may not be hidden, bool (H, W)."""
        box, heart = self._hearts[number - 1]
        in_sight: Where = self._owners == number
        kept = np.zeros_like(in_sight)
        kept[box.slices] = heart & in_sight[box.slices]
        return kept if kept.any() else in_sight


class _Ground(NamedTuple):
    """A picture as one class sees it: its size, where the class may be, where it would rather not (None: all alike)."""

    size: Size
    free: Where | None = None
    pull: Field | None = None

    @classmethod
    def of(cls, name: str, size: Size, lines: Lines) -> "_Ground":
        """The picture of known surfaces; raises WetgenError where the class is found nowhere."""
        if not lines.known:
            return cls(size)
        liked = preference_map(name, size, lines)
        return cls(size, liked > 0, PULL * np.log(np.maximum(liked / liked.max(), 1e-3)))

    def room(self, box: Box) -> float:
        """The share of a box where the class may be."""
        return 1.0 if self.free is None else float(self.free[box.slices].mean())


def _grown(
    name: str, box: Box, share: float, statistics: ClassStatistics | None, key: int, ground: _Ground
) -> tuple[Where, Where]:
    """A shape that covers a share of its box, and its heart, bool (h, w) both."""
    pull = None if ground.pull is None else ground.pull[box.slices]
    within = None if ground.free is None else ground.free[box.slices]
    order = growth(name, box.size, statistics, stream(key, 0), side=min(ground.size), pull=pull)
    count = max(1, round(share * box.area))
    return first_pixels(order, count, within), first_pixels(order, max(1, round(HEART * count)), within)


def _check_box(damage: Damage, ground: _Ground) -> None:
    box, size = damage.box, ground.size
    corners = f"from ({box.left}, {box.top}) to ({box.right}, {box.bottom})"
    if not box.inside(size):
        raise WetgenError(
            f"The box of {damage.class_name} {corners} is not inside the picture.",
            why=f"the picture has {size[1]} x {size[0]} pixels.",
            fix="move it, make it smaller, or clip it.",
        )
    if ground.room(box) == 0:
        raise WetgenError(
            f"{damage.class_name} cannot be in the box {corners}.",
            why=f"no surface there is one that {damage.class_name} is found on.",
            fix="move the box, or correct the surface lines.",
        )
