"""Tables in CSV files: a header, nearest names for what is not known, and the place of every cell in errors.

UTF-8 with or without a byte order mark; separated by commas, semicolons or tabs, which the header shows; cells may
stand in double quotes (RFC 4180). Blank lines are skipped.

One value as it was read, and where every character of it stands in the file.

Rows of a .csv prompts file: a header that names the columns, then one row a prompt, quoted as RFC 4180 has it.
"""

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from wetgen.runtime.errors import Faults, WetgenError, suggestion
from wetgen.runtime.files import decode, read_bytes

DELIMITERS = (",", ";", "\t")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,300}\.?[0-9]{0,300}|\.[0-9]{1,300})(?:[eE][+-]?[0-9]{1,2})?")
_MOST_SHOWN = 40  # characters of a cell in a message
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab"}


class Column(NamedTuple):
    """What a table may say of one thing: whether the header must name it, and whether each row must fill it."""

    required: bool = False
    filled: bool = False


class TableCell(NamedTuple):
    """A cell's text and where it begins: line and character of the line, both counted from 1."""

    text: str
    line: int
    column: int


@dataclass(frozen=True)
class TableRow:
    """One row below the header; columns that the table lacks and cells that are empty read as None."""

    source: str
    line: int
    cells: Mapping[str, TableCell]

    def text(self, name: str) -> str | None:
        """The cell of a column without surrounding blanks, or None."""
        cell = self.cells.get(name)
        return None if cell is None or not cell.text else cell.text

    def needed(self, name: str) -> str:
        """The cell of a column that must say something; raises WetgenError where it does not."""
        text = self.text(name)
        if text is None:
            raise self.fault(name, "is empty", "every row needs it", "fill it in, or delete the row.")
        return text

    def number(self, name: str, least: float = -math.inf, most: float = math.inf) -> float | None:
        """The cell as a finite number from `least` to `most`, or None; raises WetgenError for anything else."""
        text = self.text(name)
        return None if text is None else self.as_number(name, text, least, most)

    def as_number(self, name: str, text: str, least: float = -math.inf, most: float = math.inf) -> float:
        """Some text of a column as `number` reads it."""
        # float() would take nan, inf, 1_000 and the digits of all scripts, and makes infinity of 400 digits.
        if _NUMBER.fullmatch(text) is None or math.isinf(float(text)):
            comma = "," in text and "." not in text
            fix = "write the decimals behind a point." if comma else "write a number such as 12 or 0.5."
            shown = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
            raise self.fault(name, f"is {shown!r}", "that is no number", fix)
        value = float(text)
        if not least <= value <= most:
            why = _range(least, most)
            raise self.fault(name, f"is {text}", why, "correct it.")
        return value

    def one_of(self, name: str, known: Sequence[str]) -> str:
        """The cell as one of the words known; raises WetgenError that names the nearest."""
        text = self.needed(name)
        if text not in known:
            raise self.fault(name, f"is {text!r}", f"known are {', '.join(known)}", suggestion(text, known))
        return text

    def where(self, name: str) -> str:
        """The place of a column's cell, as messages say it."""
        cell = self.cells.get(name)
        return f"{self.source}, line {self.line}" if cell is None else _place(self.source, cell.line, cell.column)

    def fault(self, name: str, what: str, why: str, fix: str) -> WetgenError:
        """The error of one cell: "FILE, line L, column C: NAME WHAT."."""
        return WetgenError(f"{self.where(name)}: {name} {what}.", why=f"{why}.", fix=fix)


def read_table(path: Path, columns: Mapping[str, Column]) -> list[TableRow]:
    """The rows of a CSV file whose header names some of `columns`, in the file's order.

    Raises WetgenError, naming line and column, for what is no table, for columns that are not known, stand twice or are
    missing, for rows of another length than the header, and for empty cells of columns that must be filled.
    """
    return parse_table(read_bytes(path), str(path), columns)


def parse_table(data: bytes, source: str, columns: Mapping[str, Column]) -> list[TableRow]:
    """What `read_table` gives, of a file's bytes; messages call it `source`."""
    text = decode(data, source)
    records = _records(text, source, _delimiter(text))
    header = next(records, None)
    if header is None:
        raise WetgenError(
            f"{source} is empty.", why="a table begins with a header.", fix=f"begin with: {','.join(columns)}"
        )
    names = _header(header, source, columns)
    rows = [_row(source, names, cells) for cells in records]
    for row in rows:
        for name, column in columns.items():
            if column.filled and name in row.cells:
                row.needed(name)
    return rows


