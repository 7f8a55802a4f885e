"""The one error users see: what happened, why, and what to do.

What is wrong in a prompts file, each fault with its line and column, and what was probably meant.
"""

import difflib
from collections.abc import Iterable


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


class PromptFault(WetgenError):
    """A fault at a place of a prompts file; line and column count from 1, columns in characters."""

    def __init__(self, name: str, line: int, column: int, what: str, *, why: str, fix: str) -> None:
        super().__init__(f"{name}, line {line}, column {column}: {what}", why=why, fix=fix)
        self.line, self.column = line, column


class Faults:
    """The faults of the file called `name`, gathered while it is read, so that all can be told at once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._found: list[PromptFault] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, place: tuple[int, int], what: str, *, why: str, fix: str) -> None:
        """Keep a fault at (line, column)."""
        self._found.append(PromptFault(self.name, *place, what, why=why, fix=fix))

    def in_order(self) -> list[PromptFault]:
        """All of them, in the order of the file."""
        return sorted(self._found, key=lambda fault: (fault.line, fault.column))


def suggestion(word: str, known: Iterable[str]) -> str:
    """What to write in place of an unknown word: the nearest known one, or one of all."""
    names = list(known)
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(word.casefold(), folded, n=1)
    return f"did you mean '{folded[near[0]]}'?" if near else f"use one of {', '.join(names)}."


def printable(name: str) -> str:
    """A name as messages show it: escaped where a terminal would not print it."""
    return name if name.isprintable() else repr(name)
