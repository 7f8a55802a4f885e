"""What users are told. The one error they see: what happened, why, and what to do. Also lists of errors in a file."""

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

Say = Callable[[str], None]  # what shows a line to people while they wait


class WetgenError(Exception):
    """A failure the user can act on. Commands print it without a traceback and exit with 1."""

    def __init__(self, what: str, *, why: str, fix: str) -> None:
        super().__init__(f"{what}\n  why: {why}\n  fix: {fix}")
        self.what, self.why, self.fix = what, why, fix


def missing(package: str, *, extra: str, needed_to: str) -> WetgenError:
    """The error for an optional package that is not installed."""
    return WetgenError(
        f"{package} is needed to {needed_to}.",
        why=f"{package} is not installed in this environment.",
        fix=f"pip install 'wetgen[{extra}]'",
    )


class FileFault(WetgenError):
    """What is wrong on a line of a file; lines and columns count from 1, columns in characters."""

    def __init__(self, name: str, line: int, column: int | None, what: str, *, why: str, fix: str) -> None:
        where = f"{name}, line {line}" if column is None else f"{name}, line {line}, column {column}"
        super().__init__(f"{where}: {what}", why=why, fix=fix)
        self.line, self.column = line, column

    def place(self) -> tuple[int, int]:
        """What sorts faults as their file goes."""
        return self.line, self.column or 0


@dataclass
class FaultList:
    """Everything that is wrong in the file called `name`, collected so that all of it can be shown at once."""

    name: str
    found: list[FileFault] = field(default_factory=list)

    def add(self, line: int, what: str, *, why: str, fix: str, column: int | None = None) -> None:
        """Adds a fault."""
        self.found.append(FileFault(self.name, line, column, what, why=why, fix=fix))


def suggestion(word: str, known: Iterable[str]) -> str:
    """What to do about an unknown word, for `fix`: names the nearest known word, or else all of them."""
    names = list(known)
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(word.casefold(), folded, n=1)
    return f"did you mean '{folded[near[0]]}'?" if near else f"use one of {', '.join(names)}."


def printable(name: str) -> str:
    """A name as messages show it, escaped if a terminal would not print it."""
    return name if name.isprintable() else repr(name)
