"""The words people have for surfaces, rooms, colours and damages, by what the record of a scene says.

"*" before a noun: several, "the tiles are"; "~": what one cannot count, "some mold". Damages are listed by class, or by
class and what narrows it: a style, a surface, a severity. Every damage noun holds a word of
`training/synonyms.py`, by which a prompt's class is known.
"""

from typing import NamedTuple

from wetgen.training.scenes.scene import Damage, Scene


class Noun(NamedTuple):
    """A noun and its number: "one", "many" or "mass"."""

    text: str
    number: str


def noun(marked: str) -> Noun:
    """The noun of a marked word."""
    return Noun(marked.lstrip("*~"), {"*": "many", "~": "mass"}.get(marked[0], "one"))


SURFACES = {
    "plaster": ("wall", "wall", "painted wall", "plaster wall", "plastered wall", "interior wall", "~plaster"),
    "ceiling": ("ceiling", "ceiling", "painted ceiling", "plaster ceiling", "plastered ceiling", "ceiling plaster"),
    "wallpaper": ("papered wall", "wallpapered wall", "wall with wallpaper", "wall covering", "~wallpaper"),
    "concrete wall": (
        *("concrete wall", "bare concrete wall", "raw concrete wall", "cast concrete wall", "concrete surface"),
        "~concrete",
    ),
    "concrete floor": (
        *("concrete floor", "concrete slab", "bare concrete floor", "floor slab", "cement floor", "slab", "screed"),
    ),
    "brick": (
        *("brick wall", "bare brick wall", "exposed brick wall", "masonry wall", "~brickwork", "~masonry", "*bricks"),
    ),
    "wooden floor": (
        *("wooden floor", "wood floor", "hardwood floor", "parquet floor", "laminate floor", "plank floor"),
        *("timber floor", "~parquet", "~laminate", "~wood flooring", "*floorboards"),
    ),
    "tile wall": ("tiled wall", "tile wall", "ceramic tile wall", "~wall tiling", "*wall tiles", "*ceramic wall tiles"),
    "tile floor": (
        *("tiled floor", "tile floor", "ceramic floor", "ceramic tile floor", "~tiled flooring", "*floor tiles"),
    ),
    "carpet": ("carpet", "carpet", "carpeted floor", "carpet floor", "fitted carpet", "~carpeting"),
    "ceiling panels": (
        *("suspended ceiling", "drop ceiling", "dropped ceiling", "panel ceiling", "*ceiling panels"),
        *("*ceiling tiles", "*acoustic tiles", "*acoustic panels"),
    ),
}
COLOURS = {
    "white": ("white", "white", "off-white"),
    "cream": ("cream", "cream coloured", "ivory"),
    "beige": ("beige", "beige", "sand coloured", "tan"),
    "grey": ("grey", "gray"),
    "light grey": ("light grey", "light gray", "pale grey"),
    "dark grey": ("dark grey", "dark gray", "charcoal"),
    "light blue": ("light blue", "pale blue", "bluish"),
    "pale green": ("pale green", "light green", "mint green"),
    "pink": ("pink", "rose coloured"),
    "yellow": ("yellow", "yellowish"),
    "dark blue": ("dark blue", "navy blue"),
    "terracotta": ("terracotta", "terracotta", "brick coloured"),
    "oak": ("oak", "light brown", "honey coloured"),
    "pale": ("pale", "blond"),
    "dark": ("dark", "dark brown"),
    "reddish": ("reddish", "reddish brown", "mahogany"),
    "red": ("red", "red", "reddish"),
    "dark red": ("dark red", "deep red"),
    "brown": ("brown", "brownish"),
    "blue": ("blue", "bluish"),
    "green": ("green", "greenish"),
}
STAIN_COLOURS = {
    "brown": ("brown", "brown", "brownish"),
    "yellow": ("yellow", "yellow", "yellowish"),
    "dark": ("dark",),
    "rusty": ("rust coloured", "reddish brown", "orange brown"),
}
MOLD_COLOURS = {
    "black": ("black", "black", "dark"),
    "dark green": ("dark green", "dark"),
    "green": ("green", "greenish"),
    "grey": ("grey", "gray", "greyish"),
}
SALT_COLOURS = ("white", "white", "whitish", "pale")
ROOMS = {
    "bathroom": ("bathroom", "bathroom", "shower room", "washroom", "bath"),
    "bedroom": ("bedroom", "bedroom", "sleeping room"),
    "kitchen": ("kitchen",),
    "basement": ("basement", "basement", "cellar"),
    "cellar": ("cellar", "basement"),
    "living room": ("living room", "living room", "lounge", "sitting room"),
    "hallway": ("hallway", "hall", "corridor"),
    "office": ("office", "office", "study"),
    "laundry room": ("laundry room", "laundry", "utility room"),
    "attic": ("attic", "loft"),
    "garage": ("garage",),
}
PLACES = {
    "middle": ("in the middle", "in the centre", "in the center"),
    "corner": ("in the corner", "at the corner", "in a corner"),
    "floor line": ("near the floor", "above the skirting", "low down", "at the base", "near the skirting board"),
    "ceiling line": ("below the ceiling", "near the ceiling", "high up", "just under the ceiling"),
    "wall edge": ("near the edge of the room", "along the edge"),
    "anywhere": ("",),
}
CAUSES = (
    *("after a leak", "from water damage", "caused by moisture", "due to humidity", "from a leaking pipe"),
    *("after days of rain", "because of damp", "after a burst pipe", "after the flood", "since the leak upstairs"),
    *("from rising damp", "because of a leak", "after a water leak", "due to damp"),
)
LOOK_ALIKES = {  # what is there and is no damage
    "shadow": ("a shadow", "shadows"),
    "window light": ("light from a window", "sunlight"),
    "dirt": ("dirt", "some dirt"),
    "scuffs": ("scuff marks", "scuffs"),
    "cable": ("a cable", "a hanging cable"),
}
FURNITURE = {
    "socket": ("a socket", "a power socket"),
    "switch": ("a switch", "a light switch"),
    "cabinet": ("a cabinet", "a cupboard"),
    "door": ("a door",),
    "pipe": ("a pipe",),
    "lamp": ("a lamp", "a ceiling lamp"),
    "vent": ("a vent", "an air vent"),
    "alarm": ("a smoke alarm", "a smoke detector"),
    "leg": ("a table leg",),
}
GRADES = {
    "trace": ("slight", "faint", "minor"),
    "moderate": ("moderate", "visible", "noticeable", "obvious"),
    "severe": ("severe", "heavy", "serious", "bad", "major"),
}
ADVERBS = {
    "trace": ("slightly", "a little", "faintly"),
    "moderate": ("visibly", "clearly", "noticeably"),
    "severe": ("badly", "heavily", "severely"),
}
SMALL, LARGE = 0.19, 0.30  # extents below and above which words of size are said
SIZES = {  # by number of the noun
    "one": {"small": ("small", "little"), "large": ("large", "big", "extensive", "sizeable")},
    "many": {"small": ("a small area of",), "large": ("extensive", "widespread", "a large area of")},
    "mass": {"small": ("some", "a little", "a small area of"), "large": ("extensive", "widespread", "a lot of")},
}
LENGTHS = {"small": ("short", "small"), "large": ("long", "long", "large")}
WIDTHS = {"trace": ("fine", "thin", "narrow"), "severe": ("wide", "open", "gaping", "deep")}
DAMAGES = {
    "crack": ("crack", "crack", "fracture", "fissure", "crack line"),
    "crack trace": ("hairline crack", "hairline fracture", "fine crack", "thin fissure"),
    "crack branching": ("branching crack", "forked crack", "crack with branches", "*cracks"),
    "crack web": (
        *("*cracks", "network of cracks", "web of cracks", "~map cracking", "~cracking", "*fissures", "*fractures"),
        "*crack lines",
    ),
    "crack brick": ("stepped crack", "stair-step crack", "crack along the joints"),
    "crack concrete": ("~cracked concrete",),
    "crack plaster": ("~cracked plaster",),
    "crack tile": ("*cracked tiles",),
    "stain": (
        *("stain", "stain", "water stain", "water stain", "damp patch", "damp stain", "damp spot", "damp mark"),
        *("water mark", "watermark", "tide mark", "tide line", "water spot", "leak stain", "leak mark"),
        *("moisture stain", "moisture mark", "stained patch", "stained area", "~staining", "~discolouration"),
        *("~discoloration", "discoloured patch", "discolored area"),
    ),
    "stain ring": ("water ring", "ring stain", "ring from a leak"),
    "stain dark": ("wet patch", "wet spot", "dark patch", "damp area", "soaked patch"),
    "stain drip": ("drip stain", "drip mark", "water stain with drips", "stain with runs", "*drip marks"),
    "mold": (
        *("~mold", "~mold", "~mould", "~mould", "~mildew", "~mold growth", "~mould growth", "~fungal growth"),
        *("~fungus", "patch of mold", "patch of mould", "mold patch", "mould patch", "mold infestation"),
    ),
    "mold spots": (
        *("*mold spots", "*mould spots", "*spots of mold", "*specks of mould", "*mildew spots", "*moldy spots"),
        *("*mouldy specks", "*spots of mildew"),
    ),
    "mold spots black": ("*black spots", "*dark spots", "*black specks", "~black growth"),
    "mold colony": ("*mold colonies", "*mould colonies", "~fuzzy mold", "~fuzzy growth", "~moldy growth"),
    "mold haze": ("film of mold", "film of mildew", "haze of mold", "veil of mildew", "mouldy film"),
    "peeling flakes": (
        *("~peeling paint", "~flaking paint", "~peeling paint", "~flaking emulsion", "~peeling emulsion"),
        *("*paint flakes", "*flakes of paint", "~chipped paint", "~curling paint", "~paint loss", "~peeling"),
        *("~flaking", "patch of peeling paint", "~paint coming off", "~detached paint", "~scaly paint"),
    ),
    "peeling bubbles": (
        *("~bubbling paint", "~blistering paint", "~blistered paint", "~bubbled paint", "*paint blisters"),
        *("*paint bubbles", "*blisters in the paint", "*bubbles in the paint", "~blistering", "~bubbling"),
        *("~bulging paint", "~swollen paint"),
    ),
    "peeling flakes wallpaper": (
        *("~peeling wallpaper", "~wallpaper coming off", "~detached wallpaper", "~curling wallpaper"),
        *("~torn wallpaper", "~peeling paper", "~wallpaper peeling away", "~flaking wallpaper"),
    ),
    "peeling bubbles wallpaper": (
        *("*wallpaper bubbles", "~bubbling wallpaper", "~blistered wallpaper", "*bubbles in the wallpaper"),
        *("*blisters in the wallpaper", "~bulging wallpaper", "~bubbling paper"),
    ),
    "puddle": (
        *("puddle", "puddle", "puddle of water", "pool of water", "water puddle", "~standing water"),
        *("~pooled water", "~pooling water", "~stagnant water", "sheet of water", "film of water"),
        *("~surface water", "pool of standing water", "~spilled water"),
    ),
    "lifted tile": (
        *("*lifted tiles", "*loose tiles", "*raised tiles", "*buckled tiles", "*popped tiles", "*heaved tiles"),
        *("*dislodged tiles", "*tilted tiles", "*detached tiles", "*tiles that have come up", "*tiles lifting off"),
        *("*uneven tiles", "*lifting tiles"),
    ),
    "lifted boards": (
        *("*lifted boards", "*loose boards", "*raised boards", "*buckled boards", "*lifted planks"),
        *("*loose floorboards", "*lifted floorboards", "~buckled parquet", "~buckled laminate", "~lifted laminate"),
        *("~lifting parquet", "*raised planks", "*uneven boards"),
    ),
    "lifted cupped": (
        *("*warped boards", "*cupped boards", "*cupped planks", "*warped floorboards", "*warped planks"),
        *("*swollen boards", "*swollen planks", "~swollen laminate", "~warped parquet", "~warped laminate"),
        *("*bowed boards", "*bowed planks", "~cupping"),
    ),
    "spalling": (
        *("~spalling", "spalled area", "spalled patch", "patch of spalling", "spall", "broken-out patch"),
        *("crumbling patch", "crumbling area", "broken-away patch", "crumbling surface"),
    ),
    "spalling plaster": (
        *("~crumbling plaster", "~blown plaster", "~fallen plaster", "~broken plaster", "~missing plaster"),
        *("hole in the plaster", "~crumbled plaster"),
    ),
    "spalling concrete": (
        *("~spalled concrete", "~crumbling concrete", "~broken concrete", "~concrete spalling"),
        "~chipped concrete",
    ),
    "spalling brick": ("*spalled bricks", "*crumbling bricks", "*broken brick faces", "~spalled brickwork"),
    "efflorescence": (
        *("~efflorescence", "~efflorescence", "~salt efflorescence", "*salt deposits", "salt crust", "salt bloom"),
        *("*salts", "~lime bloom", "*lime deposits", "*mineral deposits", "*salt crystals", "~salt residue"),
        *("*chalky deposits", "powdery crust", "*powdery deposits", "salt veil"),
    ),
    "corrosion": ("~rust", "~rust", "~corrosion", "~corrosion", "~rusting", "~surface rust", "~corroded metal"),
    "corrosion wall": (
        *("*rust streaks", "*rust runs", "*rust marks", "*rust stains", "*rust trails", "rust streak"),
        *("*rusty streaks", "*rusty runs", "~bleeding rust", "*rust drips"),
    ),
    "corrosion ceiling": ("rust spot", "rust ring", "rust mark", "rusty spot", "rust stain"),
    "corrosion nail": ("*rusty nails", "*corroded nails", "*rusting fixings", "*rusty screws"),
    "corrosion plate": ("rusty plate", "corroded metal plate", "rusting bracket", "rusty bracket"),
    "corrosion pipe": ("rusty pipe", "corroded pipe", "rusting pipe"),
}
STATES = {  # what a damaged surface is said to be
    "crack": ("cracked", "cracked", "fractured", "fissured"),
    "stain": ("stained", "stained", "discoloured", "discolored", "water-stained"),
    "mold": ("moldy", "mouldy", "covered in mold", "spotted with mould", "overgrown with mold", "mildewed"),
    "peeling flakes": ("peeling", "flaking", "shedding flakes of paint", "covered in peeling paint"),
    "peeling bubbles": ("blistered", "blistering", "bubbling", "covered in blisters"),
    "peeling flakes wallpaper": ("peeling", "peeling off", "coming off in peeling strips"),
    "peeling bubbles wallpaper": ("bubbling", "blistered", "full of bubbles"),
    "puddle": ("partly under water", "covered by a puddle", "wet with standing water"),
    "lifted": ("lifting", "buckled", "buckling", "heaved"),
    "lifted cupped": ("warped", "cupped", "cupping", "bowed"),
    "spalling": ("spalled", "spalling", "crumbling", "crumbling away"),
    "efflorescence": ("covered in salts", "crusted with salt", "white with salts", "covered in efflorescence"),
    "corrosion": ("marked by rust", "streaked with rust", "covered in rust"),
    "corrosion ceiling": ("marked by rust", "spotted with rust"),
    "corrosion pipe": ("marked by rust", "covered in rust"),
}
ABSENT = {  # what is said not to be there; the same in every number
    "crack": ("cracks", "cracks", "cracking", "fissures"),
    "stain": ("stains", "stains", "water stains", "staining", "damp patches", "water marks"),
    "mold": ("mold", "mold", "mould", "mildew", "mold growth"),
    "peeling": ("peeling paint", "flaking paint", "peeling", "blisters"),
    "puddle": ("puddle", "puddles", "standing water"),
    "lifted": ("lifted tiles", "loose tiles", "raised tiles"),
    "lifted boards": ("lifted boards", "warped boards", "loose boards"),
    "spalling": ("spalling", "spalling", "crumbling", "broken plaster"),
    "efflorescence": ("efflorescence", "salts", "salt deposits"),
    "corrosion": ("rust", "rust", "corrosion", "rust marks"),
}
NOT = {  # what a surface is said not to be
    "crack": ("cracked",),
    "stain": ("stained", "discoloured"),
    "mold": ("moldy", "mouldy"),
    "peeling": ("peeling", "flaking", "blistered"),
    "lifted": ("lifting", "warped", "buckled"),
    "spalling": ("spalled", "crumbling"),
    "corrosion": ("rusty", "corroded"),
}
MATERIALS = {"plaster": "plaster", "ceiling": "plaster", "concrete wall": "concrete", "concrete floor": "concrete"}
MATERIALS |= {"brick": "brick", "tile wall": "tile", "tile floor": "tile"}


