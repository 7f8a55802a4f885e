"""What can be wrong with a generated pair, found before anybody uses it."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.asked import asked_classes
from wetgen.runtime.classes import ClassTable
from wetgen.runtime.graphs import Array

NOT_FINITE = "the latent is not finite"
CONSTANT = "the picture is one colour"
_BROKEN = (NOT_FINITE, CONSTANT)  # no picture at all, where the other faults are pictures of something else

_FLAT = 3  # levels of 255; a decoder's rounding may leave that much in a picture of one colour


def broken(faults: Sequence[str]) -> bool:
    """Whether a pair with these faults is no pair at all and must not be stored."""
    return any(fault in _BROKEN for fault in faults)


def picture_faults(latent: Array, image: NDArray[np.uint8]) -> tuple[str, ...]:
    """The faults of a latent (C, h, w) and the image uint8 (H, W, 3) decoded from it."""
    not_finite = () if np.isfinite(latent).all() else (NOT_FINITE,)
    # A black picture is constant too: every channel stays within a few levels.
    constant = (CONSTANT,) if (np.ptp(image, axis=(0, 1)) <= _FLAT).all() else ()
    return (*not_finite, *constant)


def mask_faults(
    prompt: str, mask: NDArray[np.uint8], classes: ClassTable, words: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """The classes that the prompt asks for and the mask uint8 (H, W) lacks, each as a fault."""
    present = {classes.names[id] for id in np.flatnonzero(np.bincount(mask.ravel())) if id < len(classes)}
    return tuple(f"asked for {name}, none in the mask" for name in asked_classes(prompt, words) if name not in present)
