"""Damage that grows or crystallises on a damp surface: mold and efflorescence."""

import numpy as np
from numpy.typing import NDArray

from wetgen.training.scenes.canvas import SceneCanvas
from wetgen.training.scenes.noise import Field, blob, fractal, grid, line, nearest, ramp, texture
from wetgen.training.scenes.scene import Damage, Scene
from wetgen.training.scenes.water import STRENGTH

_MOLDS = {
    "black": (0.07, 0.07, 0.07),
    "dark green": (0.12, 0.16, 0.10),
    "green": (0.23, 0.31, 0.17),
    "grey": (0.26, 0.27, 0.25),
}


def mold(canvas: SceneCanvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """Round colonies sown in clusters, run together where it is dampest; on tiles they follow the joints."""
    n = canvas.n
    strength = STRENGTH[damage.severity]
    zone = _zone(canvas, scene, damage, rng)
    spots = _colonies(n, damage, _centres(scene, damage, rng), rng)
    speckle = texture(rng, n, 0.5, 24) + 0.6 * fractal(rng, n, 1.0, low=8)
    film = ramp(zone + 0.18 * speckle, *((0.15, 0.55) if damage.style == "haze" else (0.35, 0.8)))
    dust = ramp(speckle + 2.6 * np.clip(zone, -1, 0.6), 0.8, 2.2) * ramp(zone, -0.3, 0.1)
    alpha = np.maximum(np.maximum(spots * ramp(zone, -0.6, 0.0), 0.9 * dust), (0.6 + 0.1 * speckle) * film)
    if scene.surface == "tile wall":
        joint = canvas.joint(0.014)
        alpha = alpha * np.clip(0.2 * ramp(zone, 0.1, 0.6) + joint, 0, 1)
        alpha = np.maximum(alpha, 0.85 * joint * ramp(zone + 0.25 * speckle, 0, 0.3))
    alpha = np.clip(alpha * (0.55 + 0.42 * strength), 0, 0.96)
    canvas.absorb(0.05 * ramp(zone, 0.2, 0.9), (0.5, 0.6, 0.9))
    rgb = np.array(_MOLDS[damage.colour], np.float32) * (1.05 + 0.22 * fractal(rng, n, 0.8, 5)[..., None])
    canvas.tint(alpha, np.clip(rgb, 0.03, 0.6))
    return ramp(alpha, 0.02, 0.06)


def _zone(canvas: SceneCanvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """How well mold grows: about 1 in the middle, 0 where it ends (n, n); corners, lines and stains feed it."""
    u, v = grid(canvas.n)
    zone = blob(rng, canvas.n, damage.centre, (damage.extent * 1.1,) * 2, 0.38, 1.2)
    if scene.place == "corner" and scene.stance == "wall":
        zone = zone + 0.5 * np.exp(-np.abs(u - scene.line[0]) / 0.06) * (zone > -0.6)
    elif scene.place in ("floor line", "ceiling line", "wall edge"):
        zone = zone + 0.4 * np.exp(-np.abs(v - scene.line[0]) / 0.08) * (zone > -0.6)
    return zone + 0.25 * canvas.damp * (zone > -0.5)


def _centres(scene: Scene, damage: Damage, rng: np.random.Generator) -> NDArray[np.float64]:
    """Where spores fell (P, 2): clusters around the centre, drawn along a line where two surfaces meet."""
    clusters = int(rng.integers(4, 10))
    spread = np.array([1.0, 1.0])
    if scene.place == "corner":
        spread = np.array([0.4, 1.5])
    elif scene.place in ("floor line", "ceiling line", "wall edge"):
        spread = np.array([1.5, 0.45])
    homes = np.array(damage.centre) + rng.normal(0, 0.45, (clusters, 2)) * damage.extent * spread
    count = int({"trace": 60, "moderate": 160, "severe": 320}[damage.severity] * rng.uniform(0.7, 1.4))
    return homes[rng.integers(clusters, size=count)] + rng.standard_t(3, (count, 2)) * 0.16 * damage.extent


def _colonies(n: int, damage: Damage, centres: NDArray[np.float64], rng: np.random.Generator) -> Field:
    """Opacity (n, n) of round colonies of many sizes, ragged, the larger with a paler ring inside their rim."""
    largest = {"colony": 0.05, "spots": 0.022, "haze": 0.018}[damage.style]
    radius = (0.005 + largest * rng.random(len(centres)) ** 3).astype(np.float32)
    inside = np.all((centres > 0) & (centres < 1), axis=1)
    if not inside.any():
        return np.zeros((n, n), np.float32)
    owner, distance = nearest(centres[inside], n)
    r = radius[inside][owner]
    t = distance / r + 0.35 * texture(rng, n, 0.6, 16)
    ring = 1 - 0.35 * np.exp(-(((t - 0.6) / 0.15) ** 2)) * (r > 0.015)
    return ramp(t, 1.3, 0.55) * ring * 0.9


def efflorescence(canvas: SceneCanvas, scene: Scene, damage: Damage, rng: np.random.Generator) -> Field:
    """White salt: a crystalline veil, thickest at its border and in joints, crusts, and runs below it."""
    n = canvas.n
    strength = STRENGTH[damage.severity]
    wide = damage.extent * 1.25
    stretch = (1.5, 0.55) if damage.style == "veil" and rng.random() < 0.5 else (1.0, 0.8)  # along a seam
    zone = blob(rng, n, damage.centre, (wide * stretch[0], wide * stretch[1]), 0.36, 1.3)
    grain = 0.5 * texture(rng, n, 0.6, 16) + 0.8 * fractal(rng, n, 1.1, low=4)
    veil = ramp(zone + 0.20 * grain, 0.0, 0.55) * np.clip(0.70 + 0.15 * grain, 0.15, 1)
    crust = ramp(zone + 0.3 * grain, 0.65, 1.0)
    veil = np.maximum(veil, 0.95 * crust)
    if damage.style == "runs":
        veil = np.maximum(veil, _curtain(n, damage, wide, grain, rng))
    if canvas.units is not None:
        veil = np.clip(veil * (0.85 + 0.5 * canvas.joint(0.02)), 0, 1)
    pale = 0.25 * float(np.mean(scene.rgb) > 0.5)  # on pale ground only much of it is seen
    alpha = np.clip(veil * (0.5 + pale + 0.45 * strength), 0, 0.97)
    canvas.absorb(0.05 * ramp(zone, -0.1, 0.3), (1, 1, 1))  # damp around the salt
    canvas.tint(alpha, np.array([0.92, 0.91, 0.89], np.float32) * (1 + 0.03 * grain[..., None]))
    canvas.height += (0.0002 * alpha + 0.0007 * crust) * grain
    canvas.glow += (0.05 * pale * alpha)[..., None]
    return ramp(alpha, 0.03, 0.10)


def _curtain(n: int, damage: Damage, wide: float, grain: Field, rng: np.random.Generator) -> Field:
    """Salt carried down in streaks (n, n)."""
    u, v = grid(n)
    streak = np.clip(line(rng, n, 0.9, 6, 36), -0.6, 2.2)[None, :]
    t = (v - damage.centre[1]) / (wide * 1.5)
    curtain = ramp(streak - 1.6 * np.clip(t, 0, 2) + 0.2 * grain, 0.15, 0.8) * ramp(t, -0.15, 0.02)
    return curtain * ramp(np.abs(u - damage.centre[0]), wide * 1.1, wide * 0.7) * 0.9
