"""A prompts file, from its bytes to the requests of all pairs, each computed when it is needed.

Start with `read_prompt_file`. A file is a .txt (the text, then options such as --count 3 or --negative "mold, cracks"),
a .csv or a .jsonl; each has a reader here that gives its lines as `PromptRow`s.
"""

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from wetgen.runtime.errors import FaultList, WetgenError, suggestion
from wetgen.runtime.files import decode, os_errors
from wetgen.runtime.prompts.lines import (
    ALIASES,
    OPTIONS,
    TEXT,
    Cell,
    ClassWords,
    LazyRequests,
    PromptLine,
    PromptRequest,
    PromptRow,
    json_kind,
    line_of,
)
from wetgen.runtime.prompts.quota import LineShare, Quota, Rounds, check_quota, lines_by_class
from wetgen.runtime.tables import Column, csv_rows

STDIN = "-"
_COLUMNS = {TEXT: Column(required=True), **dict.fromkeys(OPTIONS, Column())}


class PromptFile(LazyRequests):
    """The requests of pairs 0, 1, 2, ... It holds the lines of the file, whatever the number of pairs.

    `names` is what errors call the source, `lines` the checked lines, `rounds` how often they are gone through. With a
    `quota` the lines are drawn so that each class gets its number of pairs.
    """

    def __init__(
        self,
        names: str,
        lines: Sequence[PromptLine],
        words: ClassWords,
        count: int = 1,
        quota: Mapping[str, int] | None = None,
    ) -> None:
        """Raises WetgenError for a quota that the lines cannot meet, and for more pairs than a run can have."""
        self.names, self.lines, self.words, self.rounds, self.quota = names, lines, words, count, quota
        self._order = (
            Rounds([line.count for line in lines], count)
            if quota is None
            else Quota(quota, lines_by_class(lines, quota, words, names))
        )
        self._total = sum(share.pairs for share in self.shares())
        if self._total > sys.maxsize:
            raise WetgenError(
                f"{names} asks for {self._total} pairs.", why="no run has so many.", fix="lower the counts."
            )

    def __len__(self) -> int:
        return self._total

    def at(self, index: int) -> PromptRequest:
        i, number, step, asked = self._order.turn(index)
        return self.lines[i].request(number, step, asked, self.words)

    def shares(self) -> Sequence[LineShare]:
        """How many pairs each line has, by the classes of the quota."""
        return self._order.shares()

    @cached_property
    def lines_sha256(self) -> str:
        """A hash of what the lines say; comments, line numbers and the kind of file do not count."""
        names = [field.name for field in fields(PromptLine) if field.name != "line"]
        hashed = hashlib.sha256()
        for line in self.lines:
            hashed.update(json.dumps([getattr(line, name) for name in names]).encode() + b"\n")
        return hashed.hexdigest()

    @cached_property
    def sha256(self) -> str:
        """A hash of everything that decides the requests, given a bundle: the lines, the count and the quota."""
        quota = None if self.quota is None else list(self.quota.items())
        return hashlib.sha256(json.dumps([self.lines_sha256, self.rounds, quota]).encode()).hexdigest()


class PromptCheck(NamedTuple):
    """What reading a source gave: the sound lines, everything that is wrong, and the requests if nothing is."""

    names: str
    lines: list[PromptLine]
    faults: list[WetgenError]
    requests: PromptFile | None


def read_prompt_file(
    source: str, words: ClassWords, *, count: int = 1, quota: Mapping[str, int] | None = None
) -> PromptFile:
    """Reads the requests of a prompts file, or of standard input for "-", which is read as .txt.

    `words` are the bundle's words for each class. `count` repeats the file; `quota`, in its place, sets the pairs of
    each class. Raises WetgenError for the first thing that is wrong.
    """
    checked = examine_prompt_file(source, words, count=count, quota=quota)
    if checked.requests is None:
        raise checked.faults[0]
    return checked.requests


def check_prompt_file(
    source: str, words: ClassWords, *, count: int = 1, quota: Mapping[str, int] | None = None
) -> list[WetgenError]:
    """Everything for which `read_prompt_file` would refuse a source; empty if it would not."""
    return examine_prompt_file(source, words, count=count, quota=quota).faults


