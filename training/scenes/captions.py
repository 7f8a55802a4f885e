"""Sentences about a scene: a small grammar with many phrasings, all lower case, at most 22 words."""

import numpy as np

from wetgen.training.scenes.scene import Damage, Scene, stream

_LAYER = 5
MOST_WORDS = 22
SURFACES = {
    "plaster": ("wall", "plaster wall", "painted wall", "wall"),
    "ceiling": ("ceiling", "ceiling", "painted ceiling", "plaster ceiling"),
    "wallpaper": ("wallpaper", "patterned wallpaper", "wall with wallpaper", "wallpapered wall"),
    "concrete wall": ("concrete wall", "bare concrete wall", "concrete"),
    "concrete floor": ("concrete floor", "concrete slab", "bare concrete floor"),
    "brick": ("brick wall", "brickwork", "exposed brick wall"),
    "wooden floor": ("wooden floor", "hardwood floor", "wood floor", "parquet floor"),
    "tile wall": ("tiled wall", "tile wall", "wall tiles"),
    "tile floor": ("tile floor", "tiled floor", "floor tiles"),
    "carpet": ("carpet", "carpeted floor", "carpet floor"),
    "ceiling panels": ("ceiling panels", "ceiling tiles", "suspended ceiling", "drop ceiling"),
}
NAMES = {
    "crack": ("crack", "thin crack", "long crack", "crack line", "fracture"),
    "stain": ("water stain", "stain", "water mark", "damp patch", "water leak stain", "tide mark"),
    "mold": ("mold", "mold growth", "mildew", "mold spots", "fungal growth"),
    "peeling": ("peeling paint", "flaking paint", "blistering paint", "bubbling paint"),
    "puddle": ("puddle", "puddle of water", "pool of water", "standing water"),
    "lifted": ("lifted tiles", "loose tiles"),
    "spalling": ("spalling", "crumbling surface", "broken patch of spalling", "spalled area"),
    "efflorescence": ("efflorescence", "white salt deposits", "salt efflorescence", "white efflorescence"),
    "corrosion": ("rust", "corrosion", "rust streaks", "rusty corrosion"),
}
_PLURAL = ("tiles", "boards", "spots", "deposits", "streaks", "panels", "planks", "blisters", "bubbles")
_MASS = ("mold", "mildew", "growth", "paint", "water", "spalling", "efflorescence", "rust", "corrosion", "wallpaper")
_MASS += ("concrete", "brickwork", "plaster", "bubbling", "peeling", "paper")
_GRADES = {
    "trace": ("slight", "faint", "small", "minor", "early"),
    "moderate": ("", "", "visible", "noticeable", "clear"),
    "severe": ("severe", "heavy", "large", "extensive", "serious"),
}
_CAUSES = (
    "after a leak",
    "from water damage",
    "caused by moisture",
    "after flooding",
    "from a leaking pipe",
    "due to humidity",
)
_PLACES = {
    "middle": ("in the middle", "in the centre"),
    "corner": ("in the corner", "at the corner"),
    "floor line": ("near the floor line", "above the skirting", "near the floor"),
    "ceiling line": ("below the ceiling", "near the ceiling line"),
    "wall edge": ("near the edge of the room", "along the edge"),
    "anywhere": ("",),
}


def caption(scene: Scene) -> str:
    """One sentence that names the damage and the surface; the same scene always gets the same one."""
    rng = stream(scene.seed, scene.index, _LAYER)
    while True:
        text = " ".join(_sentence(scene, rng).split()).replace(" ,", ",")
        if len(text.split()) <= MOST_WORDS:
            return text


def _one_of(rng: np.random.Generator, *choices: str) -> str:
    return choices[int(rng.integers(len(choices)))]


def _article(noun: str) -> str:
    last = noun.split()[-1]
    counted = any(part in noun for part in ("puddle", "pool of", "patch of", "wall with"))
    if last in _PLURAL or (last in _MASS and not counted):
        return noun
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def _surface(scene: Scene, rng: np.random.Generator) -> str:
    name = _one_of(rng, *SURFACES[scene.surface])
    return f"{scene.colour} {name}" if rng.random() < 0.6 and not name.startswith(scene.colour) else name


