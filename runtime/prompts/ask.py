"""What one pair is to be, every choice made."""

from dataclasses import dataclass


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
