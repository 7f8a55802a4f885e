"""What surfaces there are: how they look, where they are found and which damage they can suffer."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Setting:
    """What a surface kind may look like and suffer."""

    stance: str  # "wall", "ceiling" or "floor"
    span: tuple[float, float]  # metres across the picture
    colours: dict[str, tuple[float, float, float]]
    damages: dict[str, float]  # kind -> weight
    rooms: tuple[str, ...]


_ROOMS = ("bathroom", "bedroom", "kitchen", "basement", "living room", "hallway", "office", "laundry room", "attic")
_PAINTS = {
    "white": (0.88, 0.87, 0.84),
    "cream": (0.87, 0.81, 0.66),
    "beige": (0.76, 0.68, 0.56),
    "grey": (0.62, 0.62, 0.62),
    "light blue": (0.62, 0.73, 0.80),
    "pale green": (0.66, 0.75, 0.62),
    "yellow": (0.87, 0.77, 0.44),
    "pink": (0.84, 0.68, 0.66),
    "terracotta": (0.70, 0.42, 0.31),
    "dark blue": (0.24, 0.33, 0.46),
}
_GREYS = {"grey": (0.60, 0.60, 0.58), "light grey": (0.72, 0.71, 0.69), "dark grey": (0.45, 0.45, 0.44)}
_WOODS = {
    "oak": (0.66, 0.47, 0.28),
    "pale": (0.78, 0.64, 0.45),
    "dark": (0.40, 0.26, 0.17),
    "reddish": (0.50, 0.30, 0.20),
    "grey": (0.52, 0.48, 0.43),
}
_TILES = {
    "white": (0.88, 0.88, 0.87),
    "beige": (0.78, 0.69, 0.57),
    "grey": (0.58, 0.59, 0.60),
    "blue": (0.35, 0.52, 0.66),
    "green": (0.40, 0.58, 0.48),
    "terracotta": (0.68, 0.39, 0.27),
    "dark grey": (0.30, 0.30, 0.31),
}
_BELOW = ("basement", "garage", "cellar", "hallway", "laundry room")

SETTINGS = {
    "plaster": Setting(
        "wall",
        (0.8, 2.2),
        _PAINTS,
        {"stain": 3, "mold": 3, "peeling": 4, "crack": 3.0, "spalling": 3.6, "corrosion": 1},
        _ROOMS,
    ),
    "ceiling": Setting(
        "ceiling",
        (1.0, 2.6),
        {"white": (0.89, 0.89, 0.87), "cream": (0.87, 0.82, 0.70), "grey": (0.70, 0.70, 0.69)},
        {"stain": 4, "mold": 2, "peeling": 4, "crack": 1.5, "spalling": 1.2, "corrosion": 0.7},
        _ROOMS,
    ),
    "wallpaper": Setting("wall", (0.8, 1.8), _PAINTS, {"stain": 3, "mold": 3, "peeling": 4}, _ROOMS[1:7]),
    "concrete wall": Setting(
        "wall",
        (1.0, 2.4),
        _GREYS,
        {"stain": 1, "mold": 1, "crack": 2, "spalling": 2.5, "efflorescence": 4, "corrosion": 2.5},
        _BELOW,
    ),
    "concrete floor": Setting(
        "floor", (1.0, 2.4), _GREYS, {"puddle": 4, "stain": 1, "crack": 1.5, "spalling": 1}, _BELOW
    ),
    "brick": Setting(
        "wall",
        (0.7, 1.5),
        {
            "red": (0.56, 0.31, 0.24),
            "brown": (0.45, 0.29, 0.21),
            "yellow": (0.72, 0.57, 0.36),
            "dark red": (0.42, 0.22, 0.18),
        },
        {"efflorescence": 5, "spalling": 1.5, "mold": 1.5, "crack": 1.8, "corrosion": 1.5},
        (*_BELOW, "living room"),
    ),
    "wooden floor": Setting(
        "floor",
        (0.7, 1.6),
        _WOODS,
        {"lifted": 5, "puddle": 3, "stain": 1.5},
        ("living room", "bedroom", "hallway", "kitchen", "office"),
    ),
    "tile wall": Setting(
        "wall",
        (0.7, 1.6),
        _TILES,
        {"mold": 4, "crack": 1.5, "corrosion": 2, "stain": 0.4},
        ("bathroom", "kitchen", "laundry room"),
    ),
    "tile floor": Setting(
        "floor",
        (0.9, 2.0),
        _TILES,
        {"lifted": 5, "puddle": 4, "crack": 1},
        ("bathroom", "kitchen", "laundry room", "hallway"),
    ),
    "carpet": Setting(
        "floor",
        (0.8, 1.8),
        {
            "beige": (0.68, 0.59, 0.47),
            "grey": (0.50, 0.50, 0.51),
            "blue": (0.27, 0.35, 0.47),
            "red": (0.50, 0.20, 0.19),
            "green": (0.34, 0.42, 0.32),
        },
        {"stain": 4, "mold": 1.5},
        ("bedroom", "living room", "office", "hallway"),
    ),
    "ceiling panels": Setting(
        "ceiling",
        (1.3, 2.6),
        {"white": (0.86, 0.86, 0.84), "cream": (0.83, 0.79, 0.69), "grey": (0.70, 0.70, 0.70)},
        {"stain": 5, "mold": 2, "corrosion": 1},
        ("office", "hallway", "basement", "kitchen"),
    ),
}
# How often a surface is drawn: walls and ceilings are most of what is photographed; floors carry two classes alone.
SURFACE_WEIGHTS = {
    "plaster": 2.0,
    "ceiling": 1.8,
    "wallpaper": 1.1,
    "concrete wall": 1.3,
    "concrete floor": 0.9,
    "brick": 1.5,
    "wooden floor": 1.7,
    "tile wall": 1.1,
    "tile floor": 1.5,
    "carpet": 0.6,
    "ceiling panels": 0.8,
}


def nearest_colour(surface: str, rgb: tuple[float, float, float]) -> str:
    """The name, of those a surface goes by, nearest to a colour."""
    colours = SETTINGS[surface].colours
    return min(colours, key=lambda name: float(np.square(np.subtract(colours[name], rgb)).sum()))
