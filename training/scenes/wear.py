"""Damage to the material itself: cracks, peeling paint, spalling; boards and tiles are in units.py."""

from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from wetgen.training.scenes.canvas import Canvas
from wetgen.training.scenes.noise import Field, blob, blur, cells, fractal, grid, ramp, shift
from wetgen.training.scenes.scene import Damage, Scene
from wetgen.training.scenes.water import STRENGTH

Path = list[tuple[float, float, float]]  # u, v and width in pictures


def crack(canvas: Canvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """Branching thin paths of varying width, dark, one lip catching light; in brickwork they step along the joints."""
    n = canvas.n
    paths = _steps(canvas, damage, rng) if scene.surface == "brick" else _branches(damage, rng)
    sheet = Image.new("L", (n, n))
    draw = ImageDraw.Draw(sheet)
    for path in paths:
        for (u0, v0, w0), (u1, v1, w1) in pairwise(path):
            draw.line((u0 * n, v0 * n, u1 * n, v1 * n), fill=255, width=max(2, round((w0 + w1) * n / 2)))
    line = np.asarray(sheet, np.float32) / 255 * canvas.clear
    soft = blur(line, n / 400)
    dx, dy = np.cos(scene.light.direction), np.sin(scene.light.direction)
    lip = np.clip(shift(soft, -1.6 * dx, -1.6 * dy) - soft, 0, 1)
    canvas.tint(np.clip(soft * 0.97, 0, 1), tuple(np.array(scene.rgb) * rng.uniform(0.1, 0.28)))
    canvas.albedo *= (1 + 0.14 * lip)[..., None]
    return ramp(soft, 0.04, 0.16)


def _branches(damage: Damage, rng: np.random.Generator) -> list[Path]:
    """A wandering main path through the centre, and branches leaving it at sharp angles."""
    thick = {"trace": 0.007, "moderate": 0.011, "severe": 0.017}[damage.severity]
    reach = 2.6 * damage.extent + 0.15
    heading = rng.uniform(0, 2 * np.pi)
    start = (damage.centre[0] - np.cos(heading) * reach / 2, damage.centre[1] - np.sin(heading) * reach / 2)
    main = _walk(start, heading, reach, thick, rng)
    off_u, off_v = (damage.centre[axis] - main[len(main) // 2][axis] for axis in (0, 1))
    main = [(u + off_u, v + off_v, width) for u, v, width in main]
    count = {"single": 0, "branching": int(rng.integers(2, 6)), "web": int(rng.integers(5, 10))}[damage.style]
    paths = [main]
    for _ in range(count):
        trunk = paths[int(rng.integers(len(paths)))] if damage.style == "web" else main
        at = int(rng.integers(len(trunk) // 6, max(len(trunk) - 2, 2)))
        u, v, w = trunk[min(at, len(trunk) - 2)]
        away = np.arctan2(trunk[-1][1] - v, trunk[-1][0] - u) + rng.choice((-1, 1)) * rng.uniform(0.5, 1.3)
        paths.append(_walk((u, v), away, reach * rng.uniform(0.2, 0.5), w * 0.7, rng))
    return paths


def _walk(start: tuple[float, float], heading: float, reach: float, thick: float, rng: np.random.Generator) -> Path:
    u, v = start
    steps = max(int(reach / 0.018), 3)
    bend = np.clip(np.cumsum(rng.normal(0, 0.16, steps)), -0.8, 0.8) + rng.normal(0, 0.42, steps)
    width = thick * np.clip(1 + 0.3 * np.cumsum(rng.normal(0, 0.4, steps)), 0.5, 1.5)
    path = []
    for step in range(steps):
        path.append((u, v, width[step] * (1 - 0.6 * step / steps)))
        u, v = u + np.cos(heading + bend[step]) * 0.018, v + np.sin(heading + bend[step]) * 0.018
    return path


def _steps(canvas: Canvas, damage: Damage, rng: np.random.Generator) -> list[Path]:
    """A stair through brickwork: along a bed joint, down a head joint."""
    cx, cy, hx, hy = (float(value) for value in canvas.unit_at(damage.centre[0], damage.centre[1] - damage.extent))
    thick = {"trace": 0.010, "moderate": 0.014, "severe": 0.021}[damage.severity]
    side = rng.choice((-1, 1))
    x, y = cx + hx, cy - hy
    corners = []
    for _ in range(int(2.4 * damage.extent * np.ptp(canvas.y) / (2 * hy)) + 2):
        corners += [(x, y), (x, y + 2 * hy)]
        x, y = x + side * hx * (1 if rng.random() < 0.8 else -1), y + 2 * hy
    path: Path = []
    for (x0, y0), (x1, y1) in pairwise(corners):
        for t in np.arange(0, 1, 0.2):
            u, v = canvas.picture(x0 + t * (x1 - x0) + rng.normal(0, 0.003), y0 + t * (y1 - y0) + rng.normal(0, 0.002))
            path.append((float(u), float(v), thick * rng.uniform(0.6, 1.3)))
    return [path]


def peeling(canvas: Canvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """Paint or paper that has let go of its ground: blisters still closed, or flakes gone with curled rims."""
    if damage.style == "bubbles":
        return _bubbles(canvas, scene, damage, rng)
    return _flakes(canvas, scene, damage, rng)


def _bubbles(canvas: Canvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """Lit domes of many sizes, merged where they touch; a few have burst."""
    n = canvas.n
    u, v = grid(n)
    count = int({"trace": 7, "moderate": 14, "severe": 24}[damage.severity] * rng.uniform(0.8, 1.3))
    wobble = 0.10 * fractal(rng, n, 2.6, low=5)
    dome, hole = np.zeros((n, n), np.float32), np.zeros((n, n), np.float32)
    for _ in range(count):
        radius = damage.extent * (0.08 + 0.34 * rng.uniform() ** 2) + 0.012
        at = np.array(damage.centre) + rng.normal(0, 0.48, 2) * damage.extent
        squeeze = rng.uniform(0.75, 1.3)
        r2 = ((u - at[0]) / radius / squeeze) ** 2 + ((v - at[1]) / radius * squeeze) ** 2 + wobble
        dome += (np.clip(1 - r2, 0, 1) * radius * 0.3) ** 2
        if rng.random() < 0.16:
            hole = np.maximum(hole, ramp(r2 * (1 + 2.0 * wobble), 0.36, 0.26))
    dome, hole = blur(np.sqrt(dome), n / 140) * canvas.clear, hole * canvas.clear
    cover = ramp(dome, 0.0008, 0.0025)
    _cast(canvas, scene, dome * 14, 0.012, 0.3)
    canvas.height += blur(dome, n / 300) * rng.uniform(0.85, 1.2)
    canvas.shade *= 1 - 0.10 * np.exp(-dome / 0.006) * cover
    sheen = blur(_facing(dome, scene), n / 200) ** 6
    canvas.glow += (0.20 * np.clip(sheen, 0, 1) * cover + 0.06 * cover * ramp(dome, 0, 0.01))[..., None]
    canvas.tint(hole, _ground(scene, rng))
    canvas.shade *= 1 - 0.4 * np.clip(blur(hole, n / 90) - hole, 0, 1)
    return cover


def _facing(height: Field, scene: Scene) -> Field:
    """How much the relief faces the light, (n, n) in [0, 1]."""
    slope_v, slope_u = np.gradient(height * len(height))
    lit = -(slope_u * np.cos(scene.light.direction) + slope_v * np.sin(scene.light.direction))
    return np.clip(lit / np.sqrt(1 + slope_u**2 + slope_v**2) * 1.3, 0, 1)


def _cast(canvas: Canvas, scene: Scene, cover: Field, reach: float, depth: float) -> None:
    """A soft shadow of what stands up, away from the light."""
    n = canvas.n
    cover = np.clip(cover, 0, 1)
    dx, dy = -np.cos(scene.light.direction) * reach * n, -np.sin(scene.light.direction) * reach * n
    canvas.shade *= 1 - depth * np.clip(blur(shift(cover, dx, dy), n / 120) - cover, 0, 1)


def _ground(scene: Scene, rng: np.random.Generator) -> tuple[float, float, float]:
    """What is under the paint: old plaster, filler, earlier paint or, under paper, brownish paste."""
    choices = [(0.70, 0.67, 0.61), (0.55, 0.52, 0.48), (0.66, 0.55, 0.42), (0.78, 0.75, 0.68)]
    if np.mean(scene.rgb) > 0.7:
        choices = choices[:3]
    base = np.array(choices[int(rng.integers(len(choices)))])
    return tuple(np.clip(base * rng.uniform(0.75, 1.0), 0.1, 0.95))


def _flakes(canvas: Canvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """Shards gone where cells of the paint film fall inside the zone; the rim curls up, bright, over a shadow."""
    n = canvas.n
    paper = scene.surface == "wallpaper"
    nearest, _ = cells(rng, n, int(rng.integers(25, 50) if paper else rng.integers(90, 300)), 0.012)
    zone = blob(rng, n, damage.centre, (damage.extent * 0.9, damage.extent * (1.25 if paper else 0.9)), 0.42, 1.2)
    hit = tuple(int(np.clip(t * n, 0, n - 1)) for t in (damage.centre[1], damage.centre[0]))
    home = (nearest[0] == nearest[0][hit]) & (nearest[1] == nearest[1][hit])  # at least one shard is gone
    gone = ((zone[nearest[0], nearest[1]] > 0) | home).astype(np.float32) * canvas.clear
    gone = ramp(blur(gone, n / 100) + 0.05 * fractal(rng, n, 1.6, low=8), 0.42, 0.58)
    curl = n * rng.uniform(0.010, 0.018) * (1.5 if paper else 1.0)
    near = blur(gone, curl)
    rim = ramp(near, 0.06, 0.34) * (1 - gone)
    bare = (
        np.array(_ground(scene, rng), np.float32)
        * (1 + 0.07 * fractal(rng, n, 0.9, low=4) + 0.05 * fractal(rng, n, 0.3, low=24))[..., None]
    )
    canvas.tint(gone, bare)
    canvas.height *= 1 - gone
    canvas.height += 0.0006 * gone * fractal(rng, n, 0.5, low=16)
    lifted = rim * np.clip(0.75 + 0.5 * fractal(rng, n, 1.0, low=3), 0, 1.3)
    dx, dy = -np.cos(scene.light.direction), -np.sin(scene.light.direction)
    under = np.clip(shift(1 - gone, dx * n * 0.018, dy * n * 0.018) * gone, 0, 1)
    canvas.shade *= 1 - 0.5 * blur(under, n / 170) * gone
    canvas.height += 0.009 * lifted * (1 - gone)
    canvas.tint(
        0.25 * np.clip(lifted * ramp(near, 0.2, 0.42), 0, 1), tuple(np.clip(np.array(scene.rgb) * 0.5 + 0.5, 0, 0.97))
    )
    canvas.shade *= 1 - 0.12 * ramp(rim, 0.05, 0.4) * (1 - ramp(rim, 0.5, 0.9))
    return np.maximum(gone, ramp(rim, 0.12, 0.3))


def spalling(canvas: Canvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """The face broken away: a sharp rim, a shadowed wall of the break, rough ground or brick or bars at the bottom."""
    n = canvas.n
    field = blob(rng, n, damage.centre, (damage.extent, damage.extent * rng.uniform(0.75, 1.1)), 0.27, 1.75)
    if scene.surface == "brick":
        nearest_x = canvas.picture(canvas.units[0], canvas.units[1])
        rows, columns = (np.clip(t * n, 0, n - 1).astype(np.int32) for t in (nearest_x[1], nearest_x[0]))
        field = np.minimum(0.6 * field[rows, columns] + 0.4 * field, 1)
    hole = ramp(field, 0, 0.03) * canvas.clear
    core = ramp(field, 0.10, 0.16) * canvas.clear
    rough = fractal(rng, n, 0.9, low=5)
    rim_rgb = np.array(scene.rgb) * 0.35 + np.array([0.62, 0.60, 0.56]) * 0.55
    canvas.tint(hole, (rim_rgb * (1 + 0.08 * rough[..., None])).astype(np.float32))
    canvas.tint(core, _core(canvas, scene, rough, rng))
    depth = 0.011 * STRENGTH[damage.severity] + 0.006
    canvas.height = (
        canvas.height * (1 - hole) - depth * (0.5 * blur(hole, 1.0) + 0.5 * blur(core, 1.0)) + 0.0018 * rough * hole
    )
    dx, dy = -np.cos(scene.light.direction), -np.sin(scene.light.direction)
    under = shift(1 - hole, dx * n * 0.022, dy * n * 0.022) * hole
    canvas.shade *= 1 - 0.5 * blur(under, n / 160) * hole
    canvas.shade *= 1 - 0.12 * hole
    return ramp(blur(hole, n / 200), 0.05, 0.3)


def _core(canvas: Canvas, scene: Scene, rough: Field, rng: np.random.Generator) -> Field:
    """What the break exposes (n, n, 3): gravel and bars in concrete, laths over ceilings, brick behind plaster."""
    n = canvas.n
    grain = fractal(rng, n, 0.4, low=12)
    if scene.surface.startswith("concrete"):
        nearest, away = cells(rng, n, 420)
        tone = fractal(rng, n, 0.0)[nearest[0], nearest[1]]
        stone = (
            np.array([0.50, 0.47, 0.42])
            * (1 + 0.16 * tone[..., None])
            * (0.72 + 0.4 * ramp(away, 0.03, 0.0))[..., None]
        )
        bar = np.abs((canvas.x if rng.random() < 0.5 else canvas.y) / 0.22 % 1 - 0.5)
        iron = ramp(bar, 0.085, 0.06)[..., None] * (scene.stance == "wall")
        rust = np.array([0.40, 0.19, 0.09]) * (1 + 0.2 * grain[..., None]) * (1.25 - 5 * bar[..., None])
        return (stone * (1 - iron) + rust * iron).astype(np.float32)
    if scene.surface == "brick":
        return (
            np.clip(np.array(scene.rgb) * 1.25 + 0.06, 0, 0.9) * (1 + 0.16 * rough + 0.08 * grain)[..., None]
        ).astype(np.float32)
    if scene.stance == "ceiling" and rng.random() < 0.75:
        lath = np.abs(canvas.y / 0.055 % 1 - 0.5)
        wood = np.array([0.50, 0.37, 0.24]) * (1 + 0.10 * grain[..., None])
        return (wood * (0.28 + 0.72 * ramp(lath, 0.42, 0.36))[..., None]).astype(np.float32)
    row = np.floor(canvas.y / 0.085)
    a = (canvas.x / 0.24 + 0.5 * row) % 1
    solid = ramp(
        np.minimum((0.5 - np.abs(a - 0.5)) * 0.24, (0.5 - np.abs(canvas.y / 0.085 % 1 - 0.5)) * 0.085), 0.004, 0.008
    )[..., None]
    red = np.array([0.56, 0.28, 0.19]) * (1 + 0.12 * rough[..., None] + 0.08 * grain[..., None])
    return (red * solid + np.array([0.58, 0.54, 0.48]) * (1 - solid)).astype(np.float32)
