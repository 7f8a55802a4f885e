"""Datasets of others, read with care: only files inside their folder, pictures that decode, masks that fit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wetgen.runtime.classes import IGNORE, ClassTable
from wetgen.runtime.dataset import states_ignore, unknown_ids
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import read_bytes
from wetgen.runtime.formats.example import SPLITS, TEST, TRAIN, VALIDATION, Example, portable
from wetgen.runtime.formats.sidecar import completed
from wetgen.runtime.metadata import leads_outside
from wetgen.runtime.pictures import Pixels, decode_image

_PARTS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
}


def part_named(name: str) -> str | None:
    """The split that a file or folder name stands for (val2017: validation), or None."""
    return _PARTS.get(name.lower().rstrip("0123456789").rstrip("-_"))


def parts_of(names: list[str], where: Path) -> list[str | None]:
    """The split of each of a dataset's parts; a single part needs none, several must be told apart."""
    if len(names) == 1:
        return [None]
    parts = [part_named(name) for name in names]
    if None in parts or len(set(parts)) < len(parts):
        raise WetgenError(
            f"The parts of {where} cannot be told apart.",
            why=f"they are called {', '.join(names)}; train, val and test are known.",
            fix="rename them, or convert them one by one.",
        )
    return parts


def read_inside(root: Path, name: str, where: str) -> bytes:
    """The bytes of the file `name` below `root`; raises WetgenError for one that leads elsewhere or is missing."""
    path = root / name
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError):  # a circle of links; a NUL
        inside = False
    if not inside:
        raise leads_outside(where, name)
    return read_bytes(path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        data = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise WetgenError(f"{path} is not JSON.", why=f"{error}.", fix="write it again from its source.") from error
    if not isinstance(data, dict):
        raise WetgenError(f"{path} is no JSON object.", why=f"it is a {type(data).__name__}.", fix="check the file.")
    return data


@dataclass(frozen=True)
class Picture:
    """A picture's file and its pixels uint8 (H, W, 3)."""

    file: bytes
    pixels: Pixels

    @classmethod
    def decode(cls, file: bytes, where: str) -> "Picture":
        """Raises WetgenError naming `where` for what is no sound PNG or JPEG."""
        return cls(file, decode_image(file, where))

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    def check_size(self, width: object, height: object, where: str) -> None:
        """Raise unless labels for a picture of this size lie on it."""
        if (width, height) == (self.width, self.height):
            return
        swapped = (height, width) == (self.width, self.height)
        raise WetgenError(
            f"{where}: the image is {self.width} x {self.height}, its labels are for {width} x {height}.",
            why="width and height are swapped (an EXIF orientation counts)." if swapped else "they do not lie on it.",
            fix="make the labels again on the image as it is shown upright.",
        )


class Receiver:
    """Makes sound examples of pictures, masks and rows as they come in.

    `ignore` allows IGNORE in all masks; a row that states it allows it in its own.
    """

    def __init__(self, classes: ClassTable, *, ignore: bool) -> None:
        self.classes, self._ignore = classes, ignore

    def example(
        self, name: str, split: str | None, image: Picture, mask: Pixels, row: Mapping[str, object], where: str
    ) -> Example:
        """Raises WetgenError naming `where` for what the dataset folder would not take."""
        image.check_size(mask.shape[1], mask.shape[0], where)
        ignore = states_ignore(row, where) or self._ignore
        fault = unknown_ids(mask, self.classes, f"{where}: its mask", ignore=ignore)
        if fault is not None:
            if (mask == IGNORE).any():
                raise WetgenError(fault.what, why=fault.why, fix=f"{fault.fix} If {IGNORE} means ignore: --ignore-255.")
            raise fault
        keys = completed(row, name, mask, self.classes)
        stated = keys.pop("split", None)  # of a single part it may be known from the row alone
        if split is None and stated in SPLITS:
            split = str(stated)
        return Example(name, split, portable(image.file, image.pixels), mask, keys)


def bad_labels(where: str, why: object) -> WetgenError:
    """The fault of labels that break their format."""
    return WetgenError(f"{where} cannot be read.", why=f"{why}.", fix="correct it, or export the dataset again.")
