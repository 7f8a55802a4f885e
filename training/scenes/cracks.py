"""Cracks: rough paths of varying width with spurs and chipped places; in brickwork they step along the joints."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from wetgen.training.scenes.canvas import SceneCanvas
from wetgen.training.scenes.noise import Field, blur, ramp, shift
from wetgen.training.scenes.scene import Damage, Scene
from wetgen.training.scenes.settings import SETTINGS

Path = NDArray[np.float64]  # (points, 3): u, v and width in pictures

_WIDTHS = {"trace": 0.003, "moderate": 0.005, "severe": 0.009}
_DETAIL = 7  # halvings of a path
_NEAR = 0.8  # a crack's width in the picture grows with this power of nearness: small ones are what one goes near to


def crack(canvas: SceneCanvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """Dark depths, one lip catching the light, the other in shadow; severe ones have chips broken off their rims."""
    n = canvas.n
    paths = _stairs(canvas, scene, damage, rng) if scene.surface == "brick" else _branches(scene, damage, rng)
    line = _drawn(paths, n)
    chips = _chips(paths, n, damage, rng)
    dx, dy = float(np.cos(scene.light.direction)), float(np.sin(scene.light.direction))
    broken = np.clip(chips - line, 0, 1)
    ground = np.asarray(scene.rgb) * 0.6 + np.array([0.56, 0.53, 0.48]) * 0.25
    canvas.tint(0.9 * broken, (float(ground[0]), float(ground[1]), float(ground[2])))
    canvas.height -= 0.003 * blur(chips, 0.003)
    depth = np.asarray(scene.rgb) * rng.uniform(0.1, 0.45)
    canvas.tint(0.95 * line, (float(depth[0]), float(depth[1]), float(depth[2])))
    canvas.glow *= (1 - line)[..., None]
    lip = np.clip(shift(line, -1.4 * dx / n, -1.4 * dy / n) - line, 0, 1)
    canvas.mottle(0.07 * lip)
    return np.maximum(ramp(line, 0.02, 0.10), ramp(chips, 0.05, 0.25))


def _drawn(paths: list[Path], n: int) -> Field:
    """How much of each pixel the paths cover (n, n)."""
    fine = 3 * n
    sheet = Image.new("L", (fine, fine))
    draw = ImageDraw.Draw(sheet)
    for path in paths:
        for (u0, v0, w0), (u1, v1, w1) in pairwise((path * fine).tolist()):
            draw.line((u0, v0, u1, v1), fill=255, width=max(2, round((w0 + w1) / 2)))
    return np.asarray(sheet.reduce(3), np.float32) / 255


def _rough(start: NDArray[np.float64], end: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Points (P, 2) between two by midpoint displacement (Fournier, Fussell and Carpenter 1982)."""
    points = np.stack([start, end])
    length = float(np.hypot(*(end - start)))
    for halving in range(_DETAIL):
        if length / 2**halving < 0.011:
            break
        step = np.diff(points, axis=0)
        normal = np.stack([-step[:, 1], step[:, 0]], 1)
        middle = points[:-1] + step * rng.uniform(0.4, 0.6, (len(step), 1))
        middle = middle + normal * rng.normal(0, 0.11, (len(step), 1))
        points = np.insert(points, np.arange(1, len(points)), middle, axis=0)
    return points


def _path(start: NDArray[np.float64], end: NDArray[np.float64], width: float, rng: np.random.Generator) -> Path:
    """A rough path whose width wanders and tapers to its end."""
    points = _rough(start, end, rng)
    count = len(points)
    wander = np.exp(np.clip(np.cumsum(rng.normal(0, 0.14, count)), -0.7, 0.4))
    taper = np.clip(1.15 - np.linspace(0, 1, count) ** 2, 0.15, 1)
    return np.column_stack([points, width * wander * taper])


def _width(scene: Scene, damage: Damage) -> float:
    """In pictures; the same at every ordinary distance, larger in close-ups."""
    return _WIDTHS[damage.severity] * max(1.0, SETTINGS[scene.surface].span[0] / scene.view.span) ** _NEAR


