"""Things in front of the surface, and things that are no damage though a careless eye takes them for it."""

import numpy as np

from wetgen.training.scenes.canvas import SceneCanvas
from wetgen.training.scenes.noise import Field, blur, fractal, grid, line, ramp, shift, texture
from wetgen.training.scenes.scene import Scene

_FINISHES = ((0.90, 0.89, 0.87), (0.45, 0.31, 0.20), (0.68, 0.52, 0.35), (0.22, 0.22, 0.23), (0.60, 0.62, 0.64))


def furnish(canvas: SceneCanvas, scene: Scene, rng: np.random.Generator) -> None:
    """Put the scene's furniture at a border of the picture; damage passes behind it."""
    if not scene.furniture:
        return
    side = int(rng.choice((-1, 1)))
    down = -1 if scene.stance == "ceiling" else rng.choice((-1, 1))  # below a ceiling's far end there is a wall
    at = (0.5 + side * rng.uniform(0.30, 0.43), 0.5 + down * rng.uniform(0.26, 0.36))
    if scene.furniture in ("cabinet", "door"):
        _block(canvas, scene, side, rng)
    elif scene.furniture in ("pipe", "leg"):
        _tube(canvas, scene, 0.5 + side * rng.uniform(0.36, 0.46), rng)
    else:
        _fitting(canvas, scene.furniture, at, rng)


def _block(canvas: SceneCanvas, scene: Scene, side: int, rng: np.random.Generator) -> None:
    """A cabinet's flank or a door's frame along one side, with its shadow on the surface."""
    n = canvas.n
    u, v = grid(n)
    edge = 0.5 + side * rng.uniform(0.34, 0.45)
    inset = side * (u - edge) - 0.03 * (v - 0.5)
    if scene.furniture == "cabinet":
        inset = np.minimum(inset, v - rng.uniform(0.25, 0.6) if scene.stance == "wall" else rng.uniform(0.4, 0.75) - v)
    rgb = np.array(_FINISHES[int(rng.integers(len(_FINISHES)))]) * rng.uniform(0.85, 1.05)
    grain = 1 + 0.05 * fractal(rng, n, 0.8, 3, stretch=(1.0, 10.0)) - 0.3 * np.exp(-np.abs(inset - 0.035) / 0.004)
    canvas.shade *= 1 - 0.4 * np.exp(-np.clip(-inset, 0, None) / 0.03)
    canvas.cover(ramp(inset, -0.8 / n, 0.8 / n), (rgb * grain[..., None]).astype(np.float32))


def _tube(canvas: SceneCanvas, scene: Scene, at: float, rng: np.random.Generator) -> None:
    """A clean pipe down the wall, or the leg of a table on the floor."""
    n = canvas.n
    u, v = grid(n)
    wide = rng.uniform(0.015, 0.03)
    across = (u - at - rng.uniform(-0.03, 0.03) * (v - 0.5)) / wide
    rgb = np.array(_FINISHES[int(rng.integers(len(_FINISHES)))])
    body = ramp(np.abs(across), 1.0 + 0.8 / n / wide, 1.0 - 0.8 / n / wide)
    if scene.furniture == "leg":
        body = body * ramp(v, rng.uniform(0.35, 0.6), 0.34)
    canvas.shade *= 1 - 0.35 * blur(shift(body, 0.02, 0.01), 0.012)
    canvas.cover(body, (rgb * (0.55 + 0.5 * np.sqrt(np.clip(1 - across**2, 0, 1)))[..., None]).astype(np.float32))


