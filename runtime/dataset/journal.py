"""metadata.jsonl while it is written: rows appended after their files, and taken up again after any interruption.

rejected.jsonl: the tries of a run that were not kept, each with its row and the reasons.
"""

import errno
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from wetgen.runtime.dataset.metadata import Line, lines, named_twice, parse, place
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import TEMPORARY, atomic_write, os_errors, read_bytes

Keys = dict[str, object]


class RowLog:
    """The rows of a folder, of which only the names are held in memory. One writer at a time."""

    def __init__(self, path: Path, name_of: Callable[[Keys, str], str], present: Callable[[Keys], bool]) -> None:
        """Take up the rows that stand; a last line that was cut off is dropped from the file.

        `name_of` gives a row's name and raises WetgenError for what is no row (its second argument says where);
        `present` says whether a row's files exist. Rows whose files do not stand until the first of them is
        written again.
        """
        self.path, self.names = path, set[str]()
        self._name_of, self._present = name_of, present
        self._lost: set[str] = set()
        self._size = self._take_up()

    def add(self, name: str, line: bytes) -> None:
        """Append a row of a new name as one line; its files must exist."""
        if name in self._lost:
            self._drop_lost()
        self._size = append(self.path, line, self._size)
        self.names.add(name)

    def rows(self) -> Iterator[tuple[str, Keys]]:
        """The rows whose files exist, by name, read from the file one by one."""
        if not self.path.exists():
            return
        with os_errors(self.path, "read"), self.path.open("rb") as file:
            for line in lines(file):
                keys = parse(line, self.path)
                name = self._name(line, keys)
                if name in self.names:
                    yield name, keys

    def _take_up(self) -> int:
        """Read every row; gives the size of the file, which then ends after a whole line."""
        if not self.path.exists():
            return 0
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
                self._note(line, keys)
            cut = file.seek(0, os.SEEK_END) > end
        if cut:
            with os_errors(self.path, "written"):
                os.truncate(self.path, end)
        return end if whole else append(self.path, b"\n", end)

    def _note(self, line: Line, keys: Keys) -> None:
        name = self._name(line, keys)
        if name in self.names or name in self._lost:
            raise named_twice(place(self.path, line.number), f"a picture called {name}", "an earlier line")
        if self._present(keys):
            self.names.add(name)
        else:
            self._lost.add(name)

    def _name(self, line: Line, keys: Keys) -> str:
        return self._name_of(keys, place(self.path, line.number))

    def _drop_lost(self) -> None:
        """Take the rows out whose files were lost, all at once: a lost shard has thousands."""
        temporary = self.path.with_name(f".{self.path.name}{TEMPORARY}")
        with os_errors(self.path, "written"):
            try:
                with self.path.open("rb") as old, temporary.open("wb") as new:
                    for line in lines(old):
                        if self._name(line, parse(line, self.path)) not in self._lost:
                            new.write(line.content + b"\n")
                    self._size = new.tell()
                os.replace(temporary, self.path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        self._lost.clear()


def append(path: Path, line: bytes, size: int) -> int:
    """Append a line to a file of `size` bytes and return its new size; a line that does not fit is taken back."""
    with os_errors(path, "written"), path.open("ab", buffering=0) as file:
        if os.fstat(file.fileno()).st_size != size:
            raise WetgenError(
                f"{path} was changed while this program writes it.",
                why="another program writes the same folder.",
                fix="let one program at a time write a folder.",
            )
        try:
            if file.write(line) != len(line):  # the part that still fitted on the disk
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except BaseException:
            with suppress(OSError):
                file.truncate(size)
            raise
    return size + len(line)


FILE_NAME = "rejected.jsonl"


class Rejected:
    """The rejected tries of a run folder; a process killed at any moment leaves a file that can be taken up."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self.next_try: dict[int, int] = {}  # by index, for pairs with rejected tries
        self.tries = 0
        self.reasons: Counter[str] = Counter()  # tries by kind of reason; a try may have several
        if self._path.exists():
            self._take_up()

    def add(self, row: Mapping[str, object]) -> None:
        """Append a try's row, which holds its `index`, its `try` and its `reasons` by kind."""
        with os_errors(self._path, "written"), self._path.open("ab", buffering=0) as file:
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        self._count(row)

    def _count(self, row: Mapping[str, object]) -> None:
        # Rows of runs before there were filters have neither: a pair had one try, and only broken ones were rejected.
        index, attempt = int(str(row["index"])), int(str(row.get("try", 0)))
        reasons = row.get("reasons", {"broken": ""})
        self.next_try[index] = max(self.next_try.get(index, 0), attempt + 1)
        self.tries += 1
        self.reasons.update(dict(reasons).keys())  # type: ignore[call-overload]

    def _take_up(self) -> None:
        """Read the rows; a last line without its end was cut off, and its try counts as not yet made."""
        data = read_bytes(self._path)
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            atomic_write(self._path, whole)
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                self._count(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise WetgenError(
                    f"{self._path}, line {number}, is no row of a rejected try.",
                    why=f"{type(error).__name__}: {error}.",
                    fix="delete the line; its try is then made again.",
                ) from error
