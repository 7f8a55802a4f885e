"""Many captions of one scene, as people write: sentences, notes, reports, answers in a form, and what is not there.

They follow from the scene's record alone, so that scenes rendered long ago can be given them. Every caption names every
damage, and nothing in it is untrue of the record.
"""

import numpy as np

from wetgen.training.scenes.frames import (
    ANSWERS,
    BARE,
    CLEAN,
    LACKING,
    NOTES,
    OWN_FRAMES,
    REPORTS,
    SENTENCES,
    WITHOUT,
)
from wetgen.training.scenes.phrases import THINGS
from wetgen.training.scenes.scene import CLASSES, Damage, Scene, stream
from wetgen.training.scenes.settings import SETTINGS
from wetgen.training.scenes.vocabulary import (
    ADVERBS,
    CAUSES,
    COLOURS,
    FURNITURE,
    GRADES,
    LARGE,
    LENGTHS,
    LOOK_ALIKES,
    NOT,
    PLACES,
    ROOMS,
    SIZES,
    SMALL,
    SURFACES,
    WIDTHS,
    Noun,
    absent,
    colours,
    damage_nouns,
    noun,
    states,
)

CAPTIONS = 8
MOST_WORDS = 40
TYPOS = 0.03  # of captions that have one
_LAYER, _TYPO_LAYER = 18, 7  # of random numbers
_SIDED = 0.15  # of scenes whose captions may say left and right; training does not mirror them
_KINDS = ("sentence", "sentence", "note", "note", "report", "answer", "state", "without")
_CLEAN_KINDS = ("clean", "clean", "clean", "lacking", "lacking", "lacking", "lacking", "lacking")
_POSITIONS = {
    "left": ("on the left", "on the left side", "to the left"),
    "right": ("on the right", "on the right side", "to the right"),
    "top": ("at the top", "near the top", "in the upper part"),
    "bottom": ("at the bottom", "near the bottom", "in the lower part"),
}
_COMPACT = ("puddle", "stain", "mold", "peeling", "spalling", "efflorescence")  # lie within their extent
_THIN = {"fine", "thin", "narrow", "hairline", "slight", "faint"}
_COLOUR_WORDS = {"black", "dark", "white", "brown", "yellow", "green", "grey", "chalky"}


def captions(scene: Scene) -> list[str]:
    """CAPTIONS captions of a scene, no two alike; the same record always gets the same ones."""
    rng = stream(scene.seed, scene.index, _TYPO_LAYER)
    return [misspelt(text, rng) if rng.random() < TYPOS else text for text in spoken(scene)]


def spoken(scene: Scene) -> list[str]:
    """The captions before a few of them get their typo."""
    rng = stream(scene.seed, scene.index, _LAYER)
    sided = rng.random() < _SIDED
    told: list[str] = []
    for kind in _KINDS if scene.damages else _CLEAN_KINDS:
        while True:
            text = _tidy(_Teller(scene, rng, sided).tell(kind))
            if len(text.split()) <= MOST_WORDS and text not in told:
                break
        told.append(text)
    return told


