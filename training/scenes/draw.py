"""Scenes drawn from (seed, index): which surface, view, light and damages go together."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from wetgen.training.scenes.photographs import Photograph
from wetgen.training.scenes.scene import Damage, Light, Scene, View, stream
from wetgen.training.scenes.settings import SETTINGS, SURFACE_WEIGHTS, Setting, nearest_colour

UNDAMAGED_SHARE = 0.15
LOOK_ALIKE_SHARE = (0.25, 0.6)  # of scenes with and without damage
SEVERITIES = ("trace", "moderate", "severe")
LOOK_ALIKES = ("shadow", "window light", "dirt", "scuffs", "cable")
PHOTOGRAPH_SHARE = 0.5  # of scenes, where there is a photograph of the surface
CLOSE_UP_SHARE = 0.3  # of walls and floors: claims are full of a single crack from half a metre
_NEARNESS = (0.3, 0.6)  # of a close-up's span to the surface's smallest

_PLACES = {
    "wall": ("middle", "anywhere", "corner", "floor line", "ceiling line"),
    "ceiling": ("anywhere", "corner", "wall edge", "wall edge"),
    "floor": ("middle", "anywhere", "wall edge"),
}
_FURNITURE = {
    "wall": ("", "", "", "", "socket", "switch", "cabinet", "door", "pipe"),
    "ceiling": ("", "lamp", "lamp", "vent", "alarm"),
    "floor": ("", "", "", "cabinet", "leg"),
}
_APART = 0.22  # pictures between the centres of two damages that have nothing to do with each other
_STYLES = {
    "stain": ("patch", "patch", "drip"),
    "mold": ("spots", "spots", "colony", "haze"),
    "peeling": ("bubbles", "flakes"),
    "crack": ("single", "single", "branching", "web"),
    "spalling": ("broken", "broken", "chips"),
    "efflorescence": ("veil", "runs"),
    "corrosion": ("nail", "plate", "pipe"),
    "puddle": ("water",),
    "lifted": ("loose", "cupped"),
}
_COLOURS = {"stain": ("brown", "brown", "yellow", "dark", "rusty"), "mold": ("black", "dark green", "green", "grey")}
# What is broken lies under what grows, runs or stands on it.
_LAYERS = ("stain", "peeling", "spalling", "lifted", "efflorescence", "corrosion", "crack", "mold", "puddle")
_NEEDS_UNITS = ("lifted",)  # damages of single boards and tiles, whose borders no photograph tells


def draw_scene(seed: int, index: int, photographs: Sequence[Photograph] = ()) -> Scene:
    """Draw the record of scene `index` of the run `seed`; some scenes are painted on one of the photographs."""
    rng = stream(seed, index)
    surface = _pick(rng, SURFACE_WEIGHTS)
    setting = SETTINGS[surface]
    colour = list(setting.colours)[int(rng.integers(len(setting.colours)))]
    if surface in ("plaster", "tile wall") and rng.random() < 0.4:
        colour = str(rng.choice(("white", "beige", "grey")))
    tone = rng.normal(0, 0.04)
    red, green, blue = (
        round(float(np.clip(c + tone + rng.normal(0, 0.01), 0.05, 0.95)), 4) for c in setting.colours[colour]
    )
    rgb = (red, green, blue)
    place = str(rng.choice(_PLACES[setting.stance]))
    line = (_between(rng, *_line_range(setting.stance, place)), _between(rng, -0.12, 0.12))
    damages = () if rng.random() < UNDAMAGED_SHARE else _draw_damages(rng, surface, place, line)
    alike = str(rng.choice(LOOK_ALIKES)) if rng.random() < LOOK_ALIKE_SHARE[not damages] else ""
    scene = Scene(
        seed, index, surface, colour, rgb, "", str(rng.choice(setting.rooms)), place, line,
        str(rng.choice(_FURNITURE[setting.stance])), _draw_view(rng, setting), _draw_light(rng), damages, alike,
    )  # fmt: skip
    return _legible(_close_up(_on_photograph(scene, photographs, rng), rng))


def _close_up(scene: Scene, rng: np.random.Generator) -> Scene:
    """Some scenes from near by, where nothing else but the surface is in the picture."""
    far = scene.stance == "ceiling" or any(damage.kind in _NEEDS_UNITS for damage in scene.damages)
    if far or rng.random() > CLOSE_UP_SHARE:  # of a raised tile that fills the picture nobody could say what it is
        return scene
    span = _between(rng, *_NEARNESS) * SETTINGS[scene.surface].span[0]
    place = "middle" if scene.place == "middle" else "anywhere"  # no line to another surface in sight
    return replace(scene, place=place, furniture="", view=replace(scene.view, span=round(span, 4)))


def _on_photograph(scene: Scene, photographs: Sequence[Photograph], rng: np.random.Generator) -> Scene:
    fitting = [photo for photo in photographs if scene.surface in photo.surfaces]
    drawn_only = any(damage.kind in _NEEDS_UNITS for damage in scene.damages)
    if not fitting or drawn_only or rng.random() > PHOTOGRAPH_SHARE:
        return scene
    photo = fitting[int(rng.integers(len(fitting)))]
    return replace(scene, texture=photo.file, rgb=photo.rgb, colour=nearest_colour(scene.surface, photo.rgb))


def _legible(scene: Scene) -> Scene:
    """Only dark stains show on dark surfaces, and mold darker than its ground."""
    dark = scene.surface in ("carpet", "wooden floor", "concrete floor") or np.mean(scene.rgb) < 0.55
    damages = scene.damages
    if dark:
        damages = tuple(replace(damage, colour="dark") if damage.kind == "stain" else damage for damage in damages)
        damages = tuple(replace(damage, colour="black") if damage.kind == "mold" else damage for damage in damages)
    return replace(scene, damages=damages)


def _pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    names = list(weights)
    p = np.array(list(weights.values()))
    return names[int(rng.choice(len(names), p=p / p.sum()))]


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 4)


def _line_range(stance: str, place: str) -> tuple[float, float]:
    if stance == "ceiling" and place == "corner":
        return 0.3, 0.7
    if place in ("floor line", "wall edge") and stance != "floor":
        return 0.74, 0.88
    if place in ("ceiling line", "wall edge"):
        return 0.12, 0.24
    return 0.22, 0.78


def _draw_view(rng: np.random.Generator, setting: Setting) -> View:
    tilts = {"floor": (0.2, 0.9), "wall": (-0.25, 0.25), "ceiling": (-0.7, -0.05)}  # the far end is up, or down
    turn = {"floor": 0.5, "wall": 0.05, "ceiling": 0.12}[setting.stance]
    return View(
        span=_between(rng, *setting.span),
        angle=_between(rng, -turn, turn),
        tilt=(_between(rng, -0.35, 0.35), _between(rng, *tilts[setting.stance])),
        offset=(_between(rng, 0, 4), _between(rng, 0, 4)),
        focus=_between(rng, 0.35, 0.75),
        defocus=_between(rng, 0.0, 0.012) if rng.random() < 0.3 else 0.0,
    )


def _draw_light(rng: np.random.Generator) -> Light:
    return Light(
        direction=_between(rng, -2.6, -0.5),
        relief=_between(rng, 0.6, 1.4),
        shadow=_between(rng, 0.6, 1.0),
        fall=_between(rng, 0.0, 0.32),
        flash=_between(rng, 0.1, 0.35) if rng.random() < 0.2 else 0.0,
        warmth=float(np.round(rng.normal(0.0, 0.03), 4)),
        exposure=_between(rng, 0.84, 1.24),
        vignette=_between(rng, 0.0, 0.25),
        blur=_between(rng, 0.4, 0.9),
        noise=_between(rng, 0.002, 0.012),
        sharpen=_between(rng, 0.0, 0.6),
        jpeg=int(rng.choice((0, 70, 82, 90, 95))),
    )


def _draw_damages(rng: np.random.Generator, surface: str, place: str, line: tuple[float, float]) -> tuple[Damage, ...]:
    count = int(rng.choice((1, 2, 3), p=(0.68, 0.25, 0.07)))
    weights = dict(SETTINGS[surface].damages)
    damages: list[Damage] = []
    for order in range(min(count, len(weights))):
        kind = _pick(rng, weights)
        del weights[kind]
        damage = _draw_damage(rng, kind, surface, place if order == 0 else "anywhere", line)
        host = next(
            (other for other in damages if {other.kind, kind} in ({"stain", "mold"}, {"stain", "peeling"})), None
        )
        if host is not None and rng.random() < 0.7:  # both come from the same water
            damages[damages.index(host)], damage = _together(host, damage)
        while any(math.dist(damage.centre, other.centre) < _APART for other in damages if other is not host):
            damage = _draw_damage(rng, kind, surface, "anywhere", line)
        damages.append(damage)
    return tuple(sorted(damages, key=lambda damage: _LAYERS.index(damage.kind)))


def _together(host: Damage, guest: Damage) -> tuple[Damage, Damage]:
    """The two at one place, the stain the larger."""
    guest = replace(guest, centre=host.centre)
    wide, small = max(host.extent, 0.26), min(guest.extent, 0.16)
    if host.kind == "stain":
        return replace(host, extent=wide), replace(guest, extent=small)
    return replace(host, extent=small), replace(guest, extent=wide)


def _draw_damage(rng: np.random.Generator, kind: str, surface: str, place: str, line: tuple[float, float]) -> Damage:
    severity = str(rng.choice(SEVERITIES, p=(0.2, 0.4, 0.4)))
    stance = SETTINGS[surface].stance
    u, v = _between(rng, 0.25, 0.75), _between(rng, 0.3, 0.7)
    if place == "middle":
        u, v = _between(rng, 0.4, 0.6), _between(rng, 0.42, 0.58)
    elif place == "corner" and stance == "ceiling":
        u, v = line[0] + _between(rng, -0.15, 0.15), _between(rng, 0.25, 0.45)
    elif place == "corner":
        u, v = line[0] + _between(rng, -0.08, 0.08), _between(rng, 0.25, 0.55)
    elif place in ("floor line", "wall edge") and stance != "floor":
        v = line[0] - _between(rng, 0.1, 0.25)
    elif place in ("ceiling line", "wall edge"):
        v = line[0] + _between(rng, 0.12, 0.28)
    if kind == "corrosion":  # the fitting is at the centre and the rust runs below it
        v = max(v - 0.15, line[0] + 0.1) if place == "ceiling line" else max(v - 0.15, 0.12)
    extent = {"trace": (0.12, 0.24), "moderate": (0.15, 0.33), "severe": (0.2, 0.42)}[severity]
    return Damage(
        kind, severity, str(rng.choice(_STYLES[kind])), str(rng.choice(_COLOURS.get(kind, ("",)))),
        (round(u, 4), round(v, 4)), _between(rng, *extent),
    )  # fmt: skip
