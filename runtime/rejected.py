"""rejected.jsonl: the pairs of a run that were broken and therefore not written, each with the reason."""

import json
from collections.abc import Mapping
from pathlib import Path

from wetgen.runtime.files import atomic_write, os_errors, read_bytes

FILE_NAME = "rejected.jsonl"


class Rejected:
    """The rejected pairs of a run folder; a process killed at any moment leaves a file that can be taken up."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self.indexes: set[int] = set()
        if self._path.exists():
            self._take_up()

    def add(self, row: Mapping[str, object]) -> None:
        """Append a pair's row, which holds its `index` and `faults`."""
        with os_errors(self._path, "written"), self._path.open("ab", buffering=0) as file:
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        self.indexes.add(int(str(row["index"])))

    def _take_up(self) -> None:
        """Read the indexes; a last line without its end was cut off, and its pair counts as not yet made."""
        data = read_bytes(self._path)
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            atomic_write(self._path, whole)
        self.indexes = {int(json.loads(line)["index"]) for line in whole.splitlines()}
