"""Smoothing and stretching of maps, with numpy and Pillow."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wetgen.runtime.wanted import Floats

_PASSES = 3  # of a box; three of them come close to a Gaussian


def blurred(values: Floats, radius: int) -> Floats:
    """Values float32 (H, W) smoothed over about `radius` pixels; beyond the edge lie zeros."""
    if radius < 1:
        return values
    for _ in range(_PASSES):
        for axis in (0, 1):
            values = _box_mean(values, radius, axis)
    return values


def dilated(region: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """A region (H, W) grown by so many pixels, corners square."""
    for axis in (0, 1):
        region = _box_mean(region.astype(np.float32), radius, axis) > 0.5 / (2 * radius + 1)
    return region


def stretched(values: Floats, size: tuple[int, int], box: tuple[float, float, float, float]) -> Floats:
    """The part `box` (left, top, right, bottom) of values float32 (H, W), at the size (height, width)."""
    picture = Image.fromarray(values, mode="F") if values.dtype == np.float32 else Image.fromarray(values)
    made: Floats = np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BICUBIC, box=box), np.float32)
    return made


def _box_mean(values: Floats, radius: int, axis: int) -> Floats:
    width = [(0, 0), (0, 0)]
    width[axis] = (radius + 1, radius)
    sums = np.cumsum(np.pad(values, width), axis=axis, dtype=np.float64)
    size = 2 * radius + 1
    ahead, behind = (sums[size:], sums[:-size]) if axis == 0 else (sums[:, size:], sums[:, :-size])
    made: Floats = ((ahead - behind) / size).astype(np.float32)
    return made