def examine_prompt_file(
    source: str, words: ClassWords, *, count: int = 1, quota: Mapping[str, int] | None = None
) -> PromptCheck:
    """Reads a source and finds everything that is wrong with it."""
    names, lines, found = source_name(source), list[PromptLine](), list[WetgenError]()
    try:
        if count < 1:
            why = "it is the number of pairs per prompt."
            raise WetgenError(f"The count is {count}.", why=why, fix="use 1 or more.")
        if quota is not None:
            check_quota(quota, count, words)
        data, kind = read_source(source), "" if source == STDIN else Path(source).suffix.lower()
        faults = FaultList(names)
        rows = _READERS.get(kind, _txt_rows)(decode(data, names), faults)
        lines = [line for row in rows if (line := line_of(row, words, quota, faults)) is not None]
        found += faults.in_order()
        if found:
            return PromptCheck(names, lines, found, None)
        if not lines:
            raise _no_prompts(names, data, kind)
        return PromptCheck(names, lines, [], PromptFile(names, lines, words, count, quota))
    except WetgenError as error:
        return PromptCheck(names, lines, [*found, error], None)


def source_name(source: str) -> str:
    """What errors call a source."""
    return "standard input" if source == STDIN else source


def resolve(path: str, source: str) -> Path:
    """Where a file lies that a prompts file names: beside the prompts file, unless the path is absolute.

    For standard input that is the working folder.
    """
    return Path(path) if source == STDIN else Path(source).parent / path


def read_source(source: str) -> bytes:
    """The bytes of a file, or of standard input for "-"."""
    if source == STDIN:
        return sys.stdin.buffer.read()
    path = Path(source)
    if path.is_dir():
        raise WetgenError(
            f"{path} is a folder.", why="prompts are read from a text file.", fix="give the file inside it."
        )
    if not path.exists():
        raise WetgenError(
            f"{path} does not exist.",
            why="there is no file of that name.",
            fix="check the path, or give - to read standard input.",
        )
    with os_errors(path, "read"):
        return path.read_bytes()


def _no_prompts(name: str, data: bytes, kind: str = "") -> WetgenError:
    """The error for a source that has nothing to draw."""
    reasons = {".csv": "it has a header and no row below it", ".jsonl": "every line is blank"}
    why = reasons.get(kind, "every line is blank or begins with #") if data.strip() else "it is empty"
    return WetgenError(
        f"{name} holds no prompts.",
        why=f"{why}.",
        fix="write one prompt a line, for example: black mold in a bathroom corner",
    )


class Prompt(NamedTuple):
    """A bare prompt without options, and its line in the file, counted from 1."""

    line: int
    text: str


def read_prompts(source: str) -> list[Prompt]:
    """The lines of a file, or of standard input for "-", as bare prompts; an export verifies a bundle with them.

    Raises WetgenError if there are none or if the file is no text.
    """
    name, data = source_name(source), read_source(source)
    prompts = parse_prompts(data, name)
    if not prompts:
        raise _no_prompts(name, data)
    return prompts


def parse_prompts(data: bytes, name: str = "prompts") -> list[Prompt]:
    """The bare prompts in UTF-8 bytes, with or without a byte order mark."""
    return [Prompt(number, line.strip()) for number, line in _prompt_lines(decode(data, name))]


def _prompt_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not blank and no comment, with their numbers.

    Only \\n ends a line: str.splitlines would also split at form feeds and at Unicode's own separators.
    """
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield number, line


_OPTION = re.compile(r"(?<!\S)--([A-Za-z][^\s=]*)(?:=|\s+|$)")
_BEGINS = re.compile(r"(?<!\S)--(?=[A-Za-z])")
_QUOTED = re.compile(r'"((?:[^"\\]|\\"|\\(?!"))*)"')  # a backslash is one, but before a quote
_BARE = re.compile(r"\S+")


def _txt_rows(text: str, faults: FaultList) -> Iterator[PromptRow]:
    for number, line in _prompt_lines(text):
        line = line.rstrip()
        first = _BEGINS.search(line)
        end = len(line) if first is None else first.start()
        start = len(line) - len(line.lstrip())
        cells = {TEXT: Cell(TEXT, line[start:end], number, start + 1)}
        if first is not None:
            _add_options(cells, line, end, number, faults)
        yield PromptRow(number, cells)


def _add_options(cells: dict[str, Cell], line: str, begin: int, number: int, faults: FaultList) -> None:
    """Adds the cells of a line's options, which begin at character `begin`."""

    def report(at: int, what: str, why: str, fix: str) -> None:
        faults.add(number, what, why=why, fix=fix, column=at + 1)

    for at, cell in _options(line, begin, number, report):
        if cell.name not in OPTIONS:
            why = f"options are {', '.join(OPTIONS)}."
            report(at, f"there is no option --{cell.name}.", why, suggestion(cell.name, OPTIONS))
        elif cell.name in cells:
            report(at, f"--{cell.name} stands twice.", "a line sets each option once.", "leave one of them out.")
        else:
            cells[cell.name] = cell


