"""Clean surfaces: each function paints one kind on a blank canvas."""

import numpy as np
from scipy import ndimage

from wetgen.training.scenes.canvas import Canvas
from wetgen.training.scenes.noise import Field, fractal, ramp
from wetgen.training.scenes.scene import Scene


def _mottle(canvas: Canvas, rng: np.random.Generator, amount: float, slope: float = 1.5) -> None:
    canvas.albedo *= (1 + amount * fractal(rng, canvas.n, slope))[..., None]


def _hash(a: Field, b: Field, salt: float) -> Field:
    """A number in [0, 1) for each unit, from its integer coordinates."""
    value = np.sin(a.astype(np.float64) * 127.1 + b.astype(np.float64) * 311.7 + salt * 74.7) * 43758.5453
    return (value - np.floor(value)).astype(np.float32)


def plaster(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    """Rolled paint: faint clouds and a fine stipple."""
    n = canvas.n
    _mottle(canvas, rng, rng.uniform(0.008, 0.025), 1.8)
    canvas.height += rng.uniform(0.0001, 0.00045) * fractal(rng, n, 0.6, low=24, high=70)
    if scene.stance == "ceiling" and rng.random() < 0.35:  # popcorn
        canvas.height += 0.0012 * np.abs(fractal(rng, n, 0.2, low=20, high=45))


def wallpaper(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    """A printed repeat in a second tone: stripes, dots, diamonds or rosettes, and the seams between lengths."""
    _mottle(canvas, rng, 0.012)
    ink = np.clip(np.array(scene.rgb) * rng.uniform(0.55, 0.8) + rng.normal(0, 0.05, 3), 0.05, 0.95)
    if np.mean(scene.rgb) < 0.5:
        ink = np.clip(np.array(scene.rgb) * 1.5 + 0.05, 0, 0.95)
    period = rng.uniform(0.09, 0.2)
    a, b = canvas.x / period, canvas.y / period
    pattern = str(rng.choice(("stripes", "dots", "diamonds", "rosettes", "rosettes")))
    canvas.tint(rng.uniform(0.6, 0.9) * _print(pattern, a, b, rng), tuple(ink))
    seam = np.abs((canvas.x / 0.53) % 1 - 0.5) < 0.004
    canvas.shade *= 1 - 0.18 * seam


def _print(pattern: str, a: Field, b: Field, rng: np.random.Generator) -> Field:
    if pattern == "stripes":
        t = a % 1
        return np.maximum(ramp(np.abs(t - 0.3), 0.17, 0.14), ramp(np.abs(t - 0.75), 0.05, 0.03))
    if pattern == "diamonds":
        edge = np.abs(np.abs((a % 1) - 0.5) + np.abs((b * 0.6 % 1) - 0.5) - 0.5)
        return np.maximum(ramp(edge, 0.07, 0.04), ramp(np.hypot((a % 1) - 0.5, (b * 0.6 % 1) - 0.5), 0.13, 0.09))
    b = b + 0.5 * (np.floor(a) % 2)
    r, t = np.hypot((a % 1) - 0.5, (b % 1) - 0.5), np.arctan2((b % 1) - 0.5, (a % 1) - 0.5)
    if pattern == "dots":
        return ramp(r, 0.22, 0.18)
    petals = int(rng.integers(4, 8))
    flower = ramp(r - 0.30 - 0.12 * np.cos(petals * t), 0.03, -0.03) * ramp(r, 0.09, 0.13)
    stalk = ramp(np.abs(a % 1 - 0.5 - 0.05 * np.sin(6.28 * b)), 0.04, 0.02) * ramp(r, 0.38, 0.42)
    return np.maximum(flower, stalk)


def concrete(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    """Cast concrete: clouds, pores, and on walls the joints and tie holes of the formwork."""
    n = canvas.n
    _mottle(canvas, rng, 0.055, 1.2)
    canvas.albedo *= (1 + 0.03 * fractal(rng, n, 0.3, low=30))[..., None]
    canvas.height += rng.uniform(0.0001, 0.0004) * fractal(rng, n, 0.6, low=12)
    pores = fractal(rng, n, 0.1, low=20, high=60) > 2.6
    canvas.shade *= 1 - 0.4 * pores
    if scene.stance == "floor":
        return
    width, tall = rng.uniform(0.5, 1.2), rng.uniform(0.5, 0.9)
    joint = np.minimum(np.abs(canvas.x / width % 1 - 0.5) * width, np.abs(canvas.y / tall % 1 - 0.5) * tall)
    canvas.shade *= 1 - 0.35 * ramp(joint, 0.009, 0.003)
    tone = _hash(np.floor(canvas.x / width + 0.5), np.floor(canvas.y / tall + 0.5), 3.0)
    canvas.albedo *= (0.95 + 0.1 * tone)[..., None]
    if rng.random() < 0.6:
        hole = np.hypot(
            np.abs(canvas.x / width % 1) * width - width * 0.25, np.abs(canvas.y / tall % 1) * tall - tall / 2
        )
        canvas.tint(0.75 * ramp(hole, 0.022, 0.015), (0.16, 0.16, 0.16))


def _lay(
    canvas: Canvas,
    size: tuple[float, float],
    bond: Field | float,
    joint: float,
    spread: float,
    rng: np.random.Generator,
    wobble: float = 0.03,
) -> Field:
    """Set units in rows, each shifted by `bond` units; returns the solid part (n, n), 0 in the joints."""
    width, tall = size
    row = np.floor(canvas.y / tall)
    slide = row * bond if np.isscalar(bond) else bond
    column = np.floor(canvas.x / width + slide)
    edge_x = (0.5 - np.abs(canvas.x / width + slide - column - 0.5)) * width
    edge_y = (0.5 - np.abs(canvas.y / tall - row - 0.5)) * tall
    wave = wobble * joint * fractal(rng, canvas.n, 0.8, low=8)
    soft = max(0.1 * joint, 0.8 * float(np.ptp(canvas.x)) / canvas.n)  # never sharper than the pixels
    solid = ramp(np.minimum(edge_x, edge_y) + wave, joint * 0.5 - soft, joint * 0.5 + soft)
    half = np.full_like(column, width / 2)
    canvas.units = np.stack([(column + 0.5 - slide) * width, (row + 0.5) * tall, half, np.full_like(half, tall / 2)])
    tone = _hash(column, row, float(rng.uniform(0, 9))) - 0.5
    warm = _hash(row, column, float(rng.uniform(0, 9))) - 0.5
    canvas.albedo *= 1 + spread * tone[..., None] + 0.2 * spread * warm[..., None] * np.array([1, 0, -1], np.float32)
    return solid


def brick(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    """Courses of rough bricks, half bond, in pale mortar."""
    n = canvas.n
    mortar = np.array([0.66, 0.63, 0.57]) * rng.uniform(0.75, 1.1)
    solid = _lay(canvas, (0.24, 0.075), 0.5, rng.uniform(0.009, 0.014), 0.45, rng, wobble=0.15)
    canvas.albedo *= (1 + 0.07 * fractal(rng, n, 0.7, low=10))[..., None]
    canvas.tint(1 - solid, tuple(mortar))
    canvas.height += 0.003 * solid + 0.0006 * fractal(rng, n, 0.7, low=14)


def wooden_floor(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    """Boards with grain along their length, staggered ends and dark gaps."""
    width, tall = rng.uniform(0.7, 1.4), rng.uniform(0.085, 0.15)
    if rng.random() < 0.35:
        canvas.x, canvas.y = canvas.y, canvas.x
        canvas.to_picture = canvas.to_picture[:, [1, 0, 2]]
    row = np.floor(canvas.y / tall)
    solid = _lay(canvas, (width, tall), _hash(row, row, 1.7), 0.006, 0.34, rng)
    board = _hash(np.floor(canvas.units[0] / 0.01), row, 5.0)
    rings = (
        canvas.y / tall * 7
        + 3 * board
        + 0.8 * np.sin(canvas.x * 5 + 40 * board)
        + 0.35 * np.sin(canvas.x * 13 + 9 * board)
    )
    streak = _grain(canvas, rng)
    canvas.albedo *= (1 + 0.07 * np.sin(6.28 * rings) + 0.08 * streak)[..., None]
    knot = np.hypot(
        (canvas.x - canvas.units[0] - width * (board - 0.5) * 0.7) / 0.035, (canvas.y - canvas.units[1]) / 0.016
    )
    canvas.albedo *= (1 - 0.45 * ramp(knot, 1, 0.5) * (board > 0.75))[..., None]
    canvas.tint(1 - solid, tuple(np.array(scene.rgb) * 0.22))
    canvas.height += 0.0015 * solid


def _grain(canvas: Canvas, rng: np.random.Generator) -> Field:
    """Streaks (n, n) along x metres, looked up in a stretched noise."""
    n = canvas.n
    sheet = fractal(rng, n, 0.5, low=10, stretch=(14, 1))
    span = float(np.ptp(canvas.y)) + 1e-6
    row = ((canvas.y - canvas.y.min()) / span * (n - 1)).astype(np.int32)
    column = ((canvas.x - canvas.x.min()) / span * (n - 1)).astype(np.int32) % n
    return sheet[row, column]


def tile(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    """Glazed or stone tiles and their grout, square or running bond."""
    n = canvas.n
    side = rng.uniform(0.14, 0.24) if scene.stance == "wall" else rng.uniform(0.24, 0.42)
    tall, bond = (side / 2, 0.5) if scene.stance == "wall" and rng.random() < 0.4 else (side, 0.0)
    canvas.albedo *= (1 + rng.uniform(0.01, 0.06) * fractal(rng, n, 1.3, low=3))[..., None]
    solid = _lay(canvas, (side, tall), bond, 0.009, rng.uniform(0.03, 0.14), rng)
    light_grout = np.mean(scene.rgb) < 0.5 or (rng.random() < 0.3 and np.mean(scene.rgb) < 0.7)
    grout = (0.80, 0.78, 0.74) if light_grout else tuple(np.array(scene.rgb) * rng.uniform(0.5, 0.68))
    canvas.tint(1 - solid, grout)
    canvas.height += 0.0022 * solid
    gloss = fractal(rng, n, 2.2, low=1.2) * 0.5 + 0.3 * _hash(canvas.units[0], canvas.units[1], 2.0)
    canvas.glow += (rng.uniform(0.04, 0.14) * ramp(gloss, 0.1, 1.2) * solid)[..., None]


def carpet(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    """Loops in rows, uneven pile."""
    n = canvas.n
    _mottle(canvas, rng, 0.035)
    pitch = rng.uniform(0.016, 0.026) * 1.2
    loops = np.sin(6.28 * canvas.x / pitch + 1.2 * fractal(rng, n, 0.8, low=8)) * np.sin(6.28 * canvas.y / pitch)
    canvas.albedo *= (1 + 0.16 * loops + 0.17 * fractal(rng, n, 0.0, low=50))[..., None]
    canvas.height += 0.0003 * fractal(rng, n, 0.2, low=40)


def ceiling_panels(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    """Mineral fibre panels with pinholes and worms in a metal grid."""
    n = canvas.n
    tall = 0.6 if rng.random() < 0.7 else 1.2
    solid = _lay(canvas, (0.6, tall), 0.0, 0.028, 0.05, rng)
    holes = ramp(fractal(rng, n, 0.15, low=26, high=60), 1.2, 1.9)
    worms = ramp(np.abs(fractal(rng, n, 0.4, low=20, high=40)), 0.14, 0.05) * (fractal(rng, n, 0.3, low=20) > 0.9)
    canvas.albedo *= (1 - solid * (rng.uniform(0.1, 0.3) * holes + rng.uniform(0, 0.3) * worms))[..., None]
    canvas.tint(1 - solid, (0.92, 0.92, 0.91))
    canvas.height += 0.002 * (1 - solid)
    canvas.shade *= 1 - 0.25 * np.clip(ndimage.gaussian_filter(1 - solid, n / 90) - (1 - solid), 0, 1)


PAINTERS = {
    "plaster": plaster,
    "ceiling": plaster,
    "wallpaper": wallpaper,
    "concrete wall": concrete,
    "concrete floor": concrete,
    "brick": brick,
    "wooden floor": wooden_floor,
    "tile wall": tile,
    "tile floor": tile,
    "carpet": carpet,
    "ceiling panels": ceiling_panels,
}
