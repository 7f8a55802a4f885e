"""Clean surfaces without joints: each function paints one kind on a blank canvas."""

import numpy as np

from wetgen.training.scenes import laid
from wetgen.training.scenes.canvas import SceneCanvas
from wetgen.training.scenes.noise import Field, fractal, ramp, texture
from wetgen.training.scenes.scene import Scene


def plaster(canvas: SceneCanvas, scene: Scene, rng: np.random.Generator) -> None:
    """Painted plaster: faint clouds of age, the stipple of the roller or strokes of the float, a few dents."""
    n = canvas.n
    canvas.mottle(rng.uniform(0.006, 0.028) * fractal(rng, n, 1.8))
    kind = str(rng.choice(("smooth", "smooth", "roller", "float", "rough")))
    amount = {"smooth": 0.00002, "roller": 0.00009, "float": 0.00010, "rough": 0.00035}[kind] * rng.uniform(0.6, 1.5)
    if kind == "float":
        canvas.height += amount * texture(rng, n, 0.9, 6, stretch=(3.0, 1.0))
    else:
        canvas.height += amount * texture(rng, n, 0.4, 40 if kind == "roller" else 20)
    canvas.mottle(0.006 * texture(rng, n, 0.3, 40))
    if scene.stance == "ceiling" and rng.random() < 0.3:  # sprayed "popcorn"
        bumps = ramp(texture(rng, n, 0.1, 30, 75), 0.2, 1.6)
        canvas.height += 0.0011 * bumps
        canvas.shade *= 1 - 0.10 * (1 - bumps)
    elif rng.random() < 0.4:  # uneven coats of paint
        canvas.mottle(0.03 * ramp(fractal(rng, n, 1.9, stretch=(1.0, 3.0)), 0.2, 0.5))


def wallpaper(canvas: SceneCanvas, scene: Scene, rng: np.random.Generator) -> None:
    """A printed repeat in a second tone: stripes, dots, diamonds, rosettes or leaves, and seams between lengths."""
    canvas.mottle(0.012 * fractal(rng, canvas.n) + 0.012 * texture(rng, canvas.n, 0.2, 40))
    ink = np.clip(np.array(scene.rgb) * rng.uniform(0.55, 0.82) + rng.normal(0, 0.06, 3), 0.05, 0.95)
    if np.mean(scene.rgb) < 0.5:
        ink = np.clip(np.array(scene.rgb) * 1.5 + 0.05, 0, 0.95)
    period = rng.uniform(0.08, 0.2)
    a, b, soft = canvas.x / period, canvas.y / period, 0.7 * canvas.pixel / period
    pattern = str(rng.choice(("stripes", "stripes", "dots", "diamonds", "rosettes", "leaves")))
    canvas.tint(rng.uniform(0.45, 0.85) * _print(pattern, a, b, soft, rng), tuple(ink))
    seam = np.abs((canvas.x / 0.53) % 1 - 0.5) * 0.53
    canvas.shade *= 1 - 0.15 * ramp(seam, 0.002 + canvas.pixel, 0.001)
    canvas.height += 0.00006 * texture(rng, canvas.n, 0.3, 40)


def _print(pattern: str, a: Field, b: Field, soft: Field, rng: np.random.Generator) -> Field:
    """The inked part (n, n) of a repeat of 1 by 1, as sharp as `soft`."""

    def disc(distance: Field, radius: float | Field) -> Field:
        return ramp(distance - radius, soft, -soft)

    if pattern == "stripes":
        t = a % 1
        return np.maximum(disc(np.abs(t - 0.3), 0.16), 0.7 * disc(np.abs(t - 0.75), 0.03))
    if pattern == "diamonds":
        s, t = np.abs((a % 1) - 0.5), np.abs((b * 0.6 % 1) - 0.5)
        return np.maximum(disc(np.abs(s + t - 0.5), 0.05), disc(np.hypot(s, t), 0.11))
    b = b + 0.5 * (np.floor(a) % 2)
    s, t = (a % 1) - 0.5, (b % 1) - 0.5
    r = np.hypot(s, t)
    if pattern == "dots":
        return disc(r, 0.18)
    if pattern == "leaves":
        pair = np.maximum(np.hypot(np.abs(s) - 0.1, t - 0.18), np.hypot(np.abs(s) - 0.28, t + 0.1))
        return np.maximum(disc(pair, 0.26), disc(np.abs(s - 0.04 * np.sin(6.28 * b)), 0.025))
    petals = int(rng.integers(4, 8))
    flower = disc(r, 0.28 + 0.10 * np.cos(petals * np.arctan2(t, s))) * (1 - disc(r, 0.09))
    return np.maximum(flower, disc(np.abs(s - 0.05 * np.sin(6.28 * b)), 0.03) * (1 - disc(r, 0.4)))


