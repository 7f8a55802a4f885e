"""Which damages a picture gets, and in which shapes: from a mask, from boxes, or at random.

Sizes are (height, width).

classes.csv: which damages are painted, how often, how large, how severe.

class (needed), prompt, probability (of a picture to have it, 0 to 1), least_count, most_count, least_size, most_size
(shares of the picture's area), least_aspect, most_aspect (width to height), least_severity, most_severity (0 to 1),
overlap (never, any, or the greatest intersection over union).

`wetgen paint --masks`: a mask for every photograph says what lies where.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.inpaint.blend import dilated
from wetgen.runtime.inpaint.painter import Damage
from wetgen.runtime.layouts.boxes import BoxDamage, BoxRow, boxes_of
from wetgen.runtime.layouts.layout import draw_layout
from wetgen.runtime.layouts.place import Overlap, Wish, place
from wetgen.runtime.layouts.surfaces import Lines
from wetgen.runtime.masks.classes import unknown_ids
from wetgen.runtime.masks.images import Pixels, read_mask
from wetgen.runtime.masks.regions import Box, connected_components
from wetgen.runtime.masks.statistics import ClassStatistics, area_for
from wetgen.runtime.prompts.mentions import mentioned_classes
from wetgen.runtime.tables import Column, TableRow, read_table

_RANGES = ("count", "size", "aspect", "severity")
COLUMNS = {
    "class": Column(required=True, filled=True),
    "prompt": Column(),
    "probability": Column(),
    **{f"{end}_{name}": Column() for name in _RANGES for end in ("least", "most")},
    "overlap": Column(),
}
MOST = 50  # damages of one class in a picture
_FILLED = 0.35  # of its box that damage covers, about
_ASPECT = (0.6, 1.7)


@dataclass(frozen=True)
class DamageClass:
    """A row of classes.csv."""

    name: str
    prompt: str
    probability: float
    count: tuple[int, int]
    size: tuple[float, float]
    aspect: tuple[float, float]
    severity: tuple[float, float]
    overlap: Overlap

    def wishes(self, rng: np.random.Generator) -> list[Wish]:
        """What a picture is to have of it, drawn at random."""
        there = float(rng.random()) < self.probability
        count = int(rng.integers(self.count[0], self.count[1], endpoint=True))
        severities = rng.uniform(*self.severity, size=count)
        wishes = [Wish(self.name, self.size, self.aspect, float(each), self.overlap) for each in severities]
        return wishes if there else []


def read_classes(
    path: Path, names: Sequence[str], words: Mapping[str, Sequence[str]], statistics: Mapping[str, ClassStatistics]
) -> list[DamageClass]:
    """The rows of classes.csv; `names` are the classes there are. Raises WetgenError with line and column."""
    rows = [_row(row, names, words, statistics) for row in read_table(path, COLUMNS)]
    if not rows:
        raise WetgenError(
            f"{path} holds no classes.", why="there is nothing below its header.", fix="write one a line: stain"
        )
    return rows


def _row(
    row: TableRow, names: Sequence[str], words: Mapping[str, Sequence[str]], statistics: Mapping[str, ClassStatistics]
) -> DamageClass:
    name = row.one_of("class", names)
    probability = row.number("probability", 0, 1)
    usual = tuple(min(0.5, area_for(statistics.get(name), severity) / _FILLED) for severity in (0.25, 0.75))
    counts = _range(row, "count", (1.0, 1.0), 0, MOST)
    for end, count in zip(("least_count", "most_count"), counts, strict=True):
        if count != int(count):
            raise row.fault(end, f"is {count:g}", "damages are counted", "write 1, 2, 3.")
    return DamageClass(
        name,
        row.text("prompt") or spoken(name, words),
        1.0 if probability is None else probability,
        (int(counts[0]), int(counts[1])),
        _range(row, "size", (usual[0], usual[1]), 1e-5, 1),
        _range(row, "aspect", _ASPECT, 0.05, 20),
        _range(row, "severity", (0.0, 1.0), 0, 1),
        _overlap(row),
    )


def spoken(name: str, words: Mapping[str, Sequence[str]]) -> str:
    """A class as a prompt: the first of its words."""
    return words[name][0] if words.get(name) else name


def _range(row: TableRow, name: str, usual: tuple[float, float], least: float, most: float) -> tuple[float, float]:
    """The least and greatest of a range, each as the row says or the usual one, in order."""
    low, high = row.number(f"least_{name}", least, most), row.number(f"most_{name}", least, most)
    low = min(usual[0], high if high is not None else usual[0]) if low is None else low
    high = max(usual[1], low) if high is None else high
    if low > high:
        raise row.fault(f"least_{name}", f"is {low:g}", f"most_{name} is {high:g}", "exchange the two.")
    return low, high


def _overlap(row: TableRow) -> Overlap:
    text = row.text("overlap")
    if text is None or text == "never":
        return "never"
    if text == "any":
        return "any"
    try:
        return row.as_number("overlap", text, 0, 1)
    except WetgenError as error:
        why = "it is never, any, or the greatest intersection over union, 0 to 1."
        raise WetgenError(error.what, why=why, fix="write never, any or a number such as 0.2.") from error


_LANE = 0x9A1D  # Philox's counter word of these choices; noise, scenes and layouts have others
_MARGIN = 0.15  # of the longer side of damage, that may change around it
_LEAST_MARGIN = 12  # pixels: damage is placed by cells of the latent, and may end one and a half beyond


class Planned(NamedTuple):
    """A damage to be painted, its class, and its severity if it has one."""

    damage: Damage
    class_name: str
    severity: float | None


class Planner(Protocol):
    """Says what a picture gets."""

    def plan(self, index: int, attempt: int, name: str, size: tuple[int, int]) -> tuple[list[Planned], list[str]]:
        """The damages for the picture called `name`, of that size, and what was left out for which reason."""


@dataclass(frozen=True)
class InBoxes:
    """Damages in the boxes of a file; `prompts` by class, for boxes that have none of their own."""

    bundle: Bundle
    seed: int
    rows: Sequence[BoxRow]
    prompts: Mapping[str, str] = field(default_factory=dict)

    def plan(self, index: int, attempt: int, name: str, size: tuple[int, int]) -> tuple[list[Planned], list[str]]:
        rng = choices(self.seed, index, attempt)
        return [in_box(rng, self.bundle, each, self.prompts, size) for each in boxes_of(self.rows, name, size)], []


@dataclass(frozen=True)
class AtRandom:
    """Damages of these classes in boxes at random, where each class is found."""

    bundle: Bundle
    seed: int
    classes: Sequence[DamageClass]
    lines: Lines

    def plan(self, index: int, attempt: int, name: str, size: tuple[int, int]) -> tuple[list[Planned], list[str]]:
        rng, dropped = choices(self.seed, index, attempt), list[str]()
        wishes = [(wish, each.prompt) for each in self.classes for wish in each.wishes(rng)]
        gone = set[int]()

        def drop(wish: Wish, why: str) -> None:
            gone.add(id(wish))
            dropped.append(f"{wish.class_name}: {why}")

        placed = place(rng, size, [wish for wish, _ in wishes], self.lines, dropped=drop)
        prompts = [prompt for wish, prompt in wishes if id(wish) not in gone]  # what is placed is so in its order
        boxes = [
            BoxDamage(each.class_name, each.box, each.severity, prompt)
            for each, prompt in zip(placed, prompts, strict=True)
        ]
        return [in_box(rng, self.bundle, each, {}, size) for each in boxes], dropped


def in_box(
    rng: np.random.Generator, bundle: Bundle, given: BoxDamage, prompts: Mapping[str, str], size: tuple[int, int]
) -> Planned:
    """A damage in a box of a picture of `size`, in a shape of its class; a margin around the box may change too."""
    assert bundle.classes is not None
    severity = float(rng.random()) if given.severity is None else given.severity
    whole = Box(0, 0, given.box.width, given.box.height)
    shape = [BoxDamage(given.class_name, whole, severity)]
    mask = draw_layout(rng, given.box.size, shape, bundle.mask_statistics, bundle.classes)
    prompt = given.prompt or prompts.get(given.class_name) or spoken(given.class_name, bundle.words)
    region = with_margin(given.box, size)[0]
    padded = np.zeros(region.size, np.uint8)
    padded[Box(given.box.left - region.left, given.box.top - region.top, *given.box.size[::-1]).slices] = mask
    return Planned(Damage(prompt, region, padded), given.class_name, severity)


def of_mask(mask: Pixels, bundle: Bundle, prompt: str | None, severity: float | None = None) -> list[Planned]:
    """The damages that a mask uint8 (H, W) shows: what lies near each other is painted together, class by class.

    Around each mask a margin may change too, so that damage need not end in a step. With a `prompt` that names the
    class it is that, else the class's own word.
    """
    planned = []
    for class_id in (int(each) for each in np.unique(mask) if each):
        assert bundle.classes is not None
        name = bundle.classes.names[class_id]
        said = prompt if prompt is not None and mentioned_classes(prompt, bundle.words) in ((name,), ()) else None
        for box, margin in _groups((mask == class_id).astype(np.uint8)):
            here = np.where(mask[box.slices] == class_id, mask[box.slices], 0).astype(np.uint8)
            damage = Damage(said or spoken(name, bundle.words), box, here, dilated(here > 0, margin))
            planned.append(Planned(damage, name, severity))
    return planned


def choices(seed: int, index: int, attempt: int) -> np.random.Generator:
    """The random numbers of a pair's choices at a try."""
    key, counter = np.array([seed, index], np.uint64), np.array([0, attempt, _LANE, 0], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def _groups(region: Pixels) -> list[tuple[Box, int]]:
    """Boxes around all of a region (H, W), with margins; those that would overlap are one."""
    boxes = [Box(each.left, each.top, each.width, each.height) for each in connected_components(region)]
    while True:
        grown = [with_margin(box, region.shape) for box in boxes]
        together: dict[int, Box] = {}
        for owner, box in zip(_owners([box for box, _ in grown]), boxes, strict=True):
            together[owner] = _union(together[owner], box) if owner in together else box
        if len(together) == len(boxes):
            return grown
        boxes = list(together.values())


def _owners(boxes: Sequence[Box]) -> list[int]:
    """For each box the first of those that it hangs together with, overlap by overlap."""
    edges = np.array([(box.left, box.top, box.right, box.bottom) for box in boxes], np.int64)
    owners = np.arange(len(boxes))
    for left, top, right, bottom in edges:
        meets = (edges[:, 0] < right) & (left < edges[:, 2]) & (edges[:, 1] < bottom) & (top < edges[:, 3])
        met = np.unique(owners[meets])
        owners[np.isin(owners, met)] = met[0]
    return [int(owner) for owner in owners]


def with_margin(box: Box, shape: tuple[int, ...]) -> tuple[Box, int]:
    """A box with what may change around it, inside a picture of that shape, and the margin in pixels."""
    margin = max(_LEAST_MARGIN, round(_MARGIN * max(box.size)))
    return box.grown(margin).clip((shape[0], shape[1])), margin


def _union(one: Box, other: Box) -> Box:
    left, top = min(one.left, other.left), min(one.top, other.top)
    return Box(left, top, max(one.right, other.right) - left, max(one.bottom, other.bottom) - top)


@dataclass(frozen=True)
class InMasks:
    """Damages as the masks of a folder have them; `prompts` by class."""

    bundle: Bundle
    folder: Path
    prompts: Mapping[str, str] = field(default_factory=dict)

    def check(self, photographs: Sequence[Path]) -> None:
        """Raise WetgenError unless there is a mask for every photograph."""
        lacking = [path.name for path in photographs if not mask_path(self.folder, path.name).is_file()]
        if lacking:
            raise WetgenError(
                f"{self.folder} lacks the mask of {lacking[0]}.",
                why=f"{mask_path(self.folder, lacking[0]).name} is not there"
                f"{f', and neither are {len(lacking) - 1} more' if len(lacking) > 1 else ''}.",
                fix="name each mask as its photograph, with .png; an undamaged one is all 0.",
            )

    def plan(self, index: int, attempt: int, name: str, size: tuple[int, int]) -> tuple[list[Planned], list[str]]:
        path = mask_path(self.folder, name)
        mask = read_mask(path)
        assert self.bundle.classes is not None
        fault = unknown_ids(mask, self.bundle.classes, str(path))
        if fault is not None:
            raise fault
        if mask.shape != size:
            raise WetgenError(
                f"{path} is {mask.shape[1]} x {mask.shape[0]}, its photograph {name} is {size[1]} x {size[0]}.",
                why="a mask says of every pixel of its photograph what lies there (sizes are width x height).",
                fix="make the mask again at the photograph's size; its EXIF orientation counts.",
            )
        planned = of_mask(mask, self.bundle, None)
        return [
            each._replace(damage=replace(each.damage, prompt=self.prompts.get(each.class_name, each.damage.prompt)))
            for each in planned
        ], []


def mask_path(folder: Path, name: str) -> Path:
    """Where the mask of the photograph called `name` lies."""
    return folder / f"{Path(name).stem}.png"
