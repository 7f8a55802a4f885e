"""Ceiling, wall and floor of a picture, and where on them each class occurs.

A puddle lies on the floor, a stain runs down the wall, mold grows in corners. If nothing is known about a picture's
surfaces, every class may be anywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.errors import WetgenError, suggestion
from wetgen.runtime.layouts.fields import FloatMap

CEILING, WALL, FLOOR, UNKNOWN = range(4)
SURFACES = ("ceiling", "wall", "floor", "unknown")  # by their values in a surface map

Edge = tuple[float, float]  # the two ends of a line, as shares of the picture
_LOOKS = 64  # rows and columns of the map to check where no size is known
_LINES = ("ceiling", "floor", "corner")


@dataclass(frozen=True)
class SurfaceLines:
    """The lines where a picture's surfaces meet. Raises WetgenError for lines that cross or leave the picture.

    Without lines the whole picture is `surface`.
    """

    ceiling: Edge | None = None  # between ceiling and wall: share of the height at the left and the right edge
    floor: Edge | None = None  # between wall and floor, likewise
    corner: Edge | None = None  # between two walls: share of the width at the top and the bottom edge
    surface: str = "unknown"

    def __post_init__(self) -> None:
        for name in _LINES:
            ends: Edge | None = getattr(self, name)
            if ends is not None and not all(0 <= end <= 1 for end in ends):
                why = "the ends of a line are shares of the picture, from 0 to 1"
                raise _unusable(f"{name}={ends[0]:g}:{ends[1]:g}", why)
        part = f"surface={self.surface}"
        if self.surface not in SURFACES:
            raise _unusable(part, f"surfaces are {', '.join(SURFACES)}", suggestion(self.surface, SURFACES))
        if self.surface != "unknown" and self.drawn:
            why = "with lines the picture has more than one surface"
            raise _unusable(part, why, "give lines or a surface, not both.")
        above = zip(self.ceiling or (), self.floor or (), strict=False)
        if not all(ceiling < floor for ceiling, floor in above):
            raise _unusable("ceiling and floor", "the ceiling's line must lie above the floor's at both edges")

    @property
    def drawn(self) -> bool:
        """Whether any line is given."""
        return any(getattr(self, name) is not None for name in _LINES)

    @property
    def known(self) -> bool:
        """Whether the surfaces are known."""
        return self.drawn or self.surface != "unknown"


def parse_lines(text: str | None) -> SurfaceLines:
    """Parses "ceiling=0.2,floor=0.75:0.8", "corner=0.3" or "surface=wall"; None means that no surface is known.

    One number is a level (or upright) line, two are its ends. Raises WetgenError for anything else.
    """
    given: dict[str, Any] = {}
    for part in text.split(",") if text is not None else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name not in (*_LINES, "surface") or not equals:
            near = suggestion(name, (*_LINES, "surface"))
            raise _unusable(part.strip(), f"the names are {', '.join(_LINES)} and surface", near)
        if name in given:
            raise _unusable(part.strip(), f"{name} is given twice", "leave one out.")
        given[name] = value if name == "surface" else _edge(part.strip(), value)
    return SurfaceLines(**given)


def surface_map(size: tuple[int, int], lines: SurfaceLines) -> NDArray[np.uint8]:
    """uint8 (H, W): CEILING, WALL or FLOOR at every pixel, or UNKNOWN where nothing is known of the picture."""
    if not lines.drawn:
        return np.full(size, SURFACES.index(lines.surface), np.uint8)
    ground = _ground(size, lines)
    return np.where(ground.below_ceiling < 0, CEILING, np.where(ground.above_floor < 0, FLOOR, WALL)).astype(np.uint8)


def preference_map(name: str, size: tuple[int, int], lines: SurfaceLines) -> FloatMap:
    """float32 (H, W): how much a class prefers to start at each pixel, 0 where it never occurs.

    Raises WetgenError if it occurs nowhere in such a picture.
    """
    rule = RULES.get(name, ANYWHERE)
    surfaces = surface_map(size, lines)
    if not lines.known:
        return np.ones(size, np.float32)
    found = np.where(rule.found_on(surfaces), rule.prefer(surfaces, _ground(size, lines)), 0)
    if not found.any():
        seen = [SURFACES[value] for value in np.unique(surfaces)]
        raise WetgenError(
            f"{name} cannot be on this {' and '.join(seen)}.",
            why=f"{name} occurs on the {' or '.join(SURFACES[value] for value in (*rule.surfaces, *rule.else_on))}.",
            fix="choose another class, correct the surface lines, or leave the surface unknown.",
        )
    return found.astype(np.float32)


def possible(name: str, lines: SurfaceLines) -> bool:
    """Whether a class can occur at all in a picture with these surfaces."""
    return bool(allowed_map(name, (_LOOKS, _LOOKS), lines).any())


def allowed_map(name: str, size: tuple[int, int], lines: SurfaceLines) -> NDArray[np.bool_]:
    """bool (H, W): the pixels where a class may be."""
    return RULES.get(name, ANYWHERE).found_on(surface_map(size, lines))


class _Ground(NamedTuple):
    """Distances from the lines as shares of the picture, (H, W). Lines that are not given lie at the picture's edge."""

    y: FloatMap  # down the picture, 0 to 1
    below_ceiling: FloatMap  # negative on the ceiling
    above_floor: FloatMap  # negative on the floor
    from_corner: FloatMap  # of two walls; 1 where there is none


