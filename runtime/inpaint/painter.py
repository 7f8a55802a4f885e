"""Paints damage into pictures: encode what is there, draw the region anew, lay in the damage.

Sizes are (height, width). Everything outside a region's pixels stays as it was, byte for byte.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wetgen.runtime.bundle.bundle import check_layouts
from wetgen.runtime.bundle.schedule import Plan
from wetgen.runtime.inpaint.blend import inlay, lay
from wetgen.runtime.inpaint.crop import Frame, frame_for
from wetgen.runtime.masks.regions import Box
from wetgen.runtime.masks.resize import resize_mask
from wetgen.runtime.sampling.conditioning import Floats, Known, SampleInputs, layout_of
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.tiled import CanvasSampler

Bytes = NDArray[np.uint8]
Region = NDArray[np.bool_]

DETAIL = 2  # windows of the graphs to the longer side of what is drawn
GROWTHS = 3  # how often a region is enlarged for damage that would be cut off at its edge
_GROWTH = 0.35  # of the region's longer side, each time


@dataclass(frozen=True, eq=False)
class Damage:
    """Damage that is to be painted: its prompt, the region that may change, and its mask of class ids there.

    `mask` is uint8 and `where` bool, both of the size of `box`; `where` None frees the whole box.
    """

    prompt: str
    box: Box
    mask: Bytes
    where: Region | None = None


@dataclass(eq=False)
class Canvas:
    """A picture uint8 (H, W, 3) that is painted in, its mask and confidence uint8 (H, W)."""

    image: Bytes
    mask: Bytes
    confidence: Bytes

    @classmethod
    def over(cls, image: Bytes) -> "Canvas":
        """A copy of an undamaged picture; of its surface there is no doubt."""
        return cls(image.copy(), np.zeros(image.shape[:2], np.uint8), np.full(image.shape[:2], 255, np.uint8))


@dataclass(frozen=True, eq=False)
class Stroke:
    """One damage to be painted into one canvas, with what its noise follows from."""

    canvas: Canvas
    damage: Damage
    seed: int
    number: int
    attempt: int
    guidance: float
    negative: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a stroke: the box that was free in the end, how often it grew, and the share of it that is damage.

    `cut`: damage still touched the edge of the region, which is not that of the picture; nothing was painted then.
    `laid`, bool of the box's size: which pixels it made damage, None where it is cut.
    """

    box: Box
    growths: int
    share: float
    cut: bool
    laid: Region | None = field(default=None, compare=False, repr=False)