def concrete(canvas: SceneCanvas, scene: Scene, rng: np.random.Generator) -> None:
    """Cast concrete: clouds, pores and streaks; on walls the joints, boards and tie holes of the formwork."""
    n = canvas.n
    floor = scene.stance == "floor"
    canvas.mottle(0.05 * fractal(rng, n, 1.2) + 0.03 * fractal(rng, n, 0.9, 5))
    canvas.mottle(0.035 * (canvas.grain(rng, 0.3, 30) if floor else texture(rng, n, 0.3, 30)))
    warm = 0.025 * fractal(rng, n, 1.4)
    canvas.albedo += warm[..., None] * np.array([1, 0.35, -0.7], np.float32) * rng.uniform(0.1, 0.5)
    canvas.height += rng.uniform(0.00008, 0.0003) * texture(rng, n, 0.6, 12)
    canvas.shade *= 1 - 0.4 * ramp(texture(rng, n, 0.1, 24, 80), 2.5, 3.0)  # pores
    if floor:
        canvas.mottle(-0.06 * ramp(fractal(rng, n, 1.1, 3), 0.6, 1.6))  # worn and dusty parts
        return
    canvas.mottle(-0.07 * ramp(fractal(rng, n, 0.9, 5, stretch=(0.6, 6.0)), 0.7, 2.0))  # old runs of rain and dust
    _formwork(canvas, rng)


def _formwork(canvas: SceneCanvas, rng: np.random.Generator) -> None:
    width, tall = rng.uniform(0.5, 1.2), rng.uniform(0.5, 0.9)
    if rng.random() < 0.25:  # rough boards
        width, tall = 2.4, rng.uniform(0.08, 0.15)
        canvas.height += 0.0003 * texture(rng, canvas.n, 0.6, 8, stretch=(8.0, 1.0))
    a, b = canvas.x / width, canvas.y / tall
    joint = np.minimum(np.abs(a % 1 - 0.5) * width, np.abs(b % 1 - 0.5) * tall)
    canvas.shade *= 1 - (0.3 if tall > 0.4 else 0.14) * ramp(joint, 0.004 + canvas.pixel, 0.002)
    canvas.mottle(0.09 * (laid.hash_of(np.floor(a + 0.5), np.floor(b + 0.5), 3.0) - 0.5))
    if tall > 0.4 and rng.random() < 0.5:
        hole = np.hypot((np.abs(a % 1) - 0.25) * width, (b % 1 - 0.5) * tall)
        canvas.tint(0.7 * ramp(hole, 0.018 + canvas.pixel, 0.014), (0.16, 0.16, 0.16))


def carpet(canvas: SceneCanvas, scene: Scene, rng: np.random.Generator) -> None:
    """Tufts of two yarns, brushed one way or the other; looped in rows, plain, flecked or with a border."""
    n = canvas.n
    kind = str(rng.choice(("cut pile", "flecked", "loops", "tiles")))
    canvas.mottle(0.05 * ramp(fractal(rng, n, 1.5, 1.5), -0.6, 0.6) - 0.025)  # the nap, brushed
    tuft = canvas.grain(rng, 0.0, 60)
    canvas.mottle((0.10 if kind == "flecked" else 0.14) * tuft)
    canvas.shade *= 1 - 0.22 * ramp(canvas.grain(rng, 0.2, 45), 0.5, 1.8)  # dark between the tufts
    if kind == "flecked":
        yarn = np.clip(np.array(scene.rgb) * rng.choice((0.45, 1.5)) + rng.normal(0, 0.04, 3), 0.05, 0.9)
        canvas.tint(0.75 * ramp(canvas.grain(rng, 0.1, 40), 0.7, 1.3), tuple(yarn))
    elif kind == "loops":
        pitch = rng.uniform(0.014, 0.022)
        seen = ramp(canvas.pixel / pitch, 0.5, 0.2)  # rows finer than the pixels are not drawn
        canvas.mottle(0.16 * seen * np.sin(6.28 * canvas.y / pitch) * (0.6 + 0.4 * np.sin(6.28 * canvas.x / pitch)))
    elif kind == "tiles":
        side = np.floor(canvas.x / 0.5) + np.floor(canvas.y / 0.5)
        canvas.mottle(0.10 * (side % 2 - 0.5) + 0.06 * np.sin(6.28 * np.where(side % 2 > 0, canvas.x, canvas.y) / 0.03))
        edge = np.minimum(np.abs(canvas.x / 0.5 % 1 - 0.5), np.abs(canvas.y / 0.5 % 1 - 0.5)) * 0.5
        canvas.shade *= 1 - 0.25 * ramp(0.25 - np.abs(edge - 0.25), 0.004 + canvas.pixel, 0.0)
    canvas.height += 0.00022 * texture(rng, n, 0.2, 50)


PAINTERS = {
    "plaster": plaster,
    "ceiling": plaster,
    "wallpaper": wallpaper,
    "concrete wall": concrete,
    "concrete floor": concrete,
    "brick": laid.brick,
    "wooden floor": laid.wooden_floor,
    "tile wall": laid.tile,
    "tile floor": laid.tile,
    "carpet": carpet,
    "ceiling panels": laid.ceiling_panels,
}
