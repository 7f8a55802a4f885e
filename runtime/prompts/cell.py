"""One value as it was read, and where every character of it stands in the file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

TEXT = "prompt"  # what a line's text is called beside the options
OPTIONS = ("count", "seed", "negative", "guidance", "plan", "class", "severity", "layout", "photo")
ALIASES = {"text": TEXT}  # dataset folders call it so

AS_IT_STANDS = re.compile(r".", re.DOTALL)


@dataclass(frozen=True)
class Cell:
    """A value: text as written, or what JSON gives.

    `raw` is how it was written, without quotes, and begins at `line` and `column`; `unit` matches what was written for
    one character of the value, such as two quotes for one.
    """

    value: Any
    line: int
    column: int
    raw: str
    unit: re.Pattern[str] = AS_IT_STANDS
    typed: bool = False  # of JSON, so that a number is a number and not its digits

    def place(self, offset: int = 0) -> tuple[int, int]:
        """Line and column of the value's character at `offset`; its length is the place behind it."""
        written = next(islice(self.unit.finditer(self.raw), offset, None), None) if offset else None
        start = (len(self.raw) if offset else 0) if written is None else written.start()
        return place_in(self.raw, start, self.line, self.column)


@dataclass(frozen=True)
class Row:
    """One line of a prompts file: the text under "prompt" and the options that it sets."""

    line: int
    cells: Mapping[str, Cell]


def place_in(text: str, offset: int, line: int, column: int) -> tuple[int, int]:
    """Line and column of `text[offset]`, where `text` begins at the given ones."""
    breaks = text.count("\n", 0, offset)
    if breaks == 0:
        return line, column + offset
    return line + breaks, offset - text.rfind("\n", 0, offset)
