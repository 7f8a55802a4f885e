"""Clean surfaces laid of units: bricks, boards, tiles and panels, with their joints."""

import numpy as np

from wetgen.training.scenes.canvas import SceneCanvas
from wetgen.training.scenes.noise import Field, blur, fractal, ramp, texture
from wetgen.training.scenes.scene import Scene


def hash_of(a: Field, b: Field, salt: float) -> Field:
    """A number in [0, 1) for each unit, from its integer coordinates."""
    value = np.sin(a.astype(np.float64) * 127.1 + b.astype(np.float64) * 311.7 + salt * 74.7) * 43758.5453
    return np.asarray(value - np.floor(value), np.float32)


def _lay(
    canvas: SceneCanvas, size: tuple[float, float], bond: Field | float, spread: float, rng: np.random.Generator
) -> None:
    """Set units in rows, each row moved by `bond` units; every unit gets a tone of its own."""
    width, tall = size
    row = np.floor(canvas.y / tall)
    slide = row * bond if isinstance(bond, float) else bond
    column = np.floor(canvas.x / width + slide)
    half = np.full_like(column, width / 2)
    canvas.units = np.stack([(column + 0.5 - slide) * width, (row + 0.5) * tall, half, np.full_like(half, tall / 2)])
    tone = hash_of(column, row, float(rng.uniform(0, 9))) - 0.5
    warm = hash_of(row, column, float(rng.uniform(0, 9))) - 0.5
    canvas.albedo *= 1 + spread * tone[..., None] + 0.2 * spread * warm[..., None] * np.array([1, 0, -1], np.float32)


def brick(canvas: SceneCanvas, scene: Scene, rng: np.random.Generator) -> None:
    """Courses of rough bricks, half bond, in pale or grey mortar; some burnt dark."""
    n = canvas.n
    mortar = np.array([0.62, 0.59, 0.54]) * rng.uniform(0.65, 1.1)
    canvas.x = canvas.x + 0.003 * fractal(rng, n, 1.2, 4)
    canvas.y = canvas.y + 0.0022 * fractal(rng, n, 1.2, 4)
    _lay(canvas, (0.24, 0.075), 0.5, rng.uniform(0.25, 0.5), rng)
    assert canvas.units is not None
    burnt = hash_of(np.round(canvas.units[0] * 50), np.round(canvas.units[1] * 50), 6.0) > 0.9
    canvas.mottle(-0.3 * burnt.astype(np.float32))
    canvas.mottle(0.07 * texture(rng, n, 0.7, 10) + 0.05 * texture(rng, n, 0.2, 50))
    joint = canvas.joint(rng.uniform(0.010, 0.015))
    canvas.tint(joint, (mortar * (1 + 0.08 * texture(rng, n, 0.5, 20)[..., None])).astype(np.float32))
    canvas.height += 0.0022 * (1 - joint) + 0.0005 * texture(rng, n, 0.7, 14)
    canvas.mottle(-0.06 * ramp(fractal(rng, n, 1.3, 1.5), 0.3, 1.5))


