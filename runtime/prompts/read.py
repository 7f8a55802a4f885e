"""A prompts file, from its bytes to checked lines; everything that is wrong is found, each with its line.

Start with `read_prompt_file`. A file is a .txt (the text, then options such as --count 3 or --negative "mold, cracks"),
a .csv or a .jsonl; each has a reader here that gives the cells of its lines.
"""

import json
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from wetgen.runtime.errors import FaultList, FileFault, WetgenError, suggestion
from wetgen.runtime.files import decode, read_bytes
from wetgen.runtime.prompts.lines import MOST_LISTED, SEED_LIMIT, PromptFile, PromptLine
from wetgen.runtime.prompts.quota import MOST_PAIRS, check_quota
from wetgen.runtime.prompts.text import (
    CLASS,
    SEVERITY,
    BadText,
    ClassWords,
    mentioned_classes,
    parse_template,
    severity_words,
)
from wetgen.runtime.tables import Column, csv_rows

STDIN = "-"
TEXT = "prompt"  # the name of a line's text, beside the options
OPTIONS = ("count", "seed", "negative", "guidance", "plan", "class", "severity", "layout", "photo")
ALIASES = {"text": TEXT}  # dataset folders call it so
_COLUMNS = {TEXT: Column(required=True), **dict.fromkeys(OPTIONS, Column())}


class PromptCheck(NamedTuple):
    """What reading a source gave: the sound lines, everything that is wrong, and the requests if nothing is."""

    names: str
    lines: list[PromptLine]
    faults: Sequence[WetgenError]
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


def examine_prompt_file(
    source: str, words: ClassWords, *, count: int = 1, quota: Mapping[str, int] | None = None
) -> PromptCheck:
    """Reads a source and finds everything that is wrong with it."""
    names, lines = source_name(source), list[PromptLine]()
    faults = FaultList(names)
    try:
        if count < 1:
            why = "it is the number of pairs per prompt."
            raise WetgenError(f"The count is {count}.", why=why, fix="use 1 or more.")
        if quota is not None:
            check_quota(quota, count, words)
        data, kind = _read_source(source), "" if source == STDIN else Path(source).suffix.lower()
        rows, checks = _ROWS.get(kind, _txt_rows)(decode(data, names), faults), _Checks(words, quota, faults)
        lines += [line for row in rows if (line := checks.line(*row)) is not None]
        if faults.found:
            in_order = sorted(faults.found, key=FileFault.place)
            return PromptCheck(names, lines, in_order, None)
        if not lines:
            raise _no_prompts(names, data, kind)
        return PromptCheck(names, lines, [], PromptFile(names, lines, words, count, quota))
    except WetgenError as error:
        return PromptCheck(names, lines, [*faults.found, error], None)


def read_prompts(source: str) -> list[str]:
    """The lines of a file, or of standard input for "-", as bare prompts; an export verifies a bundle with them.

    Raises WetgenError if there are none or if the file is no text.
    """
    name, data = source_name(source), _read_source(source)
    prompts = [line.strip() for _, line in _prompt_lines(decode(data, name))]
    if not prompts:
        raise _no_prompts(name, data)
    return prompts


def source_name(source: str) -> str:
    """What errors call a source."""
    return "standard input" if source == STDIN else source


def resolve(path: str, source: str) -> Path:
    """Where a file lies that a prompts file names: beside the prompts file, unless the path is absolute.

    For standard input that is the working folder.
    """
    return Path(path) if source == STDIN else Path(source).parent / path


def _read_source(source: str) -> bytes:
    if source == STDIN:
        return sys.stdin.buffer.read()
    if not Path(source).exists():
        why, fix = "there is no file of that name.", "check the path, or give - to read standard input."
        raise WetgenError(f"{source} does not exist.", why=why, fix=fix)
    return read_bytes(Path(source))


def _no_prompts(name: str, data: bytes, kind: str = "") -> WetgenError:
    """The error for a source that has nothing to draw."""
    reasons = {".csv": "it has a header and no row below it", ".jsonl": "every line is blank"}
    why = reasons.get(kind, "every line is blank or begins with #") if data.strip() else "it is empty"
    fix = "write one prompt a line, for example: black mold in a bathroom corner"
    return WetgenError(f"{name} holds no prompts.", why=f"{why}.", fix=fix)


