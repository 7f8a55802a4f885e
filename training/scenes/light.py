"""From painted layers to a photograph: light, soft shadow, tone, lens and camera."""

import io

import numpy as np
from PIL import Image
from scipy import ndimage

from wetgen.training.scenes.canvas import SceneCanvas
from wetgen.training.scenes.noise import Field, grid, slopes
from wetgen.training.scenes.scene import Light, View


def develop(canvas: SceneCanvas, light: Light, size: int) -> Field:
    """The picture (size, size, 3) in [0, 1] as a faultless camera would take it: no blur, noise or compression."""
    u, v = grid(canvas.n)
    lx, ly = float(np.cos(light.direction)), float(np.sin(light.direction))
    across, down = slopes(canvas.height)
    relief = np.clip(1 - light.relief * (lx * across + ly * down), 0.35, 1.6)  # slopes facing away darken
    relief *= canvas.shade * (1 - light.shadow * (1 - canvas.cast))
    r2 = (u - 0.5) ** 2 + (v - 0.5) ** 2
    lamp = 1 - light.fall * (0.5 - (u - 0.5) * lx - (v - 0.5) * ly) - light.vignette * r2
    if light.flash:
        lamp += light.flash * (np.exp(-7 * r2) - 0.4)
    surface = canvas.albedo * relief[..., None] + canvas.glow
    surface += canvas.front[..., None] * (canvas.front_rgb - surface)
    surface *= lamp[..., None]
    surface *= np.float32(light.exposure) * np.array([1 + light.warmth, 1, 1 - light.warmth], np.float32)
    small = _shrink(surface, size)
    np.minimum(small, 0.85 + 0.15 * np.tanh((np.maximum(small, 0.85) - 0.85) / 0.15), out=small)  # highlights roll off
    return np.clip(small, 0, 1)


def _shrink(field: Field, size: int) -> Field:
    factor = len(field) // size
    return field if factor == 1 else field.reshape(size, factor, size, factor, -1).mean((1, 3)).reshape(size, size, -1)


def photograph(picture: Field, light: Light, view: View, rng: np.random.Generator) -> np.ndarray:
    """What a camera makes of a developed picture (size, size, 3): uint8."""
    size = len(picture)
    picture = _focused(picture, light.blur * size / 256, view)
    if light.sharpen:
        soft = ndimage.uniform_filter(picture, (3, 3, 0))
        picture = picture + light.sharpen * (picture - soft)
    if light.noise:
        picture = picture + light.noise * _grain(rng, size)
    pixels = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    return _jpeg(pixels, light.jpeg) if light.jpeg else pixels


def _focused(picture: Field, lens: float, view: View) -> Field:
    """Blurred by the lens all over (deviation in pixels), and by distance from the line of focus."""
    sharp = ndimage.gaussian_filter(picture, (lens, lens, 0), truncate=2.5) if lens > 0.25 else picture
    if not view.defocus:
        return sharp
    wide = 0.6 * view.defocus * len(picture)
    away = np.clip(np.abs(grid(len(picture))[1] - view.focus) / 0.5, 0, 1)[..., None]
    return sharp + away * (ndimage.gaussian_filter(sharp, (wide, wide, 0), truncate=2.5) - sharp)


def _grain(rng: np.random.Generator, size: int) -> Field:
    """Sensor noise (size, size, 3): luminance per pixel, colour in soft blotches as denoising leaves it."""
    fine = rng.standard_normal((size, size, 1), dtype=np.float32)
    half = -(-size // 2)
    blotches = rng.standard_normal((half, half, 3), dtype=np.float32).repeat(2, 0).repeat(2, 1)[:size, :size]
    return fine + 0.45 * blotches


def _jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, "JPEG", quality=quality)
    return np.asarray(Image.open(memory).convert("RGB"))
