"""Paint or paper that has let go of its ground: blisters still closed, or flakes gone with curled rims."""

import numpy as np

from wetgen.training.scenes.canvas import RGB, SceneCanvas
from wetgen.training.scenes.noise import Field, blob, blur, fractal, grid, nearest, ramp, shift, slopes, texture
from wetgen.training.scenes.scene import Damage, Scene
from wetgen.training.scenes.water import STRENGTH


def peeling(canvas: SceneCanvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """Bubbles or flakes, by the damage's style."""
    return (_bubbles if damage.style == "bubbles" else _flakes)(canvas, scene, damage, rng)


def _bubbles(canvas: SceneCanvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """Lit domes of many sizes with wrinkled skins, merged where they touch, greyed by damp; a few have burst."""
    n = canvas.n
    dome, crest, burst = _domes(canvas, damage, rng)
    skin = blur(dome * (1 + 0.04 * fractal(rng, n, 1.8, 4)), 0.005)
    cover = ramp(dome, 0.0004, 0.0016)
    canvas.cast *= 1 - 0.4 * np.clip(blur(_moved(np.clip(dome * 18, 0, 1), scene, 0.012), 0.009) - cover, 0, 1)
    canvas.height += skin * rng.uniform(0.8, 1.15)
    canvas.absorb(cover * (0.08 + 0.03 * STRENGTH[damage.severity]), (0.9, 1.0, 1.2))
    canvas.shade *= 1 - 0.06 * np.exp(-dome / 0.004) * cover
    canvas.glow += (0.16 * cover * _sheen(skin, scene))[..., None]
    hole = burst * ramp(crest, 0.45, 0.6) * cover
    canvas.tint(hole, _ground(scene, rng))
    canvas.cast *= 1 - 0.4 * hole * _moved(1 - hole, scene, 0.008)
    return cover


def _domes(canvas: SceneCanvas, damage: Damage, rng: np.random.Generator) -> tuple[Field, Field, Field]:
    """Height in pictures, height relative to each dome's own, and 1 where the dome has burst, all (n, n)."""
    n = canvas.n
    u, v = grid(n)
    count = int({"trace": 7, "moderate": 15, "severe": 26}[damage.severity] * rng.uniform(0.7, 1.4))
    wobble = 0.12 * fractal(rng, n, 2.2, low=4)
    steep = rng.uniform(0.26, 0.42)
    dome, crest, burst = (np.zeros((n, n), np.float32) for _ in range(3))
    for number in range(count):
        radius = damage.extent * (0.08 + 0.36 * rng.uniform() ** 2) + 0.01
        at = np.array(damage.centre) + rng.normal(0, 0.45, 2) * damage.extent * (number > 0)
        squeeze, opened = rng.uniform(0.7, 1.4), rng.random() < 0.18
        reach = int(1.9 * radius * n) + 2
        row, column = int(at[1] * n), int(at[0] * n)
        part = (slice(max(row - reach, 0), max(row + reach, 0)), slice(max(column - reach, 0), max(column + reach, 0)))
        r2 = ((u[part] - at[0]) / radius / squeeze) ** 2 + ((v[part] - at[1]) / radius * squeeze) ** 2 + wobble[part]
        rise = np.clip(1 - r2, 0, 1)
        rise = rise * rise * (3 - 2 * rise)  # the skin leaves the wall at a slant, not upright
        higher = rise * radius * steep > dome[part]
        dome[part] = np.where(higher, rise * radius * steep, dome[part])
        crest[part] = np.where(higher, rise, crest[part])
        burst[part] = np.where(higher, float(opened), burst[part])
    return dome, crest, burst


def _sheen(height: Field, scene: Scene) -> Field:
    """Where a glossy relief mirrors the lamp, (n, n) in [0, 1]."""
    across, down = slopes(blur(height, 0.005))
    lit = -(across * np.cos(scene.light.direction) + down * np.sin(scene.light.direction))
    return np.clip(lit / np.sqrt(1 + across**2 + down**2) * 1.4, 0, 1) ** 4


def _moved(cover: Field, scene: Scene, reach: float) -> Field:
    """A cover moved away from the light by `reach` pictures."""
    return shift(cover, -float(np.cos(scene.light.direction)) * reach, -float(np.sin(scene.light.direction)) * reach)


def _ground(scene: Scene, rng: np.random.Generator) -> RGB:
    """What is under the paint: old plaster, filler, earlier paint or, under paper, brownish paste."""
    choices = [(0.66, 0.63, 0.58), (0.52, 0.50, 0.46), (0.62, 0.52, 0.41), (0.80, 0.77, 0.71)]
    told = [c for c in choices if abs(np.mean(c) - np.mean(scene.rgb)) > 0.13]  # no ground that one cannot tell
    base = np.array(told[int(rng.integers(len(told)))]) * rng.uniform(0.94, 1.04)
    return float(base[0]), float(base[1]), float(base[2])


def _flakes(canvas: SceneCanvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """Shards gone where cells of the paint film fall inside the zone; the rim curls up over a shadow."""
    n = canvas.n
    paper = scene.surface == "wallpaper"
    film = canvas.albedo.copy()
    gone = _gone(n, damage, paper, rng)
    curl = rng.uniform(0.006, 0.014) * (1.5 if paper else 1.0)
    near = blur(gone, curl)
    loose = np.clip(0.6 + 0.6 * fractal(rng, n, 1.2, low=3), 0, 1)
    rim = ramp(near, 0.10, 0.40) * (1 - gone) * loose
    grain = 0.06 * texture(rng, n, 0.5, 16) + 0.07 * fractal(rng, n, 1.0, low=3)
    canvas.tint(gone, (np.array(_ground(scene, rng), np.float32) * (1 + grain[..., None])).astype(np.float32))
    if not paper and rng.random() < 0.5:  # an older coat still holds in places
        older = gone * ramp(fractal(rng, n, 1.1, 4), 0.3, 0.5)
        canvas.tint(
            0.8 * older, tuple(np.clip(np.array(scene.rgb) * rng.uniform(0.6, 0.8) + rng.normal(0, 0.05, 3), 0, 1))
        )
    canvas.height *= 1 - gone
    canvas.height += 0.0005 * gone * texture(rng, n, 0.5, 16)
    canvas.glow *= (1 - gone)[..., None]
    canvas.cast *= 1 - 0.55 * blur(_moved(1 - gone, scene, 0.014) * gone, 0.004) * gone
    canvas.tint(0.75 * rim, np.clip(film * 0.55 + 0.38, 0, 0.96))  # the pale back of the curl
    canvas.height += 0.006 * rim
    return np.maximum(gone, ramp(rim, 0.05, 0.2))


def _gone(n: int, damage: Damage, paper: bool, rng: np.random.Generator) -> Field:
    """1 where the film is missing (n, n): ragged cells within the zone, at least one."""
    count = int(rng.integers(25, 50) if paper else rng.integers(90, 300))
    points = rng.random((count, 2))
    owner, _ = nearest(points, n)
    bend = (0.012 * n * np.stack([fractal(rng, n, 1.2, 4), fractal(rng, n, 1.2, 4)])).astype(np.int32)
    row, column = np.clip(np.indices((n, n), np.int32) + bend, 0, n - 1)
    owner = owner[row, column]
    zone = blob(rng, n, damage.centre, (damage.extent * 0.95, damage.extent * (1.25 if paper else 0.95)), 0.4, 1.2)
    columns, rows = np.clip((points * n).astype(int), 0, n - 1).T
    lost = zone[rows, columns] > 0
    home = tuple(int(np.clip(t * n, 0, n - 1)) for t in (damage.centre[1], damage.centre[0]))
    lost[owner[home]] = True
    soft = blur(lost[owner].astype(np.float32), 0.008)
    return ramp(soft + 0.06 * fractal(rng, n, 1.2, low=8), 0.44, 0.56)
