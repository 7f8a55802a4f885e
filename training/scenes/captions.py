"""Sentences about a scene: a small grammar with many phrasings, all lower case, at most MOST_WORDS words."""

import numpy as np

from wetgen.training.scenes.phrases import (
    CAUSES,
    CLEAN,
    GRADES,
    LARGE,
    LENGTHS,
    NAMES,
    OWN,
    PLACES,
    SIZES,
    SMALL,
    SPREADS,
    SURFACES,
    THINGS,
    article,
    plural,
    uncounted,
)
from wetgen.training.scenes.scene import Damage, Scene, stream

_LAYER = 5
MOST_WORDS = 22
_SHORT = 0.12  # of captions that are no more than damage and surface
# {name} with article, {on} "on the wall", {surface} without article, {room} "in the kitchen" or nothing,
# {place} and {cause} likewise; {is_} and {has} agree in number.
_FRAMES = (
    "{name} {on} {place} {room}",
    "{name} {on} {room} {cause}",
    "{on} {room}, there {is_} {name} {place}",
    "{on} there {is_} {name} {cause}",
    "the {surface} {room} {has} {name} {place}",
    "the {surface} {shows} {name} {cause}",
    "there {is_} {name} {on} {place} {room}",
    "a photo of {name} {on} {room}",
    "a close-up of {on_the} with {name}",
    "{place} of the {surface} {room} there {is_} {name}",
    "{room} {on} {place}, {name}",
    "{the_surface} with {name} {place} {room}",
    "water damage: {name} {on} {place}",
    "the {surface} {has} {name} {cause}",
    "{name} can be seen {on} {room}",
    "you can see {name} {place} {on} {room}",
)


def caption(scene: Scene) -> str:
    """One sentence that names the damage and the surface; the same scene always gets the same one."""
    rng = stream(scene.seed, scene.index, _LAYER)
    while True:
        text = " ".join(_sentence(scene, rng).split()).replace(" ,", ",").strip(" ,")
        if len(text.split()) <= MOST_WORDS:
            return text


def _one_of(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _sentence(scene: Scene, rng: np.random.Generator) -> str:
    lifted = any(damage.kind == "lifted" for damage in scene.damages)
    names = tuple(name for name in SURFACES[scene.surface] if not (lifted and name.endswith("tiles")))
    surface = _one_of(rng, names)  # never "loose tiles on the floor tiles"
    if rng.random() < 0.6 and not surface.startswith(scene.colour):
        surface = f"{scene.colour} {surface}"
    room = _room(scene, rng) if rng.random() < 0.35 else ""
    if not scene.damages:
        bare = _one_of(rng, CLEAN).format(surface=surface, a=article(surface), room=room, shows=_verb(surface, "show"))
        return bare
    order = sorted(scene.damages, key=lambda damage: -damage.extent)
    told = [article(_noun(scene, damage, rng)) for damage in order]
    name = told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"
    on = f"on {article(surface) if rng.random() < 0.5 else 'the ' + surface}"
    if rng.random() < _SHORT:
        return f"{name} {on}"
    own = _own(scene, order[0]) if len(order) == 1 else ()
    frames = _FRAMES + own * max(1, round(0.5 * len(_FRAMES) / max(len(own), 1)))
    place = _one_of(rng, PLACES[scene.place]) if rng.random() < 0.4 else ""
    frame = _one_of(rng, frames)
    if frame.startswith("{place} of") and (not place or scene.place != "middle"):
        frame = _FRAMES[0]
    return frame.format(
        name=name, bare=_bare(told[0]), on=on, on_the=f"the {surface}", the_surface=article(surface),
        surface=surface, room=room, place=place, colour=order[0].colour,
        cause=_one_of(rng, CAUSES) if rng.random() < 0.35 else "",
        is_="are" if len(told) > 1 or plural(told[0]) else "is", has=_verb(surface, "has"),
        shows=_verb(surface, "show"), lets=_verb(surface, "let"), thing=THINGS.get(order[0].style, ""),
    )  # fmt: skip


def _verb(subject: str, verb: str) -> str:
    """The verb as it agrees with its subject: "the wall has", "the floor tiles have"."""
    several = plural(subject)
    if verb == "has":
        return "have" if several else "has"
    return verb if several else verb + "s"


def _bare(name: str) -> str:
    """The noun phrase without its article."""
    return name.removeprefix("an ").removeprefix("a ")


def _room(scene: Scene, rng: np.random.Generator) -> str:
    which = _one_of(rng, ("the", "this", "a"))
    return f"in {article(scene.room) if which == 'a' else which + ' ' + scene.room}"


def _noun(scene: Scene, damage: Damage, rng: np.random.Generator) -> str:
    """The damage as a noun phrase with size, grade and colour, without article."""
    name = _one_of(rng, _names(scene, damage))
    colour = {"rusty": "rust coloured"}.get(damage.colour, damage.colour)
    if damage.kind in ("stain", "mold") and rng.random() < 0.65 and not name.startswith("dark"):
        name = f"{colour} {name}"
    size = "small" if damage.extent < SMALL else "large" if damage.extent > LARGE else "middle"
    sizes = LENGTHS[size] if damage.kind == "crack" else SPREADS[size] if uncounted(name) else SIZES[size]
    word = _one_of(rng, GRADES[damage.severity] if rng.random() < 0.6 else sizes) if rng.random() < 0.65 else ""
    return f"{word} {name}" if word and word not in name else name


def _names(scene: Scene, damage: Damage) -> tuple[str, ...]:
    if damage.kind == "lifted":
        if scene.surface != "wooden floor":
            return NAMES["lifted"]
        return NAMES["cupped boards"] if damage.style == "cupped" else NAMES["lifted boards"]
    if damage.kind == "peeling":
        material = "wallpaper" if scene.surface == "wallpaper" else "paint"
        return NAMES[f"{'bubbling' if damage.style == 'bubbles' else 'peeling'} {material}"]
    if damage.kind == "stain" and damage.style == "drip" and scene.stance == "wall":
        return (*NAMES["stain"], "water stain with drips", "stain with runs")
    return NAMES[damage.kind]


def _own(scene: Scene, damage: Damage) -> tuple[str, ...]:
    """Frames that belong to one damage alone."""
    if damage.kind != "peeling":
        return OWN.get(damage.kind, ())
    paper = scene.surface == "wallpaper"
    if damage.style == "bubbles":
        return OWN["bubbling wallpaper" if paper else "bubbling paint"]
    return OWN["peeling wallpaper" if paper else "peeling paint"]
