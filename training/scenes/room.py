"""What surrounds the surface: the corner, the skirting, the next wall or ceiling; and things that are no damage."""

import numpy as np

from wetgen.training.scenes.canvas import Canvas
from wetgen.training.scenes.noise import Field, blur, fractal, grid, line, ramp, shift
from wetgen.training.scenes.scene import Scene


def surround(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    """Paint what lies beyond the line of the scene's place and take it from `canvas.clear`."""
    u, v = grid(canvas.n)
    at, slant = scene.line
    if scene.place == "corner":
        side = ramp(u - at - 0.4 * slant * (v - 0.5), -0.004, 0.004)
        canvas.shade *= 1 - rng.uniform(0.12, 0.3) * (side if rng.random() < 0.5 else 1 - side)
        canvas.shade *= 1 - 0.25 * np.exp(-np.abs(u - at - 0.4 * slant * (v - 0.5)) / 0.025)
    elif scene.place in ("floor line", "wall edge", "ceiling line"):
        above = scene.place == "ceiling line" or (scene.place == "wall edge" and scene.stance == "floor")
        beyond = (v - at - slant * (u - 0.5)) * (-1 if above else 1)
        _next_surface(canvas, scene, beyond, rng)


def _next_surface(canvas: Canvas, scene: Scene, beyond: Field, rng: np.random.Generator) -> None:
    """Skirting where a wall and a floor meet, then the other surface where `beyond` (n, n) is positive."""
    n = canvas.n
    colours = {"wall": (0.80, 0.78, 0.74), "floor": (0.50, 0.38, 0.27), "ceiling": (0.90, 0.90, 0.88)}
    other = {"floor line": "floor", "ceiling line": "ceiling", "wall edge": "wall"}[scene.place]
    tone = np.clip(np.array(colours[other]) * rng.uniform(0.75, 1.05) + rng.normal(0, 0.03, 3), 0.05, 0.95)
    over = ramp(beyond, 0.0, 0.006)
    paint = tone * (1 + 0.02 * fractal(rng, n, 1.2)[..., None])
    canvas.albedo += over[..., None] * (paint - canvas.albedo)
    canvas.shade *= 1 - 0.35 * np.exp(-np.abs(beyond) / 0.018)
    if "floor" in (other, scene.stance):
        board = over * ramp(beyond, 0.075, 0.069)
        canvas.tint(board, (0.86, 0.85, 0.82) if rng.random() < 0.7 else (0.40, 0.28, 0.19))
        canvas.shade *= 1 - 0.4 * np.exp(-np.abs(beyond - 0.074) / 0.006)
    canvas.height *= 1 - over
    canvas.glow *= (1 - over)[..., None]
    canvas.clear *= 1 - ramp(beyond, -0.004, 0.004)


def furnish(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    """Now and then a lamp or a vent on the ceiling, a socket or a switch on the wall; damage passes behind it."""
    if scene.stance == "floor" or rng.random() > (0.45 if scene.stance == "ceiling" else 0.25):
        return
    u, v = grid(canvas.n)
    at = (rng.choice((-1, 1)) * rng.uniform(0.26, 0.42) + 0.5, rng.choice((-1, 1)) * rng.uniform(0.26, 0.36) + 0.5)
    if scene.stance == "wall":
        half = rng.uniform(0.03, 0.045)
        inset = half - np.maximum(np.abs(u - at[0]), np.abs(v - at[1]))
        core = ramp(np.hypot(u - at[0], v - at[1]), half * 0.62, half * 0.52) * (0.12 if rng.random() < 0.5 else 0.04)
    elif rng.random() < 0.65:
        half = rng.uniform(0.07, 0.13)
        inset = half - np.hypot(u - at[0], v - at[1])
        core = -0.25 * ramp(inset, 0, half * 0.5)
        canvas.shade *= 1 + 0.25 * np.exp(-np.clip(-inset, 0, None) / 0.1)
    else:
        half = rng.uniform(0.07, 0.11)
        inset = half - np.maximum(np.abs(u - at[0]), np.abs(v - at[1]))
        core = 0.65 * ramp(np.abs((v - at[1]) / half * 3.5 % 1 - 0.5), 0.2, 0.1) * ramp(inset, 0.014, 0.02)
    cover = ramp(inset, 0, 0.005) * canvas.clear
    canvas.shade *= 1 - 0.35 * np.clip(
        blur(shift(cover, 0.006 * canvas.n, 0.010 * canvas.n), canvas.n / 120) - cover, 0, 1
    )
    canvas.tint(cover, (np.array([0.88, 0.88, 0.86]) * (1 - core)[..., None]).astype(np.float32))
    canvas.height = canvas.height * (1 - cover) + 0.004 * cover
    canvas.glow *= (1 - cover)[..., None]
    canvas.clear *= 1 - cover


def look_alike(canvas: Canvas, kind: str, rng: np.random.Generator) -> None:
    """Something a careless eye takes for damage, and the mask does not: a soft shadow, dirt or a cable."""
    n = canvas.n
    u, v = grid(n)
    if kind == "shadow":
        angle = rng.uniform(0, np.pi)
        across = (u - rng.uniform(0.3, 0.7)) * np.cos(angle) + (v - rng.uniform(0.3, 0.7)) * np.sin(angle)
        canvas.shade *= 1 - rng.uniform(0.15, 0.4) * ramp(across, 0, rng.uniform(0.02, 0.2))
    elif kind == "dirt":
        canvas.albedo *= (1 - 0.22 * ramp(fractal(rng, n, 0.6, low=8), 1.2, 2.6))[..., None]
        canvas.albedo *= (1 - 0.10 * ramp(fractal(rng, n, 1.4, low=1), 0.4, 2.0))[..., None]
    else:
        path = rng.uniform(0.15, 0.85) + 0.03 * line(rng, n, 2.5) + rng.uniform(-0.2, 0.2) * (v[:, 0] - 0.5)
        wide = rng.uniform(0.008, 0.016)
        cable = ramp(np.abs(u - path[:, None]), wide, wide * 0.6)
        canvas.shade *= 1 - 0.5 * blur(shift(cable, 0.012 * n, 0.004 * n), n / 130)
        canvas.tint(cable, (0.14, 0.14, 0.15) if rng.random() < 0.5 else (0.9, 0.9, 0.88))
        canvas.height += 0.006 * cable
