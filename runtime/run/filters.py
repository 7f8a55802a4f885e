"""Which generated pairs are kept: limits, and what is measured of a pair to hold against them.

A decision depends on the pair, the limits and the bundle alone, so a run decides alike whatever its batch or order.

How far a judge - a segmenter that learned from real photographs - agrees with the mask of a generated pair.

Axes: H W of a picture.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.masks.classes import IGNORE, ClassTable
from wetgen.runtime.prompts.text import mentioned_classes
from wetgen.runtime.run.fingerprints import BITS, Fingerprints
from wetgen.runtime.sampling.sampler import Pair

KINDS = ("broken", "copy", "asked", "layout", "area", "confidence", "agreement")  # of reasons to reject a pair


@dataclass(frozen=True)
class Filter:
    """The limits that a pair must keep to; None is no limit. Broken pairs are never kept, whatever the limits."""

    keep_agreement: float | None = None
    """Least agreement of the bundle's judge with the mask; 0 measures and rejects nothing."""
    keep_layout: float | None = None
    """Least mean IoU of the mask and the layout that the pair was given; pairs without a layout are exempt."""
    least_area: float | None = None
    """Least share of the picture that is damage; a pair that shows none where none was asked for is exempt."""
    most_area: float | None = None
    """Greatest share of the picture that is damage."""
    least_confidence: float | None = None
    """Least mean probability of the mask's classes over the damage, or over the picture where there is none."""
    refuse_copies: bool | None = None
    """Whether to reject copies of training pictures; None does so where the bundle has fingerprints."""
    require_asked: bool = False
    """Whether to reject a mask without a class that the prompt asks for."""


class Verdict(NamedTuple):
    """Why a pair is rejected (by kind, in plain words; empty for one to keep), and what was measured, for its row."""

    reasons: Mapping[str, str]
    scores: Mapping[str, object]


class Examiner:
    """Holds the pairs of one bundle against a filter."""

    def __init__(self, limits: Filter, bundle: Bundle) -> None:
        self.limits, self._bundle = limits, bundle
        known = None if limits.refuse_copies is False else bundle.fingerprints
        self._fingerprints = None if known is None else Fingerprints.read(known)

    @property
    def needs_judge(self) -> bool:
        """Whether pairs must come with the judge's mask."""
        return self.limits.keep_agreement is not None

    def __call__(self, pair: Pair) -> Verdict:
        """The verdict on a pair; where `needs_judge`, the pair must have been generated with `judge=True`."""
        if pair.broken:
            return Verdict({"broken": "; ".join(pair.faults)}, {})
        scores: dict[str, object] = {}
        reasons = dict(self._reasons(pair, scores))
        return Verdict(reasons, scores)

    def _reasons(self, pair: Pair, scores: dict[str, object]) -> Iterator[tuple[str, str]]:
        """Every reason to reject the pair; fills in `scores`."""
        if self._fingerprints is not None:
            yield from self._copy(pair, self._fingerprints, scores)
        if pair.mask is None or pair.confidence is None:
            return
        if self.limits.require_asked and pair.faults:  # the faults of a pair that is not broken are classes it lacks
            yield "asked", "; ".join(pair.faults)
        yield from self._layout(pair)
        yield from self._area(pair, pair.mask)
        if self.limits.least_confidence is not None:
            sure = scores["damage_confidence"] = mean_confidence(pair.mask, pair.confidence)
            if sure < self.limits.least_confidence:
                yield "confidence", f"the mask is {sure:g} sure of itself, least is {self.limits.least_confidence:g}"
        if self.limits.keep_agreement is not None:
            yield from self._agreement(pair, pair.mask, self.limits.keep_agreement, scores)

    def _copy(self, pair: Pair, fingerprints: Fingerprints, scores: dict[str, object]) -> Iterator[tuple[str, str]]:
        bits, place = fingerprints.nearest(pair.image)
        scores["copy_bits"] = bits
        if bits <= fingerprints.most_bits:
            yield (
                "copy",
                f"{bits} of {BITS} bits differ from training picture {place}; up to {fingerprints.most_bits} is a copy",
            )

    def _layout(self, pair: Pair) -> Iterator[tuple[str, str]]:
        least, found = self.limits.keep_layout, pair.metadata.get("layout_iou")
        if least is not None and isinstance(found, float) and found < least:
            yield "layout", f"mask and layout have an IoU of {found:g}, least is {least:g}"

    def _area(self, pair: Pair, mask: NDArray[np.uint8]) -> Iterator[tuple[str, str]]:
        least, most = self.limits.least_area, self.limits.most_area
        if least is None and most is None:
            return
        area = round(float(np.count_nonzero(damaged(mask))) / mask.size, 5)
        clean = area == 0 and not mentioned_classes(pair.prompt, self._bundle.words)
        if least is not None and area < least and not clean:
            yield "area", f"damage covers {area:g} of the picture, least is {least:g}"
        if most is not None and area > most:
            yield "area", f"damage covers {area:g} of the picture, most is {most:g}"

    def _agreement(
        self, pair: Pair, mask: NDArray[np.uint8], least: float, scores: dict[str, object]
    ) -> Iterator[tuple[str, str]]:
        table = self._bundle.classes
        assert table is not None and pair.judged is not None and pair.judge_confidence is not None
        asked = mentioned_classes(pair.prompt, self._bundle.words)
        value, by_class = agreement(mask, pair.judged, table, self._bundle.judge_knows, asked)
        scores["agreement"], scores["class_agreement"] = value, by_class
        scores["judge_confidence"] = mean_confidence(mask, pair.judge_confidence)
        if value is not None and value < least:
            each = ", ".join(f"{name} {iou:g}" for name, iou in by_class.items()) or "background alone"
            yield "agreement", f"judge and mask agree {value:g} ({each}), least is {least:g}"


