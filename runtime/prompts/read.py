"""All asks of a prompts file, in the order of the pairs, each computed when it is wanted.

Where prompts come from: a file or standard input, in UTF-8.

Prompts as bare lines, without options: what an export verifies a bundle with.

Rows of a .txt prompts file: the text, then options such as --count 3 or --negative "mold, cracks".

Rows of a .jsonl prompts file: one JSON object a line.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from wetgen.runtime.errors import Faults, WetgenError, suggestion
from wetgen.runtime.files import decode, os_errors
from wetgen.runtime.prompts.lines import LazyRequests, Line, Order, PromptRequest, Rounds, Words, kind_of, line_of
from wetgen.runtime.prompts.quota import Quota, Rotation, check_quota, serving
from wetgen.runtime.tables import ALIASES, AS_IT_STANDS, OPTIONS, TEXT, Cell, Row, csv_rows

STDIN = "-"


def source_name(source: str) -> str:
    """What errors call a source."""
    return "standard input" if source == STDIN else source


def read_source(source: str) -> bytes:
    """The bytes of a file, or of standard input for "-"."""
    return sys.stdin.buffer.read() if source == STDIN else _read(Path(source))


def resolve(path: str, source: str) -> Path:
    """Where a file lies that a prompts file names: beside the prompts file, unless the path is absolute.

    For standard input that is the working folder.
    """
    return Path(path) if source == STDIN else Path(source).parent / path


def no_prompts(name: str, why: str) -> WetgenError:
    """The error for a source that names nothing to draw."""
    return WetgenError(
        f"{name} holds no prompts.",
        why=f"{why}.",
        fix="write one prompt a line, for example: black mold in a bathroom corner",
    )


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise WetgenError(
            f"{path} is a folder.", why="prompts are read from a text file.", fix="give the file inside it."
        )
    if not path.exists():
        raise WetgenError(
            f"{path} does not exist.",
            why="no file of that name is there.",
            fix="check the path, or give - to read standard input.",
        )
    with os_errors(path, "read"):
        return path.read_bytes()


class Prompt(NamedTuple):
    """A prompt and the line of its file that it stands on, counted from 1."""

    line: int
    text: str


def read_prompts(source: str) -> list[Prompt]:
    """The prompts of a file, or of standard input for "-". Raises WetgenError when there are none or it is not text."""
    name, data = source_name(source), read_source(source)
    prompts = parse_prompts(data, name)
    if not prompts:
        raise no_prompts(name, "every line is blank or begins with #" if data.strip() else "it is empty")
    return prompts


def parse_prompts(data: bytes, name: str = "prompts") -> list[Prompt]:
    """The prompts in UTF-8 bytes, with or without a byte order mark."""
    text = decode(data, name)
    # Only \n ends a line: str.splitlines would also split at form feeds and at Unicode's own separators.
    lines = [Prompt(number, line.strip()) for number, line in enumerate(text.split("\n"), 1)]
    return [prompt for prompt in lines if is_prompt(prompt.text)]


def is_prompt(stripped: str) -> bool:
    """Whether a line asks for something: it is not blank and no comment."""
    return stripped != "" and not stripped.startswith("#")


_OPTION = re.compile(r"(?<!\S)--([A-Za-z][^\s=]*)(?:=|\s+|$)")
_BEGINS = re.compile(r"(?<!\S)--(?=[A-Za-z])")
_QUOTED = re.compile(r'"((?:[^"\\]|\\"|\\(?!"))*)"')  # a backslash is one, but before a quote
_IN_QUOTES = re.compile(r'\\"|.', re.DOTALL)
_BARE = re.compile(r"\S+")
_TXT_SPACE = re.compile(r"\s*")


def txt_rows(text: str, faults: Faults) -> Iterator[Row]:
    """The rows of a text; what cannot be read goes to `faults`."""
    for number, line in enumerate(text.split("\n"), 1):  # str.splitlines knows more ends of lines than editors do
        if is_prompt(line.strip()):
            yield Row(number, _txt_cells(line.rstrip(), number, faults))


def _txt_cells(line: str, number: int, faults: Faults) -> dict[str, Cell]:
    first = _BEGINS.search(line)
    end = len(line) if first is None else first.start()
    start = len(line) - len(line.lstrip())
    cells = {TEXT: Cell(line[start:end], number, start + 1, line[start:end])}
    for name, at, cell in _options(line, end, number, faults):
        if name not in OPTIONS:
            faults.add(
                (number, at + 1),
                f"there is no option --{name}.",
                why=f"options are {', '.join(OPTIONS)}.",
                fix=suggestion(name, OPTIONS),
            )
        elif name in cells:
            faults.add(
                (number, at + 1),
                f"--{name} stands there twice.",
                why="a line says each option once.",
                fix="leave one of them out.",
            )
        else:
            cells[name] = cell
    return cells


def _options(line: str, at: int, number: int, faults: Faults) -> Iterator[tuple[str, int, Cell]]:
    """Name, offset and value of each option from `at` on."""
    while at < len(line):
        named = _OPTION.match(line, at)
        if named is None:
            faults.add(
                (number, at + 1),
                f"{_word(line, at)!r} stands behind an option's value.",
                why="the text comes first, and each option has one value.",
                fix='put the text before the options, and a value of several words into quotes: --negative "a b".',
            )
            more = _BEGINS.search(line, at)
            if more is None:
                return
            at = more.start()
            continue
        begin = named.end()
        if begin == len(line) or _BEGINS.match(line, begin):
            faults.add(
                (number, at + 1),
                f"--{named[1]} has no value.",
                why="every option is followed by its value.",
                fix=f'write it, --{named[1]} VALUE; an empty one is --{named[1]} "".',
            )
        elif line[begin] != '"':
            bare = _BARE.match(line, begin)
            assert bare is not None  # the option's pattern took the blanks
            yield named[1], at, Cell(bare[0], number, begin + 1, bare[0])
            begin = bare.end()
        else:
            quoted = _QUOTED.match(line, begin)
            if quoted is None:
                faults.add(
                    (number, begin + 1),
                    "this quote is never closed.",
                    why='a value that begins with " goes on to the next ".',
                    fix='close it; a quote inside is written \\".',
                )
                return
            value = quoted[1].replace('\\"', '"')
            yield named[1], at, Cell(value, number, begin + 2, quoted[1], _IN_QUOTES)
            begin = quoted.end()
            if begin < len(line) and not line[begin].isspace():
                faults.add(
                    (number, begin + 1),
                    f"{_word(line, begin)!r} follows a closing quote at once.",
                    why="a quoted value ends with its quote.",
                    fix='put a blank between them; a quote inside a value is written \\".',
                )
                begin = len(line) if (more := _BEGINS.search(line, begin)) is None else more.start()
        space = _TXT_SPACE.match(line, begin)
        assert space is not None
        at = space.end()


def _word(line: str, at: int) -> str:
    return line[at:].split(maxsplit=1)[0]


_KEYS = (TEXT, *OPTIONS)
_DECODER = json.JSONDecoder()
_JSON_SPACE = re.compile(r"[ \t\r]*")
# One character of a string as JSON writes it; the first form is a character beyond U+FFFF.
_IN_STRING = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.|.", re.DOTALL)
_HALVES = re.compile(r"[\ud800-\udfff\0]")  # what UTF-8 and paths cannot hold


def jsonl_rows(text: str, faults: Faults) -> Iterator[Row]:
    """The rows of a text; what cannot be read goes to `faults`. Null means that nothing is said."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and _is_object(line, number, faults):
            yield Row(number, _json_cells(line, number, faults))


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


