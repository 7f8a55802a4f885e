"""What a scene is, before a pixel is drawn: surface, view, light and damages, all drawn from (seed, index)."""

import math
from dataclasses import asdict, dataclass, replace

import numpy as np

from wetgen.training.scenes.settings import SETTINGS, SURFACE_WEIGHTS, Setting

UNDAMAGED_SHARE = 0.12
SEVERITIES = ("trace", "moderate", "severe")
LOOK_ALIKES = ("shadow", "dirt", "cable")


_PLACES = {
    "wall": ("middle", "anywhere", "corner", "floor line", "ceiling line"),
    "ceiling": ("middle", "anywhere", "corner", "wall edge"),
    "floor": ("middle", "anywhere", "wall edge"),
}
_APART = 0.2  # pictures between the centres of two damages, so that none hides another
_STYLES = {
    "stain": ("patch", "patch", "drip"),
    "mold": ("spots", "spots", "colony", "haze"),
    "peeling": ("bubbles", "flakes"),
    "crack": ("single", "branching", "branching", "web"),
    "spalling": ("broken",),
    "efflorescence": ("veil", "runs"),
    "corrosion": ("nail", "plate", "pipe"),
    "puddle": ("water",),
    "lifted": ("loose", "cupped"),
}
_EXTENTS = {"trace": (0.10, 0.17), "moderate": (0.17, 0.29), "severe": (0.29, 0.44)}
_STAIN_COLOURS = ("brown", "yellow", "dark", "rusty")
_MOLD_COLOURS = ("black", "dark green", "green", "grey")


@dataclass(frozen=True)
class Damage:
    """One damage: what, how bad, where (picture fractions) and in which manner."""

    kind: str
    severity: str
    style: str
    colour: str
    centre: tuple[float, float]
    extent: float  # about its radius, in pictures


@dataclass(frozen=True)
class View:
    """The camera against the surface."""

    span: float  # metres across the picture
    angle: float  # radians
    tilt: tuple[float, float]  # perspective across and down
    offset: tuple[float, float]  # metres


@dataclass(frozen=True)
class Light:
    """Light and camera."""

    direction: float  # radians, where the light comes from
    relief: float  # how strongly it rakes
    fall: float  # light lost across the picture
    warmth: float
    exposure: float
    vignette: float
    blur: float
    noise: float
    jpeg: int


@dataclass(frozen=True)
class Scene:
    """Everything a picture is drawn from; the same record gives the same bytes."""

    seed: int
    index: int
    surface: str
    colour: str
    rgb: tuple[float, float, float]
    room: str
    place: str
    line: tuple[float, float]  # where the corner or the line to the next surface is: position, slant
    view: View
    light: Light
    damages: tuple[Damage, ...]
    look_alike: str

    def to_json(self) -> dict[str, object]:
        """The record as plain JSON values."""
        return asdict(self)

    @property
    def stance(self) -> str:
        return SETTINGS[self.surface].stance


def stream(seed: int, index: int, layer: int = 0) -> np.random.Generator:
    """The random numbers of one layer of one scene; layers do not disturb each other."""
    return np.random.Generator(np.random.Philox(key=[seed, index], counter=[0, 0, layer, 0]))


def _pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    names = list(weights)
    p = np.array(list(weights.values()))
    return names[int(rng.choice(len(names), p=p / p.sum()))]


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 4)


def draw_scene(seed: int, index: int) -> Scene:
    """Draw the record of scene `index` of the run `seed`."""
    rng = stream(seed, index)
    surface = _pick(rng, SURFACE_WEIGHTS)
    setting = SETTINGS[surface]
    colour = list(setting.colours)[int(rng.integers(len(setting.colours)))]
    if surface in ("plaster", "tile wall") and rng.random() < 0.4:
        colour = str(rng.choice(("white", "beige", "grey")))
    tone = rng.normal(0, 0.04)
    rgb = tuple(round(float(np.clip(c + tone + rng.normal(0, 0.008), 0.05, 0.95)), 4) for c in setting.colours[colour])
    place = str(rng.choice(_PLACES[setting.stance]))
    line = (_between(rng, *_line_range(setting.stance, place)), _between(rng, -0.12, 0.12))
    damages = () if rng.random() < UNDAMAGED_SHARE else _draw_damages(rng, surface, place, line)
    if surface in ("carpet", "wooden floor") or np.mean(rgb) < 0.55:  # only dark stains show there
        damages = tuple(replace(damage, colour="dark") if damage.kind == "stain" else damage for damage in damages)
    alike = str(rng.choice(LOOK_ALIKES)) if rng.random() < (0.5 if not damages else 0.15) else ""
    return Scene(
        seed, index, surface, colour, rgb, str(rng.choice(setting.rooms)), place, line,
        _draw_view(rng, setting), _draw_light(rng), damages, alike,
    )  # fmt: skip


