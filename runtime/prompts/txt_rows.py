"""Rows of a .txt prompts file: the text, then options such as --count 3 or --negative "mold, cracks"."""

import re
from collections.abc import Iterator

from wetgen.runtime.prompts.cell import OPTIONS, TEXT, Cell, Row
from wetgen.runtime.prompts.faults import Faults, meant
from wetgen.runtime.prompts.plain import is_prompt

_OPTION = re.compile(r"(?<!\S)--([A-Za-z][^\s=]*)(?:=|\s+|$)")
_BEGINS = re.compile(r"(?<!\S)--(?=[A-Za-z])")
_QUOTED = re.compile(r'"((?:[^"\\]|\\"|\\(?!"))*)"')  # a backslash is one, but before a quote
_IN_QUOTES = re.compile(r'\\"|.', re.DOTALL)
_BARE = re.compile(r"\S+")
_SPACE = re.compile(r"\s*")


def txt_rows(text: str, faults: Faults) -> Iterator[Row]:
    """The rows of a text; what cannot be read goes to `faults`."""
    for number, line in enumerate(text.split("\n"), 1):  # str.splitlines knows more ends of lines than editors do
        if is_prompt(line.strip()):
            yield Row(number, _cells(line.rstrip(), number, faults))


def _cells(line: str, number: int, faults: Faults) -> dict[str, Cell]:
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
                fix=meant(name, OPTIONS),
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
        space = _SPACE.match(line, begin)
        assert space is not None
        at = space.end()


def _word(line: str, at: int) -> str:
    return line[at:].split(maxsplit=1)[0]