def _json_cells(line: str, number: int, faults: Faults) -> dict[str, Cell]:
    cells: dict[str, Cell] = {}
    told: set[str] = set()
    for key, at, cell in _members(line, number):
        name = ALIASES.get(key, key)
        if name not in _KEYS:
            what, why = f"there is no key '{key}'.", f"keys are {', '.join(_KEYS)}."
            faults.add((number, at + 1), what, why=why, fix=suggestion(key, _KEYS))
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
    space = _JSON_SPACE.match(line, at)
    assert space is not None  # it may be empty
    return space.end()


_KINDS = {".csv": csv_rows, ".jsonl": jsonl_rows}  # everything else, and standard input, is read as .txt


class PromptFile(LazyRequests):
    """What pairs 0, 1, 2, ... are to be. It holds the lines of the file, whatever the number of pairs.

    `names` is what errors call the source, `lines` the checked lines, `rounds` how often they are gone through,
    `order` which of them each pair belongs to.
    """

    def __init__(
        self, names: str, lines: Sequence[Line], words: Words, count: int = 1, quota: Mapping[str, int] | None = None
    ) -> None:
        """Raises WetgenError for a count or a quota that the lines cannot serve."""
        self.names, self.lines, self.words, self.rounds, self.quota = names, lines, words, count, quota
        self.order: Order = _order(names, lines, words, count, quota)

    def __len__(self) -> int:
        return len(self.order)

    def at(self, index: int) -> PromptRequest:
        place, number, step, asked = self.order.turn(index)
        return self.lines[place].ask(number, step, asked, self.words)

    @cached_property
    def lines_sha256(self) -> str:
        """A hash of what the lines say; comments, line numbers and the kind of file don't count."""
        said = [field.name for field in fields(Line) if field.name != "line"]
        hashed = hashlib.sha256()
        for line in self.lines:
            hashed.update(json.dumps([getattr(line, name) for name in said]).encode() + b"\n")
        return hashed.hexdigest()

    @cached_property
    def sha256(self) -> str:
        """A hash of everything that decides the asks of a bundle: the lines, the count and the quota."""
        quota = None if self.quota is None else list(self.quota.items())
        return hashlib.sha256(json.dumps([self.lines_sha256, self.rounds, quota]).encode()).hexdigest()


