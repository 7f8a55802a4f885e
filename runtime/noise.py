"""The starting noise of a pair: a pure function of (seed, index), whatever the batch, the order or the process."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SEED_LIMIT = 2**63  # Philox takes 64-bit words; half of the range keeps seeds valid as signed integers elsewhere


def starting_noise(seed: int, index: int, shape: Sequence[int]) -> NDArray[np.float32]:
    """Standard normal noise of `shape`, drawn from Philox (Salmon et al. 2011) keyed by (seed, index)."""
    bits = np.random.Philox(key=np.array([seed, index], dtype=np.uint64))
    return np.random.Generator(bits).standard_normal(tuple(shape), dtype=np.float32)