def _options(
    line: str, at: int, number: int, report: Callable[[int, str, str, str], None]
) -> Iterator[tuple[int, Cell]]:
    """Offset and value of each option from `at` on."""
    while at < len(line):
        named = _OPTION.match(line, at)
        if named is None:
            why = "the text comes first, and each option has one value."
            fix = 'put the text before the options, and a value of several words into quotes: --negative "a b".'
            report(at, f"{_word(line, at)!r} follows an option's value.", why, fix)
            at = _next_option(line, at)
            continue
        name, begin = named[1], named.end()
        if begin == len(line) or _BEGINS.match(line, begin):
            fix = f'write it, --{name} VALUE; an empty one is --{name} "".'
            report(at, f"--{name} has no value.", "every option is followed by its value.", fix)
        elif line[begin] != '"':
            bare = _BARE.match(line, begin)
            assert bare is not None  # the option's pattern took the blanks
            yield at, Cell(name, bare[0], number, begin + 1)
            begin = bare.end()
        else:
            quoted = _QUOTED.match(line, begin)
            if quoted is None:
                why = 'a value that begins with " ends at the next ".'
                report(begin, "this quote is never closed.", why, 'close it; a quote inside is written \\".')
                return
            yield at, Cell(name, quoted[1].replace('\\"', '"'), number, begin + 2, quoted=True)
            begin = quoted.end()
            if begin < len(line) and not line[begin].isspace():
                fix = 'put a blank between them; a quote inside a value is written \\".'
                what = f"{_word(line, begin)!r} follows a closing quote without a blank."
                report(begin, what, "a quoted value ends with its quote.", fix)
                begin = _next_option(line, begin)
        at = len(line) - len(line[begin:].lstrip())


def _next_option(line: str, at: int) -> int:
    more = _BEGINS.search(line, at)
    return len(line) if more is None else more.start()


def _word(line: str, at: int) -> str:
    return line[at:].split(maxsplit=1)[0]


def _csv_rows(text: str, faults: FaultList) -> Iterator[PromptRow]:
    for row in csv_rows(text, _COLUMNS, faults, aliases=ALIASES):
        cells = {name: Cell(name, cell.text, cell.line) for name, cell in row.items() if cell.text.strip()}
        yield PromptRow(min(cell.line for cell in row.values()), cells)


_HALVES = re.compile(r"[\ud800-\udfff\0]")  # what UTF-8 and paths cannot hold


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object in their order; a key may come twice."""


def _jsonl_rows(text: str, faults: FaultList) -> Iterator[PromptRow]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and (members := _members(line, number, faults)) is not None:
            yield PromptRow(number, _json_cells(members, number, faults))


def _members(line: str, number: int, faults: FaultList) -> _Members | None:
    """The members of the object on a line, or None."""
    fix = 'write one object a line: {"prompt": "black mold", "count": 3}'
    try:
        value = json.loads(line, object_pairs_hook=_Members)
    except json.JSONDecodeError as error:
        faults.add(number, "the line is no JSON.", why=f"{error.msg}.", fix=fix, column=error.colno)
        return None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets within brackets
        faults.add(number, "the line cannot be read.", why=f"{error}.", fix=fix)
        return None
    if isinstance(value, _Members):
        return value
    faults.add(number, f"the line is {json_kind(value)}.", why="each line is one object.", fix=fix)
    return None


def _json_cells(members: _Members, number: int, faults: FaultList) -> dict[str, Cell]:
    """The cells of an object. Null sets nothing."""
    cells, seen = dict[str, Cell](), set[str]()
    for key, value in members:
        name = ALIASES.get(key, key)
        cell = Cell(name, dict(value) if isinstance(value, _Members) else value, number, typed=True)
        if name not in _COLUMNS:
            why = f"keys are {', '.join(_COLUMNS)}."
            faults.add(number, f"there is no key '{key}'.", why=why, fix=suggestion(key, _COLUMNS))
        elif name in seen:
            what, why = (
                f"the key '{name}' stands twice.",
                "each key is set once; text is another name for prompt.",
            )
            faults.add(number, what, why=why, fix="leave one of them out.")
        elif isinstance(value, str) and (bad := _HALVES.search(value)):
            why = f"{bad[0]!a} is NUL or one half of a pair."
            what, fix = "the text holds a character that cannot be written.", "write the file again as UTF-8."
            cell.report(faults, what, why=why, fix=fix, offset=bad.start())
            cells[name] = replace(cell, value=_HALVES.sub("?", value))  # so that what else is wrong is found
        elif value is not None:
            cells[name] = cell
        seen.add(name)
    return cells


_READERS = {".csv": _csv_rows, ".jsonl": _jsonl_rows}  # everything else, and standard input, is read as .txt
