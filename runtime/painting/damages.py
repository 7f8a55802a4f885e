"""Which damages a picture gets, and in which shapes: from a mask, from boxes, or at random.

Sizes are (height, width).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from wetgen.runtime.asked import asked_classes
from wetgen.runtime.bundle import Bundle
from wetgen.runtime.formats.regions import regions_of
from wetgen.runtime.painting.painter import Damage
from wetgen.runtime.painting.smooth import dilated
from wetgen.runtime.painting.wishes import DamageClass, spoken
from wetgen.runtime.pictures import Pixels
from wetgen.runtime.placing.boxes import Box, BoxDamage, BoxRow, boxes_of
from wetgen.runtime.placing.layout import draw_layout
from wetgen.runtime.placing.place import Wish, place
from wetgen.runtime.placing.surfaces import Lines

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
        said = prompt if prompt is not None and asked_classes(prompt, bundle.words) in ((name,), ()) else None
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
    boxes = [Box(each.left, each.top, each.width, each.height) for each in regions_of(region)]
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
