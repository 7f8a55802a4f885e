"""metadata.jsonl and rejected.jsonl while they are written: JSON lines that can be reopened after a crash."""

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from wetgen.runtime.dataset.metadata import lines, location, named_twice, parse, row_line
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import TEMPORARY, os_errors

Keys = dict[str, object]


class JsonLines:
    """A file of JSON lines to append to. One writer at a time."""

    def __init__(self, path: Path) -> None:
        self.path, self._size = path, 0

    def reopen(self) -> Iterator[tuple[Keys, str]]:
        """Yields every row and its location for messages. In the end a last line that was cut off is dropped."""
        if not self.path.exists():
            return
        end, whole = 0, True
        with os_errors(self.path, "read"), self.path.open("rb") as file:
            for line in lines(file):
                try:
                    keys = parse(line, self.path)
                except WetgenError:
                    if line.whole:
                        raise
                    break
                end, whole = line.end, line.whole
                yield keys, location(self.path, line.number)
            cut = file.seek(0, os.SEEK_END) > end
        if cut:
            with os_errors(self.path, "written"):
                os.truncate(self.path, end)
        self._size = end
        if not whole:
            self.append(b"\n")

    def rows(self) -> Iterator[tuple[Keys, str]]:
        """Yields every row and its location for messages, read from the file one by one."""
        if not self.path.exists():
            return
        with os_errors(self.path, "read"), self.path.open("rb") as file:
            for line in lines(file):
                yield parse(line, self.path), location(self.path, line.number)

    def append(self, line: bytes) -> None:
        """Append a line; one that does not fit on the disk is taken back."""
        self._size = append(self.path, line, self._size)

    def rewrite(self, keep: Callable[[Keys, str], bool]) -> None:
        """Drop the rows that `keep` does not want, all at once."""
        temporary = self.path.with_name(f".{self.path.name}{TEMPORARY}")
        with os_errors(self.path, "written"):
            try:
                with self.path.open("rb") as old, temporary.open("wb") as new:
                    for line in lines(old):
                        if keep(parse(line, self.path), location(self.path, line.number)):
                            new.write(line.content + b"\n")
                    self._size = new.tell()
                os.replace(temporary, self.path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise


def append(path: Path, data: bytes, size: int) -> int:
    """Append to a file of `size` bytes and return its new size; data that does not fit is taken back."""
    with os_errors(path, "written"), path.open("ab", buffering=0) as file:
        if os.fstat(file.fileno()).st_size != size:
            raise WetgenError(
                f"{path} was changed while this program writes it.",
                why="another program writes the same folder.",
                fix="let one program at a time write a folder.",
            )
        try:
            if file.write(data) != len(data):  # the rest did not fit on the disk
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except BaseException:
            with suppress(OSError):
                file.truncate(size)
            raise
    return size + len(data)


class RowLog:
    """metadata.jsonl while it is written: only the names of its rows are kept in memory."""

    def __init__(self, path: Path, name_of: Callable[[Keys, str], str], present: Callable[[Keys], bool]) -> None:
        """Reopen the rows that exist.

        `name_of` returns a row's name and raises WetgenError for an invalid row (its second argument is the location
        for the message). `present` says whether a row's files exist. Rows without their files stay in metadata.jsonl
        until the first of them is written again.
        """
        self.names: set[str] = set()
        self._lost: set[str] = set()  # names of rows without their files
        self._name_of, self._journal = name_of, JsonLines(path)
        for keys, where in self._journal.reopen():
            name = name_of(keys, where)
            if name in self.names or name in self._lost:
                raise named_twice(where, f"a picture called {name}", "an earlier line")
            if present(keys):
                self.names.add(name)
            else:
                self._lost.add(name)

    def add(self, name: str, line: bytes) -> None:
        """Append a row of a new name as one line; its files must exist."""
        if name in self._lost:  # all lost rows are dropped at once: a lost shard has thousands
            self._journal.rewrite(lambda keys, where: self._name_of(keys, where) not in self._lost)
            self._lost.clear()
        self._journal.append(line)
        self.names.add(name)

    def rows(self) -> Iterator[tuple[str, Keys]]:
        """Yields the rows whose files exist, by name."""
        for keys, where in self._journal.rows():
            name = self._name_of(keys, where)
            if name in self.names:
                yield name, keys


FILE_NAME = "rejected.jsonl"


class RejectedLog:
    """rejected.jsonl: the attempts of a run that were not kept, each with its row and the reasons."""

    def __init__(self, folder: Path) -> None:
        self.next_try: dict[int, int] = {}  # by index, for pairs with rejected attempts
        self.tries = 0
        self.reasons: Counter[str] = Counter()  # attempts by kind of reason; an attempt may have several
        self._journal = JsonLines(folder / FILE_NAME)
        for row, where in self._journal.reopen():
            try:
                self._count(row)
            except (ValueError, KeyError, TypeError) as error:
                raise WetgenError(
                    f"{where}, is no row of a rejected try.",
                    why=f"{type(error).__name__}: {error}.",
                    fix="delete the line; its try is then made again.",
                ) from error

    def add(self, row: Mapping[str, object]) -> None:
        """Append the row of an attempt, with its `index`, its `try` and its `reasons` by kind."""
        self._journal.append(row_line(row))
        self._count(row)

    def _count(self, row: Mapping[str, object]) -> None:
        # Runs made before there were filters state neither: a pair had one attempt, and only broken ones were rejected.
        index, attempt = int(str(row["index"])), int(str(row.get("try", 0)))
        reasons = row.get("reasons", {"broken": ""})
        self.next_try[index] = max(self.next_try.get(index, 0), attempt + 1)
        self.tries += 1
        self.reasons.update(dict(reasons).keys())  # type: ignore[call-overload]
