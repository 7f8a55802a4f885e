"""Pairs that are painted: backgrounds, the damages of each, and what their rows say.

How painted pairs are drawn batch by batch, whatever they are painted into.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.inpaint.backgrounds import Background
from wetgen.runtime.inpaint.damage import Planned
from wetgen.runtime.inpaint.painter import Canvas, Outcome, Painter, Stroke
from wetgen.runtime.masks.regions import Box
from wetgen.runtime.masks.rle import mask_to_json, region_to_json
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.pair import DAMAGED, Pair, SamplingParams, missing_class

_STROKES = 2**32  # tries of a pair are fewer: so the noise of strokes is never that of a pair, nor each other's


@dataclass(eq=False)
class Sheet:
    """A pair while it is painted: its canvas, its damages in their order, and what became of them."""

    index: int
    attempt: int
    seed: int
    number: int  # its noise's, with the seed
    text: str
    how: SamplingParams
    background: Background
    planned: Sequence[Planned]
    dropped: list[str] = field(default_factory=list)
    said: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.canvas = Canvas.over(self.background.image)
        self.outcomes: list[Outcome] = []

    def stroke(self, place: int) -> Stroke:
        """The stroke of one of its damages."""
        attempt = (1 + place) * _STROKES + self.attempt
        return Stroke(
            self.canvas,
            self.planned[place].damage,
            self.seed,
            self.number,
            attempt,
            self.how.guidance,
            self.how.negative,
        )


def paint_sheets(painter: Painter, sheets: Sequence[Sheet]) -> None:
    """Paint every damage of every sheet, those at the same place of each together."""
    for sheet in sheets:
        sheet.said = {**sheet.said, "detail": painter.detail}
    for place in range(max((len(sheet.planned) for sheet in sheets), default=0)):
        there = [sheet for sheet in sheets if place < len(sheet.planned) and not sheet.background.damaged]
        for sheet, outcome in zip(there, painter.paint([sheet.stroke(place) for sheet in there]), strict=True):
            sheet.outcomes.append(outcome)
            name = sheet.planned[place].class_name
            if outcome.laid is None:
                sheet.dropped.append(f"{name}: it would be cut off at the edge of its region")
            elif not outcome.laid.any():
                sheet.dropped.append(f"{name}: nothing of it would be seen")


def pair_of(sheet: Sheet, bundle: Bundle) -> Pair:
    """The pair of a painted sheet; a damage whose class is not in the mask in the end is a fault."""
    assert bundle.classes is not None
    canvas, table = sheet.canvas, bundle.classes
    wanted = dict.fromkeys(planned.class_name for planned in sheet.planned)
    faults = [missing_class(name) for name in wanted if not (canvas.mask == table.names.index(name)).any()]
    said = {**sheet.said, "background": dict(sheet.background.said)}
    if sheet.number != sheet.index:
        said["number"] = sheet.number
    said["painted"] = [
        painted_said(planned, sheet.stroke(place), outcome, bundle)
        for place, (planned, outcome) in enumerate(zip(sheet.planned, sheet.outcomes, strict=False))
    ]
    said["boxes"] = list(_boxes(sheet, bundle))
    said |= {"dropped": sheet.dropped} if sheet.dropped else {}
    return Pair(
        sheet.index,
        sheet.text,
        sheet.seed,
        canvas.image,
        canvas.mask,
        canvas.confidence,
        (DAMAGED,) if sheet.background.damaged else tuple(faults),
        sheet.attempt,
        params=sheet.how,
        metadata=said,
    )


def painted_said(planned: Planned, stroke: Stroke, outcome: Outcome, bundle: Bundle) -> dict[str, object]:
    """What a row says of one damage: all it takes to paint it again."""
    assert bundle.classes is not None
    damage = planned.damage
    said: dict[str, Any] = {"class": planned.class_name, "prompt": damage.prompt, "box": _listed(damage.box)}
    said |= {} if planned.severity is None else {"severity": round(planned.severity, 4)}
    said |= {"try": stroke.attempt, "mask": mask_to_json(damage.mask, bundle.classes)}
    said |= {} if damage.where is None else {"where": region_to_json(damage.where)}
    return said | ({"grown_to": _listed(outcome.box)} if outcome.growths else {})


def _boxes(sheet: Sheet, bundle: Bundle) -> Iterator[dict[str, object]]:
    """The tight box of what is in sight of each painted damage, in pixels of the picture."""
    assert bundle.classes is not None
    for planned, outcome in zip(sheet.planned, sheet.outcomes, strict=False):
        box, class_id = outcome.box, bundle.classes.names.index(planned.class_name)
        if outcome.laid is None:
            continue
        there = outcome.laid & (sheet.canvas.mask[box.slices] == class_id)  # others may have been painted over it
        rows, columns = np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))
        if len(rows):
            left, top = box.left + int(columns[0]), box.top + int(rows[0])
            size = int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1
            yield {"class": planned.class_name, "x": left, "y": top, "width": size[0], "height": size[1]}


def _listed(box: Box) -> list[int]:
    """[x, y, width, height]."""
    return [box.left, box.top, box.width, box.height]


Sheets = Callable[[Sequence[tuple[int, int]]], list[Sheet]]


def draw_painted(
    generator: Generator,
    painter: Painter,
    sheets: Sheets,
    attempts: Iterator[tuple[int, int]],
    *,
    at_once: int,
    judge: bool,
) -> Iterator[Pair]:
    """Yield the pair of each (index, try), painted on what `sheets` gives for it, `at_once` of them together.

    Attempts that ran out are asked again after each batch: the caller may add pairs to be drawn again.
    """
    while batch := list(islice(attempts, at_once)):
        made = sheets(batch)
        paint_sheets(painter, made)
        for sheet in made:
            pair = pair_of(sheet, generator.bundle)
            yield judged(generator, pair) if judge else pair


def judged(generator: Generator, pair: Pair) -> Pair:
    """The pair, of the bundle's size, with what its judge sees in it."""
    seen = {name: array[0].astype(np.uint8) for name, array in generator.judge(pair.image[None]).items()}
    return replace(pair, judged=seen["judged"], judge_confidence=seen["judge_confidence"])
