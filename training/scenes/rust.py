"""Corrosion: rusting metal on the surface and the rust that water has carried from it."""

import numpy as np

from wetgen.training.scenes.canvas import SceneCanvas
from wetgen.training.scenes.noise import Field, blob, blur, fractal, grid, line, ramp, shift, texture
from wetgen.training.scenes.scene import Damage, Scene
from wetgen.training.scenes.water import STRENGTH


def corrosion(canvas: SceneCanvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """A rusting nail, plate or pipe, a halo around it and runs below; on ceilings a ring."""
    n = canvas.n
    strength = STRENGTH[damage.severity]
    metal, relief = _fitting(canvas, damage, rng)
    grain = 0.7 * texture(rng, n, 0.4, 14) + 0.7 * fractal(rng, n, 0.9, low=6)
    clouds = fractal(rng, n, 1.3, low=3)
    halo = ramp(blur(metal, 0.02) * 3.5 + 0.10 * clouds, 0.12, 0.6)
    runs = _ring(damage, n, rng) if scene.stance == "ceiling" else _runs(metal, damage, rng)
    alpha = np.clip(np.maximum(halo * 0.8, runs) * (0.55 + 0.4 * strength) * (1 + 0.12 * grain), 0, 0.92)
    deep = np.array([0.38, 0.18, 0.08], np.float32) + np.clip(0.5 - alpha, 0, 1)[..., None] * [0.40, 0.34, 0.18]
    canvas.cast *= 1 - 0.45 * np.clip(blur(shift(metal, 0.008, 0.012), 0.009) - metal, 0, 1)
    canvas.tint(alpha, deep.astype(np.float32))
    scale = ramp(grain + 0.8 * clouds, -0.3, 0.5)[..., None]
    rusty = np.array([0.40, 0.22, 0.12]) * scale + np.array([0.24, 0.19, 0.17]) * (1 - scale)
    canvas.tint(metal, (rusty * (1 + 0.14 * grain[..., None])).astype(np.float32))
    canvas.height = canvas.height * (1 - metal) + relief + 0.0008 * metal * grain
    canvas.glow *= (1 - metal)[..., None]
    return np.maximum(ramp(alpha, 0.03, 0.10), metal)


def _fitting(canvas: SceneCanvas, damage: Damage, rng: np.random.Generator) -> tuple[Field, Field]:
    """The metal's cover (n, n) in [0, 1] and its height in pictures."""
    n = canvas.n
    u, v = grid(n)
    cu, cv = damage.centre
    soft = 0.8 / n
    if damage.style == "pipe":
        wide = rng.uniform(0.02, 0.045)
        across = (u - cu) / wide
        collar = ramp(np.abs(u - cu), wide * 1.4 + soft, wide * 1.4 - soft)
        collar = collar * ramp(np.abs(v - cv), wide * 0.6 + soft, wide * 0.6 - soft)
        cover = np.maximum(ramp(np.abs(u - cu), wide + soft, wide - soft), collar)
        return cover, wide * 0.8 * np.sqrt(np.clip(1 - across**2, 0, 1)) + 0.008 * collar
    if damage.style == "plate":
        wide, tall = rng.uniform(0.05, 0.11), rng.uniform(0.04, 0.08)
        inset = np.minimum(wide - np.abs(u - cu), tall - np.abs(v - cv)) + 0.002 * fractal(rng, n, 1.0, 6)
        screws = ramp(np.hypot(np.abs(u - cu) - wide * 0.65, v - cv), 0.014, 0.009)
        return ramp(inset, -soft, soft), 0.008 * ramp(inset, 0, 0.012) + 0.005 * screws
    cover, height = np.zeros((n, n), np.float32), np.zeros((n, n), np.float32)
    for nail in range(int(rng.integers(1, 6))):
        side, down = (nail > 0) * rng.uniform(-1, 1), (nail > 0) * rng.uniform(-0.2, 0.8)
        r = np.hypot(u - cu - side * damage.extent, v - cv - down * damage.extent) / rng.uniform(0.012, 0.022)
        cover = np.maximum(cover, ramp(r, 1.1, 0.8))
        height = np.maximum(height, 0.008 * np.sqrt(np.clip(1 - r**2, 0, 1)))
    return cover, height


def _runs(metal: Field, damage: Damage, rng: np.random.Generator) -> Field:
    """Rust carried down: the metal smeared with an exponential tail, broken into streaks (n, n)."""
    n = len(metal)
    keep = float(np.exp(-1 / (n * damage.extent * 0.75)))
    tail, row = np.zeros_like(metal), np.zeros(n, np.float32)
    spread = blur(metal, 0.006)
    for y in range(n):
        row = np.maximum(row * keep, spread[y])
        tail[y] = row
    streak = 0.7 + 0.5 * line(rng, n, 0.9, 8, 60)[None, :] + 0.15 * fractal(rng, n, 1.0, low=4, stretch=(1, 6))
    return np.clip(blur(tail, 0.003) * np.clip(streak, 0.03, 1.3), 0, 1)


def _ring(damage: Damage, n: int, rng: np.random.Generator) -> Field:
    """Rust spread evenly around, for ceilings (n, n)."""
    field = blob(rng, n, damage.centre, (damage.extent * 0.6,) * 2, 0.3, 1.5)
    return ramp(field, 0, 0.06) * (0.35 + 0.4 * ramp(field, 0.2, 1.0) + 0.3 * np.exp(-np.clip(field, 0, None) / 0.07))
