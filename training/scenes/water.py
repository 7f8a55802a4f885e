"""Damage that water leaves as it stands, spreads and dries: stains and puddles.

Every damage function paints on the canvas and returns where it can be seen, (n, n) float32 in [0, 1].
"""

import numpy as np

from wetgen.training.scenes.canvas import Canvas
from wetgen.training.scenes.noise import Field, blob, blur, fractal, grid, line, ramp
from wetgen.training.scenes.scene import Damage, Scene

_PIGMENTS = {
    "brown": (0.35, 0.75, 1.35),
    "yellow": (0.16, 0.42, 1.15),
    "dark": (0.85, 1.0, 1.15),
    "rusty": (0.25, 0.95, 1.7),
}
STRENGTH = {"trace": 0.55, "moderate": 0.8, "severe": 1.1}


def stain(canvas: Canvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """Pigment left by drying fronts, each with a dark tide line; on walls it runs down."""
    strength = STRENGTH[damage.severity]
    absorption = _PIGMENTS[damage.colour]
    if np.mean(scene.rgb) < 0.55:
        strength = max(1.35 * strength, 0.95)  # dark on dark is seen only where there is much of it
    wall = scene.stance == "wall"
    density, outline = _fronts(canvas, damage, wall, rng)
    if wall and (damage.style == "drip" or rng.random() < 0.3):
        runs = _runs(canvas, damage, rng)
        density = np.maximum(density, runs)
        outline = np.maximum(outline, ramp(runs, 0.14, 0.22))
    density *= canvas.clear * (1 + 0.12 * fractal(rng, canvas.n, 0.8, low=6))
    canvas.absorb(np.clip(density, 0, None) * strength, absorption)
    return outline * canvas.clear


def _fronts(canvas: Canvas, damage: Damage, wall: bool, rng: np.random.Generator) -> tuple[Field, Field]:
    """Pigment density (n, n) of one to four drying fronts, and the outline of the largest."""
    n = canvas.n
    count = {"trace": 1, "moderate": 2, "severe": 3}[damage.severity] + int(rng.integers(0, 2))
    common = 0.24 * fractal(rng, n, 2.1, low=1.5)
    stretch = (0.75, 1.25) if wall else (1.0, 1.0)
    density, outline = np.zeros((n, n), np.float32), np.zeros((n, n), np.float32)
    for front in range(count):
        radius = damage.extent * (1 - 0.55 * front / count)
        drift = rng.normal(0, 0.12 * damage.extent, 2) * (front > 0)
        centre = (damage.centre[0] + drift[0], damage.centre[1] + drift[1])
        field = blob(rng, n, centre, (radius * stretch[0], radius * stretch[1]), 0.07, 1.8) + common
        if wall:
            v = grid(n)[1]
            tongues = np.clip(line(rng, n, 1.3, 4, 30), -0.5, 2)[None, :]
            field = field + 0.28 * tongues * ramp(v, damage.centre[1] - radius, damage.centre[1] + radius)
        inside = ramp(field, 0, 0.03)
        rim = inside * np.exp(-np.clip(field, 0, None) / rng.uniform(0.03, 0.06))
        density += inside * rng.uniform(0.2, 0.32) + rim * rng.uniform(0.6, 1.0)
        outline = np.maximum(outline, inside)
    return density, outline


def _runs(canvas: Canvas, damage: Damage, rng: np.random.Generator) -> Field:
    """Drips (n, n): thin lines from the patch downwards, fading, with a drop's dark end."""
    n = canvas.n
    u, v = grid(n)
    density = np.zeros((n, n), np.float32)
    for _ in range(int(rng.integers(3, 8))):
        at = damage.centre[0] + rng.uniform(-0.65, 0.65) * damage.extent
        top = damage.centre[1] + rng.uniform(0, 0.4) * damage.extent
        length = damage.extent * rng.uniform(1.0, 2.2)
        path = at + 0.004 * line(rng, n, 1.6)[:, None]
        wide = rng.uniform(0.008, 0.018)
        t = (v - top) / length
        body = ramp(np.abs(u - path), wide, wide * 0.5) * ramp(t, 0, 0.05) * ramp(t, 1.0, 0.96)
        density = np.maximum(density, body * (0.45 + 0.35 * ramp(t, 0.8, 1.0)))
    return density


def puddle(canvas: Canvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """Standing water: darkened ground, a smooth mirror of the room, a bright edge and a wet rim."""
    n = canvas.n
    flat = rng.uniform(0.55, 0.8)
    extent = damage.extent * 1.15
    field = blob(rng, n, damage.centre, (extent, extent * flat), 0.24, 2.7)
    if damage.severity != "trace":
        arm = np.array(damage.centre) + rng.uniform(-1, 1, 2) * (extent, 0.5 * extent)
        field = np.maximum(field, blob(rng, n, tuple(arm), (extent * 0.5, extent * 0.4), 0.2, 2.7))
    water = ramp(field, 0.0, 0.035) * canvas.clear
    wet = ramp(field, -0.12, -0.02) * canvas.clear
    canvas.albedo *= 1 - (0.22 * wet + 0.26 * water)[..., None]
    canvas.height *= 1 - water
    canvas.glow *= (1 - water)[..., None]
    canvas.glow += (water * _mirror(canvas, damage, rng))[..., None] * np.array([0.92, 0.97, 1.0], np.float32)
    edge = np.exp(-((field - 0.03) ** 2) / 0.0007) * canvas.clear
    slope_v, slope_u = np.gradient(blur(field, 2.0))
    side = slope_u * np.cos(scene.light.direction) + slope_v * np.sin(scene.light.direction)
    side /= np.hypot(slope_u, slope_v) + 1e-6
    canvas.glow += (edge * np.clip(side, 0, 1) * 0.38)[..., None]
    canvas.shade *= 1 - 0.45 * edge * np.clip(-side, 0, 1)
    return np.maximum(water, ramp(field, -0.09, -0.05) * canvas.clear)


def _mirror(canvas: Canvas, damage: Damage, rng: np.random.Generator) -> Field:
    """Reflected room (n, n): brighter with distance, and windows with wavering borders."""
    n = canvas.n
    u, v = grid(n)
    ripple = 0.012 * fractal(rng, n, 3.0, low=2, high=9, stretch=(1, 0.5))
    mirror = rng.uniform(0.06, 0.18) + rng.uniform(0.1, 0.28) * ramp(v, 1.0, 0.1) + 0.02 * fractal(rng, n, 2.2, low=1)
    panes = int(rng.integers(0, 2 if damage.severity == "trace" else 3))
    for _ in range(panes):
        at = damage.centre[0] + rng.uniform(-0.8, 0.8) * damage.extent
        top = damage.centre[1] + rng.uniform(-0.7, 0.2) * damage.extent
        wide, tall = rng.uniform(0.04, 0.12), rng.uniform(0.08, 0.3)
        pane = ramp(np.abs(u + ripple - at), wide, wide * 0.8) * ramp(np.abs(v + ripple - top), tall, tall * 0.7)
        bar = 1 - 0.6 * ramp(np.abs(u + ripple - at), 0.012, 0.005) * (wide > 0.07)
        mirror = mirror + rng.uniform(0.2, 0.42) * pane * bar
    return np.clip(mirror, 0, 0.8)
