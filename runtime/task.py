"""What a run is asked to draw, whatever the command: a number of pairs, and how they come about."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Protocol

from wetgen.runtime.generator import Generator, Take
from wetgen.runtime.pair import Pair


class Task(Protocol):
    """Pairs 0 to `total` - 1. `how` is what run.json shall say of it beside the settings.

    A pair belongs to a part, and parts are drawn one after the other: what a batch shares is the same in all of one.
    """

    total: int
    how: Mapping[str, object]

    @property
    def pixels(self) -> tuple[int, int] | None:
        """The size (H, W) of every pair, once it has begun; None where they may differ."""

    def begin(self, generator: Generator) -> None:
        """Take the generator to draw with; raises WetgenError for all that is not possible with it."""

    def parts(self) -> Sequence[Hashable]:
        """Every part that has pairs, in their order."""

    def part_of(self, index: int) -> Hashable:
        """The part of a pair."""

    def draw(self, part: Hashable, take: Take, *, judge: bool) -> Iterator[Pair]:
        """Yield the pairs that `take` names, all of one part, with what else their rows say."""
