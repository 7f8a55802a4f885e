"""Plans the damages of an image: from boxes, from a mask, or at random from the classes of classes.csv.

The columns of classes.csv are class (required), prompt, probability (that an image has the class, 0 to 1), least_count
and most_count, least_size and most_size (shares of the image's area), least_aspect and most_aspect (width to height),
least_severity and most_severity (0 to 1), and overlap (never, any, or the greatest intersection over union).

Sizes are (height, width).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.inpaint.blend import dilated
from wetgen.runtime.inpaint.painter import PlannedDamage
from wetgen.runtime.layouts.boxes import BoxDamage, BoxRow, boxes_of
from wetgen.runtime.layouts.layout import draw_layout
from wetgen.runtime.layouts.place import Placement, TakenBox, place
from wetgen.runtime.layouts.surfaces import SurfaceLines
from wetgen.runtime.masks.classes import ClassStatistics, area_for, unknown_ids
from wetgen.runtime.masks.images import Pixels, read_mask
from wetgen.runtime.masks.regions import Box, Size, connected_components
from wetgen.runtime.prompts.text import mentioned_classes
from wetgen.runtime.tables import Column, TableRow, read_table

_RANGES = ("count", "size", "aspect", "severity")
COLUMNS = {
    "class": Column(required=True, filled=True),
    **dict.fromkeys(("prompt", "probability", "overlap"), Column()),
    **{f"{end}_{name}": Column() for name in _RANGES for end in ("least", "most")},
}
OVERLAPS = {"never": 0.0, "any": 1.0}
MOST = 50  # damages of one class in an image
_FILLED = 0.35  # share of its box that damage covers, roughly
_ASPECT = (0.6, 1.7)
_LANE = 0x9A1D  # counter word of Philox for these choices; noise, scenes and layouts have others
_MARGIN = 0.15  # of the longer side of damage, that may change around it
_LEAST_MARGIN = 12  # pixels: the model places damage by latent cells, and may miss by one and a half


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
    overlap: float  # greatest intersection over union with other damages

    @property
    def placement(self) -> Placement:
        return Placement(self.name, self.size, self.aspect, self.overlap)

    def severities(self, rng: np.random.Generator) -> list[float]:
        """The severities of the damages of this class in one image; none in images that do not have the class."""
        has_class = float(rng.random()) < self.probability
        count = int(rng.integers(self.count[0], self.count[1], endpoint=True))
        severities = rng.uniform(*self.severity, size=count).tolist()
        return severities if has_class else []


def read_classes(
    path: Path, names: Sequence[str], words: Mapping[str, Sequence[str]], statistics: Mapping[str, ClassStatistics]
) -> list[DamageClass]:
    """The rows of classes.csv; `names` are the known classes. Raises WetgenError with line and column."""
    classes = []
    for row in read_table(path, COLUMNS):
        name, probability = row.one_of("class", names), row.number("probability", 0, 1)
        small, large = (min(0.5, area_for(statistics.get(name), severity) / _FILLED) for severity in (0.25, 0.75))
        counts = _range(row, "count", (1.0, 1.0), 0, MOST)
        for end, count in zip(("least_count", "most_count"), counts, strict=True):
            if count != int(count):
                raise row.fault(end, f"is {count:g}", "damages are counted", "write 1, 2, 3.")
        damage = DamageClass(
            name,
            row.text("prompt") or class_prompt(name, words),
            1.0 if probability is None else probability,
            (int(counts[0]), int(counts[1])),
            _range(row, "size", (small, large), 1e-5, 1),
            _range(row, "aspect", _ASPECT, 0.05, 20),
            _range(row, "severity", (0.0, 1.0), 0, 1),
            _overlap(row),
        )
        classes.append(damage)
    if not classes:
        raise WetgenError(
            f"{path} has no classes.", why="nothing follows its header.", fix="write one per line, for example: stain"
        )
    return classes


def class_prompt(name: str, words: Mapping[str, Sequence[str]]) -> str:
    """A prompt for a class: its first word."""
    return words[name][0] if words.get(name) else name


def _range(row: TableRow, name: str, usual: tuple[float, float], least: float, most: float) -> tuple[float, float]:
    """The least and greatest value of a range; what the row leaves out is the usual value, moved to keep the order."""
    low, high = row.number(f"least_{name}", least, most), row.number(f"most_{name}", least, most)
    low = min(usual[0], high if high is not None else usual[0]) if low is None else low
    high = max(usual[1], low) if high is None else high
    if low > high:
        raise row.fault(f"least_{name}", f"is {low:g}", f"most_{name} is {high:g}", "exchange the two.")
    return low, high


def _overlap(row: TableRow) -> float:
    text = row.text("overlap") or "never"
    if text in OVERLAPS:
        return OVERLAPS[text]
    try:
        return row.as_number("overlap", text, 0, 1)
    except WetgenError as error:
        why = "it is never, any, or the greatest intersection over union, 0 to 1."
        raise WetgenError(error.what, why=why, fix="write never, any or a number such as 0.2.") from error


DamagePlan = tuple[list[PlannedDamage], list[str]]
"""The damages of an image, and a sentence on each that was left out."""


class Planner(Protocol):
    """Chooses the damages of an image of `size`, the photograph called `name`."""

    def plan(self, index: int, attempt: int, name: str, size: Size) -> DamagePlan: ...


@dataclass(frozen=True)
class InBoxes:
    """Damages in the boxes of a file; `prompts` are by class, for boxes without a prompt of their own."""

    bundle: Bundle
    seed: int
    rows: Sequence[BoxRow]
    prompts: Mapping[str, str] = field(default_factory=dict)

    def plan(self, index: int, attempt: int, name: str, size: Size) -> DamagePlan:
        rng = choices(self.seed, index, attempt)
        boxes = boxes_of(self.rows, name, size)
        return [damage_in_box(rng, self.bundle, box, self.prompts, size) for box in boxes], []


@dataclass(frozen=True)
class AtRandom:
    """Damages of these classes in random boxes, on the surfaces where each class occurs."""

    bundle: Bundle
    seed: int
    classes: Sequence[DamageClass]
    lines: SurfaceLines

    def plan(self, index: int, attempt: int, name: str, size: Size) -> DamagePlan:
        rng, dropped = choices(self.seed, index, attempt), list[str]()
        planned = [(each, severity) for each in self.classes for severity in each.severities(rng)]
        taken, boxes = list[TakenBox](), list[BoxDamage]()
        for each, severity in planned:
            try:
                box = place(rng, size, each.placement, self.lines, taken)
            except WetgenError as error:
                dropped.append(f"{each.name}: {error.what.removesuffix('.')}")
                continue
            taken.append(TakenBox(box, each.overlap))
            boxes.append(BoxDamage(each.name, box, severity, each.prompt))
        return [damage_in_box(rng, self.bundle, box, {}, size) for box in boxes], dropped


@dataclass(frozen=True)
class InMasks:
    """Damages as the masks of a folder show them; `prompts` are by class."""

    bundle: Bundle
    folder: Path
    prompts: Mapping[str, str] = field(default_factory=dict)

    def check(self, photographs: Sequence[Path]) -> None:
        """Raise WetgenError unless there is a mask for every photograph."""
        lacking = [path.name for path in photographs if not mask_path(self.folder, path.name).is_file()]
        if lacking:
            raise WetgenError(
                f"{self.folder} has no mask for {lacking[0]}.",
                why=f"{mask_path(self.folder, lacking[0]).name} does not exist "
                f"(masks missing: {len(lacking)} of {len(photographs)}).",
                fix="give every mask the name of its photograph, with .png; the mask of an undamaged one is all 0.",
            )

    def plan(self, index: int, attempt: int, name: str, size: Size) -> DamagePlan:
        path = mask_path(self.folder, name)
        mask = read_mask(path)
        assert self.bundle.classes is not None
        fault = unknown_ids(mask, self.bundle.classes, str(path))
        if fault is not None:
            raise fault
        if mask.shape != size:
            raise WetgenError(
                f"{path} is {mask.shape[1]} x {mask.shape[0]}, its photograph {name} is {size[1]} x {size[0]}.",
                why="a mask needs one pixel for every pixel of its photograph (sizes are width x height).",
                fix="make the mask again at the photograph's size; its EXIF orientation counts.",
            )
        planned = damages_in_mask(mask, self.bundle, None)
        return [replace(damage, prompt=self.prompts.get(damage.class_name, damage.prompt)) for damage in planned], []


def mask_path(folder: Path, name: str) -> Path:
    """The mask file of the photograph called `name`."""
    return folder / f"{Path(name).stem}.png"


def damage_in_box(
    rng: np.random.Generator, bundle: Bundle, given: BoxDamage, prompts: Mapping[str, str], size: Size
) -> PlannedDamage:
    """Damage in a box of an image of `size`, in a random shape of its class; a margin around the box may change too."""
    assert bundle.classes is not None
    severity = float(rng.random()) if given.severity is None else given.severity
    whole = Box(0, 0, given.box.width, given.box.height)
    shape = [BoxDamage(given.class_name, whole, severity)]
    mask = draw_layout(rng, given.box.size, shape, bundle.mask_statistics, bundle.classes)
    prompt = given.prompt or prompts.get(given.class_name) or class_prompt(given.class_name, bundle.words)
    region = with_margin(given.box, size)[0]
    padded = np.zeros(region.size, np.uint8)
    padded[Box(given.box.left - region.left, given.box.top - region.top, *given.box.size[::-1]).slices] = mask
    return PlannedDamage(given.class_name, prompt, region, padded, severity=severity)


def damages_in_mask(
    mask: Pixels, bundle: Bundle, prompt: str | None, severity: float | None = None
) -> list[PlannedDamage]:
    """The damages that a mask uint8 (H, W) shows: regions of one class that lie near each other are painted together.

    A margin around each region may change too, so that damage can fade out. A damage gets the `prompt` unless that
    names other classes; then, and without one, it gets the word of its class.
    """
    planned = []
    for class_id in (int(id) for id in np.unique(mask) if id):
        assert bundle.classes is not None
        name = bundle.classes.names[class_id]
        fits = prompt is not None and mentioned_classes(prompt, bundle.words) in ((name,), ())
        text = (prompt if fits else None) or class_prompt(name, bundle.words)
        for box, margin in _groups((mask == class_id).astype(np.uint8)):
            region = np.where(mask[box.slices] == class_id, mask[box.slices], 0).astype(np.uint8)
            planned.append(PlannedDamage(name, text, box, region, dilated(region > 0, margin), severity))
    return planned


def choices(seed: int, index: int, attempt: int) -> np.random.Generator:
    """The random numbers that choose the damages of pair `index`, attempt `attempt`."""
    key, counter = np.array([seed, index], np.uint64), np.array([0, attempt, _LANE, 0], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def _groups(region: Pixels) -> list[tuple[Box, int]]:
    """Boxes around the connected components of a region (H, W), with their margins; boxes that overlap are merged."""
    boxes = [Box(part.left, part.top, part.width, part.height) for part in connected_components(region)]
    while True:
        grown = [with_margin(box, region.shape) for box in boxes]
        together: dict[int, Box] = {}
        for owner, box in zip(_owners([box for box, _ in grown]), boxes, strict=True):
            together[owner] = _union(together[owner], box) if owner in together else box
        if len(together) == len(boxes):
            return grown
        boxes = list(together.values())


def _owners(boxes: Sequence[Box]) -> list[int]:
    """For each box, the first box of its group; a chain of overlaps joins boxes into a group."""
    edges = np.array([(box.left, box.top, box.right, box.bottom) for box in boxes], np.int64)
    owners = np.arange(len(boxes))
    for left, top, right, bottom in edges:
        meets = (edges[:, 0] < right) & (left < edges[:, 2]) & (edges[:, 1] < bottom) & (top < edges[:, 3])
        met = np.unique(owners[meets])
        owners[np.isin(owners, met)] = met[0]
    return [int(owner) for owner in owners]


def with_margin(box: Box, shape: tuple[int, ...]) -> tuple[Box, int]:
    """A box grown by the margin that may change around damage, inside an image of `shape`; and the margin in pixels."""
    margin = max(_LEAST_MARGIN, round(_MARGIN * max(box.size)))
    return box.grown(margin).clip((shape[0], shape[1])), margin


def _union(one: Box, other: Box) -> Box:
    left, top = min(one.left, other.left), min(one.top, other.top)
    return Box(left, top, max(one.right, other.right) - left, max(one.bottom, other.bottom) - top)
