"""The words captions use for each class: how a generator knows which class a prompt asks for."""

from wetgen.runtime.masks.classes import ClassTable

# A phrase wins over a word inside it: "chipped peeling" is peeling, a "rust coloured" mark is a stain.
_SPOKEN = {
    "crack": ("crack", "cracks", "cracked", "cracking", "fissure", "fissures", "fracture", "fractures"),
    "stain": (
        "stain",
        "stains",
        "stained by water",
        "damp patch",
        "damp mark",
        "tide line",
        "tide mark",
        "water mark",
        "rust coloured",
        "rust colored",
    ),
    "mold": ("mold", "mould", "mildew", "moldy", "mouldy", "biological growth", "fungal growth", "algae"),
    "peeling": (
        "peeling",
        "peel",
        "peels",
        "chipped peeling",
        "flaking",
        "blistering",
        "blisters",
        "bubbling",
        "bubbles",
        "bubble",
        "coating has fallen off",
    ),
    "puddle": ("puddle", "puddles", "standing water", "pool of water", "pooled water", "pooling water"),
    "lifted": ("lifted", "loose", "cupped", "buckled", "warped", "raised"),
    "spalling": (
        "spalling",
        "spalled",
        "fallen plaster",
        "broken plaster",
        "broken away",
        "broken concrete",
        "chipped",
        "crumbling",
    ),
    "efflorescence": ("efflorescence", "lime", "salt", "salts", "leaching", "chalky"),
    "corrosion": ("corrosion", "corroded", "rust", "rusty"),
}


def words_of(table: ClassTable) -> dict[str, list[str]]:
    """Words for every damage class of a table; a class of the user's own is spoken of by its name."""
    return {name: list(_SPOKEN.get(name, (name,))) for name in table.names[1:]}
