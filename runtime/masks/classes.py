"""The class table: which id in a mask means which damage. Another table is another classes.json, not other code."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
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


DEFAULT = ClassTable(
    (
        "background",
        "crack",
        "stain",
        "mold",
        "peeling",
        "puddle",
        "lifted",
        "spalling",
        "efflorescence",
        "corrosion",
    )
)

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
