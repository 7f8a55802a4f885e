"""What a scene is, before a pixel is drawn: surface, view, light and damages, a record that JSON can hold."""

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import ClassTable
from wetgen.training.scenes.settings import SETTINGS

CLASSES = ClassTable(
    ("background", "crack", "stain", "mold", "peeling", "puddle", "lifted", "spalling", "efflorescence", "corrosion")
)


@dataclass(frozen=True)
class Damage:
    """One damage: what, how bad, where (picture fractions) and in which manner."""

    kind: str
    severity: str  # "trace", "moderate" or "severe": how strong, not how large
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
    focus: float  # where down the picture it is sharp
    defocus: float  # blur in pictures, one picture away from there


@dataclass(frozen=True)
class Light:
    """Light and camera."""

    direction: float  # radians, where the light comes from
    relief: float  # how strongly it rakes
    shadow: float  # how dark the soft shadows of raised parts are; 0 switches them off
    fall: float  # light lost across the picture
    flash: float  # a bright middle, as a flash makes it
    warmth: float
    exposure: float
    vignette: float
    blur: float  # of the lens, in pixels of a picture of 256
    noise: float
    sharpen: float  # what a phone's camera adds at edges
    jpeg: int  # quality, 0 for none


@dataclass(frozen=True)
class Scene:
    """Everything a picture is drawn from; the same record gives the same bytes."""

    seed: int
    index: int
    surface: str
    colour: str
    rgb: tuple[float, float, float]
    texture: str  # a photograph in the folder of textures, or "" for a drawn surface
    room: str
    place: str
    line: tuple[float, float]  # where the corner or the line to the next surface is: position, slant
    furniture: str  # what stands in front, or ""
    view: View
    light: Light
    damages: tuple[Damage, ...]
    look_alike: str

    def to_json(self) -> dict[str, object]:
        """The record as plain JSON values."""
        return asdict(self)

    @property
    def stance(self) -> str:
        """Whether the surface is a wall, a ceiling or a floor."""
        return SETTINGS[self.surface].stance


def scene_from_json(data: dict[str, Any]) -> Scene:
    """The record that `Scene.to_json` wrote; raises WetgenError when a key is missing or not known."""
    plain = {key: _tuple(value) for key, value in data.items()}
    plain["view"] = _record(View, data.get("view"))
    plain["light"] = _record(Light, data.get("light"))
    plain["damages"] = tuple(_record(Damage, damage) for damage in data.get("damages", ()))
    return _record(Scene, plain)


def _record(kind: type, data: Any) -> Any:
    wanted = {field.name for field in fields(kind)}
    given = set(data) if isinstance(data, dict) else set()
    if wanted != given:
        raise WetgenError(
            f"These scene parameters have no usable {kind.__name__.lower()}.",
            why=f"missing: {sorted(wanted - given)}; not known: {sorted(given - wanted)}.",
            fix="take the `parameters` of a row that this version of `wetgen-train scenes` wrote.",
        )
    return kind(**{key: _tuple(value) for key, value in data.items()})


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def stream(seed: int, index: int, layer: int = 0) -> np.random.Generator:
    """The random numbers of one layer of one scene; layers do not disturb each other."""
    return np.random.Generator(np.random.Philox(key=[seed, index], counter=[0, 0, layer, 0]))