def damaged(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a mask uint8 (H, W) shows damage; pixels to be ignored show none."""
    shown: NDArray[np.bool_] = (mask > 0) & (mask != IGNORE)
    return shown


def mean_confidence(mask: NDArray[np.uint8], confidence: NDArray[np.uint8]) -> float:
    """The mean of a confidence in 255ths over the damage, or over the picture where the mask has none; 4 digits."""
    damage = damaged(mask)
    over = confidence[damage] if damage.any() else confidence
    return round(int(over.sum(dtype=np.int64)) / over.size / 255, 4)


SPECK = 0.001  # share of the picture; a class that covers less, and that nobody asked for, is not worth asking about


class Agreement(NamedTuple):
    """`value` is in [0, 1], or None where the judge knows nothing of what the pair shows."""

    value: float | None
    by_class: dict[str, float]


def agreement(
    mask: NDArray[np.uint8],
    judged: NDArray[np.uint8],
    table: ClassTable,
    known: Collection[str],
    asked: Collection[str] = (),
) -> Agreement:
    """The mean intersection over union of mask and judged mask, both uint8 (H, W), over the classes in question.

    In question is a damage class that the judge knows (`known`) and that the prompt asks for (`asked`) or that covers
    SPECK of the mask. A class that is in neither of the two masks has no IoU and does not count. Pixels where the mask
    has a damage class that the judge does not know, or IGNORE, are left out of everything.

    Where no class is in question, the pair says that there is no damage, and its agreement is the IoU of the
    background: the share of the picture that the judge, too, calls undamaged. But a pair that shows or was asked for
    classes of which the judge knows none has no agreement: value None. Figures are rounded to 4 digits.
    """
    counts = np.bincount(mask.ravel(), minlength=len(table))
    held = {name for id, name in enumerate(table.names) if id and counts[id] >= max(1.0, SPECK * mask.size)}
    foreign = [IGNORE, *(id for id, name in enumerate(table.names) if id and name not in known)]
    valid = ~np.isin(mask, foreign)
    wanted = [id for id, name in enumerate(table.names) if name in known and (name in asked or name in held)]
    found = {table.names[id]: iou for id in wanted if (iou := _iou(mask, judged, valid, id)) is not None}
    if found:
        mean = float(np.mean(list(found.values())))
        return Agreement(round(mean, 4), {name: round(iou, 4) for name, iou in found.items()})
    if (held | set(asked)) - set(known):
        return Agreement(None, {})
    background = _iou(mask, judged, valid, 0)
    return Agreement(None if background is None else round(background, 4), {})


def _iou(mask: NDArray[np.uint8], judged: NDArray[np.uint8], valid: NDArray[np.bool_], id: int) -> float | None:
    """Intersection over union of one class among the valid pixels; None where neither has it."""
    one, other = (mask == id) & valid, (judged == id) & valid
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else None
