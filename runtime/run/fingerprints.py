"""Fingerprints of training pictures, with which generated pictures that copy one of them are found.

A fingerprint is a SimHash (Charikar 2002) of 256 bits: the picture's luminance is averaged down to 16 x 16, each
spatial frequency f is weighted by sqrt(f), and 256 fixed random projections of the result give the signs. Brightness
does not matter, because frequency 0 has no weight. Contrast does not matter, because only signs remain. Photographs
have most of their energy in the lowest frequencies; the weights keep these from deciding alone. The share of bits in
which two fingerprints differ estimates the angle between the two weighted pictures, divided by pi.

A fingerprint has 32 bytes per picture. No detail can be drawn again from it (at best a blur of light and dark, about
eight cells per side). But whoever has a photograph can tell that it was used in training.

Axes: N pictures, H W of a picture.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.archive import read_stored
from wetgen.runtime.bundle.bundle import FingerprintFile
from wetgen.runtime.errors import WetgenError

KIND = "simhash-256 of 16 x 16 luminance, 1"  # the number at the end counts changes of the method
BITS = 256
BYTES = BITS // 8

_SIDE = 16
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_PROJECTION_KEY = 0x77657467656E  # "wetgen"
_BITS_SET = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1).astype(np.int64)  # of every byte


def fingerprint(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The fingerprints uint8 (N, 32) of images uint8 (N, H, W, 3)."""
    grey = images @ _LUMINANCE  # (N, H, W) float64
    small = _averages(grey.shape[1]) @ grey @ _averages(grey.shape[2]).T  # (N, 16, 16)
    return np.packbits(small.reshape(len(images), -1) @ _projection().T > 0, axis=1)


class Fingerprints:
    """The fingerprints of training pictures, and up to how many differing bits another picture counts as a copy."""

    def __init__(self, hashes: NDArray[np.uint8], most_bits: int) -> None:
        assert hashes.dtype == np.uint8 and hashes.shape[1:] == (BYTES,) and len(hashes)
        self.hashes, self.most_bits = hashes, most_bits  # (N, 32)

    def __len__(self) -> int:
        return len(self.hashes)

    @classmethod
    def read(cls, file: FingerprintFile) -> "Fingerprints":
        """The fingerprints of a verified bundle; raises WetgenError for a kind that this version does not compute."""
        data = read_stored(file.path)
        if file.kind != KIND or len(data) != file.count * BYTES or not data:
            raise WetgenError(
                f"The fingerprints in {file.path} cannot be compared with.",
                why=f"they are {file.count} of kind '{file.kind}' in {len(data)} bytes; this wetgen computes '{KIND}', "
                f"{BYTES} bytes each.",
                fix="add fingerprints to the bundle again with the installed wetgen, or run with --keep-copies.",
            )
        return cls(np.frombuffer(data, np.uint8).reshape(file.count, BYTES), file.most_bits)

    def write(self, path: Path) -> None:
        """Write the fingerprints one after the other; their number and `most_bits` belong into bundle.json."""
        path.write_bytes(self.hashes.tobytes())

    def nearest(self, image: NDArray[np.uint8]) -> tuple[int, int]:
        """The fewest bits in which an image (H, W, 3) or its mirror differs from a training picture, and which one."""
        both = fingerprint(np.stack([image, image[:, ::-1]]))  # (2, 32)
        bits = distances(both, self.hashes).min(0)  # (N,)
        i = int(bits.argmin())
        return int(bits[i]), i


def distances(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The number of differing bits (N, M) between fingerprints (N, 32) and (M, 32)."""
    # Row by row: all differences at once would take 32 * N * M bytes.
    return np.stack([_BITS_SET[second ^ row].sum(1) for row in first])


@lru_cache(maxsize=8)
def _averages(size: int) -> NDArray[np.float64]:
    """(16, size): means over 16 equal stretches of `size` pixels, a pixel on a border shared between its two."""
    ends = np.linspace(0.0, size, _SIDE + 1)
    pixels = np.arange(size)
    covered = np.minimum(ends[1:, None], pixels + 1) - np.maximum(ends[:-1, None], pixels)
    weights: NDArray[np.float64] = np.clip(covered, 0.0, None) * (_SIDE / size)
    return weights


@lru_cache(maxsize=1)
def _projection() -> NDArray[np.float64]:
    """(256, 16 * 16): the weighting of frequencies, then 256 projections with random coefficients +1 and -1."""
    frequency = np.fft.fftfreq(_SIDE) * _SIDE
    weights = np.sqrt(np.hypot(frequency[:, None], frequency))
    unit = np.eye(_SIDE * _SIDE).reshape(-1, _SIDE, _SIDE)
    weighted = np.fft.ifft2(np.fft.fft2(unit) * weights).real.reshape(-1, _SIDE * _SIDE)  # symmetric
    words = np.random.Philox(key=_PROJECTION_KEY).random_raw(BITS * _SIDE * _SIDE // 64)
    # Bytes in a fixed order, whatever the machine's own.
    signs = np.unpackbits(words.astype("<u8").view(np.uint8)).reshape(BITS, -1) * 2.0 - 1.0
    projection: NDArray[np.float64] = signs @ weighted
    return projection
