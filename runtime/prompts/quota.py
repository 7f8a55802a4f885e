"""`--quota mold=200,stain=300`: how many pairs of each class, whatever the lines' counts are."""

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from wetgen.runtime.errors import WetgenError, suggestion
from wetgen.runtime.prompts.lines import MOST_PAIRS, Line, Share, Turn, Words
from wetgen.runtime.prompts.template import CLASS

_FIX = "write classes and numbers of pairs: --quota mold=200,stain=300"


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


def check_quota(quota: Mapping[str, int], count: int, words: Words) -> None:
    """Raise WetgenError for a quota that cannot be met by any file."""
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
            raise WetgenError(f"The quota of {name} is {pairs}.", why=f"it runs from 1 to {MOST_PAIRS}.", fix=_FIX)


def serving(lines: Sequence[Line], quota: Mapping[str, int], words: Words, name: str) -> dict[str, list[int]]:
    """Which lines, by their places in the list, can draw each class of a quota.

    Those that name the class by their option; those with {class} in the text and no option, for every class; those
    without an option whose text asks for this class and no other. Raises WetgenError for a class without any.
    """
    found: dict[str, list[int]] = {asked: [] for asked in quota}
    for place, line in enumerate(lines):
        for asked in _served(line, quota, words):
            found[asked].append(place)
    for asked, places in found.items():
        if not places:
            raise WetgenError(
                f"No line of {name} can draw the quota's class '{asked}'.",
                why="a line draws it by the option class, by {class} in its text, or by a text that asks for it alone.",
                fix="add a line such as: a white wall with {class}",
            )
    return found


def _served(line: Line, quota: Mapping[str, int], words: Words) -> Sequence[str]:
    if line.classes:
        return [asked for asked in quota if asked in line.classes]
    if CLASS in line.template.placeholders:
        return list(quota)
    said = line.said_class(words)
    return [asked for asked in quota if asked == said]


class _Level(NamedTuple):
    """`passes` over the same lines, of which each gives one pair a pass."""

    start: int
    passes: int
    places: Sequence[int]

    @property
    def end(self) -> int:
        return self.start + self.passes * len(self.places)


class Rotation:
    """Lines that take turns, each as often in a cycle as its weight says.

    A cycle goes over all lines, then over those of weight 2 and more, and so on, so that a short run that never sees
    a whole cycle has something of every line.
    """

    def __init__(self, weights: Mapping[int, int]) -> None:
        """`weights` by the lines' places in the file, ascending."""
        self._levels: list[_Level] = []
        before = start = 0
        for weight in sorted(set(weights.values())):
            places = [place for place in weights if weights[place] >= weight]
            self._levels.append(_Level(start, weight - before, places))
            before, start = weight, self._levels[-1].end
        self._cycle = start

    @property
    def places(self) -> Sequence[int]:
        """All of its lines."""
        return self._levels[0].places

    def place(self, step: int) -> int:
        """Which line has the turn number `step`."""
        within = step % self._cycle
        level = next(level for level in self._levels if within < level.end)
        return level.places[(within - level.start) % len(level.places)]

    def before(self, step: int, place: int) -> int:
        """How many turns a line has before turn number `step`."""
        cycles, within = divmod(step, self._cycle)
        turns = 0
        for level in self._levels:
            rank = bisect_left(level.places, place)
            if rank == len(level.places) or level.places[rank] != place:
                break
            passes, part = divmod(max(0, min(within, level.end) - level.start), len(level.places))
            turns += cycles * level.passes + passes + (rank < part)
        return turns


class Quota:
    """Classes mixed in proportion, each class's lines in rotation.

    Pair k of a class with q pairs is due at (k + 1/2) / q of the run, which is the order of Sainte-Laguë's seats: the
    first n pairs divide among the classes as n seats would, for every n.
    """

    def __init__(self, quota: Mapping[str, int], rotations: Mapping[str, Rotation]) -> None:
        self._names, self._pairs = list(quota), list(quota.values())
        self._rotations = [rotations[name] for name in quota]
        self._total = sum(self._pairs)

    def __len__(self) -> int:
        return self._total

    def turn(self, index: int) -> Turn:
        drawn = divided(index, self._pairs)
        which = _next(drawn, self._pairs)
        place = self._rotations[which].place(drawn[which])
        earlier = [r.before(n, place) for r, n in zip(self._rotations, drawn, strict=True)]
        return Turn(place, sum(earlier), earlier[which], self._names[which])

    def shares(self) -> list[Share]:
        return [
            Share(place, name, pairs)
            for name, total, rotation in zip(self._names, self._pairs, self._rotations, strict=True)
            for place in rotation.places
            if (pairs := rotation.before(total, place))
        ]


def divided(index: int, quotas: Sequence[int]) -> list[int]:
    """How many of the first `index` pairs are of each class.

    Rounded proportions are seats of the method already, though perhaps some too many or too few: at most half a seat
    for each class.
    """
    total = sum(quotas)
    seats = [(2 * index * quota + total) // (2 * total) for quota in quotas]
    while sum(seats) < index:
        seats[_next(seats, quotas)] += 1
    while sum(seats) > index:
        seats[_last(seats, quotas)] -= 1
    return seats


def _next(seats: Sequence[int], quotas: Sequence[int]) -> int:
    """The class whose next pair is due first; of two at once, the one that was given first."""
    best = 0
    for which in range(1, len(seats)):
        if (2 * seats[which] + 1) * quotas[best] < (2 * seats[best] + 1) * quotas[which]:
            best = which
    return best


def _last(seats: Sequence[int], quotas: Sequence[int]) -> int:
    """The class whose last pair was due last: what `_next` chose, if it chose last."""
    best = 0
    for which in range(1, len(seats)):
        if (2 * seats[which] - 1) * quotas[best] >= (2 * seats[best] - 1) * quotas[which]:
            best = which
    return best
