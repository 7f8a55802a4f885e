"""CSV files, read by Python's csv module: cells by column name, every cell with its line.

UTF-8; separated by commas, semicolons or tabs, which the header shows; cells may stand in double quotes (RFC 4180) and
then run over several lines. Rows of blank cells are skipped. Errors name the line and the column.
"""

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from wetgen.runtime.errors import FaultList, FileFault, WetgenError, suggestion
from wetgen.runtime.files import decode, read_bytes

DELIMITERS = (",", ";", "\t")  # a spreadsheet of a country with decimal commas writes ;
_NO_ALIASES: Mapping[str, str] = MappingProxyType({})
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,300}\.?[0-9]{0,300}|\.[0-9]{1,300})(?:[eE][+-]?[0-9]{1,2})?")
_MOST_SHOWN = 40  # characters of a cell in a message


class Column(NamedTuple):
    """Whether the header must name a column, and whether every row must fill it."""

    required: bool = False
    filled: bool = False


class TableCell(NamedTuple):
    """A cell's text, and the line on which it begins, counted from 1."""

    text: str
    line: int


def csv_rows(
    text: str,
    columns: Mapping[str, Column],
    faults: FaultList,
    *,
    aliases: Mapping[str, str] = _NO_ALIASES,
    blanks: bool = False,
) -> Iterator[dict[str, TableCell]]:
    """The rows below the header, as cells by column name; what is wrong goes to `faults`.

    `aliases` are other names of columns; with `blanks`, blanks around quoted cells are dropped.
    """
    records = _records(text, _delimiter(text, columns, aliases, blanks), faults, blanks)
    header = next(records, None)
    if header is None:
        return
    names = _names(header, columns, faults, aliases)
    if any(column.required and name not in names for name, column in columns.items()):
        return
    for cells in records:
        if len(cells) == len(names):
            yield {name: cell for name, cell in zip(names, cells, strict=True) if name is not None}
            continue
        faults.add(
            cells[min(len(names), len(cells) - 1)].line,
            f"the row has {len(cells)} cell{'s' * (len(cells) != 1)}, the header {len(names)}.",
            why=f"the header names {len(names)} columns, and every row has a cell for each, which may be empty.",
            fix='add or remove delimiters; put text that contains a delimiter into quotes: "mold, black".',
        )


def _records(text: str, delimiter: str, faults: FaultList, blanks: bool) -> Iterator[list[TableCell]]:
    """The rows that are not blank, the header among them.

    csv.DictReader would hide how many cells a row has, and where it begins.
    """
    if blanks:  # the quote that closes a cell has no quote before it, unless the cell ends with one
        text = re.sub(rf'(?<!")" +(?=[{delimiter}\r\n]|\Z)', '"', text)
    # Lines of a StringIO end with \n only: str.splitlines would also split at form feeds and the like.
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True, skipinitialspace=blanks)
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            _add_syntax(line, f"{error}", faults)
            if "field limit" in f"{error}":
                return  # in the middle of a cell
            continue
        cells = []
        for value in values:
            cells.append(TableCell(value, line))
            line += value.count("\n")
        if any(cell.text.strip() for cell in cells):
            yield cells


def _add_syntax(line: int, error: str, faults: FaultList) -> None:
    """Reports a row that the csv module refuses."""
    quotes = 'write a quote inside a quoted cell twice: "a ""wet"" wall".'
    if "unexpected end" in error:
        faults.add(line, "a quote is never closed.", why="the cell runs to the end of the file.", fix=quotes)
    elif "expected after" in error:
        what = "text follows a closing quote."
        faults.add(line, what, why="after the closing quote comes a delimiter or the end of the line.", fix=quotes)
    elif "new-line character" in error:
        why = "a row ends with a line feed, with or without a carriage return before it."
        faults.add(line, "a carriage return stands alone.", why=why, fix="save the file with usual line ends.")
    else:
        what = f"a cell has more than {csv.field_size_limit():,} characters." if "limit" in error else f"{error}."
        why = "the row cannot be read; a quote that is never closed makes a cell so long."
        faults.add(line, what, why=why, fix="shorten the cell, or close its quotes.")


def _delimiter(text: str, columns: Mapping[str, Column], aliases: Mapping[str, str], blanks: bool) -> str:
    """The delimiter with which the header has the most known names, and among those the most columns."""

    def fitness(delimiter: str) -> tuple[int, int]:
        header = next(_records(text, delimiter, FaultList(""), blanks), [])
        known = {_name(cell, aliases) for cell in header} & columns.keys()
        return len(known), len(header)

    return max(DELIMITERS, key=fitness)


