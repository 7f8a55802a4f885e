"""Textured walls with cracks and stains, drawn in the test: enough of a wall for a judge to learn damage from."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.runtime.masks.classes import ClassTable

TABLE = ClassTable(("background", "crack", "stain"))
WORDS = {"crack": ["crack", "cracks"], "stain": ["stain", "stains"]}
CRACK, STAIN = 1, 2


def walls(count: int, seed: int, size: int = 64) -> Pairs:
    """Pairs of walls, two to a place; no two seeds share a wall."""
    rng = np.random.default_rng(seed)
    drawn = [_wall(rng, size) for _ in range(count)]
    masks = np.stack([mask for _, mask in drawn])
    shown = [[name for id, name in enumerate(TABLE.names) if id and (mask == id).any()] for mask in masks]
    return Pairs(
        TABLE,
        np.stack([image for image, _ in drawn]),
        masks,
        tuple("a wall" + (f" with a {' and a '.join(names)}" if names else "") for names in shown),
        tuple(f"place {seed}-{number // 2}" for number in range(count)),
        ("walls",) * count,
        tuple(f"walls/{seed}-{number}.png" for number in range(count)),
        ("",) * count,
    )


def _wall(rng: np.random.Generator, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    light = 0.15 * _smooth(rng, size, 12) + sum(rng.uniform(0, 0.06) * _smooth(rng, size, s) for s in (0.6, 1.5, 4))
    picture = rng.uniform(0.45, 0.75) * (1 + rng.uniform(-0.1, 0.1, 3)) + light[..., None]
    mask = np.zeros((size, size), np.uint8)
    kind = rng.choice(4, p=(0.05, 0.4, 0.25, 0.3))  # bits: crack, stain
    if kind & STAIN:
        blob = _smooth(rng, size, 7) + _smooth(rng, size, 2) / 6
        stain = ndimage.binary_opening(blob > np.quantile(blob, rng.uniform(0.7, 0.9)), iterations=1)
        depth = ndimage.gaussian_filter(stain.astype(float), 0.7) * rng.uniform(0.25, 0.45)
        picture = picture * (1 - depth[..., None] * np.array([0.5, 0.9, 1.4]))
        mask[stain] = STAIN
    if kind & CRACK:
        crack = _crack(rng, size)
        picture = picture * (1 - rng.uniform(0.45, 0.7) * ndimage.gaussian_filter(crack.astype(float), 0.4)[..., None])
        mask[crack] = CRACK
    noisy = picture + rng.normal(0, 0.01, picture.shape)
    return np.clip(np.round(255 * noisy), 0, 255).astype(np.uint8), mask


def _smooth(rng: np.random.Generator, size: int, sigma: float) -> NDArray[np.float64]:
    """Noise of mean 0 and deviation 1 without anything smaller than sigma."""
    field = ndimage.gaussian_filter(rng.standard_normal((size, size)), sigma, mode="wrap")
    return (field - field.mean()) / field.std()


def _crack(rng: np.random.Generator, size: int) -> NDArray[np.bool_]:
    """A line that wanders across the wall, 2 to 3 pixels wide."""
    place, angle = rng.uniform(0.2, 0.8, 2) * size, rng.uniform(0, 2 * np.pi)
    line = np.zeros((size, size), bool)
    for way in (0.0, np.pi):
        at, heading = place.copy(), angle + way
        for _ in range(2 * size):
            row, column = np.round(at).astype(int)
            if not (0 <= row < size and 0 <= column < size):
                break
            line[row, column] = True
            heading += rng.normal(0, 0.15)
            at += 0.7 * np.array([np.sin(heading), np.cos(heading)])
    return np.asarray(ndimage.binary_dilation(line, np.ones((2, rng.integers(2, 4)))))