def _fitting(canvas: SceneCanvas, kind: str, at: tuple[float, float], rng: np.random.Generator) -> None:
    """A lamp, a smoke alarm or a vent on the ceiling, a socket or a switch on the wall."""
    n = canvas.n
    u, v = grid(n)
    du, dv = np.abs(u - at[0]), np.abs(v - at[1])
    half = {"lamp": 0.10, "alarm": 0.045, "vent": 0.09}.get(kind, 0.036) * rng.uniform(0.8, 1.25)
    r = np.hypot(u - at[0], v - at[1])
    if kind in ("lamp", "alarm"):
        inset = half - r
        core = -0.22 * ramp(inset, 0, half * 0.5) if kind == "lamp" else 0.2 * np.exp(-np.abs(r - half * 0.6) / 0.005)
        if kind == "lamp" and rng.random() < 0.5:
            canvas.shade *= 1 + 0.22 * np.exp(-np.clip(-inset, 0, None) / 0.12)
    else:
        inset = half - np.maximum(du, dv)
        slats = 0.6 * ramp(np.abs((v - at[1]) / half * 3.5 % 1 - 0.5), 0.2, 0.1) * ramp(inset, 0.014, 0.02)
        rocker = 0.25 * np.exp(-np.abs(np.maximum(du, dv) - half * 0.6) / 0.004)
        plug = 0.3 * ramp(r, half * 0.62, half * 0.55) + 0.5 * ramp(np.hypot(du - half * 0.25, dv), 0.006, 0.003)
        core = {"vent": slats, "switch": rocker}.get(kind, plug)
    body = ramp(inset, -0.8 / n, 0.8 / n)
    rim = 0.15 * np.exp(-np.clip(inset, 0, None) / 0.006)
    canvas.shade *= 1 - 0.35 * np.clip(blur(shift(body, 0.008, 0.012), 0.008) - body, 0, 1)
    canvas.cover(body, (np.array([0.86, 0.86, 0.84]) * (1 - core - rim)[..., None]).astype(np.float32))


def look_alike(canvas: SceneCanvas, kind: str, rng: np.random.Generator) -> None:
    """Something that is not damage, and that the mask does not hold: shadow, light, dirt, scuffs or a cable."""
    n = canvas.n
    u, v = grid(n)
    angle = rng.uniform(0, np.pi)
    across = (u - rng.uniform(0.3, 0.7)) * np.cos(angle) + (v - rng.uniform(0.3, 0.7)) * np.sin(angle)
    if kind == "shadow":
        canvas.shade *= 1 - rng.uniform(0.15, 0.4) * ramp(across, 0, rng.uniform(0.02, 0.2))
    elif kind == "window light":
        along = -u * np.sin(angle) + v * np.cos(angle)
        panes = ramp(np.abs(across), 0.17, 0.15) * ramp(np.abs(along % 0.3 - 0.15), 0.14, 0.125)
        canvas.shade *= 0.85 + rng.uniform(0.15, 0.35) * panes
    elif kind == "dirt":
        canvas.mottle(-0.25 * ramp(texture(rng, n, 0.3, 14, 60), 2.0, 3.2))
        canvas.mottle(-0.10 * ramp(fractal(rng, n, 1.4), 0.4, 2.0))
    elif kind == "scuffs":
        canvas.mottle(-0.3 * _scuffs(n, rng))
    else:
        _cable(canvas, rng)


def _scuffs(n: int, rng: np.random.Generator) -> Field:
    """A handful of short rubbed strokes (n, n)."""
    u, v = grid(n)
    strokes = np.zeros((n, n), np.float32)
    for _ in range(int(rng.integers(2, 6))):
        turn, length = rng.uniform(-0.5, 0.5), rng.uniform(0.03, 0.12)
        du, dv = u - rng.uniform(0.1, 0.9), v - rng.uniform(0.1, 0.9)
        along, across = du * np.cos(turn) + dv * np.sin(turn), dv * np.cos(turn) - du * np.sin(turn)
        strokes = np.maximum(
            strokes, ramp(np.abs(along), length, 0) * ramp(np.abs(across + 2 * along**2), 0.007, 0.001)
        )
    return strokes


def _cable(canvas: SceneCanvas, rng: np.random.Generator) -> None:
    """A cable that hangs in front of surface and damage."""
    n = canvas.n
    u, v = grid(n)
    path = rng.uniform(0.15, 0.85) + 0.025 * line(rng, n, 2.5) + rng.uniform(-0.2, 0.2) * (v[:, 0] - 0.5)
    wide = rng.uniform(0.006, 0.012)
    across = (u - path[:, None]) / wide
    body = ramp(np.abs(across), 1 + 0.7 / n / wide, 1 - 0.7 / n / wide)
    canvas.shade *= 1 - 0.4 * blur(shift(body, 0.012, 0.004), 0.007)
    rgb = np.array((0.14, 0.14, 0.15) if rng.random() < 0.5 else (0.88, 0.88, 0.86))
    canvas.cover(body, (rgb * (0.6 + 0.45 * np.sqrt(np.clip(1 - across**2, 0, 1)))[..., None]).astype(np.float32))
