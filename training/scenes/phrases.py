"""The words of the captions: names of surfaces and damages, grades, places, causes, and which nouns are counted."""

SURFACES = {
    "plaster": ("wall", "plaster wall", "painted wall", "wall", "interior wall"),
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
    "crack": ("crack", "crack line", "fracture", "crack"),
    "stain": ("water stain", "stain", "water mark", "damp patch", "water leak stain", "tide mark", "damp stain"),
    "mold": ("mold", "mold growth", "mildew", "mold spots", "fungal growth", "patch of mold", "mold colonies"),
    "peeling": ("peeling paint", "flaking paint", "blistering paint", "bubbling paint"),
    "peeling paint": ("peeling paint", "flaking paint", "peeling", "patch of peeling paint", "flakes of peeling paint"),
    "bubbling paint": ("bubbling paint", "blistering paint", "paint bubbles", "paint blisters", "bubbling"),
    "peeling wallpaper": ("peeling wallpaper", "torn peeling wallpaper", "peeling paper"),
    "bubbling wallpaper": ("bubbling wallpaper", "wallpaper bubbles", "bubbling paper"),
    "puddle": ("puddle", "puddle of water", "pool of water", "standing water"),
    "lifted": ("lifted tiles", "loose tiles", "buckled tiles", "raised tiles"),
    "lifted boards": ("lifted boards", "loose boards", "lifted tiles", "lifted planks", "buckled boards"),
    "cupped boards": ("warped boards", "cupped boards", "warped planks", "cupped planks"),
    "spalling": ("spalling", "crumbling surface", "patch of spalling", "spalled area", "crumbling patch"),
    "efflorescence": (
        "efflorescence",
        "white salt deposits",
        "salt efflorescence",
        "white efflorescence",
        "salt crust",
    ),
    "corrosion": ("rust", "corrosion", "rust streaks", "rusty corrosion", "rust runs"),
}
GRADES = {
    "trace": ("slight", "faint", "minor", "slight", "faint"),
    "moderate": ("moderate", "visible", "noticeable", "clear"),
    "severe": ("severe", "heavy", "serious", "bad", "pronounced"),
}
SMALL, LARGE = 0.19, 0.30  # extents below and above which the words of size are said
LENGTHS = {"small": ("short", "small"), "middle": ("",), "large": ("long", "long", "large")}
SPREADS = {"small": ("",), "middle": ("",), "large": ("extensive", "widespread")}  # of what one cannot count
SIZES = {
    "small": ("small", "small", "little"),
    "middle": ("",),
    "large": ("large", "large", "extensive", "widespread"),
}
CAUSES = (
    "after a leak",
    "from water damage",
    "caused by moisture",
    "after flooding",
    "from a leaking pipe",
    "due to humidity",
    "after days of rain",
    "from water getting in",
)
PLACES = {
    "middle": ("in the middle", "in the centre"),
    "corner": ("in the corner", "at the corner"),
    "floor line": ("near the floor line", "above the skirting", "near the floor"),
    "ceiling line": ("below the ceiling", "near the ceiling line"),
    "wall edge": ("near the edge of the room", "along the edge"),
    "anywhere": ("",),
}
# What rust runs from, by style.
THINGS = {"nail": "rusty nails", "plate": "a rusty metal plate", "pipe": "a rusty pipe"}
CLEAN = (
    "a clean {surface} {room}",
    "undamaged {surface} {room}",
    "the {surface} {room} {shows} no damage",
    "{a} with no visible damage {room}",
    "{a} {room} without damage",
    "dry and intact {surface} {room}",
    "a photo of the {surface} {room}, dry and clean",
    "nothing wrong with the {surface} {room}",
    "{a} {room} in good condition",
)
OWN = {
    "bubbling paint": (
        "the water drip created a bubbling effect on the {surface} paint",
        "moisture made the paint bubble on the {surface} {room}",
        "the paint on the {surface} {room} is blistering {cause}",
        "{bare} where water got behind the paint {on} {room}",
    ),
    "bubbling wallpaper": (
        "damp behind the {surface} {room} made it bubble",
        "the {surface} {room} {has} come off in bubbles {cause}",
    ),
    "peeling paint": (
        "moisture is making the paint peel off the {surface} {room}",
        "the paint is peeling off the {surface} {room} {cause}",
        "paint flaking off the {surface} {room}",
    ),
    "peeling wallpaper": (
        "moisture is making the {surface} peel {room}",
        "the {surface} {room} is peeling off {cause}",
    ),
    "mold": (
        "{colour} mold is growing on the {surface} {room}",
        "on the {surface} {room}, {colour} mold is growing",
        "{colour} mold spreads over the {surface} {room}",
        "the {surface} {room} {has} gone moldy, {bare}",
    ),
    "stain": (
        "water has dried to {name} on the {surface} {room}",
        "a leak has caused {name} on the {surface}",
        "water came through and left {name} on the {surface} {room}",
        "{name} has spread over the {surface} {room}",
    ),
    "lifted": (
        "on the {surface} there is a patch of {bare}",
        "water has lifted the {surface} {room}, {bare}",
        "{bare} come off the {surface} {room} {cause}",
    ),
    "puddle": (
        "water has pooled into a puddle on the {surface} {room}",
        "{name} stands on the {surface} {room}",
        "the {surface} {room} {has} {name} {cause}",
    ),
    "corrosion": (
        "{thing} with rust on the {surface} {room}",
        "rust runs from {thing} on the {surface}",
        "water has carried rust from {thing} down the {surface} {room}",
    ),
    "efflorescence": (
        "white salts have come out of the {surface} {room}, {bare}",
        "{bare} left by water that dried on the {surface} {room}",
    ),
    "crack": (
        "{name} runs across the {surface} {room}",
        "the {surface} {room} {has} cracked, {name}",
    ),
    "spalling": (
        "the face of the {surface} {room} has broken away, {bare}",
        "{name} where the {surface} broke off {cause}",
    ),
}
_PLURAL: tuple[str, ...] = (
    "tiles",
    "boards",
    "spots",
    "deposits",
    "streaks",
    "panels",
    "planks",
    "blisters",
    "bubbles",
    "nails",
)
_PLURAL += ("runs", "colonies")
_MASS: tuple[str, ...] = (
    "mold",
    "mildew",
    "growth",
    "paint",
    "water",
    "spalling",
    "efflorescence",
    "rust",
    "corrosion",
    "wallpaper",
)
_MASS += ("concrete", "brickwork", "plaster", "bubbling", "peeling", "paper", "carpet")
_COUNTED = ("puddle", "pool of", "patch of", "wall with", "stain with", "carpet floor")


def _head(noun: str) -> str:
    """The word that decides number: the last before "of" or "with"."""
    for word in (" of ", " with "):
        noun = noun.split(word)[0]
    return noun.split()[-1]


def plural(noun: str) -> bool:
    """Whether a noun phrase takes "are"."""
    return _head(noun) in (*_PLURAL, "flakes")


def uncounted(noun: str) -> bool:
    """Whether a noun phrase is of something one cannot count, and so takes no "a"."""
    counted = any(part in noun for part in _COUNTED) or _head(noun) == "carpet"
    return _head(noun) in _MASS and not counted


def article(noun: str) -> str:
    """The noun phrase with "a" or "an" where it takes one."""
    if plural(noun) or uncounted(noun):
        return noun
    return ("an " if noun[0] in "aeiou" else "a ") + noun
