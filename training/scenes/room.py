"""What surrounds the surface: the corner, the skirting, the cornice, the next wall, floor or ceiling."""

import numpy as np

from wetgen.training.scenes.canvas import SceneCanvas
from wetgen.training.scenes.noise import Field, fractal, grid, ramp
from wetgen.training.scenes.scene import Scene

_TONES = {"wall": (0.80, 0.78, 0.74), "floor": (0.48, 0.37, 0.27), "ceiling": (0.88, 0.88, 0.86)}
_BOARDS = ((0.86, 0.85, 0.82), (0.86, 0.85, 0.82), (0.40, 0.28, 0.19), (0.55, 0.55, 0.54))


def surround(canvas: SceneCanvas, scene: Scene, rng: np.random.Generator) -> None:
    """Paint what lies beyond the line of the scene's place."""
    u, v = grid(canvas.n)
    at, slant = scene.line
    if scene.place == "corner" and scene.stance == "ceiling":
        _ceiling_corner(canvas, u - at, v - 0.78 + rng.uniform(0.25, 0.6) * np.abs(u - at), rng)
    elif scene.place == "corner":
        across = u - at - 0.4 * slant * (v - 0.5)
        side = ramp(across, -0.003, 0.003)
        canvas.shade *= 1 - rng.uniform(0.10, 0.3) * (side if rng.random() < 0.5 else 1 - side)
        canvas.shade *= 1 - 0.22 * np.exp(-np.abs(across) / 0.03)
    elif scene.place in ("floor line", "wall edge", "ceiling line"):
        above = scene.place == "ceiling line" or (scene.place == "wall edge" and scene.stance == "floor")
        beyond = (v - at - slant * (u - 0.5)) * (-1 if above else 1)
        other = {"floor line": "floor", "ceiling line": "ceiling", "wall edge": "wall"}[scene.place]
        _next_surface(canvas, beyond, other, "floor" in (other, scene.stance), rng)


def _plain(canvas: SceneCanvas, other: str, rng: np.random.Generator) -> Field:
    """The colours (n, n, 3) of a plain neighbouring wall, floor or ceiling."""
    tone = np.clip(np.array(_TONES[other]) * rng.uniform(0.7, 1.05) + rng.normal(0, 0.04, 3), 0.05, 0.95)
    clouds = 0.03 * fractal(rng, canvas.n, 1.3)
    if other == "floor":
        clouds += 0.06 * fractal(rng, canvas.n, 0.8, 4, stretch=(8.0, 1.0))
    return np.asarray(tone * (1 + clouds[..., None]), np.float32)


def _next_surface(canvas: SceneCanvas, beyond: Field, other: str, skirted: bool, rng: np.random.Generator) -> None:
    """The other surface where `beyond` (n, n) is positive, behind a skirting at floors or a cornice at ceilings."""
    edge = 0.8 / canvas.n
    canvas.shade *= 1 - 0.3 * np.exp(-np.abs(beyond) / 0.03)
    near = 1 - 0.3 * np.exp(-np.clip(beyond, 0, None) / 0.05)
    canvas.cover(ramp(beyond, -edge, edge), _plain(canvas, other, rng) * near[..., None])
    if not skirted and rng.random() < 0.6:
        return
    width = rng.uniform(0.05, 0.085) if skirted else rng.uniform(0.02, 0.06)
    board = np.array(_BOARDS[int(rng.integers(4))] if skirted else (0.9, 0.9, 0.88)) * rng.uniform(0.9, 1.03)
    t = np.clip(beyond / width, 0, 1)
    profile = 0.82 + 0.18 * ramp(t, 0.0, 0.12) - 0.25 * np.exp(-(((t - 0.8) / 0.05) ** 2)) - 0.2 * ramp(t, 0.93, 1.0)
    canvas.cover(ramp(beyond, -edge, edge) * ramp(beyond, width + edge, width - edge), board * profile[..., None])


def _ceiling_corner(canvas: SceneCanvas, across: Field, beyond: Field, rng: np.random.Generator) -> None:
    """Two walls that meet below a corner of the ceiling."""
    edge = 0.8 / canvas.n
    canvas.shade *= 1 - 0.3 * np.exp(-np.abs(beyond) / 0.05)
    darker = 1 - rng.uniform(0.08, 0.3) * (
        ramp(across, -edge, edge) if rng.random() < 0.5 else ramp(across, edge, -edge)
    )
    fold = 1 - 0.15 * np.exp(-np.abs(across) / 0.03)
    walls = _plain(canvas, "wall", rng) * (darker * fold * rng.uniform(0.75, 0.95))[..., None]
    canvas.cover(ramp(beyond, -edge, edge), walls)
    if rng.random() < 0.4:
        moulding = ramp(beyond, -edge, edge) * ramp(beyond, 0.045 + edge, 0.045 - edge)
        canvas.cover(moulding, np.array((0.9, 0.9, 0.88)) * (0.85 + 0.15 * np.sin(beyond * 220))[..., None])