class Rule(NamedTuple):
    """The surfaces a class occurs on, where on them, and how far down its box it starts."""

    surfaces: tuple[int, ...]
    prefer: Callable[[NDArray[np.uint8], _Ground], FloatMap]
    source: float = 0.5
    else_on: tuple[int, ...] = ()  # the surfaces instead, if none of `surfaces` is in the picture

    def found_on(self, surfaces: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """bool (H, W): the pixels of a surface map on which the class may be."""
        first = np.isin(surfaces, (*self.surfaces, UNKNOWN))
        return first if first.any() else np.isin(surfaces, self.else_on)


def _ground(size: tuple[int, int], lines: SurfaceLines) -> _Ground:
    x = ((np.arange(size[1]) + 0.5) / size[1])[None, :]
    y = np.broadcast_to(((np.arange(size[0]) + 0.5) / size[0])[:, None], size)
    ceiling, floor, corner = lines.ceiling, lines.floor, lines.corner
    top = np.zeros_like(x) if ceiling is None else ceiling[0] + (ceiling[1] - ceiling[0]) * x
    foot = np.ones_like(x) if floor is None else floor[0] + (floor[1] - floor[0]) * x
    aside = np.ones(size) if corner is None else np.abs(x - (corner[0] + (corner[1] - corner[0]) * y))
    return _Ground(*(part.astype(np.float32) for part in (y, y - top, foot - y, aside)))


def _near(distance: FloatMap, reach: float) -> FloatMap:
    """1 at a line, a third at the distance `reach` on either side."""
    return np.exp(-np.abs(distance) / np.float32(reach))


def _anywhere(surfaces: NDArray[np.uint8], ground: _Ground) -> FloatMap:
    return np.ones(surfaces.shape, np.float32)


def _from_above(surfaces: NDArray[np.uint8], ground: _Ground) -> FloatMap:
    """A leak comes through the ceiling or in below it."""
    return np.where(surfaces == CEILING, np.float32(0.6), _near(ground.below_ceiling, 0.25))


def _in_corners(surfaces: NDArray[np.uint8], ground: _Ground) -> FloatMap:
    """Mold grows where air does not move and walls are cold."""
    lines = np.maximum(_near(ground.below_ceiling, 0.1), _near(ground.above_floor, 0.1))
    return np.float32(0.08) + np.maximum(lines, _near(ground.from_corner, 0.08))


def _from_below(surfaces: NDArray[np.uint8], ground: _Ground) -> FloatMap:
    """Damp rises in the wall from the floor; less often it comes from above."""
    wall = np.maximum(_near(ground.above_floor, 0.2), np.float32(0.35) * _near(ground.below_ceiling, 0.2))
    return np.where(surfaces == CEILING, np.float32(0.2), np.float32(0.05) + wall)


def _lowest(surfaces: NDArray[np.uint8], ground: _Ground) -> FloatMap:
    """Water gathers at the floor's near edge, which is its lowest in the picture."""
    depth = np.where(surfaces == FLOOR, ground.y, 0)
    least = np.min(ground.y[surfaces == FLOOR], initial=1)
    return np.where(surfaces == FLOOR, np.float32(0.02) + ((depth - least) / max(1 - least, 1e-3)) ** 2, 0)


ANYWHERE = Rule((CEILING, WALL, FLOOR), _anywhere)
RULES = {
    "crack": ANYWHERE,
    "stain": Rule((CEILING, WALL), _from_above, source=0.35),
    "mold": Rule((CEILING, WALL, FLOOR), _in_corners),
    "peeling": Rule((CEILING, WALL), _from_below),
    "puddle": Rule((FLOOR,), _lowest),
    "lifted": Rule((FLOOR,), _anywhere, else_on=(WALL,)),
    "spalling": ANYWHERE,
    "efflorescence": Rule((CEILING, WALL), _from_below),
    "corrosion": Rule((CEILING, WALL, FLOOR), _anywhere, source=0.2),
}


def _edge(part: str, value: str) -> Edge:
    try:
        ends = tuple(float(end) for end in value.split(":"))
    except ValueError:
        ends = ()
    if len(ends) not in (1, 2):
        raise _unusable(part, "a line is one share of the picture, or two shares with a colon between them")
    return ends[0], ends[-1]


def _unusable(part: str, why: str, fix: str = "write, for example, ceiling=0.2,floor=0.75:0.8") -> WetgenError:
    return WetgenError(f"The surface lines cannot be used: {part}.", why=f"{why}.", fix=fix)
