"""Boards and tiles that have come loose: moved, tilted, cupped or gone."""

import numpy as np

from wetgen.training.scenes.canvas import Canvas
from wetgen.training.scenes.noise import Field, blob, blur, fractal, ramp, shift
from wetgen.training.scenes.scene import Damage, Scene


def lifted(canvas: Canvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """Loose units lie askew over the bare bed; a wooden floor may cup instead, its boards' edges raised."""
    if scene.surface == "wooden floor" and damage.style == "cupped":
        return _cupped(canvas, damage, rng)
    return _loose(canvas, scene, damage, rng)


def _cupped(canvas: Canvas, damage: Damage, rng: np.random.Generator) -> Field:
    """Whole boards whose edges stand up: dark hollows, bright ridges, wide gaps."""
    n = canvas.n
    zone = blob(rng, n, damage.centre, (damage.extent * 1.2,) * 2, 0.06, 2.2)
    jitter = np.sin(canvas.units[0] * 91.7 + canvas.units[1] * 637.1) * 0.22  # each board ends elsewhere
    across = (canvas.y - canvas.units[1]) / canvas.units[3]
    warp = ramp(zone + jitter, 0.0, 0.3) * canvas.clear
    canvas.height += 0.030 * warp * across**2 * rng.uniform(0.8, 1.3)
    canvas.shade *= 1 - warp * 0.9 * ramp(np.abs(across), 0.86, 0.97)
    canvas.shade *= 1 - warp * 0.30 * ramp(across, -0.1, 0.9)
    canvas.glow += (0.20 * warp * np.exp(-((across + 0.72) ** 2) / 0.02))[..., None]
    canvas.albedo *= (1 - 0.22 * warp)[..., None]
    return ramp(warp, 0.3, 0.5)


def _loose(canvas: Canvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    n = canvas.n
    units = _units_within(canvas, damage, rng)
    clean, shown = canvas.albedo.copy(), np.zeros((n, n), np.float32)
    bed = np.array([0.40, 0.37, 0.33] if scene.surface != "wooden floor" else [0.30, 0.24, 0.18], np.float32)
    bed = bed * (1 + 0.14 * fractal(rng, n, 0.9, low=6) + 0.06 * fractal(rng, n, 0.2, low=20))[..., None]
    for unit in units:  # first every bed, then the units on top of them
        cx, cy, hx, hy = unit
        inset = np.minimum(hx - np.abs(canvas.x - cx), hy - np.abs(canvas.y - cy))
        hole = ramp(inset, -0.004, 0.001) * canvas.clear
        canvas.tint(hole, bed)
        canvas.height *= 1 - hole
        canvas.glow *= (1 - hole)[..., None]
        canvas.shade *= 1 - 0.35 * hole * ramp(inset, 0.03, 0.0)
        shown = np.maximum(shown, hole)
    for order, unit in enumerate(units):
        if order == 0 or rng.random() < 0.85:
            shown = np.maximum(shown, _place(canvas, scene, unit, clean, damage, rng))
    return shown


def _units_within(canvas: Canvas, damage: Damage, rng: np.random.Generator) -> list[Field]:
    """Distinct units (4,) under random points of the damage, nearest first."""
    most = {"trace": 1, "moderate": 3, "severe": 7}[damage.severity] + int(rng.integers(0, 2))
    found: dict[tuple[float, float], Field] = {}
    for point in range(60):
        away = damage.extent * min(1.0, 0.12 * point)
        at = np.array(damage.centre) + rng.uniform(-1, 1, 2) * away
        row, column = (int(np.clip(t * canvas.n, 0, canvas.n - 1)) for t in (at[1], at[0]))
        if canvas.clear[row, column] > 0.5 and len(found) < most:
            unit = canvas.units[:, row, column]
            found[(round(float(unit[0]), 2), round(float(unit[1]), 2))] = unit
    return list(found.values())


def _place(canvas: Canvas, scene: Scene, unit: Field, clean: Field, damage: Damage, rng: np.random.Generator) -> Field:
    """Lay one unit back askew and tilted: its own colours looked up in the clean floor; returns its cover (n, n)."""
    n = canvas.n
    cx, cy, hx, hy = (float(value) for value in unit)
    small = min(hx, hy)
    turn = rng.uniform(0.05, 0.22) * rng.choice((-1, 1)) * min(1, 2.2 * small / max(hx, hy))
    move = rng.uniform(-0.32, 0.32, 2) * small
    grow = 1 + rng.uniform(0.02, 0.08)
    dx, dy = (canvas.x - cx - move[0]) / grow, (canvas.y - cy - move[1]) / grow
    local_x, local_y = dx * np.cos(turn) + dy * np.sin(turn), -dx * np.sin(turn) + dy * np.cos(turn)
    inset = np.minimum(hx * 0.985 - np.abs(local_x), hy * 0.97 - np.abs(local_y))
    cover = ramp(inset, 0.0, 0.004) * canvas.clear
    lean = rng.uniform(0, 2 * np.pi)
    rise = 0.5 + 0.5 * np.clip((local_x / hx) * np.cos(lean) + (local_y / hy) * np.sin(lean), -1, 1)
    reach = 0.012 + 0.018 * rng.uniform(0.4, 1)
    sx, sy = -np.cos(scene.light.direction) * reach * n, -np.sin(scene.light.direction) * reach * n
    shadow = blur(shift(cover * rise, sx, sy), n / 110) * (1 - cover)
    canvas.shade *= 1 - 0.72 * shadow
    canvas.shade = canvas.shade * (1 - cover) + cover
    u, v = canvas.picture(local_x + cx, local_y + cy)
    rows, columns = (np.clip(t * n, 0, n - 1).astype(np.int32) for t in (v, u))
    tone = 1.0 + rng.uniform(0.10, 0.26) * rng.choice((-1, 1)) + 0.22 * (rise - 0.5)
    canvas.tint(cover, clean[rows, columns] * tone[..., None])
    canvas.height *= 1 - cover
    canvas.glow *= (1 - cover)[..., None]
    facing = local_x * np.cos(scene.light.direction) + local_y * np.sin(scene.light.direction) > 0
    lip = cover * ramp(inset, 0.5 * small * 0.22, 0.0)
    canvas.glow += (0.16 * lip * facing * rise)[..., None]
    canvas.shade *= 1 - 0.42 * lip * ~facing
    return cover
