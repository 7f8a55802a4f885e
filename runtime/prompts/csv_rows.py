"""Rows of a .csv prompts file: a header that names the columns, then one row a prompt, quoted as RFC 4180 has it."""

import csv
import io
import re
from collections.abc import Iterator, Sequence

from wetgen.runtime.prompts.cell import ALIASES, AS_IT_STANDS, OPTIONS, TEXT, Cell, Row, place_in
from wetgen.runtime.prompts.faults import Faults, meant

_DELIMITERS = (",", ";", "\t")  # a spreadsheet of a country with decimal commas writes ;
_COLUMNS = (TEXT, *OPTIONS)
_IN_QUOTES = re.compile(r'""|.', re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


def csv_rows(text: str, faults: Faults) -> Iterator[Row]:
    """The rows below the header; what cannot be read goes to `faults`. Blank rows are left out."""
    lines = list(io.StringIO(text))  # which end with \n only, as everywhere in prompts files
    rows = _rows(lines, _delimiter(lines), faults)
    header = next(rows, None)
    if header is None:
        return
    names = _names(header, faults)
    if TEXT not in names and None not in names:
        faults.add(
            header[0].place(),
            "the header has no column 'prompt'.",
            why="the first row of a .csv names its columns, and one of them holds the prompts.",
            fix=f"begin the file with a row such as: {TEXT},count,class",
        )
    if TEXT not in names:
        return
    for cells in rows:
        if len(cells) == len(names):
            yield Row(
                cells[0].line, {name: cell for name, cell in zip(names, cells, strict=True) if name and _says(cell)}
            )
            continue
        last = cells[-1]
        faults.add(
            cells[len(names)].place() if len(cells) > len(names) else last.place(len(last.value)),
            f"the row has {len(cells)} cells, the header {len(names)}.",
            why="every row has a cell for each column, which may be empty.",
            fix='add or remove delimiters; a prompt with a delimiter in it stands in quotes: "mold, black".',
        )


def _rows(lines: Sequence[str], delimiter: str, faults: Faults) -> Iterator[list[Cell]]:
    """The rows that say anything. Python's csv gives the values, `_spans` the places."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        first = reader.line_num
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raw = "".join(lines[first : reader.line_num])
            _, end = _spans(raw, delimiter)
            _add_trouble(place_in(raw, end, first + 1, 1), raw[end:], f"{error}", faults)
            if raw[end:].startswith('"'):
                return  # what follows cannot be told from what is quoted
            continue
        if not any(value.strip() for value in values):
            continue
        raw = "".join(lines[first : reader.line_num])
        spans, _ = _spans(raw, delimiter)
        yield [
            Cell(value, *place_in(raw, start, first + 1, 1), raw[start:end], _IN_QUOTES if quoted else AS_IT_STANDS)
            for value, (start, end, quoted) in zip(values, spans, strict=True)
        ]


def _spans(raw: str, delimiter: str) -> tuple[list[tuple[int, int, bool]], int]:
    """Begin, end and whether in quotes, of each cell of a row as written; and how far the row is well formed."""
    plain = re.compile(rf"[^{re.escape(delimiter)}\r\n]*")
    spans: list[tuple[int, int, bool]] = []
    at = 0
    while True:
        quoted = raw.startswith('"', at)
        cell = _QUOTED.match(raw, at) if quoted else plain.match(raw, at)
        if cell is None:
            return spans, at
        spans.append((*cell.span(1 if quoted else 0), quoted))
        at = cell.end()
        if not raw.startswith(delimiter, at):
            return spans, at
        at += 1


def _add_trouble(place: tuple[int, int], rest: str, error: str, faults: Faults) -> None:
    """Say why a row cannot be read, by what stands where it stops to be well formed."""
    quotes = 'a quote inside a quoted cell is written twice: "a ""wet"" wall".'
    if rest.startswith('"'):
        faults.add(place, "this quote is never closed.", why="the cell goes on to the next quote.", fix=quotes)
    elif rest.startswith("\r"):
        why = "a row ends with a line feed, with or without a carriage return before it."
        faults.add(place, "a carriage return stands alone.", why=why, fix="save the file with usual ends of lines.")
    elif rest.strip():
        what = f"{rest.split(maxsplit=1)[0]!r} follows a closing quote."
        faults.add(place, what, why="a cell that begins with a quote ends with one.", fix=quotes)
    else:
        faults.add(place, "the row cannot be read.", why=f"{error}.", fix="shorten the cell, or close its quotes.")


def _delimiter(lines: Sequence[str]) -> str:
    """The delimiter under which the header has the most known names, and among those the most columns."""

    def fitness(delimiter: str) -> tuple[int, int]:
        header = next(_rows(lines, delimiter, Faults("")), [])
        known = {_column(cell) for cell in header} & set(_COLUMNS)
        return len(known), len(header)

    return max(_DELIMITERS, key=fitness)


def _names(header: Sequence[Cell], faults: Faults) -> list[str | None]:
    """The columns' names, None for one that is not known or stands there again."""
    names: list[str | None] = []
    for cell in header:
        name = _column(cell)
        if name not in _COLUMNS:
            faults.add(
                cell.place(),
                f"there is no column '{name}'.",
                why=f"the first row names the columns, which may be {', '.join(_COLUMNS)}.",
                fix=meant(name, _COLUMNS),
            )
        elif name in names:
            faults.add(
                cell.place(),
                f"the column '{name}' stands there twice.",
                why="each is named once; text is another name for prompt.",
                fix="remove one of the two columns.",
            )
        names.append(name if name in _COLUMNS and name not in names else None)
    return names


def _column(cell: Cell) -> str:
    name = str(cell.value).strip()
    return ALIASES.get(name, name)


def _says(cell: Cell) -> bool:
    return bool(cell.value.strip())
