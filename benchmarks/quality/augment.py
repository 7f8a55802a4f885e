"""Classical augmentation: the cheap alternative that synthetic pairs must beat.

Flips, jitter of brightness, contrast and colour, and copy-paste of damage from another picture (Ghiasi et al. 2021,
"Simple copy-paste is a strong data augmentation method": hard edges do as well as blended ones).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from wetgen.benchmarks.quality.pairs import Pairs

_Picture = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # image (S, S, 3), mask (S, S)


@dataclass(frozen=True)
class Augmentation:
    """How much is done to a pair."""

    mirrored: float = 0.5
    """Share that is mirrored left to right."""
    upside_down: float = 0.25
    """Share that is turned upside down: less, because water runs down and light comes from above."""
    pasted: float = 0.5
    """Share that gets a damaged region of another picture."""
    brightness: float = 0.15
    """Standard deviation of the factor on all channels, as its logarithm."""
    contrast: float = 0.15
    """Standard deviation of the factor around the picture's mean, as its logarithm."""
    colour: float = 0.05
    """Standard deviation of the factor on each channel, as its logarithm."""


CLASSICAL = Augmentation()


def augmented(pairs: Pairs, copies: int, seed: int, how: Augmentation = CLASSICAL) -> Pairs:
    """`copies` augmented versions of every pair, one whole round after the other.

    Version k of pair i depends on the seed, i, k and the pairs alone. Pasted regions come from the given pairs, so
    nothing passes from one part of a split to another.
    """
    damaged = np.flatnonzero(pairs.masks.any((1, 2)))
    versions = [
        _version(pairs, i, damaged, how, np.random.default_rng([seed, i, k]))
        for k in range(copies)
        for i in range(len(pairs))
    ]
    repeated = pairs.take(list(range(len(pairs))) * copies)
    return repeated.with_pixels(np.stack([image for image, _ in versions]), np.stack([mask for _, mask in versions]))


def _version(pairs: Pairs, i: int, damaged: NDArray[np.intp], how: Augmentation, rng: np.random.Generator) -> _Picture:
    picture = _flipped((pairs.images[i], pairs.masks[i]), how, rng)
    others = damaged[damaged != i]
    if len(others) and rng.random() < how.pasted:
        donor = int(rng.choice(others))
        picture = pasted(picture, _flipped((pairs.images[donor], pairs.masks[donor]), how, rng), rng)
    return _lit(picture[0], how, rng), picture[1]


def pasted(onto: _Picture, donor: _Picture, rng: np.random.Generator) -> _Picture:
    """`onto` with one connected region of the donor's damage, moved to a random place that it fits in whole."""
    regions, count = label(donor[1] > 0, np.ones((3, 3)))
    region = regions == rng.integers(1, count + 1)
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    down = int(rng.integers(-rows[0], len(region) - rows[-1]))
    right = int(rng.integers(-columns[0], len(region) - columns[-1]))
    moved = [np.roll(plane, (down, right), (0, 1)) for plane in (region, *donor)]
    image, mask = (np.where(moved[0][..., None], moved[1], onto[0]), np.where(moved[0], moved[2], onto[1]))
    return image, mask


def _flipped(picture: _Picture, how: Augmentation, rng: np.random.Generator) -> _Picture:
    image, mask = picture
    if rng.random() < how.mirrored:
        image, mask = image[:, ::-1], mask[:, ::-1]
    if rng.random() < how.upside_down:
        image, mask = image[::-1], mask[::-1]
    return image, mask


def _lit(image: NDArray[np.uint8], how: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The image brighter or darker, flatter or harder, and tinted."""
    gain = np.exp(how.brightness * rng.standard_normal() + how.colour * rng.standard_normal(3))
    lit = image * gain
    middle = lit.mean((0, 1))
    lit = middle + (lit - middle) * np.exp(how.contrast * rng.standard_normal())
    return np.clip(np.rint(lit), 0, 255).astype(np.uint8)