class Painter:
    """Paints with one generator and plan. Raises WetgenError for a bundle that cannot."""

    def __init__(self, generator: Generator, plan: Plan, *, detail: int = DETAIL) -> None:
        bundle = generator.bundle
        check_layouts(bundle)
        self._alphas = bundle.alphas_after(plan)
        self._canvas: CanvasSampler = generator.canvas(plan)
        self._sizes, self._plan, self.detail = bundle.sizes, plan, detail

    def paint(self, strokes: Sequence[Stroke]) -> list[Outcome]:
        """Paint each stroke into its canvas, which no two of them may share; those that are cut off grow together."""
        outcomes: dict[int, Outcome] = {}
        regions = [(stroke.damage.box, stroke.damage.where) for stroke in strokes]
        for growths in range(GROWTHS + 1):
            open_ones = [place for place in range(len(strokes)) if place not in outcomes]
            if not open_ones:
                break
            tried = self._try([strokes[place] for place in open_ones], [regions[place] for place in open_ones])
            for place, (cut, share, laid) in zip(open_ones, tried, strict=True):
                (box, where), size = regions[place], strokes[place].canvas.mask.shape
                grown = box.grown(max(8, round(_GROWTH * max(box.size)))).clip((size[0], size[1]))
                if not cut or growths == GROWTHS or (grown == box and where is None):
                    outcomes[place] = Outcome(box, growths, share, cut, laid)
                else:
                    regions[place] = grown, None
        return [outcomes[place] for place in range(len(strokes))]

    def _try(
        self, strokes: Sequence[Stroke], regions: Sequence[tuple[Box, Region | None]]
    ) -> list[tuple[bool, float, Region | None]]:
        """Draw every stroke and lay in those that are whole: whether each was cut off, what share is damage, where."""
        sizes = self._sizes
        frames = [
            frame_for(box, stroke.canvas.mask.shape[:2], sizes, self.detail)
            for stroke, (box, _) in zip(strokes, regions, strict=True)
        ]
        images = [_seen(stroke.canvas.image, frame) for stroke, frame in zip(strokes, frames, strict=True)]
        latents = self._canvas.encode(images, [np.zeros(frame.drawn, np.uint8) for frame in frames])
        frees = [_free(box, where, frame) for (box, where), frame in zip(regions, frames, strict=True)]
        wanted = [
            self._wanted(stroke, frame, latent, free)
            for stroke, frame, latent, free in zip(strokes, frames, latents, frees, strict=True)
        ]
        drawn = self._canvas.decode(self._canvas.draw(wanted, self._plan, self._alphas))
        clean = self._canvas.decode(latents)
        results = []
        for stroke, (box, where), frame, free, painted, before in zip(
            strokes, regions, frames, frees, drawn, clean, strict=True
        ):
            made = inlay(painted, before, free, _layout(stroke.damage, frame) > 0)
            cut = _touches_edge(made.mask, free, frame, stroke.canvas.mask.shape)
            laid = None
            if not cut:
                where = np.ones(box.size, bool) if where is None else where
                laid = lay(stroke.canvas.image, stroke.canvas.mask, stroke.canvas.confidence, made, frame, box, where)
            results.append((cut, float((made.mask > 0).sum() / max(1, free.sum())), laid))
        return results

    def _wanted(self, stroke: Stroke, frame: Frame, latent: Floats, free: Region) -> SampleInputs:
        rows, columns = self._sizes.stride
        cells = free.reshape(frame.cells[0], rows, frame.cells[1], columns).any((1, 3))
        return SampleInputs(
            stroke.damage.prompt,
            stroke.seed,
            stroke.number,
            stroke.guidance,
            stroke.negative,
            stroke.attempt,
            layout_of(_layout(stroke.damage, frame), self._sizes),
            Known(latent, np.where(cells, 0, 1).astype(np.float32)),
            frame.cells,
        )


def _seen(image: Bytes, frame: Frame) -> Bytes:
    """The frame's part of a picture at the size of the canvas."""
    part = Image.fromarray(image[frame.box.slices])
    return np.asarray(part.resize((frame.drawn[1], frame.drawn[0]), Image.Resampling.LANCZOS))


def _layout(damage: Damage, frame: Frame) -> Bytes:
    """The damage's mask on the canvas."""
    whole = np.zeros(frame.box.size, np.uint8)
    inner = Box(damage.box.left - frame.box.left, damage.box.top - frame.box.top, *damage.box.size[::-1])
    whole[inner.slices] = damage.mask
    return resize_mask(whole, frame.drawn)


def _free(box: Box, where: Region | None, frame: Frame) -> Region:
    """Where the canvas may change, bool (H, W): pixels of which hardly any lies outside the region.

    So damage that leaves the rim of these pixels free does not reach the region's own rim, in whole pixels of it.
    """
    outside = np.ones(frame.box.size, np.uint8)
    inner = Box(box.left - frame.box.left, box.top - frame.box.top, *box.size[::-1])
    outside[inner.slices] = 0 if where is None else ~where
    inside: Region = resize_mask(outside, frame.drawn) == 0
    return inside


def _touches_edge(mask: Bytes, free: Region, frame: Frame, picture: tuple[int, ...]) -> bool:
    """Whether damage lies on the rim of its region, where that is not the edge of the picture."""
    beyond = np.pad(free, 1)
    if frame.box.top == 0:
        beyond[0] = beyond[1]
    if frame.box.left == 0:
        beyond[:, 0] = beyond[:, 1]
    if frame.box.bottom == picture[0]:
        beyond[-1] = beyond[-2]
    if frame.box.right == picture[1]:
        beyond[:, -1] = beyond[:, -2]
    inner = beyond[1:-1, 1:-1] & beyond[:-2, 1:-1] & beyond[2:, 1:-1] & beyond[1:-1, :-2] & beyond[1:-1, 2:]
    return bool((mask[free & ~inner] > 0).any())
