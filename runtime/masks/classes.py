"""The class table, which says which id in a mask means which damage, and how each class looks in real masks.

Another table is another classes.json, not other code. Layouts follow the figures of `ClassStatistics`, which training
measures. Severity, a number from 0 to 1, means a share of the picture that is damaged.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.images import Pixels

IGNORE_KEY = "ignore_id"  # of a row: which id in its mask marks pixels to leave out


FILE_NAME = "classes.json"
IGNORE = 255  # the id of pixels to leave out, if a reader allows it
MAX_CLASSES = 255  # ids are uint8, IGNORE is no class


@dataclass(frozen=True)
class ClassTable:
    """Class names in id order; id 0 is always the background."""

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 2 <= len(self.names) <= MAX_CLASSES:
            raise _bad(f"it has {len(self.names)} classes", f"use 2 to {MAX_CLASSES}, the background included.")
        if len(set(self.names)) != len(self.names) or not all(name.strip() for name in self.names):
            raise _bad("a name is empty or appears twice", "give every id a name of its own.")

    def __len__(self) -> int:
        return len(self.names)

    def to_json(self) -> dict[str, str]:
        """The table as {"0": "background", ...}."""
        return {str(id): name for id, name in enumerate(self.names)}

    @classmethod
    def from_json(cls, data: object, source: str = FILE_NAME) -> "ClassTable":
        """Reads {"0": name, "1": name, ...}; ids must run from 0 without gaps."""
        if not isinstance(data, dict) or not all(isinstance(name, str) for name in data.values()):
            raise _bad(f"{source} is not an object of id to name", 'write {"0": "background", "1": "crack", ...}.')
        if set(data) != {str(id) for id in range(len(data))}:
            raise _bad(
                f"the ids in {source} are {', '.join(map(str, data))}", "number the classes 0, 1, 2, ... without gaps."
            )
        return cls(tuple(data[str(id)] for id in range(len(data))))

    @classmethod
    def load(cls, path: Path) -> "ClassTable":
        """Reads a classes.json."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise WetgenError(
                f"{path} is missing.",
                why="it holds the class table of a dataset folder.",
                fix='write one, e.g. {"0": "background", "1": "stain"}.',
            ) from error
        except ValueError as error:
            raise WetgenError(f"{path} cannot be read.", why=f"{error}.", fix="write it as UTF-8 JSON.") from error
        return cls.from_json(data, str(path))


def _bad(why: str, fix: str) -> WetgenError:
    return WetgenError("The class table is not usable.", why=f"{why}.", fix=fix)


# Colours of classes 0, 1, 2, ... in overlays and sheets (Okabe-Ito, then three more); later ids repeat from 1.
PALETTE = (
    (0, 0, 0),
    (230, 25, 75),
    (230, 159, 0),
    (0, 158, 115),
    (86, 180, 233),
    (0, 114, 178),
    (204, 121, 167),
    (213, 94, 0),
    (240, 228, 66),
    (148, 80, 200),
)


def colour(class_id: int) -> tuple[int, int, int]:
    """The overlay colour (R, G, B) of a class id."""
    return PALETTE[0] if class_id == 0 else PALETTE[1 + (class_id - 1) % (len(PALETTE) - 1)]


def states_ignore(keys: Mapping[str, object], where: str) -> bool:
    """Whether a row says that IGNORE in its mask marks pixels to leave out; raises WetgenError for another id."""
    ignored = keys.get(IGNORE_KEY, IGNORE)
    if ignored != IGNORE:
        raise WetgenError(
            f"{where}: {IGNORE_KEY} is {ignored!r}.",
            why=f"the only id that marks pixels to leave out is {IGNORE}.",
            fix=f"set those pixels of the mask to {IGNORE} and write that id, or leave the key out.",
        )
    return IGNORE_KEY in keys


def unknown_ids(mask: Pixels, classes: ClassTable, name: str, *, ignore: bool = False) -> WetgenError | None:
    """The error for a mask uint8 (H, W) with ids outside the class table, or None; `ignore` allows IGNORE."""
    if not mask.size or mask.max() < len(classes):  # counting takes 20 times as long
        return None
    counts = np.bincount(mask.ravel(), minlength=256)
    if ignore:
        counts[IGNORE] = 0
    unknown = [int(id) for id in np.flatnonzero(counts) if id >= len(classes)]
    if not unknown:
        return None
    listed = ", ".join(f"{id} ({counts[id]:,} pixels)" for id in unknown[:8]) + (", ..." if len(unknown) > 8 else "")
    fix = "correct the mask, or the class table if it lacks a class."
    if unknown == [255] and counts[0] + counts[255] == mask.size:
        fix = "this looks like a binary mask of 0 and 255: replace 255 by the id of its class."
    return WetgenError(
        f"{name} has class ids that the class table lacks: {listed}.",
        why=f"the table's ids are 0 to {len(classes) - 1}.",
        fix=fix,
    )


SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)  # the quantiles
Quantiles = tuple[float, ...]
"""A value for each of SHARES."""


@dataclass(frozen=True)
class ClassStatistics:
    """Quantiles (5, 25, 50, 75, 95 %) of one class over the masks that show it."""

    pairs: int  # masks that show it
    area: Quantiles  # of all its pixels together, as a share of the picture
    regions: Quantiles  # how many, specks not counted
    largest: Quantiles  # area of its largest region, as a share of the picture
    elongation: Quantiles  # long axis to short axis of a region's second moments; 1 is round
    orientation: Quantiles  # degrees of the long axis from the horizontal: 0 lies, 90 stands, left or right alike
    roughness: Quantiles  # perimeter squared to 4 pi area; 1 is a disc
    thickness: Quantiles  # twice a region's area to its perimeter, as a share of the picture's shorter side
    height: Quantiles  # of the centre of all its pixels; 0 is the top, 1 the bottom

    def to_json(self) -> dict[str, object]:
        """Plain JSON values, rounded to four significant digits."""
        return {"pairs": self.pairs, **{name: [float(f"{v:.4g}") for v in getattr(self, name)] for name in _RANGES}}

    @classmethod
    def from_json(cls, data: object) -> "ClassStatistics":
        """Reads what `to_json` wrote; raises ValueError for anything else, and for figures that no mask can have."""
        names = {field.name for field in fields(cls)}
        if not isinstance(data, Mapping) or set(data) != names or int(data["pairs"]) < 1:
            raise ValueError(f"the statistics of a class are {', '.join(sorted(names))}, of a pair or more")
        figures = {name: tuple(map(float, data[name])) for name in _RANGES}
        for name, (least, most) in _RANGES.items():
            values = list(figures[name])
            if len(values) != len(SHARES) or values != sorted(values) or not all(least <= v <= most for v in values):
                raise ValueError(f"{name} is not {len(SHARES)} rising quantiles from {least:g} to {most:g}: {values}")
        return cls(int(data["pairs"]), **figures)

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


def statistics_from_json(data: object, table: ClassTable | None) -> dict[str, ClassStatistics]:
    """Statistics by class name; raises ValueError for anything else, and for a class that the table lacks."""
    if not isinstance(data, Mapping):
        raise ValueError("mask statistics are an object of class name to figures")
    unknown = sorted(set(data) - set(() if table is None else table.names[1:]))
    if unknown:
        raise ValueError(f"it has statistics of '{unknown[0]}', which is no class of the table")
    return {str(name): ClassStatistics.from_json(figures) for name, figures in data.items()}


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
