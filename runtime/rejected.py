"""rejected.jsonl: the tries of a run that were not kept, each with its row and the reasons."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import atomic_write, os_errors, read_bytes

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
