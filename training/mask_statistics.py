"""How each class looks in a set of masks; random layouts follow it.

The figures of one class are quantiles over the masks that show it. Those that describe single regions (elongation,
orientation, roughness, thickness) give every mask the same weight, divided among its regions by area, so that a hundred
specks around a patch do not outvote the patch.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import SHARES, ClassStatistics, ClassTable, Quantiles, statistics_from_json
from wetgen.runtime.masks.images import Pixels
from wetgen.runtime.masks.regions import Component, connected_components

FILE_NAME = "mask_statistics.json"
COUNTED = 0.05  # a region counts if it has this share of the largest one's area; a smaller one is a speck

_Floats = NDArray[np.float64]


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


def read_statistics(path: Path, table: ClassTable | None) -> dict[str, ClassStatistics]:
    """Reads a mask_statistics.json; raises WetgenError if it is none, or of other classes."""
    try:
        return statistics_from_json(json.loads(path.read_text(encoding="utf-8")), table)
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
        figures[name] = tuple(np.quantile([getattr(one, name) for one in seen], SHARES, method="hazen").tolist())
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
    return tuple(values[order][np.minimum(found, len(values) - 1)].tolist())