def wooden_floor(canvas: SceneCanvas, scene: Scene, rng: np.random.Generator) -> None:
    """Boards with grain along their length, staggered ends, dark gaps and a soft shine."""
    width, tall = rng.uniform(0.7, 1.4), rng.uniform(0.08, 0.15)
    if rng.random() < 0.35:
        canvas.x, canvas.y = canvas.y, canvas.x
        canvas.to_picture = canvas.to_picture[:, [1, 0, 2]]
    row = np.floor(canvas.y / tall)
    _lay(canvas, (width, tall), hash_of(row, row, 1.7), rng.uniform(0.15, 0.36), rng)
    assert canvas.units is not None
    board = hash_of(np.floor(canvas.units[0] / 0.01), row, 5.0)
    rings = (
        canvas.y / tall * 6
        + 9 * board
        + 0.9 * np.sin(canvas.x * 4 + 40 * board)
        + 0.3 * np.sin(canvas.x * 11 + 9 * board)
    )
    fine = ramp(canvas.pixel / tall, 0.09, 0.03)
    canvas.mottle(0.06 * fine * np.sin(6.28 * rings) + 0.05 * canvas.grain(rng, 0.5, 10, (14, 1)))
    canvas.mottle(0.03 * canvas.grain(rng, 0.4, 40, (20, 1)))
    knot = np.hypot(
        (canvas.x - canvas.units[0] - width * (board - 0.5) * 0.7) / 0.03, (canvas.y - canvas.units[1]) / 0.014
    )
    canvas.mottle(-0.4 * ramp(knot, 1, 0.4) * (board > 0.8))
    canvas.tint(0.85 * canvas.joint(0.005), tuple(np.array(scene.rgb) * 0.25))
    shine = ramp(fractal(rng, canvas.n, 2.0, stretch=(1.0, 0.4)), 0.2, 2.0)
    canvas.glow += (rng.uniform(0.0, 0.14) * shine)[..., None]


def tile(canvas: SceneCanvas, scene: Scene, rng: np.random.Generator) -> None:
    """Glazed or stone tiles and their grout, square or running bond."""
    n = canvas.n
    floor = scene.stance == "floor"
    side = rng.uniform(0.24, 0.42) if floor else rng.uniform(0.12, 0.24)
    tall, bond = (side / 2, 0.5) if not floor and rng.random() < 0.4 else (side, 0.0)
    _lay(canvas, (side, tall), bond, rng.uniform(0.03, 0.12), rng)
    assert canvas.units is not None
    if rng.random() < 0.45:  # stone
        canvas.mottle(rng.uniform(0.03, 0.07) * fractal(rng, n, 1.1, 3) + 0.03 * canvas.grain(rng, 0.3, 30))
    else:
        canvas.mottle(rng.uniform(0.005, 0.02) * fractal(rng, n, 1.3, 3))
    bright = float(np.mean(scene.rgb))
    light_grout = bright < 0.5 or (rng.random() < 0.3 and bright < 0.7)
    grout = np.array((0.76, 0.74, 0.70)) if light_grout else np.array(scene.rgb) * rng.uniform(0.5, 0.75)
    joint = canvas.joint(rng.uniform(0.004, 0.009))
    canvas.tint(joint, (grout * (1 + 0.06 * texture(rng, n, 0.8, 6)[..., None])).astype(np.float32))
    canvas.height += 0.0014 * (1 - joint)
    gloss = fractal(rng, n, 2.2) * 0.5 + 0.3 * hash_of(canvas.units[0], canvas.units[1], 2.0)
    canvas.glow += (rng.uniform(0.02, 0.14) * ramp(gloss, 0.1, 1.2) * (1 - joint))[..., None]


def ceiling_panels(canvas: SceneCanvas, scene: Scene, rng: np.random.Generator) -> None:
    """Mineral fibre panels with pinholes and worms in a metal grid."""
    tall = 0.6 if rng.random() < 0.7 else 1.2
    _lay(canvas, (0.6, tall), 0.0, 0.06, rng)
    rail = canvas.joint(0.026)
    holes = ramp(canvas.grain(rng, 0.15, 40), 1.3, 2.2)
    worms = ramp(np.abs(canvas.grain(rng, 0.4, 24)), 0.16, 0.05) * (canvas.grain(rng, 0.3, 20) > 0.9)
    canvas.mottle(-(1 - rail) * (rng.uniform(0.12, 0.35) * holes + rng.uniform(0, 0.3) * worms))
    canvas.tint(rail, tuple(np.clip(np.array((0.93, 0.93, 0.92)) * rng.uniform(0.85, 1.0), 0, 1)))
    canvas.shade *= 1 - 0.35 * ramp(np.abs(canvas.inset() - 0.016), 0.004 + canvas.pixel, 0.0)
    canvas.shade *= 1 - 0.25 * np.clip(blur(rail, 0.01) - rail, 0, 1)
