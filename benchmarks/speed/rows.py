"""Rows of measurements: append-only JSON lines, one per case, failed cases included.

A row holds `key` (a hash of settings, bundle and machine), `case`, `status` ("done" or "failed"),
`observed` (every raw value; of a failed case `error` instead), `work`, and commit, versions, machine and date.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import os_errors

FORMAT = 1
FILE_NAME = "rows.jsonl"
DONE, FAILED = "done", "failed"

BenchRow = Mapping[str, Any]


def key_of(**what: object) -> str:
    """A hash of the arguments, 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def append(path: Path, row: BenchRow) -> None:
    """Add a row and flush it to disk; first drop a line that an interruption left unfinished."""
    line = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode()
    with os_errors(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            file.truncate(_whole(path.read_bytes()))
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


def _whole(data: bytes) -> int:
    """The number of bytes in whole lines."""
    return data.rfind(b"\n") + 1


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file or of its folder, oldest first, without an unfinished last line.

    Raises WetgenError if a line is not a row.
    """
    file = path / FILE_NAME if path.is_dir() else path
    with os_errors(file, "read"):
        data = file.read_bytes()
    rows = []
    for number, line in enumerate(data[: _whole(data)].decode("utf-8", errors="replace").split("\n"), start=1):
        if line:
            rows.append(_parsed(file, number, line))
    return rows


def _parsed(file: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if row["format"] != FORMAT:
            raise ValueError(f"its format is {row['format']}, this wetgen reads {FORMAT}")
    except (ValueError, KeyError, TypeError) as error:
        raise WetgenError(
            f"{file}, line {number}, is not a row of measurements.",
            why=f"{type(error).__name__}: {error}.",
            fix="give a folder that `wetgen bench --out` wrote, or measure again with the installed wetgen.",
        ) from error
    return dict(row)


def newest(rows: Sequence[BenchRow]) -> list[BenchRow]:
    """The last row of every key, in the order of the keys' first rows."""
    return list({row["key"]: row for row in rows}.values())


def done(rows: Sequence[BenchRow], kind: str) -> Iterator[BenchRow]:
    """The finished rows of one kind of case."""
    return (row for row in newest(rows) if row["status"] == DONE and row["case"]["kind"] == kind)
