"""Files of boxes, which say where damage lies and of which class it is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.masks.regions import Box, Size
from wetgen.runtime.tables import Column, TableRow, read_table

COLUMNS = {
    "file_name": Column(filled=True),
    **dict.fromkeys(("class", "x", "y", "width", "height"), Column(required=True, filled=True)),
    "severity": Column(),
    "prompt": Column(),
}
_ROUNDING = 1e-6  # pixels by which a percentage may overshoot when it is multiplied


@dataclass(frozen=True)
class BoxDamage:
    """A class in a box; with `severity` None the severity is random."""

    class_name: str
    box: Box
    severity: float | None = None
    prompt: str | None = None


class Length(NamedTuple):
    """A length as it was written: pixels, or percent of the picture's width or height."""

    value: float
    percent: bool

    def pixels(self, whole: int) -> float:
        """The length in pixels, in a picture that is `whole` pixels long in this direction."""
        return self.value * whole / 100 if self.percent else self.value


@dataclass(frozen=True)
class BoxRow:
    """A row of a file of boxes, for the picture `file_name`; None: for every picture."""

    row: TableRow
    file_name: str | None
    class_name: str
    lengths: Mapping[str, Length]  # x, y, width, height
    severity: float | None
    prompt: str | None

    def damage(self, size: Size) -> BoxDamage:
        """The damage in a picture of `size` (H, W), with edges rounded to whole pixels.

        Raises WetgenError for a box that leaves the picture or covers no pixel.
        """
        left, right = self._edges("x", "width", size)
        top, bottom = self._edges("y", "height", size)
        return BoxDamage(self.class_name, Box(left, top, right - left, bottom - top), self.severity, self.prompt)

    def _edges(self, start: str, length: str, size: Size) -> tuple[int, int]:
        whole, side = (size[1], "left") if start == "x" else (size[0], "top")
        first = self.lengths[start].pixels(whole)
        last = first + self.lengths[length].pixels(whole)
        text, picture = self.row.text(length), f"the picture has {size[1]} x {size[0]} pixels"
        if last > whole + _ROUNDING:
            beyond = f"{text} reaches {last:g} pixels from the {side}"
            raise self.row.fault(length, beyond, picture, f"correct {start} or {length}.")
        edges = round(first), min(round(last), whole)
        if edges[1] <= edges[0]:
            raise self.row.fault(length, f"{text} covers no whole pixel", picture, "make the box larger.")
        return edges


def read_boxes(path: Path, table: ClassTable) -> list[BoxRow]:
    """The rows of a CSV file of boxes: class, x, y, width, height, and file_name, severity and prompt if it has them.

    x and y are the box's upper left corner. Numbers are pixels, or with % percent of the picture's width (x, width) or
    height (y, height). Raises WetgenError, with line and column, for all faults that do not depend on the picture;
    `BoxRow.damage` raises for the others.
    """
    rows = []
    for row in read_table(path, COLUMNS):
        file_name, class_name = row.text("file_name"), row.one_of("class", table.names[1:])
        lengths = {name: _length(row, name) for name in ("x", "y", "width", "height")}
        rows.append(BoxRow(row, file_name, class_name, lengths, row.number("severity", 0, 1), row.text("prompt")))
    if not rows:
        raise WetgenError(
            f"{path} has no boxes.",
            why="nothing follows its header.",
            fix="write one box per line, for example: stain,10%,20%,30%,25%",
        )
    return rows


def boxes_of(rows: Iterable[BoxRow], file_name: str | None, size: Size) -> list[BoxDamage]:
    """The damages for one picture of `size` (H, W), in the order of the file; with None, those for every picture."""
    return [row.damage(size) for row in rows if row.file_name is None or row.file_name == file_name]


def _length(row: TableRow, name: str) -> Length:
    text, positive = row.needed(name), name in ("width", "height")
    percent = text.endswith("%")
    value = row.as_number(name, text.removesuffix("%").strip())
    if value < 0 or (positive and value == 0):
        why = "a box needs a size" if positive else "the picture starts at 0"
        raise row.fault(name, f"is {text}", why, f"use {'more than 0' if positive else '0 or more'}.")
    if percent and value > 100:
        raise row.fault(name, f"is {text}", "a picture ends at 100 percent", "use 0 % to 100 %.")
    return Length(value, percent)
