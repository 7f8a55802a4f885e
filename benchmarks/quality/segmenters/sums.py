"""Sums over the pixels of pairs, all that a closed-form readout needs of them, and a memory of such sums.

Axes: D features with the intercept last, P pixels.
"""

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.segmenters.filters import FilterBank

BACKGROUND = 8  # one in so many background pixels is read: they are nine in ten, and alike
REMEMBERED = 16  # sets of pairs


@dataclass(frozen=True, eq=False)
class Sums:
    """By class id the sum of x x^T over the class's pixels, x being features: float64 (D, D), for classes seen."""

    moments: Mapping[int, NDArray[np.float64]]

    @property
    def counts(self) -> dict[int, float]:
        """Pixels of each class seen."""
        return {id: float(moment[-1, -1]) for id, moment in sorted(self.moments.items())}

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(_added(self.moments, other.moments))

    def __mul__(self, weight: float) -> "Sums":
        return Sums({id: moment * weight for id, moment in self.moments.items()})

    def and_pair(self, bank: FilterBank, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> "Sums":
        """These and one picture's pixels. It is read by itself, so nothing around it changes a digit."""
        return Sums(_added(self.moments, pair_moments(bank, image, mask)))


class SumsMemory:
    """Sums of sets of pairs, remembered with those of every set they begin with.

    Pairs are added one after the other from the first, so a set's sums are the same to the last digit whether it goes
    on from a remembered beginning or starts anew, as it does when an evaluation resumes.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, str], Sums] = OrderedDict()

    def sums(self, pairs: Pairs, seed: int, bank: FilterBank) -> Sums:
        """The sums over all pixels of the pairs; a pair that comes m times counts m times and is read once."""
        names = [_digest(image, mask) for image, mask in zip(pairs.images, pairs.masks, strict=True)]
        times = Counter(names)
        firsts = sorted({name: i for i, name in reversed(list(enumerate(names)))}.values())
        total: Sums | None = None
        for often in sorted(set(times.values())):
            distinct = [i for i in firsts if times[names[i]] == often]
            part = self._distinct(pairs.take(distinct), [names[i] for i in distinct], seed, bank) * often
            total = part if total is None else total + part
        assert total is not None
        return total

    def _distinct(self, pairs: Pairs, names: list[str], seed: int, bank: FilterBank) -> Sums:
        chain = [(seed, "")]
        for name in names:
            chain.append((seed, hashlib.sha256(f"{chain[-1][1]}{name}".encode()).hexdigest()))
        done = max((i for i, key in enumerate(chain) if key in self._known), default=0)
        sums = self._known[chain[done]] if done else Sums({})
        for image, mask in zip(pairs.images[done:], pairs.masks[done:], strict=True):
            sums = sums.and_pair(bank, image, mask)
        self._remember(chain[-1], sums)
        return sums

    def _remember(self, key: tuple[int, str], sums: Sums) -> None:
        self._known[key] = sums
        self._known.move_to_end(key)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def pair_moments(bank: FilterBank, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> dict[int, NDArray[np.float64]]:
    """The moments of one picture's pixels, by class; the background's are estimated from one pixel in BACKGROUND."""
    with torch.inference_mode():
        pixels = bank(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)[0].flatten(1)
    pixels = torch.cat([pixels, torch.ones(1, pixels.shape[1])])  # (D, P)
    flat, lattice = mask.ravel(), _lattice(len(mask))
    moments = {}
    for id in np.unique(flat).tolist():
        every = flat == id
        read = every & lattice if id == 0 and (every & lattice).any() else every
        part = pixels[:, torch.from_numpy(np.flatnonzero(read))]
        moments[id] = (part @ part.T).double().numpy() * (every.sum() / read.sum())
    return moments


def _added(
    first: Mapping[int, NDArray[np.float64]], second: Mapping[int, NDArray[np.float64]]
) -> dict[int, NDArray[np.float64]]:
    total = dict(first)
    for id, moment in second.items():
        total[id] = total[id] + moment if id in total else moment
    return total


def _lattice(size: int) -> NDArray[np.bool_]:
    """One pixel in BACKGROUND, (S * S,), on a skewed lattice that no row of bricks or tiles falls in step with."""
    rows, columns = np.indices((size, size))
    return np.asarray((columns + 3 * rows) % BACKGROUND == 0).ravel()


def _digest(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> str:
    return hashlib.sha256(np.ascontiguousarray(image).tobytes() + np.ascontiguousarray(mask).tobytes()).hexdigest()
