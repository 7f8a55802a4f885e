"""Spalling: the face of a wall, a ceiling or a brick broken away."""

import numpy as np

from wetgen.training.scenes.canvas import SceneCanvas
from wetgen.training.scenes.noise import Field, blur, fractal, grid, nearest, ramp, shift, texture
from wetgen.training.scenes.scene import Damage, Scene
from wetgen.training.scenes.water import STRENGTH


def spalling(canvas: SceneCanvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """A sharp rim, the shadowed wall of the break, rough ground, brick, laths or bars at the bottom."""
    n = canvas.n
    field = _outline(canvas, scene, damage, rng)
    hole = ramp(field, 0, 0.02)
    core = ramp(field, 0.06, 0.12)
    rough = 0.7 * fractal(rng, n, 1.0, low=4) + 0.5 * texture(rng, n, 0.5, 12)
    rim = np.array(scene.rgb) * 0.25 + np.array([0.60, 0.58, 0.54]) * 0.5
    canvas.tint(hole, (rim * (1 + 0.10 * rough[..., None])).astype(np.float32))
    canvas.tint(core, _core(canvas, scene, damage, rough, rng))
    deep = 0.005 * STRENGTH[damage.severity] + 0.003
    canvas.height = canvas.height * (1 - hole) - deep * (0.5 * blur(hole, 0.002) + 0.5 * core) + 0.0009 * rough * hole
    canvas.glow *= (1 - hole)[..., None]
    reach = 0.012 + deep
    dx, dy = -float(np.cos(scene.light.direction)), -float(np.sin(scene.light.direction))
    canvas.shade *= 1 - hole * (0.08 + 0.5 * blur(shift(1 - hole, dx * reach, dy * reach) * hole, 0.004))
    return hole


def _outline(canvas: SceneCanvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """Positive where the face is gone (n, n): angular plates of plaster or concrete, or whole bricks' faces."""
    n = canvas.n
    chips = damage.style == "chips" and scene.surface != "brick"
    field = _seam(n, damage, rng) if chips else _patch(n, damage, rng)
    if scene.surface == "brick":
        assert canvas.units is not None
        u, v = canvas.picture(canvas.units[0], canvas.units[1])
        rows, columns = (np.clip(t * n, 0, n - 1).astype(np.int32) for t in (v, u))
        brick = 0.75 * field[rows, columns] + 0.25 * field
        return np.minimum(brick, canvas.inset() / 0.02 - 0.3 + 0.3 * fractal(rng, n, 1.0, 8))
    owner, _ = nearest(rng.random((160, 2)), n)
    plates = np.full(160, -3.0, np.float32)
    np.maximum.at(plates, owner.ravel(), field.ravel())  # a plate falls when any of it is broken
    angular = plates[owner] - 0.25
    return blur(0.5 * field + 0.5 * np.clip(angular, -0.6, 0.6), 0.003) + 0.012 * texture(rng, n, 0.6, 14)


def _patch(n: int, damage: Damage, rng: np.random.Generator) -> Field:
    """A ragged ellipse at any slant (n, n)."""
    u, v = grid(n)
    slant, thin = rng.uniform(0, np.pi), rng.uniform(0.45, 1.0)
    du, dv = u - damage.centre[0], v - damage.centre[1]
    along, across = du * np.cos(slant) + dv * np.sin(slant), dv * np.cos(slant) - du * np.sin(slant)
    r = np.hypot(along / damage.extent, across / (damage.extent * thin))
    return 1 - r + 0.24 * fractal(rng, n, 1.7, low=1.5)


def _seam(n: int, damage: Damage, rng: np.random.Generator) -> Field:
    """Broken places strung along a crack (n, n)."""
    u, v = grid(n)
    slant = rng.uniform(0, np.pi)
    du, dv = u - damage.centre[0], v - damage.centre[1]
    along, across = du * np.cos(slant) + dv * np.sin(slant), dv * np.cos(slant) - du * np.sin(slant)
    across = across + 0.06 * fractal(rng, n, 2.0, 1.5)
    width = 0.3 * damage.extent * (0.55 + 0.7 * fractal(rng, n, 1.6, 3))
    ends = np.clip(1.5 - np.abs(along) / damage.extent, -1, 0.6)
    return np.minimum(0.9 - np.abs(across) / np.maximum(width, 0.01), ends)


def _core(canvas: SceneCanvas, scene: Scene, damage: Damage, rough: Field, rng: np.random.Generator) -> Field:
    """What the break exposes (n, n, 3): gravel and bars in concrete, laths over ceilings, brick or mortar in walls."""
    grain = texture(rng, canvas.n, 0.4, 14)
    if scene.surface.startswith("concrete"):
        return _aggregate(canvas, scene, grain, rng)
    if scene.surface == "brick":
        rgb = np.clip(np.array(scene.rgb) * rng.choice((0.75, 1.3)) + 0.06, 0, 0.9)
        return np.asarray(rgb * (1 + 0.16 * rough + 0.08 * grain)[..., None], np.float32)
    kind = float(rng.random())
    if scene.stance == "ceiling" and kind < 0.3:
        lath = np.abs(canvas.y / 0.055 % 1 - 0.5)
        wood = np.array([0.46, 0.35, 0.25]) * (1 + 0.10 * grain[..., None])
        return np.asarray(wood * (0.25 + 0.75 * ramp(lath, 0.44, 0.36))[..., None], np.float32)
    if kind < 0.75 or damage.severity == "trace":  # only the coarse undercoat shows
        tone = np.array([0.58, 0.55, 0.51]) if np.mean(scene.rgb) > 0.65 else np.array([0.72, 0.69, 0.64])
        tone = tone * rng.uniform(0.6, 0.95) * (0.9 + 0.1 * np.array(scene.rgb) / np.mean(scene.rgb))
        return np.asarray(tone * (1 + 0.07 * rough + 0.06 * grain)[..., None], np.float32)
    return _bricks_below(canvas, rough, grain, rng)


def _bricks_below(canvas: SceneCanvas, rough: Field, grain: Field, rng: np.random.Generator) -> Field:
    row = np.floor(canvas.y / 0.085)
    a = (canvas.x / 0.24 + 0.5 * row) % 1
    inset = np.minimum((0.5 - np.abs(a - 0.5)) * 0.24, (0.5 - np.abs(canvas.y / 0.085 % 1 - 0.5)) * 0.085)
    solid = ramp(inset + 0.002 * rough, 0.003, 0.010)[..., None]
    clay = np.array([0.52, 0.30, 0.22]) * rng.uniform(0.8, 1.15)
    smeared = ramp(fractal(rng, canvas.n, 1.2, 3), 0.2, 1.0)[..., None]  # mortar still sticks to some
    brick = clay * (1 + 0.14 * rough[..., None] + 0.08 * grain[..., None])
    mortar = np.array([0.56, 0.53, 0.48]) * (1 + 0.10 * grain[..., None])
    mix = solid * (1 - 0.7 * smeared)
    return np.asarray(brick * mix + mortar * (1 - mix), np.float32)


def _aggregate(canvas: SceneCanvas, scene: Scene, grain: Field, rng: np.random.Generator) -> Field:
    owner, away = nearest(rng.random((500, 2)), canvas.n)
    tone = rng.normal(0, 0.16, 500).astype(np.float32)[owner]
    stone = np.array([0.52, 0.50, 0.46]) * (1 + 0.8 * tone + 0.05 * grain)[..., None]
    stone = stone * (0.86 + 0.16 * ramp(away + 0.004 * grain, 0.03, 0.008))[..., None]
    if scene.stance != "wall" or rng.random() < 0.35:
        return np.asarray(stone, np.float32)
    across = canvas.x if rng.random() < 0.5 else canvas.y
    bar = np.abs((across + 0.004 * grain) / 0.22 % 1 - 0.5)
    iron = ramp(bar, 0.075, 0.055)[..., None]
    rust = np.array([0.36, 0.20, 0.12]) * (1 + 0.2 * grain[..., None]) * (1.25 - 6 * bar[..., None])
    return np.asarray(stone * (1 - iron) + rust * iron, np.float32)