def _line_range(stance: str, place: str) -> tuple[float, float]:
    if place in ("floor line", "wall edge") and stance != "floor":
        return 0.74, 0.90
    if place in ("ceiling line", "wall edge"):
        return 0.10, 0.24
    return 0.22, 0.78


def _draw_view(rng: np.random.Generator, setting: Setting) -> View:
    floor = setting.stance == "floor"
    return View(
        span=_between(rng, *setting.span),
        angle=_between(rng, -0.5, 0.5)
        if floor
        else float(np.round(rng.normal(0, 0.03 if setting.stance == "wall" else 0.1), 4)),
        tilt=(_between(rng, -0.2, 0.2), _between(rng, 0.15, 0.8) if floor else _between(rng, -0.2, 0.2)),
        offset=(_between(rng, 0, 4), _between(rng, 0, 4)),
    )


def _draw_light(rng: np.random.Generator) -> Light:
    return Light(
        direction=_between(rng, -2.6, -0.5),
        relief=_between(rng, 0.6, 1.4),
        fall=_between(rng, 0.0, 0.38),
        warmth=float(np.round(rng.normal(0.01, 0.03), 4)),
        exposure=_between(rng, 0.78, 1.14),
        vignette=_between(rng, 0.0, 0.3),
        blur=_between(rng, 0.0, 0.6),
        noise=_between(rng, 0.0, 0.018),
        jpeg=int(rng.choice((0, 70, 85, 95))),
    )


def _draw_damages(rng: np.random.Generator, surface: str, place: str, line: tuple[float, float]) -> tuple[Damage, ...]:
    count = int(rng.choice((1, 2, 3), p=(0.68, 0.25, 0.07)))
    weights = dict(SETTINGS[surface].damages)
    damages = []
    for order in range(min(count, len(weights))):
        kind = _pick(rng, weights)
        del weights[kind]
        damage = _draw_damage(rng, kind, surface, place if order == 0 else "anywhere", line)
        while any(math.dist(damage.centre, other.centre) < _APART for other in damages):
            damage = _draw_damage(rng, kind, surface, "anywhere", line)
        damages.append(damage)
    # What is broken lies under what grows, runs or stands on it.
    layers = ("stain", "peeling", "spalling", "lifted", "efflorescence", "corrosion", "crack", "mold", "puddle")
    return tuple(sorted(damages, key=lambda damage: layers.index(damage.kind)))


def _draw_damage(rng: np.random.Generator, kind: str, surface: str, place: str, line: tuple[float, float]) -> Damage:
    severity = str(rng.choice(SEVERITIES, p=(0.22, 0.43, 0.35)))
    colours = {"stain": _STAIN_COLOURS, "mold": _MOLD_COLOURS}.get(kind, ("",))
    stance = SETTINGS[surface].stance
    u, v = _between(rng, 0.25, 0.75), _between(rng, 0.3, 0.7)
    if place == "middle":
        u, v = _between(rng, 0.4, 0.6), _between(rng, 0.42, 0.58)
    elif place == "corner":
        u, v = line[0] + _between(rng, -0.08, 0.08), _between(rng, 0.25, 0.55)
    elif place in ("floor line", "wall edge") and stance != "floor":
        v = line[0] - _between(rng, 0.06, 0.2)
    elif place in ("ceiling line", "wall edge"):
        v = line[0] + _between(rng, 0.1, 0.26)
    if kind == "corrosion":  # the fitting is at the centre and the rust runs below it
        v = max(v - 0.15, line[0] + 0.1) if place == "ceiling line" else max(v - 0.15, 0.12)
    return Damage(
        kind, severity, str(rng.choice(_STYLES[kind])), str(rng.choice(colours)), (round(u, 4), round(v, 4)),
        _between(rng, *_EXTENTS[severity]),
    )  # fmt: skip
