"""From painted layers to a photograph: light, shadow, camera."""

import io

import numpy as np
from PIL import Image
from scipy import ndimage

from wetgen.training.scenes.canvas import Canvas
from wetgen.training.scenes.noise import Field, grid
from wetgen.training.scenes.scene import Light


def illuminate(canvas: Canvas, light: Light) -> Field:
    """The lit picture (n, n, 3) float32, before the camera."""
    n = canvas.n
    u, v = grid(n)
    lx, ly = np.cos(light.direction), np.sin(light.direction)
    slope_v, slope_u = np.gradient(canvas.height * n)
    relief = np.clip(1 - light.relief * (lx * slope_u + ly * slope_v), 0.35, 1.75)  # slopes facing away darken
    across = 0.5 + (u - 0.5) * lx + (v - 0.5) * ly
    lamp = 1 - light.fall * (1 - np.clip(across, 0, 1)) - light.vignette * ((u - 0.5) ** 2 + (v - 0.5) ** 2)
    return canvas.albedo * (canvas.shade * relief * lamp)[..., None] + canvas.glow


def photograph(lit: Field, light: Light, size: int, rng: np.random.Generator) -> np.ndarray:
    """What a camera makes of it: (size, size, 3) uint8."""
    n = len(lit)
    small = lit.reshape(size, n // size, size, n // size, 3).mean((1, 3))
    if light.blur > 0.25:
        small = ndimage.gaussian_filter(small, (light.blur, light.blur, 0), truncate=3.0)
    small = small * light.exposure * np.array([1 + light.warmth, 1, 1 - light.warmth], np.float32)
    small += light.noise * rng.standard_normal((size, size, 1), dtype=np.float32)
    small += 0.4 * light.noise * rng.standard_normal((size, size, 3), dtype=np.float32)
    small = np.where(small > 0.85, 0.85 + 0.15 * np.tanh((small - 0.85) / 0.15), small)  # highlights roll off
    pixels = (np.clip(small, 0, 1) * 255 + 0.5).astype(np.uint8)
    return _jpeg(pixels, light.jpeg) if light.jpeg else pixels


def _jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, "JPEG", quality=quality)
    return np.asarray(Image.open(memory).convert("RGB"))
