"""The results of an evaluation so far: one JSON file each, so that a stopped evaluation can be resumed."""

import hashlib
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import atomic_write, os_errors, read_bytes, sweep

Result = dict[str, Any]
Recall = Callable[[str, Callable[[], Result]], Result]
"""Gives the result of a name: the stored one, or what the function computes, as a `ResultCache` does."""


class ResultCache:
    """Results in a folder, each stored with a key of its inputs.

    A result with another key is computed again, so changed data, settings or formulas never meet an old number.
    """

    def __init__(self, folder: Path, key: str, say: Callable[[str], None]) -> None:
        self._folder, self._say = folder, say
        self._key = hashlib.sha256(f"{key}/{formulas()}".encode()).hexdigest()
        with os_errors(folder, "created"):
            folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)

    def __call__(self, name: str, compute: Callable[[], Result]) -> Result:
        """The stored result of that name; if there is none, compute and store it."""
        path = self._folder / f"{re.sub(r'[^A-Za-z0-9.+-]+', '-', name)}.json"
        if path.exists():
            try:
                stored = json.loads(read_bytes(path))
                if stored["key"] == self._key:
                    return dict(stored["result"])
            except (ValueError, KeyError, TypeError):
                self._say(f"{path} cannot be read and is computed again")
        self._say(name)
        # Through JSON even when fresh: a resumed evaluation must see the same numbers as an uninterrupted one.
        result = json.loads(json.dumps(plain(compute(), name)))
        atomic_write(path, json.dumps({"key": self._key, "result": result}).encode())
        return dict(result)


def plain(value: Any, name: str) -> Any:
    """JSON data for a result: numpy numbers become Python's, NaN becomes null ("absent").

    Raises WetgenError for an infinite number: no figure may hold one.
    """
    if isinstance(value, dict):
        return {str(key): plain(inner, f"{name}.{key}") for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, name) for inner in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist(), name)
    if isinstance(value, float):
        if math.isinf(value):
            raise WetgenError(
                f"The figure {name} is infinite.",
                why="it could not be computed from these pairs.",
                fix="look at them with `wetgen inspect`; please report pairs that are sound.",
            )
        return None if math.isnan(value) else value
    return value


def formulas() -> str:
    """A hash of the code that computes the figures, without the commands and the reports."""
    digest = hashlib.sha256()
    room = Path(__file__).parent
    for path in sorted([*room.rglob("*.py"), *(room.parent / f"{name}.py" for name in ("bootstrap", "metrics"))]):
        if path.parent.name != "report" and path.name != "cli.py":
            digest.update(path.read_bytes())
    return digest.hexdigest()
