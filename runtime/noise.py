"""The starting noise of a pair: a pure function of (seed, index, try), whatever the batch, the order or the process."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SEED_LIMIT = 2**63  # Philox takes 64-bit words; half of the range keeps seeds valid as signed integers elsewhere


def starting_noise(seed: int, index: int, shape: Sequence[int], attempt: int = 0) -> NDArray[np.float32]:
    """Standard normal noise of `shape`, drawn from Philox (Salmon et al. 2011) keyed by (seed, index).

    `attempt` counts the tries of one pair. It is the highest word of Philox's 256-bit counter, so that the streams of
    two tries never meet.
    """
    key, counter = np.array([seed, index], dtype=np.uint64), np.array([0, 0, 0, attempt], dtype=np.uint64)
    bits = np.random.Philox(key=key, counter=counter)
    return np.random.Generator(bits).standard_normal(tuple(shape), dtype=np.float32)