def _names(
    header: Sequence[TableCell], columns: Mapping[str, Column], faults: FaultList, aliases: Mapping[str, str]
) -> list[str | None]:
    """The column names; None for one that is unknown or repeated, which is reported."""
    names: list[str | None] = []
    for cell in header:
        name = _name(cell, aliases)
        if name not in columns:
            why = f"columns are {', '.join(columns)}."
            faults.add(cell.line, f"there is no column '{name}'.", why=why, fix=suggestion(name, columns))
        elif name in names:
            same = "".join(f"; {alias} is another name for {name}" for alias in aliases if aliases[alias] == name)
            what = f"the column '{name}' stands twice."
            faults.add(cell.line, what, why=f"each column is named once{same}.", fix="delete one of the two.")
        names.append(name if name in columns and name not in names else None)
    missing = [name for name, column in columns.items() if column.required and name not in names]
    if missing and None not in names:
        faults.add(
            header[0].line,
            f"the header lacks {', '.join(missing)}.",
            why=f"the first row names the columns; it has {', '.join(map(str, names))}.",
            fix=f"add what is missing, for example: {','.join(columns)}",
        )
    return names


def _name(cell: TableCell, aliases: Mapping[str, str]) -> str:
    name = cell.text.strip()
    return aliases.get(name, name)


@dataclass(frozen=True)
class TableRow:
    """One row of a table; a column that the table lacks and a cell that is empty read as None."""

    source: str
    line: int
    cells: Mapping[str, TableCell]

    def text(self, name: str) -> str | None:
        """The cell of a column without surrounding blanks, or None."""
        cell = self.cells.get(name)
        return (cell.text.replace("\r\n", "\n").strip() or None) if cell is not None else None

    def needed(self, name: str) -> str:
        """The cell of a column that must not be empty; raises WetgenError if it is."""
        text = self.text(name)
        if text is None:
            raise self.fault(name, "is empty", "every row needs it", "fill it in, or delete the row.")
        return text

    def number(self, name: str, least: float = -math.inf, most: float = math.inf) -> float | None:
        """The cell as a finite number from `least` to `most`, or None; raises WetgenError for anything else."""
        text = self.text(name)
        return None if text is None else self.as_number(name, text, least, most)

    def as_number(self, name: str, text: str, least: float = -math.inf, most: float = math.inf) -> float:
        """Reads a text from a column as `number` does."""
        # float() would take nan, inf, 1_000 and the digits of all scripts, and makes infinity of 400 digits.
        if _NUMBER.fullmatch(text) is None or math.isinf(float(text)):
            comma = "," in text and "." not in text
            fix = "write the decimals behind a point." if comma else "write a number such as 12 or 0.5."
            shown = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
            raise self.fault(name, f"is {shown!r}", "that is no number", fix)
        value = float(text)
        if not least <= value <= most:
            raise self.fault(name, f"is {text}", _range(least, most), "correct it.")
        return value

    def one_of(self, name: str, known: Sequence[str]) -> str:
        """The cell as one of the known words; raises WetgenError with the nearest of them."""
        text = self.needed(name)
        if text not in known:
            raise self.fault(name, f"is {text!r}", f"known are {', '.join(known)}", suggestion(text, known))
        return text

    def where(self, name: str) -> str:
        """File, line and column of a cell, for messages."""
        return f"{self._line(name)}, column {name}"

    def fault(self, name: str, what: str, why: str, fix: str) -> WetgenError:
        """The error of one cell: "FILE, line L: NAME WHAT."."""
        return WetgenError(f"{self._line(name)}: {name} {what}.", why=f"{why}.", fix=fix)

    def _line(self, name: str) -> str:
        return f"{self.source}, line {self.cells[name].line if name in self.cells else self.line}"


def _range(least: float, most: float) -> str:
    if most == math.inf:
        return f"it must be {least:g} or more"
    return f"it must be {most:g} or less" if least == -math.inf else f"it must lie between {least:g} and {most:g}"


def read_table(path: Path, columns: Mapping[str, Column]) -> list[TableRow]:
    """The rows of a CSV file whose header names some of `columns`, in the file's order.

    Raises WetgenError, with the line, for a file that is no table, for columns that are unknown, repeated or missing,
    for a row with more or fewer cells than the header, and for an empty cell of a column that must be filled.
    """
    return parse_table(read_bytes(path), str(path), columns)


def parse_table(data: bytes, source: str, columns: Mapping[str, Column]) -> list[TableRow]:
    """The same for the bytes of a file, which messages call `source`."""
    text, faults = decode(data, source), FaultList(source)
    if not text.strip():
        raise WetgenError(
            f"{source} is empty.", why="a table begins with a header.", fix=f"begin with: {','.join(columns)}"
        )
    rows = [
        TableRow(source, min((cell.line for cell in cells.values()), default=0), cells)
        for cells in csv_rows(text, columns, faults, blanks=True)
    ]
    if faults.found:
        raise min(faults.found, key=FileFault.place)
    for row in rows:
        for name, column in columns.items():
            if column.filled and name in row.cells:
                row.needed(name)
    return rows