def damage_nouns(scene: Scene, damage: Damage) -> tuple[str, ...]:
    """The marked nouns that are true of a damage."""
    kind, style, material = damage.kind, damage.style, MATERIALS.get(scene.surface, "")
    if kind == "crack" and material == "brick":  # one stair along the joints, in every style
        style = "single"
    if kind == "peeling":
        return DAMAGES[f"peeling {style} wallpaper" if scene.surface == "wallpaper" else f"peeling {style}"]
    if kind == "lifted":
        return DAMAGES[
            "lifted tile" if material == "tile" else "lifted cupped" if style == "cupped" else "lifted boards"
        ]
    narrower = [style, material, damage.severity, f"{style} {damage.colour}"]
    if kind == "corrosion" and style != "pipe":  # no run shows along a pipe
        narrower.append("ceiling" if scene.stance == "ceiling" else "wall")
    if kind == "stain":
        narrower = [damage.colour]
        narrower += ["drip"] if style == "drip" and scene.stance == "wall" else []
        narrower += ["ring"] if scene.stance == "ceiling" and damage.colour != "dark" else []
    if kind == "crack" and style == "web":  # never one crack
        return DAMAGES["crack web"]
    return (*DAMAGES[kind], *(word for key in narrower for word in DAMAGES.get(f"{kind} {key}", ())))


def states(scene: Scene, damage: Damage) -> tuple[str, ...]:
    """What may be said of the surface that has this damage: "cracked"."""
    kind = damage.kind
    narrow = [f"{kind} {damage.style} {scene.surface}", f"{kind} {damage.style}", f"{kind} {scene.stance}"]
    if scene.surface == "tile floor":  # tiles don't cup
        narrow = []
    return next(STATES[key] for key in (*narrow, kind) if key in STATES)


def colours(damage: Damage) -> tuple[str, ...]:
    """The colours of a damage; none for those that have no colour of their own."""
    if damage.kind == "efflorescence":
        return SALT_COLOURS
    return {"stain": STAIN_COLOURS, "mold": MOLD_COLOURS}.get(damage.kind, {}).get(damage.colour, ())


def absent(scene: Scene, kind: str) -> tuple[str, ...]:
    """The words for a class that a scene does not show."""
    return ABSENT["lifted boards" if kind == "lifted" and scene.surface == "wooden floor" else kind]