def _prompt_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not blank and no comment, with their numbers.

    Only \\n ends a line: str.splitlines would also split at form feeds and at Unicode's own separators.
    """
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield number, line


@dataclass(frozen=True)
class Cell:
    """A value as it was written, which begins at `line` and, in a .txt, at `column`; errors elsewhere name the option.

    `quoted` is for a value of a .txt in which \\" stands for a quote, `typed` for JSON, where a number is no text.
    """

    name: str
    value: Any
    line: int
    column: int | None = None
    quoted: bool = False
    typed: bool = False

    def report(self, faults: FaultList, what: str, *, why: str, fix: str, offset: int = 0) -> None:
        """Adds a fault of the value's character at `offset`."""
        if self.column is not None:
            escapes = self.value.count('"', 0, offset) if self.quoted else 0
            column = self.column + offset + escapes
            faults.add(self.line, f"{self.name}: {what}", why=why, fix=fix, column=column)
            return
        breaks = self.value.count("\n", 0, offset) if offset and not self.typed else 0
        character = f", character {offset + 1}" if offset else ""
        faults.add(self.line + breaks, f"{self.name}{character}: {what}", why=why, fix=fix)

    @property
    def lead(self) -> int:
        """How many blanks stand before a text."""
        return len(self.value) - len(self.value.lstrip())

    @property
    def shown(self) -> str:
        """The value as messages show it."""
        text = self.value.strip() if isinstance(self.value, str) else json.dumps(self.value)
        return repr(text if len(text) <= 40 else f"{text[:40]}...")


_Rows = Iterator[tuple[int, Mapping[str, Cell]]]
"""Of each line of a file its number, and the text and the options that it sets, by name."""


_BEGINS = re.compile(r"(?<!\S)--(?=[A-Za-z])")
_OPTION = re.compile(  # an option, and its value if it has one; a backslash is one, but before a quote
    r"--(?P<name>[A-Za-z][^\s=]*)(?:=|\s+|$)"
    r'(?:"(?P<quoted>(?:[^"\\]|\\"|\\(?!"))*)"(?P<behind>\S*)|(?P<bare>(?!(?<!\S)--[A-Za-z])[^\s"]\S*))?\s*'
)


def _txt_rows(text: str, faults: FaultList) -> _Rows:
    for number, line in _prompt_lines(text):
        line = line.rstrip()
        first = _BEGINS.search(line)
        end = len(line) if first is None else first.start()
        start = len(line) - len(line.lstrip())
        cells = {TEXT: Cell(TEXT, line[start:end], number, start + 1)}
        if first is not None:
            _add_options(cells, line, end, number, faults)
        yield number, cells


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
        found = _OPTION.match(line, at)
        if found is None:
            why = "the text comes first, and each option has one value."
            fix = 'put the text before the options, and a value of several words into quotes: --negative "a b".'
            report(at, f"{line[at:].split(maxsplit=1)[0]!r} follows an option's value.", why, fix)
            at = _next_option(line, at)
            continue
        name, end = found["name"], found.end()
        if found["bare"] is not None:
            yield at, Cell(name, found["bare"], number, found.start("bare") + 1)
        elif found["quoted"] is not None:
            yield at, Cell(name, found["quoted"].replace('\\"', '"'), number, found.start("quoted") + 1, quoted=True)
            if found["behind"]:
                fix = 'put a blank between them; a quote inside a value is written \\".'
                what = f"{found['behind']!r} follows a closing quote without a blank."
                report(found.start("behind"), what, "a quoted value ends with its quote.", fix)
                end = _next_option(line, found.start("behind"))
        elif line.startswith('"', end):
            why = 'a value that begins with " ends at the next ".'
            report(end, "this quote is never closed.", why, 'close it; a quote inside is written \\".')
            return
        else:
            fix = f'write it, --{name} VALUE; an empty one is --{name} "".'
            report(at, f"--{name} has no value.", "every option is followed by its value.", fix)
        at = end


def _next_option(line: str, at: int) -> int:
    more = _BEGINS.search(line, at)
    return len(line) if more is None else more.start()


def _csv_rows(text: str, faults: FaultList) -> _Rows:
    for row in csv_rows(text, _COLUMNS, faults, aliases=ALIASES):
        cells = {name: Cell(name, cell.text, cell.line) for name, cell in row.items() if cell.text.strip()}
        yield min(cell.line for cell in row.values()), cells


