"""Mask cleanup: removes small regions, fills holes, marks pixels that nobody should learn from as IGNORE.

All of it is off by default, and the row of a pair names what was on.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.masks.classes import IGNORE
from wetgen.runtime.masks.images import Pixels
from wetgen.runtime.masks.regions import Ints, connected_components, label_components, label_holes


class CleanedMask(NamedTuple):
    """A cleaned mask uint8 (H, W), and how many pixels each step changed: small_regions, holes and ignored, if on."""

    mask: Pixels
    changed: dict[str, int]


@dataclass(frozen=True)
class MaskCleanup:
    """The steps, in their order. By default none is on."""

    least_region: int = 0
    """Regions of fewer pixels get the most frequent class of the pixels around them; 0 keeps all regions."""
    fill_holes: int = 0
    """Holes of up to so many pixels get the class of the region around them; 0 keeps all holes."""
    ignore_below: float | None = None
    """Pixels with a lower confidence (0 to 1) become IGNORE."""
    ignore_band: int = 0
    """Pixels within so many steps (to any of eight neighbours) of another class become IGNORE."""

    @property
    def marks_ignored(self) -> bool:
        """Whether masks may get IGNORE; their rows must then say so."""
        return self.ignore_below is not None or self.ignore_band > 0

    def to_row(self) -> dict[str, int | float]:
        """The steps that are on, by name, for the row of a pair."""
        values = ((each, getattr(self, each.name)) for each in fields(self))
        return {each.name: value for each, value in values if value != each.default}

    def __call__(self, mask: Pixels, confidence: Pixels | None = None) -> CleanedMask:
        """Cleans a mask uint8 (H, W); `confidence` uint8 (H, W), in 255ths, is that of the class that was drawn.

        IGNORE in the mask stays and does not count as a class. A second cleanup changes nothing. Marking may leave
        less of a region than `least_region`, so a mask that was marked must not be cleaned again.
        """
        assert mask.dtype == np.uint8 and mask.ndim == 2
        changed: dict[str, int] = {}
        steps: list[tuple[bool, str, Callable[[Pixels], Pixels]]] = [
            (self.least_region > 0, "small_regions", lambda pixels: remove_small_regions(pixels, self.least_region)),
            (self.fill_holes > 0, "holes", lambda pixels: fill_holes(pixels, self.fill_holes)),
            (self.marks_ignored, "ignored", lambda pixels: self._marked(pixels, confidence)),
        ]
        for on, name, step in steps:
            if on:
                before, mask = mask, step(mask)
                changed[name] = int(np.count_nonzero(mask != before))
        return CleanedMask(mask, changed)

    def _marked(self, mask: Pixels, confidence: Pixels | None) -> Pixels:
        """The mask with IGNORE at unsure pixels and near borders."""
        ignored = _near_borders(mask, self.ignore_band)
        if self.ignore_below is not None:
            assert confidence is not None and confidence.dtype == np.uint8 and confidence.shape == mask.shape
            # Divide, do not multiply: a limit of 0.6 is met by 153 of 255, which is 0.6.
            ignored |= (np.arange(256) / 255 < self.ignore_below)[confidence]
        return np.where(ignored, np.uint8(IGNORE), mask)


def remove_small_regions(mask: Pixels, least: int) -> Pixels:
    """The mask in which regions below `least` pixels have the most frequent class of the ring of pixels around them.

    This is the rule of JoDiffusion (Wang et al., AAAI 2026; the lowest id on a tie), made independent of any order: a
    small region does not count for others until its own class is found. Regions surrounded by IGNORE and such regions
    alone stay.
    """
    numbers, areas = label_components(mask)
    small = (areas > 0) & (areas < least)
    mask, open_still = mask.copy(), small[numbers]
    while open_still.any():
        found, classes = _majorities(numbers, mask, open_still)
        if not len(found):
            break
        decided = np.zeros(len(areas), bool)
        decided[found] = True
        becomes = np.zeros(len(areas), np.uint8)
        becomes[found] = classes
        now = open_still & decided[numbers]
        mask[now] = becomes[numbers[now]]
        open_still &= ~now
    return mask


def _majorities(numbers: Ints, mask: Pixels, open_still: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """The open regions with a settled pixel in their ring, and the most frequent class of those pixels."""
    stride = mask.shape[1] + 2
    votes = np.pad(~open_still & (mask != IGNORE), 1).ravel()
    ids, owners = np.pad(mask, 1).ravel().astype(np.int64), np.pad(numbers, 1).ravel()
    inside = np.flatnonzero(np.pad(open_still, 1))
    around = np.array([y * stride + x for y in (-1, 0, 1) for x in (-1, 0, 1) if x or y])
    ring = inside[:, None] + around
    regions = np.broadcast_to(owners[inside][:, None], ring.shape)
    voting = votes[ring]
    # Each pixel of a ring counts once, however many pixels of the region it touches.
    once = np.unique(regions[voting] * len(votes) + ring[voting])
    owner, pixel = np.divmod(once, len(votes))
    cast, counts = np.unique(owner * 256 + ids[pixel], return_counts=True)
    owner, id = np.divmod(cast, 256)
    order = np.lexsort((id, -counts, owner))
    found, firsts = np.unique(owner[order], return_index=True)
    return found, id[order[firsts]]


def fill_holes(mask: Pixels, most: int) -> Pixels:
    """The mask without holes of up to `most` pixels in its regions; whatever lies in a hole is filled with it.

    If two regions cross at a corner, a part of one lies in a hole of the other; such a hole is kept, because it does
    not enclose the other region.
    """
    numbers, areas = label_components(mask)
    filled = mask.copy()
    # A region comes before those in its holes. Go backwards, so that outer fills lie over inner ones.
    for region in reversed(connected_components(mask)):
        holes = label_holes(region)
        if not holes.any():
            continue
        window = np.s_[region.top : region.top + region.height, region.left : region.left + region.width]
        fits = np.bincount(holes.ravel()) <= most
        fits[0] = False
        within = fits[holes] & (numbers[window] > 0)
        met, counts = np.unique(holes[within] * len(areas) + numbers[window][within], return_counts=True)
        hole, number = np.divmod(met, len(areas))
        fits[hole[counts < areas[number]]] = False
        pixels = filled[window]
        pixels[fits[holes] & (pixels != IGNORE)] = region.class_id
    return filled


def _near_borders(mask: Pixels, distance: int) -> NDArray[np.bool_]:
    """The pixels bool (H, W) with a pixel of another class within `distance` steps; IGNORE is no class."""
    least, greatest = mask, np.where(mask == IGNORE, np.uint8(0), mask)  # IGNORE is above all ids, and here below all
    for _ in range(min(distance, max(mask.shape))):
        least, greatest = _spread(least, np.minimum), _spread(greatest, np.maximum)
    return least < greatest


def _spread(pixels: Pixels, choose: np.ufunc) -> Pixels:
    """The least or greatest of each pixel and its eight neighbours."""
    rows = pixels.copy()
    choose(rows[1:], pixels[:-1], out=rows[1:])
    choose(rows[:-1], pixels[1:], out=rows[:-1])
    both = rows.copy()
    choose(both[:, 1:], rows[:, :-1], out=both[:, 1:])
    choose(both[:, :-1], rows[:, 1:], out=both[:, :-1])
    return both
