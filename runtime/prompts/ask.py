"""What one pair is to be, every choice made."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload


@dataclass(frozen=True)
class Ask:
    """One pair to be drawn. None means: as the run says.

    `line` counts from 1, `number` the pairs of this line that come before, over all rounds. With a `seed` the pair's
    noise is keyed by (seed, number), else by the run's seed and the pair's index. `asked` is the class that must be in
    the mask. `layout` and `photo` are paths as written; `source.resolve` says where they lie.
    """

    line: int
    text: str
    number: int
    seed: int | None = None
    negative: str | None = None
    guidance: float | None = None
    plan: str | None = None
    asked: str | None = None
    severity: float | None = None
    layout: str | None = None
    photo: str | None = None


class LazyAsks(Sequence[Ask]):
    """Asks that are computed when they are wanted, each from its place."""

    @abstractmethod
    def at(self, index: int) -> Ask:
        """The ask at a place from 0 to the length less 1."""

    @overload
    def __getitem__(self, index: int) -> Ask: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Ask]: ...
    def __getitem__(self, index: int | slice) -> Ask | Sequence[Ask]:
        places = range(len(self))[index]
        return self.at(places) if isinstance(places, int) else [self.at(place) for place in places]
