"""Random fields that look the same at every size: drawn as spectra in cycles per picture, then sampled at n pixels."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Field = NDArray[np.floating[Any]]  # (n, n), float32 wherever speed matters

_SMOOTH, _FINE = 40, 160  # cycles per picture up to which shapes and textures have detail
_SHEETS, _STEPS = 4, 64  # textures come from few sheets, moved by whole steps of 1 / _STEPS picture


@lru_cache(maxsize=4)
def grid(n: int) -> tuple[Field, Field]:
    """Pixel centres: `u` across and `v` down, both (n, n) in (0, 1)."""
    axis = (np.arange(n, dtype=np.float32) + 0.5) / n
    u, v = np.meshgrid(axis, axis)
    return u, v


@lru_cache(maxsize=256)
def _amplitude(cut: int, slope: float, low: float, high: float, across: float, down: float) -> Field:
    """Amplitude (2 cut, cut + 1) of frequencies fy = -cut .. cut - 1, fx = 0 .. cut: f ** -slope in a band."""
    fy = np.arange(-cut, cut)[:, None] * down
    fx = np.arange(cut + 1)[None, :] * across
    f = np.hypot(fx, fy)
    f[cut, 0] = 1
    amplitude = f**-slope / (1 + (low / f) ** 4) / (1 + (f / high) ** 4)
    amplitude[cut, 0] = 0
    return amplitude.astype(np.float32)


def _sample(rng: np.random.Generator, n: int, amplitude: Field) -> Field:
    """A field (n, n) of deviation 1 with this spectrum; a small n leaves high frequencies out, nothing else changes."""
    cut = amplitude.shape[1] - 1
    drawn = rng.standard_normal((2 * cut, cut + 1, 2), dtype=np.float32).view(np.complex64)[..., 0] * amplitude
    power = np.square(np.abs(drawn)).sum(0, dtype=np.float64)
    drawn /= np.sqrt(2 * power[1:].sum() + 0.5 * power[0] + 1e-12)
    kept = min(cut, n // 2 - 1)
    spectrum = np.zeros((n, n // 2 + 1), np.complex64)
    upper = drawn[cut : cut + kept + 1, : kept + 1]
    spectrum[: len(upper), : kept + 1] = upper
    spectrum[n - kept :, : kept + 1] = drawn[cut - kept : cut, : kept + 1]
    return np.asarray(fft.irfft2(spectrum, s=(n, n), norm="forward"), np.float32)


def fractal(
    rng: np.random.Generator,
    n: int,
    slope: float = 1.5,
    low: float = 1.0,
    high: float = 1e4,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> Field:
    """Smooth noise for shapes (n, n), mean 0, deviation 1; `low` and `high` bound its cycles per picture.

    `stretch` is (across, down): 4 makes it vary four times as slowly there.
    """
    return _sample(rng, n, _amplitude(_SMOOTH, round(slope, 2), round(low, 1), high, *stretch))


@lru_cache(maxsize=64)
def _sheet(n: int, which: int, slope: float, low: float, high: float, across: float, down: float) -> Field:
    rng = np.random.Generator(np.random.Philox(key=[which, 8191]))
    return _sample(rng, n, _amplitude(_FINE, slope, low, high, across, down))


def texture(
    rng: np.random.Generator,
    n: int,
    slope: float = 0.5,
    low: float = 10.0,
    high: float = 1e4,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> Field:
    """Fine noise (n, n), mean 0, deviation 1: a stored sheet, moved and mirrored by chance: cheap."""
    which, dv, du, mirror = (int(value) for value in rng.integers((_SHEETS, _STEPS, _STEPS, 4)))
    sheet = _sheet(n, which, slope, low, high, *stretch)
    sheet = sheet[:: -1 if mirror & 1 else 1, :: -1 if mirror & 2 else 1]
    return np.roll(sheet, (dv * n // _STEPS, du * n // _STEPS), (0, 1))


def line(rng: np.random.Generator, n: int, slope: float = 1.2, low: float = 1.0, high: float = 1e4) -> Field:
    """Noise along one axis, (n,), of mean 0 and deviation 1."""
    f = np.arange(1, _FINE + 1)
    drawn = rng.standard_normal((_FINE, 2)).view(np.complex128)[:, 0]
    drawn *= f**-slope / (1 + (low / f) ** 4) / (1 + (f / high) ** 4)
    drawn /= np.sqrt(2 * np.square(np.abs(drawn)).sum() + 1e-12)
    kept = min(_FINE, n // 2 - 1)
    spectrum = np.zeros(n // 2 + 1, np.complex128)
    spectrum[1 : kept + 1] = drawn[:kept]
    return np.asarray(fft.irfft(spectrum, n, norm="forward"), np.float32)


def nearest(points: NDArray[np.float64], n: int) -> tuple[NDArray[np.int64], Field]:
    """For points (P, 2) as (u, v): the number of the nearest to each pixel (n, n), and its distance in pictures."""
    free = np.ones((n, n), bool)
    owner = np.zeros((n, n), np.int64)
    columns, rows = np.clip((points * n).astype(int), 0, n - 1).T
    free[rows, columns] = False
    owner[rows, columns] = np.arange(len(points))
    distance, index = ndimage.distance_transform_edt(free, return_indices=True)
    return owner[index[0], index[1]], (distance / n).astype(np.float32)


def ramp(field: Field, start: Field | float, stop: Field | float) -> Field:
    """0 below `start`, 1 above `stop`, smooth between (start may be the greater)."""
    t = np.clip((field - start) / (stop - start), 0, 1)
    return t * t * (3 - 2 * t)


def blur(field: Field, width: float) -> Field:
    """Gaussian blur of the first two axes; `width` is its deviation in pictures."""
    pixels = width * len(field)
    if pixels < 0.3:
        return field
    sigma = (pixels, pixels) + (0,) * (field.ndim - 2)
    return ndimage.gaussian_filter(field, sigma, truncate=2.5, mode="nearest")


def shift(field: Field, du: float, dv: float) -> Field:
    """The field moved by (du, dv) pictures, to the nearest pixel, its border repeated."""
    n = len(field)
    rows = np.clip(np.arange(n) - round(dv * n), 0, n - 1)
    columns = np.clip(np.arange(n) - round(du * n), 0, n - 1)
    return field[rows][:, columns]


def slopes(height: Field) -> tuple[Field, Field]:
    """The rise of a height in pictures, across and down, by central differences."""
    n = len(height)
    across, down = np.empty_like(height), np.empty_like(height)
    across[:, 1:-1] = (height[:, 2:] - height[:, :-2]) * (n / 2)
    down[1:-1] = (height[2:] - height[:-2]) * (n / 2)
    across[:, 0], across[:, -1] = across[:, 1], across[:, -2]
    down[0], down[-1] = down[1], down[-2]
    return across, down


def blob(
    rng: np.random.Generator,
    n: int,
    centre: tuple[float, float],
    radii: tuple[float, float],
    rough: float = 0.3,
    slope: float = 1.6,
) -> Field:
    """A ragged ellipse: about 1 at its centre, 0 on its outline, negative outside."""
    u, v = grid(n)
    du, dv = (u - centre[0]) / radii[0], (v - centre[1]) / radii[1]
    low = min(0.5 / max(radii), 6.0)
    return 1 - np.sqrt(du * du + dv * dv) + rough * fractal(rng, n, slope, low=low)