def _order(names: str, lines: Sequence[Line], words: Words, count: int, quota: Mapping[str, int] | None) -> Order:
    if quota is None:
        return Rounds([line.count for line in lines], count)
    served = serving(lines, quota, words, names)
    rotations = {name: Rotation({place: lines[place].count for place in places}) for name, places in served.items()}
    return Quota(quota, rotations)


class Reading(NamedTuple):
    """What a source says: the lines that are sound, everything that is wrong, and the asks if nothing is."""

    names: str
    lines: list[Line]
    faults: list[WetgenError]
    asks: PromptFile | None


def read_prompt_file(
    source: str, words: Words, *, count: int = 1, quota: Mapping[str, int] | None = None
) -> PromptFile:
    """The asks of a prompts file, or of standard input for "-", which is read as .txt.

    `words` are the bundle's words for each class; `count` repeats the file, `quota` says the pairs of each class in
    its place. Raises WetgenError for the first thing that is wrong.
    """
    reading = read_all(source, words, count=count, quota=quota)
    if reading.asks is None:
        raise reading.faults[0]
    return reading.asks


def check_prompt_file(
    source: str, words: Words, *, count: int = 1, quota: Mapping[str, int] | None = None
) -> list[WetgenError]:
    """Everything for which `read_prompt_file` would not read a source; empty where it would."""
    return read_all(source, words, count=count, quota=quota).faults


def read_all(source: str, words: Words, *, count: int = 1, quota: Mapping[str, int] | None = None) -> Reading:
    """Read a source and find all that is wrong with it."""
    names, lines, found = source_name(source), list[Line](), list[WetgenError]()
    try:
        _check_count(count)
        if quota is not None:
            check_quota(quota, count, words)
        data = read_source(source)
        faults = Faults(names)
        rows = _rows(source, decode(data, names), faults)
        lines = [line for row in rows if (line := line_of(row, words, quota, faults)) is not None]
        found += faults.in_order()
        if found:
            return Reading(names, lines, found, None)
        if not lines:
            raise no_prompts(names, _emptiness(source, data))
        asks = PromptFile(names, lines, words, count, quota)
        _check_total(asks)
        return Reading(names, lines, [], asks)
    except WetgenError as error:
        return Reading(names, lines, [*found, error], None)


def _rows(source: str, text: str, faults: Faults) -> Iterator[Row]:
    kind = "" if source == STDIN else Path(source).suffix.lower()
    return _KINDS.get(kind, txt_rows)(text, faults)


def _emptiness(source: str, data: bytes) -> str:
    if not data.strip():
        return "it is empty"
    reasons = {".csv": "it has a header and no row below", ".jsonl": "every line is blank"}
    kind = "" if source == STDIN else Path(source).suffix.lower()
    return reasons.get(kind, "every line is blank or begins with #")


def _check_count(count: int) -> None:
    if count < 1:
        raise WetgenError(f"The count is {count}.", why="it is the number of pairs per prompt.", fix="use 1 or more.")


def _check_total(asks: PromptFile) -> None:
    total = sum(share.pairs for share in asks.order.shares())
    if total > sys.maxsize:
        raise WetgenError(f"{asks.names} asks for {total} pairs.", why="no run has so many.", fix="lower the counts.")
