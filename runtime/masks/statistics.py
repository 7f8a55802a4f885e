"""How each class looks in a set of masks; random layouts follow it.

The figures of one class are quantiles over the masks that show it. Those that describe single regions (elongation,
orientation, roughness, thickness) give every mask the same weight, divided among its regions by area, so that a hundred
specks around a patch do not outvote the patch.

Also severity, a number from 0 to 1, and the share of an image that it damages.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.masks.images import Pixels
from wetgen.runtime.masks.regions import Component, connected_components

FILE_NAME = "mask_statistics.json"
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)  # the quantiles
COUNTED = 0.05  # a region counts if it has this share of the largest one's area; a smaller one is a speck
_DIGITS = 4  # significant ones that are stored

Quantiles = tuple[float, float, float, float, float]
_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ClassStatistics:
    """Quantiles (5, 25, 50, 75, 95 %) of one class over the masks that show it.

    Raises ValueError for figures that no mask can have.
    """

    pairs: int  # masks that show it
    area: Quantiles  # of all its pixels together, as a share of the picture
    regions: Quantiles  # how many, specks not counted
    largest: Quantiles  # area of its largest region, as a share of the picture
    elongation: Quantiles  # long axis to short axis of a region's second moments; 1 is round
    orientation: Quantiles  # degrees of the long axis from the horizontal: 0 lies, 90 stands, left or right alike
    roughness: Quantiles  # perimeter squared to 4 pi area; 1 is a disc
    thickness: Quantiles  # twice a region's area to its perimeter, as a share of the picture's shorter side
    height: Quantiles  # of the centre of all its pixels; 0 is the top, 1 the bottom

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise ValueError(f"pairs is {self.pairs}")
        for name, (least, most) in _RANGES.items():
            values = getattr(self, name)
            if not all(least <= value <= most for value in values):
                raise ValueError(f"{name} lies outside {least:g} to {most:g}: {values}")
            if list(values) != sorted(values):
                raise ValueError(f"the quantiles of {name} fall: {values}")

    def to_json(self) -> dict[str, object]:
        """Plain JSON values, rounded to four significant digits."""
        figures = {name: [float(f"{value:.{_DIGITS}g}") for value in getattr(self, name)] for name in _RANGES}
        return {"pairs": self.pairs, **figures}

    @classmethod
    def from_json(cls, data: object) -> "ClassStatistics":
        """Reads what `to_json` wrote; raises ValueError for anything else."""
        names = {field.name for field in fields(cls)}
        if not isinstance(data, Mapping) or set(data) != names:
            raise ValueError(f"the statistics of a class are {', '.join(sorted(names))}")
        return cls(int(data["pairs"]), **{name: _five(data[name]) for name in _RANGES})

    def drawn(self, name: str, rng: np.random.Generator) -> float:
        """A random value of a figure, distributed like its quantiles, within the outer two."""
        return float(np.interp(rng.uniform(SHARES[0], SHARES[-1]), SHARES, getattr(self, name)))


_RANGES = {
    "area": (0.0, 1.0),
    "regions": (1.0, math.inf),
    "largest": (0.0, 1.0),
    "elongation": (1.0, math.inf),
    "orientation": (0.0, 90.0),
    "roughness": (0.0, math.inf),
    "thickness": (0.0, math.inf),
    "height": (0.0, 1.0),
}


def _five(values: object) -> Quantiles:
    if not isinstance(values, list | tuple) or len(values) != len(SHARES):
        raise ValueError(f"each figure is a list of {len(SHARES)} quantiles")
    a, b, c, d, e = map(float, values)
    return a, b, c, d, e


# For a class that was not measured: a patch of medium size and outline, anywhere.
TYPICAL = ClassStatistics(
    pairs=1,
    area=(0.005, 0.025, 0.07, 0.15, 0.32),
    regions=(1, 1, 1, 2, 3),
    largest=(0.004, 0.02, 0.06, 0.14, 0.3),
    elongation=(1.1, 1.3, 1.6, 2.1, 3.2),
    orientation=(4, 20, 45, 70, 86),
    roughness=(1.5, 2.2, 3.0, 4.5, 8.0),
    thickness=(0.03, 0.06, 0.1, 0.15, 0.22),
    height=(0.25, 0.4, 0.5, 0.6, 0.75),
)


def measure(masks: Iterable[Pixels], table: ClassTable) -> dict[str, ClassStatistics]:
    """The statistics of every class that some of the masks uint8 (H, W) show, in the order of the table.

    Pixels of IGNORE count as no class. Raises WetgenError for an id that the table lacks.
    """
    seen: dict[int, list[_Seen]] = {}
    for mask in masks:
        for class_id, regions in _by_class(mask).items():
            if class_id >= len(table):
                raise WetgenError(
                    f"A mask has the class id {class_id}.",
                    why=f"the table's ids are 0 to {len(table) - 1}.",
                    fix="correct the mask, or the class table if it lacks a class.",
                )
            seen.setdefault(class_id, []).append(_look(regions, mask.shape))
    return {table.names[class_id]: _quantiles(seen[class_id]) for class_id in sorted(seen)}


def to_json(statistics: Mapping[str, ClassStatistics]) -> dict[str, object]:
    """The statistics by class name as plain JSON values."""
    return {name: figures.to_json() for name, figures in statistics.items()}


def from_json(data: object, table: ClassTable | None) -> dict[str, ClassStatistics]:
    """Reads what `to_json` wrote; raises ValueError for anything else, and for a class that the table lacks."""
    if not isinstance(data, Mapping):
        raise ValueError("mask statistics are an object of class name to figures")
    unknown = sorted(set(data) - set(() if table is None else table.names[1:]))
    if unknown:
        raise ValueError(f"it has statistics of '{unknown[0]}', which is no class of the table")
    return {str(name): ClassStatistics.from_json(figures) for name, figures in data.items()}


def read_statistics(path: Path, table: ClassTable | None) -> dict[str, ClassStatistics]:
    """Reads a mask_statistics.json; raises WetgenError if it is none, or of other classes."""
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")), table)
    except (ValueError, TypeError, OSError) as error:
        raise WetgenError(
            f"{path} cannot be read.",
            why=f"{error}.",
            fix="take the file that wetgen-train wrote, or delete it: without it layouts follow built-in figures.",
        ) from error


class _Seen(NamedTuple):
    """One class in one mask; the last four are one value per region, and `weights` their shares of its area."""

    area: float
    regions: int
    largest: float
    height: float
    weights: _Floats
    elongation: _Floats
    orientation: _Floats
    roughness: _Floats
    thickness: _Floats


def _by_class(mask: Pixels) -> dict[int, list[Component]]:
    found: dict[int, list[Component]] = {}
    for region in connected_components(mask):  # without IGNORE
        found.setdefault(region.class_id, []).append(region)
    return found


def _look(regions: Sequence[Component], shape: tuple[int, ...]) -> _Seen:
    height, width = shape
    areas = np.array([region.area for region in regions], np.float64)
    middles = np.array([_middle(region) for region in regions])
    axes = np.array([_axes(region) for region in regions])
    perimeters = np.array([perimeter(region.pixels) for region in regions])
    return _Seen(
        area=float(areas.sum()) / (height * width),
        regions=int(np.count_nonzero(areas >= COUNTED * areas.max())),
        largest=float(areas.max()) / (height * width),
        height=float((areas * middles).sum() / areas.sum()) / height,
        weights=areas / areas.sum(),
        elongation=axes[:, 0],
        orientation=axes[:, 1],
        roughness=perimeters**2 / (4 * math.pi * areas),
        thickness=2 * areas / perimeters / min(height, width),
    )


def _middle(region: Component) -> float:
    """The height of its centre in the image, in pixels from the top."""
    per_row = np.count_nonzero(region.pixels, axis=1)
    return region.top + float(per_row @ (np.arange(region.height) + 0.5)) / float(per_row.sum())


def _axes(region: Component) -> tuple[float, float]:
    """Elongation and orientation from second moments; each pixel is a square and adds its own 1/12."""
    y, x = np.nonzero(region.pixels)
    across, down = float(np.var(x)) + 1 / 12, float(np.var(y)) + 1 / 12
    both = float(np.mean((x - x.mean()) * (y - y.mean())))
    spread = math.hypot((across - down) / 2, both)
    middle = (across + down) / 2
    angle = 0.5 * math.degrees(math.atan2(2 * both, across - down))  # of the long axis, -90 to 90
    return max(1.0, math.sqrt((middle + spread) / (middle - spread))), abs(angle)


def perimeter(pixels: NDArray[np.bool_]) -> float:
    """The length in pixels of the outlines of a region bool (H, W), holes included.

    It uses Crofton's formula over lines in four directions: a pixel apart, the diagonal ones sqrt(1/2) apart. Counting
    the edges of pixels would make a disc's outline longer by a factor of 4 / pi.
    """
    framed = np.pad(pixels, 1)
    straight = sum(int(np.count_nonzero(np.diff(framed, axis=axis))) for axis in (0, 1))
    falling = int(np.count_nonzero(framed[1:, 1:] != framed[:-1, :-1]))
    rising = int(np.count_nonzero(framed[1:, :-1] != framed[:-1, 1:]))
    return math.pi / 8 * (straight + (falling + rising) / math.sqrt(2))


def _quantiles(seen: Sequence[_Seen]) -> ClassStatistics:
    figures = {}
    for name in ("area", "regions", "largest", "height"):
        figures[name] = _five(np.quantile([getattr(one, name) for one in seen], SHARES, method="hazen").tolist())
    weights = np.concatenate([one.weights for one in seen])
    for name in ("elongation", "orientation", "roughness", "thickness"):
        figures[name] = _weighted(np.concatenate([getattr(one, name) for one in seen]), weights)
    return ClassStatistics(len(seen), **figures)


def _weighted(values: _Floats, weights: _Floats) -> Quantiles:
    """Quantiles of weighted values: the value in whose share the quantile falls.

    Nothing is interpolated, because there is nothing between a patch and its specks.
    """
    order = np.argsort(values, kind="stable")
    ends = np.cumsum(weights[order])
    found = np.searchsorted(ends, np.array(SHARES) * ends[-1])
    return _five(values[order][np.minimum(found, len(values) - 1)].tolist())


KNOTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # severities of the quantiles in SHARES
LEAST, MOST = 0.001, 0.9  # shares of an image: 16 pixels of 128 x 128; room for the edge that shapes keep free
STEP = 1.2  # least ratio of a quantile to the one below, so that a greater severity covers whole pixels more

assert len(KNOTS) == len(SHARES)


def check_severity(severity: float, name: str = "The severity") -> None:
    """Raises WetgenError unless it is a number from 0 to 1; the message begins with `name`."""
    if not 0 <= severity <= 1:  # false for NaN too
        raise WetgenError(
            f"{name} is {severity:g}.",
            why="a severity is a number from 0, a trace, to 1, the worst.",
            fix="use 0 to 1.",
        )


def area_for(statistics: ClassStatistics | None, severity: float) -> float:
    """The share of an image that a class with these statistics covers at a severity.

    0 is the 5 % quantile of the measured areas, 0.5 the median, 1 the 95 % quantile; between them it is linear. It is
    strictly increasing, and lies from LEAST to MOST. Without statistics those of a typical patch are used.
    """
    check_severity(severity)
    areas = list((TYPICAL if statistics is None else statistics).area)
    areas[0] = max(areas[0], LEAST)
    for i in range(1, len(areas)):
        areas[i] = max(areas[i], STEP * areas[i - 1])
    areas[-1] = min(areas[-1], MOST)
    for i in range(len(areas) - 2, -1, -1):
        areas[i] = min(areas[i], areas[i + 1] / STEP)
    return float(np.interp(severity, KNOTS, areas))
