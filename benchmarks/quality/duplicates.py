"""Near-duplicates: pictures that show the same thing, though resized, recompressed, relit or mirrored.

A perceptual hash proposes, the correlation of small grey copies decides: alone, the hash takes one plain wall for
another.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

SIDE = 32  # pixels a side of the grey copy
HASH_SIDE = 8  # low frequencies a side that the hash keeps: 64 bits
MOST_BITS = 10  # of 64 that may differ; unrelated photographs differ in about 32
LEAST_CORRELATION = 0.95


def thumbnail(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The grey copy (SIDE, SIDE) of an image (H, W, 3) or (H, W), mean 0 and length 1; all 0 for a flat one."""
    small = Image.fromarray(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, np.float32)
    grey = grey - grey.mean()
    length = float(np.linalg.norm(grey))
    return grey / length if length > 1 else np.zeros_like(grey)


def near_duplicates(first: NDArray[np.float32], second: NDArray[np.float32]) -> list[tuple[int, int, float]]:
    """(i, j, correlation) of the pairs of thumbnails (N, S, S) and (M, S, S) that show the same, best first for each i.

    A mirrored picture counts as the same.
    """
    found = []
    for flipped in (second, second[:, :, ::-1]):
        near = _bits_apart(_hashes(first), _hashes(flipped)) <= MOST_BITS
        for i, j in zip(*np.nonzero(near), strict=True):
            correlation = float((first[i] * flipped[j]).sum())
            if correlation >= LEAST_CORRELATION:
                found.append((int(i), int(j), correlation))
    return sorted(found, key=lambda match: (match[0], -match[2], match[1]))


def _hashes(thumbnails: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(N, 64) bits: which low frequencies lie above their median (Zauner 2010, pHash)."""
    low = dctn(thumbnails, axes=(1, 2), norm="ortho")[:, :HASH_SIDE, :HASH_SIDE].reshape(len(thumbnails), -1)
    return np.asarray(low > np.median(low, axis=1, keepdims=True))


def _bits_apart(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(N, M) Hamming distances."""
    a, b = 2 * first.astype(np.float32) - 1, 2 * second.astype(np.float32) - 1
    distances: NDArray[np.float32] = (first.shape[1] - a @ b.T) / 2
    return distances
