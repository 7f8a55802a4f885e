"""Random fields, each one FFT or one distance transform: no loop over pixels or octaves."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Field = NDArray[np.float32]  # (n, n)


@lru_cache(maxsize=4)
def grid(n: int) -> tuple[Field, Field]:
    """Pixel centres: `u` across and `v` down, both (n, n) in (0, 1)."""
    axis = (np.arange(n, dtype=np.float32) + 0.5) / n
    u, v = np.meshgrid(axis, axis)
    return u, v


@lru_cache(maxsize=512)
def _spectrum(n: int, slope: float, low: float, high: float, across: float, down: float) -> Field:
    """Amplitude per frequency, (n, n // 2 + 1): f ** -slope between `low` and `high` cycles per picture."""
    fy = fft.fftfreq(n, 1 / n)[:, None] * down
    fx = fft.rfftfreq(n, 1 / n)[None, :] * across
    f = np.hypot(fx, fy)
    f[0, 0] = 1
    amplitude = f**-slope / (1 + (low / f) ** 4) / (1 + (f / high) ** 4)
    amplitude[0, 0] = 0
    return amplitude.astype(np.float32)


def fractal(
    rng: np.random.Generator,
    n: int,
    slope: float = 1.5,
    low: float = 1.0,
    high: float = 1e4,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> Field:
    """Noise (n, n), mean 0, deviation 1; `low` and `high` bound its cycles per picture, `stretch` is (across, down)."""
    white = fft.rfft2(rng.standard_normal((n, n), dtype=np.float32))
    field = fft.irfft2(white * _spectrum(n, slope, low, high, *stretch), s=(n, n))
    return field / (field.std() + 1e-9)


def line(
    rng: np.random.Generator, n: int, slope: float = 1.2, low: float = 1.0, high: float = 1e4
) -> NDArray[np.float32]:
    """Noise along one axis, (n,), of mean 0 and deviation 1."""
    f = fft.rfftfreq(n, 1 / n)
    f[0] = 1
    amplitude = f**-slope / (1 + (low / f) ** 4) / (1 + (f / high) ** 4)
    amplitude[0] = 0
    values = fft.irfft(fft.rfft(rng.standard_normal(n)) * amplitude, n)
    return (values / (values.std() + 1e-9)).astype(np.float32)


def cells(rng: np.random.Generator, n: int, count: int, wobble: float = 0.0) -> tuple[NDArray[np.int32], Field]:
    """Nearest of `count` random points: its pixel index (2, n, n) and the distance to it in pictures (n, n)."""
    free = np.ones((n, n), bool)
    free[rng.integers(n, size=count), rng.integers(n, size=count)] = False
    distance, nearest = ndimage.distance_transform_edt(free, return_indices=True)
    if wobble:
        bend = np.clip(wobble * n * np.stack([fractal(rng, n, 1.2, 4), fractal(rng, n, 1.2, 4)]), -n, n).astype(
            np.int32
        )
        row, column = np.clip(np.indices((n, n), np.int32) + bend, 0, n - 1)
        distance, nearest = distance[row, column], nearest[:, row, column]
    return nearest, (distance / n).astype(np.float32)


def ramp(field: Field, start: float, stop: float) -> Field:
    """0 below `start`, 1 above `stop`, smooth between (start may be the greater)."""
    t = np.clip((field - start) / (stop - start), 0, 1)
    return t * t * (3 - 2 * t)


def blur(field: Field, pixels: float) -> Field:
    """Gaussian blur of the first two axes."""
    return ndimage.gaussian_filter(field, (pixels, pixels) + (0,) * (field.ndim - 2), truncate=3.0, mode="nearest")


def shift(field: Field, dx: float, dy: float) -> Field:
    """The field moved by whole pixels, its border repeated."""
    n = len(field)
    rows = np.clip(np.arange(n) - round(dy), 0, n - 1)
    columns = np.clip(np.arange(n) - round(dx), 0, n - 1)
    return field[rows[:, None], columns]


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
    r = np.hypot((u - centre[0]) / radii[0], (v - centre[1]) / radii[1])
    scale = 0.5 / max(radii)
    return 1 - r + rough * fractal(rng, n, slope, low=min(scale, 6.0))
