"""The values of a prompts file's cells: what each option takes, and what is wrong with what it does not take."""

import re
from collections.abc import Callable
from typing import Any

from wetgen.runtime.asked import asked_classes
from wetgen.runtime.prompts.cell import TEXT, Cell
from wetgen.runtime.prompts.faults import meant
from wetgen.runtime.prompts.jsonl_rows import kind_of
from wetgen.runtime.prompts.line import Words
from wetgen.runtime.prompts.template import TemplateError, parse_template

MOST_PAIRS = 10**7  # of a line
_MOST_FLOAT32 = 2.0**128 - 2.0**104  # the network's guidance is float32
_WHOLE = re.compile(r"[+-]?[0-9]{1,400}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,9})?")


class Wrong(Exception):
    """Why a value is none, at a character of it."""

    def __init__(self, what: str, *, why: str, fix: str, offset: int = 0) -> None:
        super().__init__(what)
        self.what, self.why, self.fix, self.offset = what, why, fix, offset


def read_value(name: str, cell: Cell, words: Words) -> Any:
    """The value of the option (or the text) `name`, of the type that `Line` has for it. Raises Wrong."""
    return _classes(cell, words) if name == "class" else _READERS[name](cell)


def _whole(least: int, most: int, meaning: str) -> Callable[[Cell], int]:
    """A reader of whole numbers from `least` to `most`."""

    def read(cell: Cell) -> int:
        value = cell.value
        if not cell.typed and _WHOLE.fullmatch(value.strip()):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise Wrong(f"{_shown(cell)} is no whole number.", why=f"{meaning}.", fix="write one, such as 3.")
        if not least <= value <= most:
            why = f"it runs from {least} to {most}; {meaning}."
            raise Wrong(f"{_shown(cell)} is out of range.", why=why, fix="write a number in that range.")
        return value

    return read


def _number(least: float, most: float, limits: str) -> Callable[[Cell], float]:
    """A reader of numbers from `least` to `most`."""

    def read(cell: Cell) -> float:
        value = cell.value
        if not cell.typed and (_NUMBER.fullmatch(value.strip()) or value.strip().lower() in ("nan", "inf", "-inf")):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            fix = "write one with a point, such as 0.8." if not cell.typed else "write one without quotes, such as 0.8."
            raise Wrong(f"{_shown(cell)} is no number.", why=f"{limits}.", fix=fix)
        if not least <= value <= most:  # not so for NaN either
            raise Wrong(f"{_shown(cell)} is out of range.", why=f"{limits}.", fix="write a number in that range.")
        return float(value)

    return read


def _text(cell: Cell) -> str:
    if not isinstance(cell.value, str):
        raise Wrong(f"{_shown(cell)} is no text.", why=f"it is {kind_of(cell.value)}.", fix="put it into quotes.")
    return cell.value.strip()


def _name(meaning: str) -> Callable[[Cell], str]:
    """A reader of texts that may not be empty."""

    def read(cell: Cell) -> str:
        text = _text(cell)
        if not text:
            raise Wrong("it is empty.", why=f"it is {meaning}.", fix="write it, or leave it out.")
        return text

    return read


def _template(cell: Cell) -> str:
    text = _text(cell)
    try:
        parse_template(text)
    except TemplateError as error:
        offset = lead(cell) + error.offset
        raise Wrong(error.what, why=error.why, fix=error.fix, offset=offset) from error
    return text


def _prompt(cell: Cell) -> str:
    text = _template(cell)
    if not text:
        fix = f"write the text: before the options in a .txt, as '{TEXT}' in a .csv or .jsonl."
        raise Wrong("there is none.", why="options alone draw nothing.", fix=fix)
    if parse_template(text).may_be_blank:
        why = "one of its expansions is empty, and an empty prompt asks for nothing."
        raise Wrong("it may come out empty.", why=why, fix="write something outside the alternatives.")
    return text


def _classes(cell: Cell, words: Words) -> tuple[str, ...]:
    """The alternatives of `mold|stain`, all of them classes of the bundle."""
    if not isinstance(cell.value, str):
        why = f"it is {kind_of(cell.value)}; alternatives are written mold|stain."
        raise Wrong(f"{_shown(cell)} is no class.", why=why, fix="write the class's name in quotes.")
    names, at = [], 0
    for part in cell.value.split("|"):
        name = part.strip()
        if name not in words:
            offset = at + len(part) - len(part.lstrip())
            raise _unknown_class(name, words, offset)
        names.append(name)
        at += len(part) + 1
    return tuple(names)


def _unknown_class(name: str, words: Words, offset: int = 0) -> Wrong:
    """The fault of a name that is no class; one of a class's words, such as "mould", is answered with the class."""
    why = f"the bundle draws {', '.join(words)}." if words else "the bundle draws no masks."
    by_word = asked_classes(name, words)
    fix = "leave the class out." if not words else f"did you mean '{by_word[0]}'?" if by_word else meant(name, words)
    return Wrong(f"there is no class '{name}'." if name else "a name is empty.", why=why, fix=fix, offset=offset)


def _seed(cell: Cell) -> int:
    from wetgen.runtime.noise import SEED_LIMIT  # it needs numpy, which --help must not wait for

    return _whole(0, SEED_LIMIT - 1, "the line's noise is drawn from it")(cell)


_READERS: dict[str, Callable[[Cell], Any]] = {
    TEXT: _prompt,
    "count": _whole(1, MOST_PAIRS, "so many pairs are drawn of the line"),
    "seed": _seed,
    "negative": _template,
    "guidance": _number(-_MOST_FLOAT32, _MOST_FLOAT32, "it scales the prompt's pull and must be finite"),
    "plan": _name("the name of a plan"),
    "severity": _number(0, 1, "it runs from 0, the least, to 1, the most"),
    "layout": _name("the path of a mask"),
    "photo": _name("the path of a photograph"),
}


def lead(cell: Cell) -> int:
    """How many blanks stand before a text."""
    return len(cell.value) - len(cell.value.lstrip())


def _shown(cell: Cell) -> str:
    return repr(_cut(cell.raw.strip()))


def _cut(text: str, most: int = 40) -> str:
    return text if len(text) <= most else text[:most] + "..."