def _branches(scene: Scene, damage: Damage, rng: np.random.Generator) -> list[Path]:
    """A main path through the centre, and branches that leave it at sharp angles."""
    width = _width(scene, damage) * rng.uniform(0.8, 1.3)
    reach = 1.6 * damage.extent + 0.1
    heading = rng.uniform(0, 2 * np.pi)
    ahead = np.array([np.cos(heading), np.sin(heading)])
    centre = np.array(damage.centre)
    knee = centre + rng.normal(0, 0.06, 2)
    turned = heading + rng.normal(0, 0.35)
    back = -np.array([np.cos(turned), np.sin(turned)])
    main = [_path(knee, centre + ahead * reach, width, rng), _path(knee, centre + back * reach, width, rng)]
    count = {"single": int(rng.integers(0, 2)), "branching": int(rng.integers(1, 4)), "web": int(rng.integers(4, 8))}
    paths = list(main)
    for _ in range(count[damage.style]):
        trunk = paths[int(rng.integers(len(paths)))] if damage.style == "web" else main[int(rng.integers(2))]
        at = int(rng.integers(0, max(len(trunk) - 1, 1)))
        along = trunk[min(at + 1, len(trunk) - 1)] - trunk[max(at - 1, 0)]
        away = np.arctan2(along[1], along[0]) + rng.choice((-1, 1)) * rng.uniform(0.5, 1.4)
        end = trunk[at, :2] + np.array([np.cos(away), np.sin(away)]) * reach * rng.uniform(0.2, 0.7)
        paths.append(_path(trunk[at, :2], end, max(trunk[at, 2] * 0.7, 0.0025), rng))
    return paths


def _chips(paths: list[Path], n: int, damage: Damage, rng: np.random.Generator) -> Field:
    """Where the rim has broken off (n, n): small angular flakes along the path."""
    sheet = Image.new("L", (2 * n, 2 * n))
    draw = ImageDraw.Draw(sheet)
    count = {"trace": 0, "moderate": int(rng.integers(0, 3)), "severe": int(rng.integers(2, 8))}[damage.severity]
    for _ in range(count):
        path = paths[int(rng.integers(min(len(paths), 2)))]
        u, v, width = path[int(rng.integers(len(path)))] * 2 * n
        angles = np.sort(rng.uniform(0, 2 * np.pi, 6))
        radii = rng.uniform(0.6, 2.4, 6) * (width + 0.008 * n)
        draw.polygon([(u + r * np.cos(a), v + r * np.sin(a)) for r, a in zip(radii, angles, strict=True)], fill=255)
    return np.asarray(sheet.reduce(2), np.float32) / 255


def _stairs(canvas: SceneCanvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> list[Path]:
    """A stair through brickwork, half of it above the damage's centre: along a bed joint, down a head joint."""
    cx, cy, hx, hy = (float(value) for value in canvas.unit_at(*damage.centre))
    width = _width(scene, damage) * 1.2 + 0.005
    side = float(rng.choice((-1, 1)))
    above = int(0.9 * damage.extent * float(np.ptp(canvas.y)) / (2 * hy)) + 1  # courses
    x, y = cx + hx * (above % 2), cy - hy - 2 * hy * above  # head joints of every second course are in line
    corners = []
    for _ in range(2 * above + 1):
        corners += [(x, y), (x, y + 2 * hy)]
        x, y = x + side * hx * (1 if rng.random() < 0.92 else -1), y + 2 * hy
    aside = 2 * hx * round((corners[len(corners) // 2][0] - cx) / (2 * hx))
    path = []
    for (x0, y0), (x1, y1) in pairwise((x - aside, y) for x, y in corners):
        for t in np.arange(0, 1, 0.2):
            u, v = canvas.picture(x0 + t * (x1 - x0) + rng.normal(0, 0.004), y0 + t * (y1 - y0) + rng.normal(0, 0.003))
            path.append((float(u), float(v), width * rng.uniform(0.6, 1.5)))
    return [np.array(path)]
