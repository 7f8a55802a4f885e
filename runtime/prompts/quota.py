"""`--quota mold=200,stain=300`: so many pairs of each class, whatever the counts of the lines.

Which line of the file a pair belongs to is computed from the pair's index alone.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from wetgen.runtime.errors import WetgenError, suggestion
from wetgen.runtime.prompts.text import ClassWords

MOST_PAIRS = 10**7  # of a line, or of a class
_FIX = "write classes and numbers of pairs: --quota mold=200,stain=300"


class Turn(NamedTuple):
    """One pair: the `number`-th of line `i`, and its `step`-th for the class `asked`."""

    i: int
    number: int
    step: int
    asked: str


class LineShare(NamedTuple):
    """How many pairs line `i` has in all for the class `asked` of a quota, or for None."""

    i: int
    asked: str | None
    pairs: int


class Quota:
    """Classes mixed in proportion (see `seats`); the lines of each class take turns, weighted by their counts."""

    def __init__(self, quota: Mapping[str, int], weights: Mapping[str, Mapping[int, int]]) -> None:
        """`weights` are, for each class, the counts of its lines by index, in ascending order."""
        self._names, self._pairs = list(quota), list(quota.values())
        self._robins = [RoundRobin(weights[name]) for name in quota]

    def turn(self, index: int) -> Turn:
        drawn = seats(index, self._pairs)
        which = min(range(len(drawn)), key=lambda c: _due(drawn[c], self._pairs[c], c))
        i = self._robins[which].line(drawn[which])
        earlier = [robin.before(step, i) for robin, step in zip(self._robins, drawn, strict=True)]
        return Turn(i, sum(earlier), earlier[which], self._names[which])

    def shares(self) -> list[LineShare]:
        return [
            LineShare(i, name, pairs)
            for name, total, robin in zip(self._names, self._pairs, self._robins, strict=True)
            for i in robin.weights
            if (pairs := robin.before(total, i))
        ]


def seats(index: int, quotas: Sequence[int]) -> list[int]:
    """How many of the first `index` pairs belong to each class.

    The rule is Sainte-Laguë's for seats in a parliament: pair k of a class with q pairs is due at (k + 1/2) / q of the
    run, and of two that are due at once the class that was given first comes first. So the first n pairs divide among
    the classes as n seats would, for every n. The pairs due up to a time t are the rounded q t of every class. At t =
    index / total they are at most half a pair per class too many or too few, which are then taken off or added.
    """
    total, classes = sum(quotas), range(len(quotas))
    drawn = [(2 * index * quota + total) // (2 * total) for quota in quotas]
    while sum(drawn) < index:
        drawn[min(classes, key=lambda c: _due(drawn[c], quotas[c], c))] += 1
    while sum(drawn) > index:
        drawn[max(classes, key=lambda c: _due(drawn[c] - 1, quotas[c], c))] -= 1
    return drawn


def _due(k: int, quota: int, which: int) -> tuple[Fraction, int]:
    return Fraction(2 * k + 1, quota), which


class RoundRobin:
    """Lines that take turns, each as often in a cycle as its weight says.

    Pass p of a cycle goes over the lines of weight above p. So a run that is shorter than a cycle has something of
    every line.
    """

    def __init__(self, weights: Mapping[int, int]) -> None:
        self.weights, self._cycle = weights, sum(weights.values())
        self._starts, self._passes = list[int](), list[tuple[int, list[int]]]()  # where passes over fewer lines begin
        start = done = 0
        for weight in sorted(set(weights.values())):
            lines = [i for i in weights if weights[i] >= weight]
            self._starts.append(start)
            self._passes.append((done, lines))
            start, done = start + (weight - done) * len(lines), weight

    def line(self, step: int) -> int:
        """The line that has turn number `step`."""
        return self._at(step)[2]

    def before(self, step: int, i: int) -> int:
        """How many turns line `i` has before turn number `step`."""
        cycles, passes, now = self._at(step)
        weight = self.weights.get(i, 0)
        return cycles * weight + min(weight, passes) + (weight > passes and i < now)

    def _at(self, step: int) -> tuple[int, int, int]:
        """Whole cycles before a turn, whole passes of its cycle before it, and its line."""
        cycles, within = divmod(step, self._cycle)
        level = bisect_right(self._starts, within) - 1
        done, lines = self._passes[level]
        passes, rank = divmod(within - self._starts[level], len(lines))
        return cycles, done + passes, lines[rank]


def parse_quota(text: str) -> dict[str, int]:
    """Pairs by class, in the order given. Raises WetgenError for anything but `mold=200,stain=300`."""
    quota: dict[str, int] = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        if not (name and equals and re.fullmatch(r"[0-9]{1,20}", number)):
            raise _bad(text, f"'{part.strip()}' is no class with a whole number" if part.strip() else "a part is empty")
        if name in quota:
            raise _bad(text, f"'{name}' stands there twice")
        if not 1 <= int(number) <= MOST_PAIRS:
            raise _bad(text, f"{number} pairs of {name} are not 1 to {MOST_PAIRS}")
        quota[name] = int(number)
    return quota


def _bad(text: str, why: str) -> WetgenError:
    return WetgenError(f"'{text}' is no quota.", why=f"{why}.", fix=_FIX)


def check_quota(quota: Mapping[str, int], count: int, words: ClassWords) -> None:
    """Raises WetgenError for a quota that no file can meet."""
    if count != 1:
        raise WetgenError(
            "--count and --quota exclude each other.",
            why="a quota says how many pairs there are in all.",
            fix="leave out --count, or multiply the quota.",
        )
    if not quota:
        raise WetgenError("The quota is empty.", why="it names no class.", fix=_FIX)
    for name, pairs in quota.items():
        if name not in words:
            known = f"the bundle draws {', '.join(words)}." if words else "the bundle draws no masks."
            fix = suggestion(name, words) if words else "leave the quota out."
            raise WetgenError(f"The quota names no class of the bundle: '{name}'.", why=known, fix=fix)
        if not 1 <= pairs <= MOST_PAIRS:
            raise WetgenError(f"The quota of {name} is {pairs}.", why=f"it must be from 1 to {MOST_PAIRS}.", fix=_FIX)
