"""Rows of a .jsonl prompts file: one JSON object a line."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from wetgen.runtime.prompts.cell import ALIASES, AS_IT_STANDS, OPTIONS, TEXT, Cell, Row
from wetgen.runtime.prompts.faults import Faults, meant

_KEYS = (TEXT, *OPTIONS)
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r]*")
# One character of a string as JSON writes it; the first form is a character beyond U+FFFF.
_IN_STRING = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.|.", re.DOTALL)
_HALVES = re.compile(r"[\ud800-\udfff\0]")  # what UTF-8 and paths cannot hold


def jsonl_rows(text: str, faults: Faults) -> Iterator[Row]:
    """The rows of a text; what cannot be read goes to `faults`. Null means that nothing is said."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and _is_object(line, number, faults):
            yield Row(number, _cells(line, number, faults))


def _is_object(line: str, number: int, faults: Faults) -> bool:
    """Whether a line is an object in JSON; says what is wrong if not."""
    fix = 'write one object a line: {"prompt": "black mold", "count": 3}'
    start = len(line) - len(line.lstrip())
    try:
        parsed = json.loads(line)
    except json.JSONDecodeError as error:
        faults.add((number, error.colno), "the line is no JSON.", why=f"{error.msg}.", fix=fix)
        return False
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets within brackets
        faults.add((number, start + 1), "the line cannot be read.", why=f"{error}.", fix=fix)
        return False
    if not isinstance(parsed, dict):
        faults.add((number, start + 1), f"the line is {kind_of(parsed)}.", why="each line is one object.", fix=fix)
        return False
    return True


def _cells(line: str, number: int, faults: Faults) -> dict[str, Cell]:
    cells: dict[str, Cell] = {}
    told: set[str] = set()
    for key, at, cell in _members(line, number):
        name = ALIASES.get(key, key)
        if name not in _KEYS:
            what, why = f"there is no key '{key}'.", f"keys are {', '.join(_KEYS)}."
            faults.add((number, at + 1), what, why=why, fix=meant(key, _KEYS))
        elif name in told:
            what, why = f"the key '{name}' stands there twice.", "each is said once; text is another name for prompt."
            faults.add((number, at + 1), what, why=why, fix="leave one of them out.")
        elif isinstance(cell.value, str) and (bad := _HALVES.search(cell.value)):
            what = "the text holds a character that cannot be written."
            why = f"{bad[0]!a} is NUL or one half of a pair."
            faults.add(cell.place(bad.start()), what, why=why, fix="write the file again as UTF-8.")
            cells[name] = replace(cell, value=_HALVES.sub("?", cell.value))  # so that what else is wrong is found
        elif cell.value is not None:
            cells[name] = cell
        told.add(name)
    return cells


def _members(line: str, number: int) -> Iterator[tuple[str, int, Cell]]:
    """Key, offset of the key, and value of each member of an object that is known to be sound."""
    at = _skip(line, line.index("{") + 1)
    while line[at] != "}":
        key, end = _DECODER.raw_decode(line, at)
        begin = _skip(line, _skip(line, end) + 1)  # behind the colon
        value, end = _DECODER.raw_decode(line, begin)
        yield key, at, _cell(value, number, begin, line[begin:end])
        at = _skip(line, end)
        if line[at] == ",":
            at = _skip(line, at + 1)


def _cell(value: Any, number: int, begin: int, raw: str) -> Cell:
    if isinstance(value, str):
        return Cell(value, number, begin + 2, raw[1:-1], _IN_STRING, typed=True)
    return Cell(value, number, begin + 1, raw, AS_IT_STANDS, typed=True)


def _skip(line: str, at: int) -> int:
    space = _SPACE.match(line, at)
    assert space is not None  # it may be empty
    return space.end()


def kind_of(value: object) -> str:
    """What JSON calls a value."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    names: dict[type, str] = {str: "text", int: "a whole number", float: "a number", list: "a list", dict: "an object"}
    return names[type(value)]