def _header(cells: Sequence[TableCell], source: str, columns: Mapping[str, Column]) -> list[str]:
    names = [cell.text for cell in cells]
    for index, cell in enumerate(cells):
        place = _place(source, cell.line, cell.column)
        if cell.text not in columns:
            raise WetgenError(
                f"{place}: there is no column {cell.text!r}.",
                why=f"columns are {', '.join(columns)}.",
                fix=suggestion(cell.text, columns),
            )
        if cell.text in names[:index]:
            raise WetgenError(
                f"{place}: the column {cell.text!r} stands twice.",
                why="which of the two is meant is not known.",
                fix="delete one.",
            )
    missing = [name for name, column in columns.items() if column.required and name not in names]
    if missing:
        raise WetgenError(
            f"{_place(source, cells[0].line, 1)}: the header lacks {', '.join(missing)}.",
            why=f"it names {', '.join(names)}.",
            fix="add the columns; the first line of the file names them.",
        )
    return names


def _row(source: str, names: Sequence[str], cells: Sequence[TableCell]) -> TableRow:
    if len(cells) != len(names):
        raise WetgenError(
            f"{_place(source, cells[0].line, cells[min(len(names), len(cells) - 1)].column)}: the row has {len(cells)} "
            f"cell{'s' * (len(cells) != 1)}.",
            why=f"the header names {len(names)}: {', '.join(names)}.",
            fix="write every cell, empty ones too; text with a separator in it stands in double quotes.",
        )
    return TableRow(source, cells[0].line, dict(zip(names, cells, strict=True)))


def _delimiter(text: str) -> str:
    """The separator that the first line with something on it has most of; a comma where it has none."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    return max(DELIMITERS, key=first.count)


def _records(text: str, source: str, delimiter: str) -> Iterator[list[TableCell]]:
    """The cells of every line that is not blank; a quoted cell may run over several lines."""
    lines = text.split("\n")  # only \n ends a line: splitlines would also split at form feeds and the like
    number = 0
    while number < len(lines):
        started, record = number, list[TableCell]()
        column: int | None = 0
        while column is not None:
            cell, number, column = _cell(lines, number, column, source, delimiter)
            record.append(cell)
        if len(record) > 1 or record[0].text or '"' in lines[started]:
            yield record
        number += 1


def _cell(
    lines: Sequence[str], number: int, column: int, source: str, delimiter: str
) -> tuple[TableCell, int, int | None]:
    """The cell that begins at a line and character, and where the next one does: None behind the line's last."""
    line = lines[number].removesuffix("\r")
    blanks = len(line) - len(line[column:].lstrip(" ")) - column
    if line[column + blanks : column + blanks + 1] == '"':
        return _quoted(lines, number, column + blanks, source, delimiter)
    end = line.find(delimiter, column)
    text = line[column:] if end < 0 else line[column:end]
    cell = TableCell(text.strip(), number + 1, column + 1 + len(text) - len(text.lstrip()))
    return cell, number, None if end < 0 else end + 1


def _quoted(
    lines: Sequence[str], number: int, column: int, source: str, delimiter: str
) -> tuple[TableCell, int, int | None]:
    """The same for a cell in double quotes, in which a doubled one stands for itself."""
    begins, parts, at = (number + 1, column + 1), list[str](), column + 1
    while True:
        end = lines[number].find('"', at)
        if end < 0:
            parts.append(lines[number][at:] + "\n")
            number, at = number + 1, 0
            if number == len(lines):
                raise WetgenError(
                    f"{_place(source, *begins)}: a quote is never closed.",
                    why="the cell runs to the end of the file.",
                    fix='close it with ", and write a quote inside it as "".',
                )
        elif lines[number][end + 1 : end + 2] == '"':
            parts.append(lines[number][at : end + 1])
            at = end + 2
        else:
            parts.append(lines[number][at:end])
            break
    rest = lines[number][end + 1 :].removesuffix("\r")
    ahead = rest.lstrip(" ")
    after = end + 1 + len(rest) - len(ahead)
    if ahead and not ahead.startswith(delimiter):
        raise WetgenError(
            f"{_place(source, number + 1, after + 1)}: {ahead[:12]!r} follows a quoted cell.",
            why=f"behind the closing quote stands a {_NAMES[delimiter]} or the end of the line.",
            fix='write a quote inside a quoted cell as "".',
        )
    cell = TableCell("".join(parts).replace("\r\n", "\n").strip(), *begins)
    return cell, number, None if not ahead else after + 1


def _place(source: str, line: int, column: int) -> str:
    return f"{source}, line {line}, column {column}"


def _range(least: float, most: float) -> str:
    if most == math.inf:
        return f"it must be {least:g} or more"
    return f"it must be {most:g} or less" if least == -math.inf else f"it must lie between {least:g} and {most:g}"


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


_DELIMITERS = (",", ";", "\t")  # a spreadsheet of a country with decimal commas writes ;
_COLUMNS = (TEXT, *OPTIONS)
_IN_QUOTES = re.compile(r'""|.', re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


def csv_rows(text: str, faults: Faults) -> Iterator[Row]:
    """The rows below the header; what cannot be read goes to `faults`. Blank rows are left out."""
    lines = list(io.StringIO(text))  # which end with \n only, as everywhere in prompts files
    rows = _rows(lines, _prompts_delimiter(lines), faults)
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


def _prompts_delimiter(lines: Sequence[str]) -> str:
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
                fix=suggestion(name, _COLUMNS),
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
