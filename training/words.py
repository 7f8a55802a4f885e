"""The words captions use for each class: how a generator knows which class a prompt asks for."""

from wetgen.runtime.classes import ClassTable

_SPOKEN = {
    "crack": ("crack", "cracks", "cracked", "cracking", "fissure"),
    "stain": ("stain", "stains", "leak", "leaks", "seepage", "damp", "tide line", "tide mark", "water mark"),
    "mold": ("mold", "mould", "mildew", "biological growth", "algae", "fungal"),
    "peeling": ("peeling", "flaking", "blistering", "bubbling", "blisters", "bubbles"),
    "puddle": ("puddle", "puddles", "standing water", "pooled water"),
    "lifted": ("lifted", "cupped", "buckled", "warped", "raised"),
    "spalling": ("spalling", "spalled", "fallen plaster", "broken plaster", "broken away", "chipped"),
    "efflorescence": ("efflorescence", "lime", "salt", "salts", "leaching", "chalky"),
    "corrosion": ("corrosion", "corroded", "rust", "rusty"),
}


def words_of(table: ClassTable) -> dict[str, list[str]]:
    """Words for every damage class of a table; a class of the user's own is spoken of by its name."""
    return {name: list(_SPOKEN.get(name, (name,))) for name in table.names[1:]}
