"""Which line each pair of a run belongs to, computed from its index alone."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple, Protocol


class Turn(NamedTuple):
    """The line at `place` of the list has its pair `number`, the `step`-th of the class `asked` by a quota, or None."""

    place: int
    number: int
    step: int
    asked: str | None


class Share(NamedTuple):
    """How many pairs the line at `place` has in all for the class `asked`."""

    place: int
    asked: str | None
    pairs: int


class Order(Protocol):
    """Turns by index."""

    def __len__(self) -> int: ...

    def turn(self, index: int) -> Turn: ...

    def shares(self) -> Sequence[Share]: ...


class Rounds:
    """The lines in order, each as often in a row as its count says; then all of it again, `rounds` times.

    So more rounds add pairs at the end and change none.
    """

    def __init__(self, counts: Sequence[int], rounds: int) -> None:
        self._counts, self._rounds = counts, rounds
        self._ends = list(accumulate(counts))

    def __len__(self) -> int:
        return self._rounds * self._ends[-1]

    def turn(self, index: int) -> Turn:
        rounds, within = divmod(index, self._ends[-1])
        place = bisect_right(self._ends, within)
        count = self._counts[place]
        number = rounds * count + within - (self._ends[place] - count)
        return Turn(place, number, number, None)

    def shares(self) -> list[Share]:
        return [Share(place, None, self._rounds * count) for place, count in enumerate(self._counts)]