_HALVES = re.compile(r"[\ud800-\udfff\0]")  # what UTF-8 and paths cannot hold


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object in their order; a key may come twice."""


def _jsonl_rows(text: str, faults: FaultList) -> _Rows:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and (members := _members(line, number, faults)) is not None:
            yield number, _json_cells(members, number, faults)


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
    faults.add(number, f"the line is {_json_kind(value)}.", why="each line is one object.", fix=fix)
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
            why = "each key is set once; text is another name for prompt."
            faults.add(number, f"the key '{name}' stands twice.", why=why, fix="leave one of them out.")
        elif isinstance(value, str) and (bad := _HALVES.search(value)):
            why = f"{bad[0]!a} is NUL or one half of a pair."
            what, fix = "the text holds a character that cannot be written.", "write the file again as UTF-8."
            cell.report(faults, what, why=why, fix=fix, offset=bad.start())
            cells[name] = replace(cell, value=_HALVES.sub("?", value))  # so that what else is wrong is found
        elif value is not None:
            cells[name] = cell
        seen.add(name)
    return cells


_ROWS = {".csv": _csv_rows, ".jsonl": _jsonl_rows}  # everything else, and standard input, is read as .txt


@dataclass(frozen=True)
class _Checks:
    """What lines are checked with; all that is wrong in them is added to `faults`.

    `quota` are the classes of the command's quota, None without one.
    """

    words: ClassWords
    quota: Collection[str] | None
    faults: FaultList

    def line(self, number: int, cells: Mapping[str, Cell]) -> PromptLine | None:
        """The line of these cells, None if something is wrong in it."""
        before = len(self.faults.found)
        values = {name: self._value(cell) for name, cell in cells.items()}
        if TEXT not in cells:
            self.faults.add(number, "there is no prompt.", why="options alone draw nothing.", fix=_WRITE_TEXT)
        if len(self.faults.found) > before:
            return None
        line = PromptLine(line=number, text=values.pop(TEXT), classes=values.pop("class", ()), **values)
        for name, text in ((TEXT, line.text), ("negative", line.negative)):
            if text and (placeholders := parse_template(text).placeholders):
                self._fill(line, cells[name], placeholders)
        if len(self.faults.found) == before and line.severity is not None:
            self._place_severity(line, line.severity, cells[TEXT])
        return line if len(self.faults.found) == before else None

    def _value(self, cell: Cell) -> Any:
        try:
            return _classes(cell, self.words) if cell.name == "class" else _READERS[cell.name](cell)
        except BadText as error:
            cell.report(self.faults, error.what, why=error.why, fix=error.fix, offset=error.offset)
            return None

    def _fill(self, line: PromptLine, cell: Cell, placeholders: Collection[str]) -> None:
        """Every placeholder of a template stands for something."""

        def report(name: str, what: str, why: str, fix: str) -> None:
            found = re.search(rf"\{{\s*{name}\s*\}}", cell.value)
            cell.report(self.faults, what, why=why, fix=fix, offset=0 if found is None else found.start())

        if CLASS in placeholders:
            if not line.classes and self.quota is None:
                fix = "give the line a class, such as mold or mold|stain, or run with --quota."
                report(CLASS, "{class} stands for no class.", "neither the line nor a quota names one.", fix)
            for name in line.classes or self.quota or ():
                if not self.words[name]:
                    what, why = f"there is no word for {{class}} '{name}'.", "the bundle lists none for it."
                    report(CLASS, what, why, "write the damage out in the text.")
        if SEVERITY in placeholders and line.severity is None:
            what, why = "{severity} stands for no severity.", "the line does not set one."
            report(SEVERITY, what, why, "give the line a severity from 0 to 1.")

    def _place_severity(self, line: PromptLine, severity: float, cell: Cell) -> None:
        """Every expansion has a place for the words of the severity; found now, not in the middle of a run."""
        if SEVERITY in line.template.certain:
            return
        if line.template.count > MOST_LISTED:
            what = f"the place of '{severity_words(severity)}' is not clear."
            why = f"the text has {line.template.count} combinations, and at most {MOST_LISTED} are searched for damage."
            fix = "write {severity} where the words are to stand."
            cell.report(self.faults, what, why=why, fix=fix, offset=cell.lead)
            return
        takes_class = CLASS in line.template.placeholders | line.negative_template.placeholders
        for asked in line.classes or (tuple(self.quota or ()) if takes_class else (None,)):
            try:
                line.try_severity(asked, self.words)
            except WetgenError as error:
                cell.report(self.faults, error.what, why=error.why, fix=error.fix, offset=cell.lead)
                return


_WRITE_TEXT = f"write the text: before the options in a .txt, as '{TEXT}' in a .csv or .jsonl."
_MOST_FLOAT32 = 2.0**128 - 2.0**104  # the network's guidance is float32
_WHOLE = re.compile(r"[+-]?[0-9]{1,400}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,9})?")


def _whole(least: int, most: int, meaning: str, cell: Cell) -> int:
    """A whole number from `least` to `most`."""
    value = cell.value
    if not cell.typed and _WHOLE.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadText(f"{cell.shown} is no whole number.", why=f"{meaning}.", fix="write one, such as 3.")
    if not least <= value <= most:
        why = f"it must be from {least} to {most}; {meaning}."
        raise BadText(f"{cell.shown} is out of range.", why=why, fix="write a number in that range.")
    return value


def _number(least: float, most: float, limits: str, cell: Cell) -> float:
    """A number from `least` to `most`."""
    value = cell.value
    if not cell.typed and (_NUMBER.fullmatch(value.strip()) or value.strip().lower() in ("nan", "inf", "-inf")):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        fix = "write one with a point, such as 0.8." if not cell.typed else "write one without quotes, such as 0.8."
        raise BadText(f"{cell.shown} is no number.", why=f"{limits}.", fix=fix)
    if not least <= value <= most:  # not so for NaN either
        raise BadText(f"{cell.shown} is out of range.", why=f"{limits}.", fix="write a number in that range.")
    return float(value)


def _text(cell: Cell) -> str:
    if not isinstance(cell.value, str):
        raise BadText(f"{cell.shown} is no text.", why=f"it is {_json_kind(cell.value)}.", fix="put it into quotes.")
    return cell.value.strip()


def _name(meaning: str, cell: Cell) -> str:
    """A text that must not be empty."""
    text = _text(cell)
    if not text:
        raise BadText("it is empty.", why=f"it is {meaning}.", fix="write it, or leave it out.")
    return text


def _template(cell: Cell) -> str:
    text = _text(cell)
    try:
        parse_template(text)
    except BadText as error:
        error.offset += cell.lead
        raise
    return text


def _prompt(cell: Cell) -> str:
    text = _template(cell)
    if not text:
        raise BadText("there is none.", why="options alone draw nothing.", fix=_WRITE_TEXT)
    if parse_template(text).may_be_blank:
        why = "one of its expansions is empty, and an empty prompt asks for nothing."
        raise BadText("it may come out empty.", why=why, fix="write something outside the alternatives.")
    return text


def _classes(cell: Cell, words: ClassWords) -> tuple[str, ...]:
    """The alternatives of `mold|stain`, all of them classes of the bundle."""
    _text(cell)
    names, at = [], 0
    for part in cell.value.split("|"):
        name = part.strip()
        if name not in words:
            raise _unknown_class(name, words, at + len(part) - len(part.lstrip()))
        names.append(name)
        at += len(part) + 1
    return tuple(names)


def _unknown_class(name: str, words: ClassWords, offset: int) -> BadText:
    """The error for a name that is no class; one of a class's words, such as "mould", is answered with the class."""
    why = f"the bundle draws {', '.join(words)}." if words else "the bundle draws no masks."
    fix = "leave the class out."
    if words:
        by_word = mentioned_classes(name, words)
        fix = f"did you mean '{by_word[0]}'?" if by_word else suggestion(name, words)
    return BadText(f"there is no class '{name}'." if name else "a name is empty.", why=why, fix=fix, offset=offset)


_READERS: dict[str, Callable[[Cell], Any]] = {
    TEXT: _prompt,
    "count": partial(_whole, 1, MOST_PAIRS, "so many pairs are drawn of the line"),
    "seed": partial(_whole, 0, SEED_LIMIT - 1, "the noise of the line is drawn from it"),
    "negative": _template,
    "guidance": partial(_number, -_MOST_FLOAT32, _MOST_FLOAT32, "it scales the prompt's effect and must be finite"),
    "plan": partial(_name, "the name of a plan"),
    "severity": partial(_number, 0, 1, "it must be from 0, the least, to 1, the most"),
    "layout": partial(_name, "the path of a mask"),
    "photo": partial(_name, "the path of a photograph"),
}


def _json_kind(value: object) -> str:
    """What JSON calls a value."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    names: dict[type, str] = {str: "text", int: "a whole number", float: "a number", list: "a list", dict: "an object"}
    return names[type(value)]
