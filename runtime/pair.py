"""A generated pair, as the generator gives it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.faults import broken


class How(NamedTuple):
    """What a pair was drawn with, beside its prompt, seed and try."""

    number: int  # its noise's, with the seed
    plan: str
    guidance: float
    negative: str


@dataclass(frozen=True, eq=False)
class Pair:
    """A generated image and its mask. `mask` and `confidence` are None for a bundle that draws images only.

    `judged` and `judge_confidence` are None unless the bundle's judge was asked.
    """

    index: int
    prompt: str
    seed: int
    image: NDArray[np.uint8]  # (H, W, 3) RGB
    mask: NDArray[np.uint8] | None  # (H, W) class ids
    confidence: NDArray[np.uint8] | None  # (H, W) probability of the chosen class in 255ths
    faults: tuple[str, ...] = ()
    attempt: int = 0  # which try of this pair: each starts from noise of its own
    judged: NDArray[np.uint8] | None = None  # (H, W) class ids that the judge sees in the image
    judge_confidence: NDArray[np.uint8] | None = None  # (H, W) probability of that class in 255ths
    how: How | None = None
    said: Mapping[str, object] = field(default_factory=dict)  # what else its row says

    @property
    def broken(self) -> bool:
        """Whether it is no picture at all (not finite, or one colour) and must not be used."""
        return broken(self.faults)
