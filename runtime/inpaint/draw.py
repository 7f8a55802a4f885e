"""Draws painted pairs: backgrounds with their damages, batch by batch, and the metadata of each pair."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.inpaint.backgrounds import Background
from wetgen.runtime.inpaint.blend import PaintedImage
from wetgen.runtime.inpaint.painter import InpaintRequest, InpaintResult, Painter, PlannedDamage
from wetgen.runtime.masks.regions import Box
from wetgen.runtime.masks.rle import mask_to_json, region_to_json
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.sampler import DAMAGED, Pair, SampleInputs, class_faults

_STRIDE = 2**32  # more than a pair has attempts: so the noise of a damage is never that of its pair, or of another


@dataclass(eq=False)
class InpaintJob:
    """A pair while it is painted: its image, its damages in their order, and the result of each.

    The prompt of its `inputs` is the caption of the pair.
    """

    inputs: SampleInputs
    background: Background
    damages: Sequence[PlannedDamage]
    dropped: list[str] = field(default_factory=list)
    metadata: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.target = PaintedImage.over(self.background.image)
        self.results: list[InpaintResult] = []

    def request(self, i: int) -> InpaintRequest:
        """The request for damage `i`."""
        damage, attempt = self.damages[i], (1 + i) * _STRIDE + self.inputs.attempt
        return InpaintRequest(self.target, damage, replace(self.inputs, prompt=damage.prompt, attempt=attempt))

    def add(self, result: InpaintResult) -> None:
        """Record the result of the next damage; one that is not in the image is noted as dropped."""
        name = self.damages[len(self.results)].class_name
        self.results.append(result)
        if result.painted is None:
            self.dropped.append(f"{name}: it would be cut off at the edge of its region")
        elif not result.painted.any():
            self.dropped.append(f"{name}: nothing of it would be seen")


def finished_pair(job: InpaintJob, bundle: Bundle) -> Pair:
    """The pair of a painted job; a damage whose class is missing from the final mask is a fault."""
    assert bundle.classes is not None
    target, table, inputs = job.target, bundle.classes, job.inputs
    names = dict.fromkeys(damage.class_name for damage in job.damages)
    faults = class_faults(tuple(names), target.mask, table)
    metadata = {**job.metadata, "background": dict(job.background.metadata)}
    if inputs.number != inputs.index:
        metadata["number"] = inputs.number
    metadata["painted"] = [damage_row(job.request(i), result, bundle) for i, result in enumerate(job.results)]
    metadata["boxes"] = list(_boxes(job, bundle))
    metadata |= {"dropped": job.dropped} if job.dropped else {}
    return Pair(
        inputs.index,
        inputs.prompt,
        inputs.seed,
        target.image,
        target.mask,
        target.confidence,
        (DAMAGED,) if job.background.damaged else faults,
        inputs.attempt,
        params=inputs.params,
        metadata=metadata,
    )


def damage_row(request: InpaintRequest, result: InpaintResult, bundle: Bundle) -> dict[str, object]:
    """The metadata of one painted damage: all it takes to paint it again."""
    assert bundle.classes is not None
    damage = request.damage
    row: dict[str, Any] = {"class": damage.class_name, "prompt": damage.prompt, "box": _as_list(damage.box)}
    row |= {} if damage.severity is None else {"severity": round(damage.severity, 4)}
    row |= {"try": request.inputs.attempt, "mask": mask_to_json(damage.mask, bundle.classes)}
    row |= {} if damage.where is None else {"where": region_to_json(damage.where)}
    return row | ({"grown_to": _as_list(result.box)} if result.growths else {})


def _boxes(job: InpaintJob, bundle: Bundle) -> Iterator[dict[str, object]]:
    """The tight box around the visible part of each painted damage, in pixels of the image."""
    assert bundle.classes is not None
    for damage, result in zip(job.damages, job.results, strict=False):
        if result.painted is None:
            continue
        box, class_id = result.box, bundle.classes.names.index(damage.class_name)
        visible = result.painted & (job.target.mask[box.slices] == class_id)  # others may have been painted over it
        if visible.any():
            inner = Box.around(visible)
            x, y = box.left + inner.left, box.top + inner.top
            yield {"class": damage.class_name, "x": x, "y": y, "width": inner.width, "height": inner.height}


def _as_list(box: Box) -> list[int]:
    """[x, y, width, height]."""
    return [box.left, box.top, box.width, box.height]


def draw_painted(
    generator: Generator,
    painter: Painter,
    jobs_for: Callable[[Sequence[tuple[int, int]]], list[InpaintJob]],
    attempts: Iterator[tuple[int, int]],
    *,
    at_once: int,
    judge: bool,
) -> Iterator[Pair]:
    """Yield the pair of each (index, attempt), painted as `jobs_for` says, `at_once` of them together.

    After each batch `attempts` is asked again, even if it had ended: the caller may add pairs to draw again.
    """
    while batch := list(islice(attempts, at_once)):
        jobs = jobs_for(batch)
        # The first damage of each job together, then the second of each.
        for i in range(max((len(job.damages) for job in jobs), default=0)):
            left = [job for job in jobs if i < len(job.damages) and not job.background.damaged]
            for job, result in zip(left, painter.paint([job.request(i) for job in left]), strict=True):
                job.add(result)
        for job in jobs:
            job.metadata = {**job.metadata, "detail": painter.detail}
            pair = finished_pair(job, generator.bundle)
            yield judged(generator, pair) if judge else pair


def judged(generator: Generator, pair: Pair) -> Pair:
    """The pair, of the bundle's size, with what the judge sees in it."""
    outputs = {name: array[0].astype(np.uint8) for name, array in generator.judge(pair.image[None]).items()}
    return replace(pair, judged=outputs["judged"], judge_confidence=outputs["judge_confidence"])
