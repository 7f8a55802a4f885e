"""Damage that grows or crystallises on a damp surface: mold, efflorescence, corrosion."""

import numpy as np

from wetgen.training.scenes.canvas import Canvas
from wetgen.training.scenes.noise import Field, blob, blur, fractal, grid, line, ramp, shift
from wetgen.training.scenes.scene import Damage, Scene
from wetgen.training.scenes.water import STRENGTH

_MOLDS = {
    "black": (0.09, 0.09, 0.09),
    "dark green": (0.13, 0.18, 0.11),
    "green": (0.25, 0.34, 0.18),
    "grey": (0.27, 0.28, 0.26),
}


def _visible(alpha: Field, n: int, least: float = 0.09) -> Field:
    """Where speckles stand close enough to be one patch."""
    near = blur(alpha, n / 150)
    return ramp(near, least - 0.04, least + 0.04)


def mold(canvas: Canvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """Speckled colonies, densest inside a damp zone; on tiles it follows the grout."""
    n = canvas.n
    strength = STRENGTH[damage.severity]
    zone = blob(rng, n, damage.centre, (damage.extent * 1.1,) * 2, 0.4, 1.3) * canvas.clear + (canvas.clear - 1) * 9
    if scene.place == "corner":
        zone = zone + 0.45 * np.exp(-np.abs(grid(n)[0] - scene.line[0]) / 0.05) * (zone > -0.5)
    spots = fractal(rng, n, 0.4, low=18, high=48)
    clumps = fractal(rng, n, 1.0, low=6, high=40)
    damp = np.clip(zone, -1, 0.8)
    level = {"spots": 0.95 * spots + 0.35 * clumps, "colony": 0.45 * spots + 0.85 * clumps}.get(
        damage.style, 0.5 * spots + 0.5 * clumps
    )
    speckle = ramp(level + 3.8 * damp - 1.3, 0.0, 0.7) * ramp(zone, -0.35, 0.05)
    haze = ramp(zone + 0.12 * clumps, 0.15, 0.7) * (0.65 if damage.style == "haze" else 0.35)
    alpha = np.maximum(speckle * np.clip(0.72 + 0.12 * spots, 0.4, 0.95), haze)
    if scene.surface == "tile wall":
        joint = 1 - _solid(canvas, 0.011)
        alpha = alpha * np.clip(0.25 * ramp(zone, 0.1, 0.6) + joint, 0, 1) + 0.8 * joint * ramp(
            zone + 0.2 * clumps, 0, 0.3
        )
    alpha = np.clip(alpha * (0.55 + 0.42 * strength), 0, 0.96) * canvas.clear
    rgb = np.array(_MOLDS[damage.colour], np.float32) * (1 + 0.25 * clumps[..., None])
    canvas.absorb(0.15 * ramp(zone, 0.1, 0.9) * canvas.clear, (0.5, 0.6, 0.9))
    canvas.tint(alpha, np.clip(rgb, 0.03, 0.6))
    return _visible(alpha, n)


def _solid(canvas: Canvas, joint: float) -> Field:
    """1 inside units, 0 within `joint` metres of their border (n, n)."""
    cx, cy, hx, hy = canvas.units
    inset = np.minimum(hx - np.abs(canvas.x - cx), hy - np.abs(canvas.y - cy))
    return ramp(inset, joint * 0.6, joint * 1.2)


def efflorescence(canvas: Canvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """White salt: a crystalline veil, thickest at its upper border and in joints, and runs below it."""
    n = canvas.n
    strength = STRENGTH[damage.severity]
    wide = damage.extent * 1.25
    zone = blob(rng, n, damage.centre, (wide, wide * 0.8), 0.34, 1.5)
    grain = fractal(rng, n, 0.8, low=9)
    veil = ramp(zone + 0.22 * grain, 0.0, 0.45) * np.clip(0.78 + 0.16 * grain, 0.3, 1)
    if damage.style == "runs":
        u, v = grid(n)
        streak = np.clip(line(rng, n, 0.9, 6, 36), -0.6, 2.2)[None, :]
        t = (v - damage.centre[1]) / (wide * 1.5)
        curtain = ramp(streak - 1.6 * np.clip(t, 0, 2) + 0.2 * grain, 0.15, 0.8) * ramp(t, -0.15, 0.02)
        veil = np.maximum(veil, curtain * ramp(np.abs(u - damage.centre[0]), wide * 1.1, wide * 0.7) * 0.9)
    if canvas.units is not None:
        veil = np.clip(veil * (1 + 0.35 * (1 - _solid(canvas, 0.012)) * ramp(zone, -0.1, 0.3)), 0, 1)
    alpha = np.clip(veil * (0.6 + 0.5 * strength), 0, 0.97) * canvas.clear
    canvas.absorb(0.09 * ramp(zone, -0.15, 0.2) * canvas.clear, (1, 1, 1))  # damp around the salt
    canvas.tint(alpha, (0.93, 0.93, 0.91))
    canvas.height += 0.0012 * alpha * grain
    return _visible(alpha, n, 0.12)


def corrosion(canvas: Canvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """A rusting nail, plate or pipe and the rust water has carried from it."""
    n = canvas.n
    strength = STRENGTH[damage.severity]
    metal, relief = _fitting(canvas, damage, rng)
    metal, relief = metal * canvas.clear, relief * canvas.clear
    grain, clouds = fractal(rng, n, 0.5, low=12), fractal(rng, n, 1.3, low=3)
    halo = ramp(blur(metal, n * 0.02) * 3 + 0.10 * clouds, 0.16, 0.6)
    runs = _rust_runs(metal, damage, rng) if scene.stance != "ceiling" else _rust_ring(damage, n, rng)
    alpha = (
        np.clip(np.maximum(halo * 0.85, runs) * (0.62 + 0.4 * strength) * (1 + 0.15 * grain), 0, 0.95) * canvas.clear
    )
    deep = np.array([0.40, 0.17, 0.06], np.float32) + np.clip(0.5 - alpha, 0, 1)[..., None] * [0.42, 0.36, 0.16]
    canvas.shade *= 1 - 0.4 * np.clip(blur(shift(metal, 0.008 * n, 0.012 * n), n / 110) - metal, 0, 1)
    canvas.tint(alpha, deep.astype(np.float32))
    scale = np.where(grain + 0.7 * clouds > 0.1, 1.0, 0.0)[..., None]
    rusty = np.array([0.42, 0.20, 0.09]) * scale + np.array([0.27, 0.19, 0.15]) * (1 - scale)
    canvas.tint(metal, (rusty * (1 + 0.12 * grain[..., None])).astype(np.float32))
    canvas.height = canvas.height * (1 - metal) + relief + 0.0012 * metal * grain
    return np.maximum(ramp(blur(alpha, n / 250), 0.11, 0.19), metal)


def _fitting(canvas: Canvas, damage: Damage, rng: np.random.Generator) -> tuple[Field, Field]:
    """The metal's cover (n, n) in [0, 1] and its height in pictures."""
    n = canvas.n
    u, v = grid(n)
    cu, cv = damage.centre
    if damage.style == "pipe":
        wide = rng.uniform(0.03, 0.055)
        across = (u - cu) / wide
        cover = ramp(np.abs(across), 1.0, 0.9)
        collar = ramp(np.abs(u - cu), wide * 1.5, wide * 1.4) * ramp(np.abs(v - cv), wide * 0.7, wide * 0.6)
        return np.maximum(cover, collar), wide * 0.8 * np.sqrt(np.clip(1 - across**2, 0, 1)) + 0.01 * collar
    if damage.style == "plate":
        wide, tall = rng.uniform(0.05, 0.11), rng.uniform(0.04, 0.08)
        inset = np.minimum(wide - np.abs(u - cu), tall - np.abs(v - cv))
        screws = ramp(np.hypot(np.abs(u - cu) - wide * 0.65, v - cv), 0.016, 0.010)
        return ramp(inset, 0, 0.006), 0.012 * ramp(inset, 0, 0.012) + 0.006 * screws
    cover, height = np.zeros((n, n), np.float32), np.zeros((n, n), np.float32)
    for nail in range(int(rng.integers(1, 5))):
        at = (
            cu + (nail > 0) * rng.uniform(-1, 1) * damage.extent,
            cv + (nail > 0) * rng.uniform(-0.2, 0.8) * damage.extent,
        )
        r = np.hypot(u - at[0], v - at[1]) / rng.uniform(0.014, 0.024)
        cover = np.maximum(cover, ramp(r, 1.0, 0.8))
        height = np.maximum(height, 0.012 * np.sqrt(np.clip(1 - r**2, 0, 1)))
    return cover, height


def _rust_runs(metal: Field, damage: Damage, rng: np.random.Generator) -> Field:
    """Rust carried down: the metal smeared with an exponential tail, broken into streaks (n, n)."""
    n = len(metal)
    keep = float(np.exp(-1 / (n * damage.extent * 0.75)))
    tail, row = np.zeros_like(metal), np.zeros(n, np.float32)
    spread = blur(metal, n * 0.008)
    for y in range(n):
        row = np.maximum(row * keep, spread[y])
        tail[y] = row
    streak = 0.75 + 0.45 * line(rng, n, 0.9, 8, 60)[None, :] + 0.12 * fractal(rng, n, 1.0, low=4, stretch=(1, 6))
    return np.clip(blur(tail, 1.0) * np.clip(streak, 0.05, 1.4), 0, 1)


def _rust_ring(damage: Damage, n: int, rng: np.random.Generator) -> Field:
    """Rust spread evenly around, for ceilings (n, n)."""
    field = blob(rng, n, damage.centre, (damage.extent * 0.6,) * 2, 0.3, 1.5)
    return ramp(field, 0, 0.06) * (0.35 + 0.4 * ramp(field, 0.2, 1.0) + 0.3 * np.exp(-np.clip(field, 0, None) / 0.07))
