"""Damage that water leaves as it stands, spreads and dries: stains and puddles.

Every damage function paints on the canvas and returns its footprint: where it drew, (n, n) float32 in [0, 1].
"""

import numpy as np

from wetgen.training.scenes.canvas import SceneCanvas
from wetgen.training.scenes.noise import Field, blob, blur, fractal, grid, line, ramp, slopes, texture
from wetgen.training.scenes.scene import Damage, Scene

_PIGMENTS = {
    "brown": (0.38, 0.75, 1.30),
    "yellow": (0.18, 0.42, 1.10),
    "dark": (0.95, 1.0, 1.08),
    "rusty": (0.25, 0.95, 1.60),
}
STRENGTH = {"trace": 0.6, "moderate": 0.85, "severe": 1.15}


def stain(canvas: SceneCanvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """Pigment left by drying fronts, each with a dark tide line; on walls it rises, hangs down or runs."""
    strength = STRENGTH[damage.severity]
    wet = damage.colour == "dark"
    density, outline = _soaked(canvas, scene, damage, rng) if wet else _fronts(canvas, scene, damage, rng)
    if scene.stance == "wall" and not wet and (damage.style == "drip" or rng.random() < 0.2):
        runs = _runs(canvas, damage, rng)
        density = np.maximum(density, runs)
        outline = np.maximum(outline, ramp(runs, 0.1, 0.2))
    density = density * (1 + 0.10 * texture(rng, canvas.n, 0.8, 6) + 0.10 * fractal(rng, canvas.n, 1.2, 3))
    canvas.absorb(np.clip(density, 0, None) * strength, _PIGMENTS[damage.colour])
    if canvas.units is not None and scene.stance == "wall":  # joints drink more
        canvas.absorb(0.3 * strength * outline * canvas.joint(0.01), _PIGMENTS[damage.colour])
    canvas.damp = np.maximum(canvas.damp, outline)
    return outline


def _field(canvas: SceneCanvas, scene: Scene, damage: Damage, radius: float, rng: np.random.Generator) -> Field:
    """Positive inside one front: a patch, or on walls damp that rises from the floor or hangs from the ceiling."""
    n = canvas.n
    u, v = grid(n)
    wall = scene.stance == "wall"
    if wall and scene.place in ("floor line", "ceiling line") and damage.style == "patch":
        rising = scene.place == "floor line"
        edge = scene.line[0] + (-1 if rising else 1) * 1.5 * radius
        tongues = 0.5 * line(rng, n, 1.1, 2, 12) + (0.0 if rising else 0.6 * np.clip(line(rng, n, 0.9, 6, 40), -0.3, 2))
        reach = (v - edge) / radius * (1 if rising else -1)
        sides = 2.2 - np.abs(u - damage.centre[0]) / radius
        return np.minimum(reach + 0.45 * tongues[None, :], sides) + 0.10 * fractal(rng, n, 1.3, 4)
    stretch = (0.75, 1.2) if wall else (1.0, 1.0)
    field = blob(rng, n, damage.centre, (radius * stretch[0], radius * stretch[1]), 0.08, 1.7)
    if wall:
        tongues = np.clip(line(rng, n, 1.2, 4, 30), -0.5, 2)[None, :]
        field = field + 0.3 * tongues * ramp(v, damage.centre[1] - radius, damage.centre[1] + radius)
    return field


def _fronts(canvas: SceneCanvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> tuple[Field, Field]:
    """Pigment density (n, n) of one to four drying fronts, and the outline of the largest."""
    n = canvas.n
    count = {"trace": 1, "moderate": 2, "severe": 3}[damage.severity] + int(rng.integers(0, 2))
    common = 0.26 * fractal(rng, n, 2.0, low=1.5) + 0.05 * fractal(rng, n, 1.0, low=8)
    density, outline = np.zeros((n, n), np.float32), np.zeros((n, n), np.float32)
    for front in range(count):
        field = _field(canvas, scene, damage, damage.extent * (1 - 0.55 * front / count), rng) + common
        inside = ramp(field, 0, rng.uniform(0.02, 0.06))
        rim = inside * np.exp(-np.clip(field, 0, None) / rng.uniform(0.03, 0.09))
        wash = 0.7 + 0.5 * ramp(field, 0.8, 0.0)  # pigment is carried outwards
        density += inside * wash * rng.uniform(0.18, 0.32) + rim * rng.uniform(0.3, 0.9)
        outline = np.maximum(outline, inside)
    return density, outline


def _soaked(canvas: SceneCanvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> tuple[Field, Field]:
    """Still wet: evenly darkened with a soft border, darkest in the middle."""
    field = _field(canvas, scene, damage, damage.extent, rng) + 0.22 * fractal(rng, canvas.n, 1.7, low=1.5)
    soft = rng.uniform(0.06, 0.3)
    inside = ramp(field, 0, soft)
    return inside * (0.36 + 0.25 * ramp(field, 0.0, 1.0)), ramp(field, -0.02, 0.02)


def _runs(canvas: SceneCanvas, damage: Damage, rng: np.random.Generator) -> Field:
    """Drips (n, n): thin lines from the patch downwards, fading, with a drop's dark end."""
    n = canvas.n
    u, v = grid(n)
    density = np.zeros((n, n), np.float32)
    for _ in range(int(rng.integers(3, 9))):
        at = damage.centre[0] + rng.uniform(-0.65, 0.65) * damage.extent
        top = damage.centre[1] + rng.uniform(0, 0.4) * damage.extent
        length = damage.extent * rng.uniform(0.8, 2.2)
        path = at + 0.004 * line(rng, n, 1.6)[:, None]
        t = (v - top) / length
        wide = rng.uniform(0.005, 0.016) * (0.7 + 0.6 * np.clip(t, 0, 1))
        body = np.clip(1.6 - np.abs(u - path) / wide, 0, 1) * ramp(t, 0, 0.1) * ramp(t, 1.0, 0.96)
        density = np.maximum(density, body * (0.35 + 0.4 * ramp(t, 0.7, 1.0)))
    return density


def puddle(canvas: SceneCanvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """Standing water: darkened ground, a smooth mirror of the room, a bright or dark edge and a wet rim."""
    n = canvas.n
    flat = rng.uniform(0.5, 0.75)
    extent = damage.extent * 1.2
    field = blob(rng, n, damage.centre, (extent, extent * flat), 0.22, 2.4)
    if damage.severity != "trace":
        arm = np.array(damage.centre) + rng.uniform(-1, 1, 2) * (extent, 0.5 * extent)
        field = np.maximum(field, blob(rng, n, (arm[0], arm[1]), (extent * 0.5, extent * 0.35), 0.2, 2.4))
    if canvas.units is not None:  # joints lead water on
        field = field + 0.10 * canvas.joint(0.012)
    water = ramp(field, 0.0, 0.03)
    wet = ramp(field, -0.10, -0.05)
    dark = float(np.mean(scene.rgb)) < 0.35
    canvas.absorb((0.24 + 0.1 * dark) * wet + (0.20 + 0.1 * STRENGTH[damage.severity]) * water, (1.0, 0.98, 0.94))
    canvas.height *= 1 - 0.9 * water
    canvas.glow *= (1 - water)[..., None]
    canvas.glow += (water * _mirror(canvas, damage, rng))[..., None] * np.array([0.93, 0.97, 1.0], np.float32)
    edge = np.exp(-((field - 0.02) ** 2) / 0.0006)
    across, down = slopes(blur(field, 0.006))
    side = across * np.cos(scene.light.direction) + down * np.sin(scene.light.direction)
    side /= np.hypot(across, down) + 1e-6
    canvas.glow += (edge * np.clip(side, 0, 1) * 0.30)[..., None]
    canvas.shade *= 1 - 0.4 * edge * np.clip(-side, 0, 1)
    return np.maximum(water, wet)


def _mirror(canvas: SceneCanvas, damage: Damage, rng: np.random.Generator) -> Field:
    """Reflected room (n, n): brighter with distance, a window or lamp in it drawn out by ripples."""
    n = canvas.n
    u, v = grid(n)
    ripple = 0.004 * fractal(rng, n, 2.6, low=2, stretch=(1, 0.6))
    far = ramp(v + 4 * ripple, damage.centre[1] + 0.15, damage.centre[1] - 0.35)
    mirror = rng.uniform(0.02, 0.06) + rng.uniform(0.10, 0.26) * far
    at, top = damage.centre[0] + rng.uniform(-0.4, 0.4) * damage.extent, damage.centre[1] - 0.1
    wide, lean = rng.uniform(0.035, 0.09), rng.uniform(-0.25, 0.25)
    panes = int(rng.integers(0, 3))
    for pane in range(panes):  # a window with its bars, drawn out towards the eye
        across = np.abs(u + ripple - at - 2.3 * wide * pane - lean * (v - top))
        light = ramp(across, wide * 1.1, wide * 0.8) * ramp(v, 1.2, top + 0.05) * ramp(v, top - 0.3, top - 0.2)
        mirror = mirror + rng.uniform(0.3, 0.45) * light * (0.75 + 0.25 * ramp(np.abs(v - top + 0.03), 0.006, 0.014))
    return np.clip(mirror, 0, 0.8)