def misspelt(text: str, rng: np.random.Generator) -> str:
    """The text with one letter of a word of four or more swapped with the next, dropped or doubled."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) >= 4 and word.isalpha()]
    if not long:
        return text
    i = long[int(rng.integers(len(long)))]
    word, at, way = words[i], int(rng.integers(1, len(words[i]) - 1)), int(rng.integers(3))
    if way == 0 and word[at] != word[at + 1]:
        words[i] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    elif way == 1:
        words[i] = word[:at] + word[at + 1 :]
    else:
        words[i] = word[:at] + word[at] + word[at:]
    return " ".join(words)


def _tidy(text: str) -> str:
    text = " ".join(text.split())
    for mark in ",.;:?":
        text = text.replace(f" {mark}", mark)
    for twice, once in ((",,", ","), (",.", "."), ("..", "."), (".,", ","), (",;", ";"), (";,", ";")):
        text = text.replace(twice, once)
    return text.strip(" ,;:/-")


class _Teller:
    """The words chosen for one caption."""

    def __init__(self, scene: Scene, rng: np.random.Generator, sided: bool) -> None:
        self.scene, self.rng, self.sided = scene, rng, sided
        self.damages = sorted(scene.damages, key=lambda damage: -damage.extent)
        self.nouns = [self._damage(damage) for damage in self.damages]
        self.surface = self._surface()

    def tell(self, kind: str) -> str:
        """One caption of a kind."""
        if kind == "without":
            return self._without()
        if kind == "state":
            return self._state()
        if kind == "lacking":
            return self._lacking()
        if kind == "clean":
            dirty = self.scene.look_alike in ("dirt", "scuffs")
            return self._filled(self._one_of(tuple(frame for frame in CLEAN if not (dirty and "clean" in frame))))
        frames = {"sentence": SENTENCES, "note": NOTES, "report": REPORTS, "answer": ANSWERS}[kind]
        if kind == "sentence" and len(self.damages) == 1 and self._chance(0.25):
            frames = self._own() or frames
        if len(self.damages) > 1:
            frames = tuple(frame for frame in frames if "{size}" not in frame)
        return self._filled(self._one_of(frames))

    def _one_of(self, choices: tuple[str, ...]) -> str:
        return choices[int(self.rng.integers(len(choices)))]

    def _chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def _filled(self, frame: str) -> str:
        """A frame with its blanks filled in; [absent] and [state] stay."""
        names = [_with_article(name) for name in self.nouns]
        bare = [name.text for name in self.nouns]
        number = self.surface.number
        joined = self._joined(names)
        several = any(name.number == "many" for name in self.nouns[:1]) or joined.endswith(
            f"and {names[-1]}" if names else "-"
        )
        chosen = {
            "names": joined,
            "bare": self._one_of((", ", " and ", " + ", " & ", ", ")).join(bare),
            "count": {1: "one kind", 2: "two kinds", 3: "three kinds"}.get(len(bare), ""),
            "are": "are" if several else "is",
            "surface": self.surface.text,
            "the_surface": f"the {self.surface.text}",
            "a_surface": _with_article(self.surface),
            "on": self._on(),
            "is": "are" if number == "many" else "is",
            "has": "have" if number == "many" else "has",
            "shows": "show" if number == "many" else "shows",
            "room": f"in the {self._room()}" if self._chance(0.45) else "",
            "the_room": self._room(),
            "place": self._place() if self._chance(0.5) else "",
            "cause": self._one_of(CAUSES) if self._chance(0.3) else "",
            "size": self._size(),
            "thing": THINGS.get(self.damages[0].style, "") if self.damages else "",
            "also": self._also(),
        }
        return frame.format(**chosen)

    def _joined(self, names: list[str]) -> str:
        if len(names) < 2:
            return "".join(names)
        if len(names) == 2:
            return (
                names[0] + self._one_of((" and ", " and ", " with ", " as well as ", " next to ", ", also ")) + names[1]
            )
        return ", ".join(names[:-1]) + self._one_of((" and ", ", and ", " as well as ")) + names[-1]

    def _damage(self, damage: Damage) -> Noun:
        """A damage as a noun with size or grade and colour, in people's order."""
        text, number = noun(self._one_of(damage_nouns(self.scene, damage)))
        shades = colours(damage)
        if shades and not _names_a_colour(text) and self._chance(0.5):
            text = f"{self._one_of(shades)} {text}"
        if not self._chance(0.6):
            return Noun(text, number)
        size = "small" if damage.extent < SMALL else "large" if damage.extent > LARGE else ""
        ways = [(ADVERBS if _is_participle(text.split()[0]) else GRADES)[damage.severity]]
        if damage.kind == "crack" and number == "one" and " of cracks" not in text:
            ways += [LENGTHS.get(size, ()), WIDTHS.get(damage.severity, ())]
        else:
            ways.append(SIZES[number].get(size, ()))
        words = self._one_of(ways[int(self.rng.integers(len(ways)))] or ("",))
        clash = set(words.split()) & set(text.split()) or {words, text.split()[0]} <= _THIN
        return Noun(text if clash else f"{words} {text}".strip(), number)

    def _surface(self) -> Noun:
        """The surface, never in the words of a damage: no "loose tiles on the floor tiles"."""
        said = {word.rstrip("s") for name in self.nouns for word in name.text.split()}
        free = tuple(
            name for name in SURFACES[self.scene.surface] if not said & {word.rstrip("s") for word in _words(name)}
        )
        text, number = noun(self._one_of(free or (self.scene.stance,)))
        if self._chance(0.5):
            colour = self._one_of(COLOURS[self.scene.colour])
            text = text if colour.split()[-1] in text else f"{colour} {text}"
        return Noun(text, number)

    def _on(self) -> str:
        """On the surface: "on the ceiling", "on a wall"."""
        return f"on the {self.surface.text}" if self._chance(0.6) else f"on {_with_article(self.surface)}"

    def _room(self) -> str:
        return self._one_of(ROOMS[self.scene.room])

    def _place(self) -> str:
        """Where on the surface; nothing where several damages lie in several places."""
        if len(self.damages) != 1:
            return ""
        damage = self.damages[0]
        spots = list(PLACES[self.scene.place]) if self._chance(0.6) else []
        if damage.kind in _COMPACT:
            (u, v), reach = damage.centre, damage.extent
            sides = {"left": self.sided and u + reach < 0.55, "right": self.sided and u - reach > 0.45}
            sides |= {"top": v + reach < 0.55, "bottom": v - reach > 0.45}
            spots += [self._one_of(_POSITIONS[side]) for side, true in sides.items() if true]
        return self._one_of(tuple(spots) or ("",))

    def _size(self) -> str:
        """How far the damage reaches, in centimetres or metres, as the camera's distance says."""
        if len(self.damages) != 1:
            return ""
        damage = self.damages[0]
        reach = 1.5 if damage.kind == "crack" else 1.0
        metres = 2 * damage.extent * self.scene.view.span * reach
        about = self._one_of(("ca. ", "about ", "approx. ", "~", ""))
        return f"{about}{metres:.1f} m" if metres >= 0.95 else f"{about}{max(5, 5 * round(20 * metres))} cm"

    def _also(self) -> str:
        """What else is in the picture, now and then."""
        seen = (*FURNITURE.get(self.scene.furniture, ()), *LOOK_ALIKES.get(self.scene.look_alike, ()))
        if not seen or not self._chance(0.12):
            return ""
        thing = self._one_of(seen)
        return self._one_of((f", also {thing}", f", {thing} in the picture", f", with {thing} in view"))

    def _own(self) -> tuple[str, ...]:
        """Sentences that only one class of damage has."""
        damage = self.damages[0]
        paper = self.scene.surface == "wallpaper"
        keys = (damage.kind,) if paper else (damage.kind, f"{damage.kind} {damage.style}")
        return tuple(frame for key in keys for frame in OWN_FRAMES.get(key, ()))

    def _state(self) -> str:
        """What the surface is said to be: "the ceiling is stained and moldy"."""
        said = [self._one_of(states(self.scene, damage)) for damage in self.damages]
        said = list(dict.fromkeys(said))
        if self._chance(0.5):
            said[0] = f"{self._one_of(ADVERBS[self.damages[0].severity])} {said[0]}"
        self.nouns = []  # the surface is named anew, now that no damage stands beside it
        self.surface = self._surface()
        joined = said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"
        return self._filled(self._one_of(BARE)).replace("[state]", joined)

    def _without(self) -> str:
        """A damage that is there, and one that is not."""
        kind, other, *_ = self._missing()
        words = [self._one_of(absent(self.scene, each)) for each in (kind, other)]
        said = self.tell("sentence" if self._chance(0.5) else "note")
        if kind in NOT and self._chance(0.2):
            return f"{said}, {self._one_of(('but', ''))} not {self._one_of(NOT[kind])}"
        if self._chance(0.1):
            return f"{said}, neither {' nor '.join(words)}"
        return self._one_of(WITHOUT).format(said=said, absent=" or ".join(words) if self._chance(0.2) else words[0])

    def _lacking(self) -> str:
        """An undamaged surface by one or two damages that it does not have."""
        kinds = self._missing()[: int(self.rng.choice((1, 2, 3), p=(0.5, 0.4, 0.1)))]
        words = [self._one_of(absent(self.scene, kind)) for kind in kinds]
        frame = self._one_of(LACKING)
        listed = (", no ",) if frame.endswith("no [absent]") else ()
        return self._filled(frame).replace("[absent]", self._one_of((" or ", " and ", *listed)).join(words))

    def _missing(self) -> list[str]:
        """Classes that the scene does not show, those its surface may suffer first."""
        there = {damage.kind for damage in self.damages}
        likely = [kind for kind in SETTINGS[self.scene.surface].damages if kind not in there]
        others = [kind for kind in CLASSES.names[1:] if kind not in (*likely, *there)]
        return [*self.rng.permutation(likely).tolist(), *self.rng.permutation(others).tolist()]


def _words(marked: str) -> list[str]:
    return noun(marked).text.split()


def _is_participle(word: str) -> bool:
    """Whether it takes an adverb: "badly warped boards"."""
    return word.endswith("ed") or word in ("loose", "uneven", "rusty", "swollen", "broken", "blown", "torn")


def _names_a_colour(text: str) -> bool:
    return any(word in _COLOUR_WORDS for word in text.replace("-", " ").split())


def _with_article(name: Noun) -> str:
    """The noun with "a" or "an" where it takes one."""
    if name.number != "one":
        return name.text
    return ("an " if name.text[0] in "aeiou" else "a ") + name.text
