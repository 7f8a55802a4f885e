"""Boards and tiles that have come loose: standing up at one edge, moved, cupped or gone."""

import numpy as np

from wetgen.training.scenes.canvas import SceneCanvas
from wetgen.training.scenes.noise import Field, blob, blur, fractal, ramp, shift, texture
from wetgen.training.scenes.scene import Damage, Scene


def lifted(canvas: SceneCanvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """Loose units stand up over the bare bed; a wooden floor may cup instead, its boards' edges raised."""
    cupped = scene.surface == "wooden floor" and damage.style == "cupped"
    return _cupped(canvas, scene, damage, rng) if cupped else _loose(canvas, scene, damage, rng)


def _cupped(canvas: SceneCanvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """Whole boards whose edges stand up: shaded hollows, bright ridges, wide dark gaps, greyed by damp."""
    assert canvas.units is not None
    n = canvas.n
    zone = blob(rng, n, damage.centre, (damage.extent * 1.2,) * 2, 0.06, 2.2)
    jitter = np.sin(canvas.units[0] * 91.7 + canvas.units[1] * 637.1) * 0.22  # each board ends elsewhere
    across = (canvas.y - canvas.units[1]) / canvas.units[3]
    warp = ramp(zone + jitter, 0.0, 0.3)
    amount = rng.uniform(0.8, 1.2)
    canvas.shade *= 1 + warp * amount * (0.12 * ramp(across, 0.9, -0.9) - 0.28 * ramp(across, -0.4, 0.9))
    canvas.tint(0.92 * warp * ramp(np.abs(across), 0.84, 0.94), (0.07, 0.055, 0.045))
    canvas.glow += (0.20 * warp * np.exp(-((across + 0.74) ** 2) / 0.012))[..., None]
    canvas.absorb(0.26 * warp, (0.9, 1.0, 1.1))
    return ramp(warp, 0.1, 0.3)


def _loose(canvas: SceneCanvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    n = canvas.n
    units = _units_within(canvas, damage, rng)
    clean, shown = canvas.albedo.copy(), np.zeros((n, n), np.float32)
    bed = np.array([0.40, 0.37, 0.33] if scene.surface != "wooden floor" else [0.26, 0.21, 0.16], np.float32)
    if abs(float(np.mean(scene.rgb)) - 0.37) < 0.14:
        bed = bed * 0.5
    bed = bed * (1 + 0.12 * fractal(rng, n, 0.9, low=6) + 0.06 * texture(rng, n, 0.2, 30))[..., None]
    for cx, cy, hx, hy in units:  # first every bed, then the units on top of them
        inset = np.minimum(hx - np.abs(canvas.x - cx), hy - np.abs(canvas.y - cy))
        hole = ramp(inset, -canvas.pixel, canvas.pixel)
        canvas.tint(hole, bed)
        canvas.height *= 1 - hole
        canvas.glow *= (1 - hole)[..., None]
        canvas.shade *= 1 - hole * (0.12 + 0.4 * ramp(inset, 0.03, 0.0))
        shown = np.maximum(shown, hole)
    for order, unit in enumerate(units):
        if order == 0 or rng.random() < 0.85:
            shown = np.maximum(shown, _stand(canvas, scene, unit, clean, rng))
    return shown


def _units_within(
    canvas: SceneCanvas, damage: Damage, rng: np.random.Generator
) -> list[tuple[float, float, float, float]]:
    """Distinct units (centre and half size in metres) under random points of the damage, the middle one first."""
    most = {"trace": 1, "moderate": 3, "severe": 6}[damage.severity] + int(rng.integers(0, 2))
    found: dict[tuple[float, float], tuple[float, float, float, float]] = {}
    for point in range(60):
        away = damage.extent * min(1.0, 0.1 * point)
        u, v = (c + d for c, d in zip(damage.centre, rng.uniform(-1, 1, 2) * away, strict=True))
        if len(found) < most and 0.04 < u < 0.96 and 0.04 < v < 0.96:
            cx, cy, hx, hy = (float(value) for value in canvas.unit_at(u, v))
            found[(round(cx, 2), round(cy, 2))] = (cx, cy, hx, hy)
    return list(found.values())


def _stand(
    canvas: SceneCanvas,
    scene: Scene,
    unit: tuple[float, float, float, float],
    clean: Field,
    rng: np.random.Generator,
) -> Field:
    """Lay one unit back, tilted up at one edge and a little askew; returns what it covers (n, n).

    Raised parts move up the picture, for the camera looks down on the floor; the raised edge shows its thickness
    and a dark gap, and throws a shadow.
    """
    n = canvas.n
    cx, cy, hx, hy = unit
    small = min(hx, hy)
    turn = rng.uniform(0.02, 0.14) * rng.choice((-1, 1)) * min(1, 2.2 * small / max(hx, hy))
    moved = rng.uniform(-0.2, 0.2, 2) * small
    lean = int(rng.integers(4))
    stand = rng.uniform(0.16, 0.42) * small
    up_x, up_y = _up(canvas, cx, cy)

    def local(rise: Field | float) -> tuple[Field, Field]:
        dx, dy = canvas.x - cx - moved[0] - up_x * stand * rise, canvas.y - cy - moved[1] - up_y * stand * rise
        return dx * np.cos(turn) + dy * np.sin(turn), -dx * np.sin(turn) + dy * np.cos(turn)

    def tilt(lx: Field, ly: Field) -> Field:
        return np.clip(0.5 + 0.5 * (lx / hx, -lx / hx, ly / hy, -ly / hy)[lean], 0, 1)

    lx, ly = local(tilt(*local(0.5)))
    lx, ly = local(tilt(lx, ly))  # twice: how far a point is raised depends on where it is
    rise = tilt(lx, ly)
    inset = np.minimum(hx * 0.97 - np.abs(lx), hy * 0.97 - np.abs(ly))
    cover = ramp(inset, -canvas.pixel, canvas.pixel)
    below = _below(cover, rise, 0.35 * stand / float(canvas.pixel[n // 2, n // 2]) / n)
    dx, dy = -np.cos(scene.light.direction), -np.sin(scene.light.direction)
    shadow = blur(shift(cover * rise, float(dx) * 0.02, float(dy) * 0.02 + 0.012), 0.007) * (1 - cover)
    canvas.cast *= 1 - 0.75 * shadow
    canvas.tint(below, (0.09, 0.08, 0.07))
    canvas.cast = canvas.cast * (1 - cover) + cover
    canvas.shade = canvas.shade * (1 - cover) + cover
    u, v = canvas.picture(lx + cx, ly + cy)
    rows, columns = (np.clip(t * n, 0, n - 1).astype(np.int32) for t in (v, u))
    tone = 1.0 + rng.uniform(0.13, 0.26) * rng.choice((-1, 1)) + 0.16 * (rise - 0.5)
    canvas.tint(cover, clean[rows, columns] * tone[..., None])
    canvas.height *= 1 - cover
    canvas.glow *= (1 - cover)[..., None]
    edge = cover * ramp(inset, 2.5 * canvas.pixel, 0.5 * canvas.pixel)
    canvas.glow += (0.22 * edge * ramp(rise, 0.5, 1.0))[..., None]
    return np.maximum(cover, below)


def _up(canvas: SceneCanvas, cx: float, cy: float) -> tuple[float, float]:
    """The direction on the floor that leads up the picture, of length 1, at a point in metres."""
    u, v = canvas.picture(cx, cy)
    row, column = (int(np.clip(float(t) * canvas.n, 1, canvas.n - 2)) for t in (v, u))
    dx = float(canvas.x[row - 1, column] - canvas.x[row + 1, column])
    dy = float(canvas.y[row - 1, column] - canvas.y[row + 1, column])
    length = float(np.hypot(dx, dy)) + 1e-9
    return dx / length, dy / length


def _below(cover: Field, rise: Field, thick: float) -> Field:
    """The dark gap under a raised edge (n, n): what the cover sweeps, lowered by `thick` pictures."""
    swept = np.zeros_like(cover)
    for part in (0.34, 0.67, 1.0):
        swept = np.maximum(swept, shift(cover * ramp(rise, 0.55, 0.9), 0.0, thick * part))
    return swept * (1 - cover)