def _name(scene: Scene, damage: Damage, rng: np.random.Generator) -> str:
    """The damage as a noun phrase with colour and grade, without article."""
    names = NAMES[damage.kind]
    if damage.kind == "lifted" and scene.surface == "wooden floor":
        names = (
            ("warped boards", "cupped boards", "warped planks")
            if damage.style == "cupped"
            else ("lifted boards", "loose boards", "lifted tiles", "lifted planks")
        )
    if damage.kind == "peeling":
        paper = scene.surface == "wallpaper"
        names = {
            (False, "bubbles"): ("bubbling paint", "blistering paint", "paint bubbles", "paint blisters", "bubbling"),
            (False, "flakes"): ("peeling paint", "flaking paint", "peeling", "chipped peeling paint"),
            (True, "bubbles"): ("bubbling wallpaper", "wallpaper bubbles", "bubbling paper"),
            (True, "flakes"): ("peeling wallpaper", "torn peeling wallpaper", "peeling paper"),
        }[(paper, "bubbles" if damage.style == "bubbles" else "flakes")]
    name = _one_of(rng, *names)
    colour = {"dark": "dark", "rusty": "rust coloured"}.get(damage.colour, damage.colour)
    if damage.kind in ("stain", "mold") and rng.random() < 0.65:
        name = f"{colour} {name}"
    grade = _one_of(rng, *_GRADES[damage.severity])
    return f"{grade} {name}" if grade and rng.random() < 0.6 else name


def _sentence(scene: Scene, rng: np.random.Generator) -> str:
    surface = _surface(scene, rng)
    on = f"on {_article(surface) if rng.random() < 0.6 else 'the ' + surface}"
    room = (
        f"in {_one_of(rng, 'the', 'this', 'a' if scene.room[0] not in 'aeiou' else 'an')} {scene.room}"
        if rng.random() < 0.35
        else ""
    )
    if not scene.damages:
        whole = _one_of(rng, "clean", "undamaged", "dry", "intact")
        clean = _article(f"{whole} {surface}")
        frames = (f"{clean} {room}", f"the {surface} {room} shows no damage", f"{clean} with no visible damage {room}")
        return _one_of(rng, *frames, f"{_article(surface)} {room} without damage")
    first = scene.damages[_main(scene)]
    name = _article(_name(scene, first, rng))
    place = _one_of(rng, *_PLACES[scene.place]) if rng.random() < 0.4 else ""
    cause = _one_of(rng, *_CAUSES) if rng.random() < 0.2 else ""
    others = [_article(_name(scene, damage, rng)) for damage in scene.damages if damage is not first]
    if others:
        name = f"{name} and {others[0]}" if len(others) == 1 else f"{name}, {others[0]} and {others[1]}"
    return _frame(scene, first, name, on, surface, room, place, cause, rng)


def _main(scene: Scene) -> int:
    return int(np.argmax([damage.extent for damage in scene.damages]))


def _frame(
    scene: Scene,
    first: Damage,
    name: str,
    on: str,
    surface: str,
    room: str,
    place: str,
    cause: str,
    rng: np.random.Generator,
) -> str:
    """Choose a sentence frame; some belong to one damage."""
    is_are = "are" if " and " in name or name.split()[-1] in _PLURAL else "is"
    frames = [
        f"{name} {on} {place} {room}",
        f"{name} {on} {room} {cause}",
        f"{on} {room}, there {is_are} {name} {place}",
        f"{on} there {is_are} {name} {cause}",
        f"the {surface} {room} has {name} {place}",
        f"there {is_are} {name} {on} {place} {room}",
        f"a photo of {name} {on} {room}",
        f"water damage: {name} {on} {place}",
    ]
    if len(scene.damages) == 1:
        frames += _own_frames(scene, first, name, surface, room)
    return frames[int(rng.integers(len(frames)))]


def _own_frames(scene: Scene, damage: Damage, name: str, surface: str, room: str) -> list[str]:
    if damage.kind == "peeling" and damage.style == "bubbles" and scene.surface != "wallpaper":
        return [
            f"the water drip created a bubbling effect on the {surface} paint",
            f"moisture made the paint bubble on the {surface} {room}",
        ]
    if damage.kind == "peeling":
        what = "wallpaper" if scene.surface == "wallpaper" else "paint"
        return [f"moisture is making the {what} peel off the {'wall' if what == 'wallpaper' else surface} {room}"]
    if damage.kind == "mold":
        return [
            f"{damage.colour} mold is growing on the {surface} {room}",
            f"on the {surface} {room}, {damage.colour} mold is growing",
        ]
    if damage.kind == "stain":
        return [f"water has dried to {name} on the {surface} {room}", f"a leak has caused {name} on the {surface}"]
    if damage.kind == "lifted":
        return [
            f"on the {surface} there is a patch of {name.removeprefix('a ')}",
            f"water has lifted the {surface} {room}, {name}",
        ]
    if damage.kind == "puddle":
        return [f"water has pooled into a puddle on the {surface} {room}", f"{name} stands on the {surface} {room}"]
    if damage.kind == "corrosion":
        thing = {"nail": "a rusty nail", "plate": "a rusty metal plate", "pipe": "a rusty pipe"}[damage.style]
        return [f"{thing} with rust on the {surface} {room}", f"rust runs from {thing} on the {surface}"]
    if damage.kind == "efflorescence":
        return [f"white salts have come out of the {surface} {room}, {name}"]
    return []
