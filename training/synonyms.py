"""The words people use for each class: how a generator knows which class a prompt asks for."""

from wetgen.runtime.masks.classes import ClassTable

# A phrase wins over a word inside it: "chipped peeling" is peeling, a "rust coloured" mark is a stain.
_SPOKEN = {
    "crack": (
        *("crack", "cracks", "cracked", "cracking", "fissure", "fissures", "fissured", "fracture", "fractures"),
        *("fractured", "hairline", "crack line", "crack lines", "cracked tiles", "network of cracks"),
    ),
    "stain": (
        *("stain", "stains", "stained", "staining", "stained by water", "water stain", "water stains"),
        *("damp patch", "damp patches", "damp mark", "damp marks", "damp spot", "damp spots", "damp area"),
        *("tide line", "tide lines", "tide mark", "tide marks", "water mark", "water marks", "watermark"),
        *("watermarks", "water spot", "water spots", "water ring", "brown ring", "yellow ring", "ring stain"),
        *("ring from a leak", "leak mark", "leak marks", "moisture mark", "moisture marks", "drip mark", "drip marks"),
        *("wet patch", "wet spot", "dark patch", "soaked patch", "discolouration", "discoloration", "discoloured"),
        *("discolored", "rust coloured", "rust colored"),
    ),
    "mold": (
        *("mold", "molds", "mould", "moulds", "mildew", "mildewed", "moldy", "mouldy", "biological growth"),
        *(
            "fungal growth",
            "fungus",
            "algae",
            "fuzzy growth",
            "black growth",
            "dark growth",
            "black spots",
            "dark patch of mold",
            "dark patch of mould",
        ),
        *("dark spots", "black specks", "dark specks"),
    ),
    "peeling": (
        *("peeling", "peel", "peels", "peeled", "chipped peeling", "flaking", "flakes of paint", "paint flakes"),
        *("chipped paint", "curling paint", "paint loss", "paint coming off", "detached paint", "scaly paint"),
        *("blistering", "blistered", "blister", "blisters", "bubbling", "bubbles", "bubble", "bubbled"),
        *("bulging paint", "swollen paint", "coating has fallen off", "wallpaper coming off", "detached wallpaper"),
        *("curling wallpaper", "torn wallpaper", "bulging wallpaper"),
    ),
    "puddle": (
        *("puddle", "puddles", "standing water", "pool of water", "pools of water", "pool of standing water"),
        *("pooled water", "pooling water", "stagnant water", "surface water", "sheet of water", "film of water"),
        *("spilled water", "water puddle", "partly under water", "is under water", "are under water"),
    ),
    "lifted": (
        *("lifted", "lifting", "loose", "cupped", "cupping", "buckled", "buckling", "warped", "warping", "raised"),
        *("bowed", "heaved", "popped tiles", "dislodged tiles", "tilted tiles", "detached tiles", "uneven tiles"),
        *("uneven boards", "tiles that have come up", "swollen boards", "swollen planks", "swollen laminate"),
        *("swollen floorboards", "swollen parquet"),
    ),
    "spalling": (
        *("spalling", "spalled", "spall", "spalls", "fallen plaster", "broken plaster", "blown plaster"),
        *("missing plaster", "hole in the plaster", "broken away", "broken-away patch", "broken-out patch"),
        *("broken concrete", "broken brick faces", "chipped", "crumbling", "crumbled"),
    ),
    "efflorescence": (
        *("efflorescence", "lime", "salt", "salts", "leaching", "chalky", "salt bloom", "salt crust", "salt veil"),
        *("salt deposits", "lime bloom", "lime deposits", "mineral deposits", "powdery crust", "powdery deposits"),
        *("white deposits", "white crust"),
    ),
    "corrosion": (
        *("corrosion", "corroded", "corroding", "rust", "rusty", "rusting", "rusted", "rust stain", "rust stains"),
        *("rust streaks", "rust runs", "rust marks", "rust spot", "rust ring", "surface rust"),
    ),
}


def words_of(table: ClassTable) -> dict[str, list[str]]:
    """Words for every damage class of a table; a class of the user's own is spoken of by its name."""
    return {name: list(_SPOKEN.get(name, (name,))) for name in table.names[1:]}
