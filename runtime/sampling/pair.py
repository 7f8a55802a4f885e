"""A generated pair, as the generator gives it.

What can be wrong with a generated pair, found before anybody uses it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.graphs import Array
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.prompts.mentions import mentioned_classes
from wetgen.runtime.sampling.conditioning import SamplingParams


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
    params: SamplingParams | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)  # what else its row says

    @property
    def broken(self) -> bool:
        """Whether it is no picture at all (not finite, or one colour) and must not be used."""
        return broken(self.faults)


NOT_FINITE = "the latent is not finite"
CONSTANT = "the picture is one colour"
DAMAGED = "the surface to be painted shows damage already"
_BROKEN = (NOT_FINITE, CONSTANT, DAMAGED)  # no picture at all, where the other faults are pictures of something else

_FLAT = 3  # levels of 255; a decoder's rounding may leave that much in a picture of one colour


def broken(faults: Sequence[str]) -> bool:
    """Whether a pair with these faults is no pair at all and must not be stored."""
    return any(fault in _BROKEN for fault in faults)


def picture_faults(latent: Array, image: NDArray[np.uint8]) -> tuple[str, ...]:
    """The faults of a latent (C, h, w) and the image uint8 (H, W, 3) decoded from it."""
    not_finite = () if np.isfinite(latent).all() else (NOT_FINITE,)
    # A black picture is constant too: every channel stays within a few levels.
    constant = (CONSTANT,) if (_spread(image) <= _FLAT).all() else ()
    return (*not_finite, *constant)


def _spread(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(3,) the greatest less the least level of each channel."""
    # Axis by axis: over both at once numpy takes 40 times as long.
    spread: NDArray[np.uint8] = image.max(0).max(0) - image.min(0).min(0)
    return spread


def mask_faults(
    prompt: str, mask: NDArray[np.uint8], classes: ClassTable, words: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """The classes that the prompt asks for and the mask uint8 (H, W) lacks, each as a fault."""
    asked = mentioned_classes(prompt, words)
    lacking = [name for name in asked if name not in classes.names or not (mask == classes.names.index(name)).any()]
    return tuple(map(missing_class, lacking))


def missing_class(name: str) -> str:
    """The fault of a mask that lacks a class it was asked for."""
    return f"asked for {name}, none in the mask"
