"""Paints damage into images: encode the crop, draw its free region again, add the damage to the image.

Sizes are (height, width). Everything outside the pixels of a region stays as it was, byte for byte.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from wetgen.runtime.bundle.bundle import check_layouts
from wetgen.runtime.bundle.graphs import Plan, Sizes
from wetgen.runtime.inpaint.blend import PaintedImage, apply_overlay, difference_overlay
from wetgen.runtime.inpaint.crop import CropRegion, crop_around
from wetgen.runtime.masks.images import Pixels
from wetgen.runtime.masks.regions import BoolMask, Box
from wetgen.runtime.masks.resize import resize_mask
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.sampler import Floats, Known, SampleInputs, layout_of
from wetgen.runtime.sampling.tiled import Drawn, TiledGraphs

DETAIL = 2  # windows of the graphs along the longer side of a crop
GROWTHS = 3  # how often a region is enlarged for damage that would be cut off at its edge
_GROWTH = 0.35  # of the region's longer side, each time


@dataclass(frozen=True, eq=False)
class PlannedDamage:
    """Damage to paint: its class and prompt, the region that may change, and its mask of class ids there.

    `mask` is uint8 and `where` bool, both of the size of `box`; `where` None lets the whole box change.
    """

    class_name: str
    prompt: str
    box: Box
    mask: Pixels
    where: BoolMask | None = None
    severity: float | None = None


@dataclass(frozen=True, eq=False)
class InpaintRequest:
    """One damage to paint into one image; `inputs` are its model inputs, without layout, known pixels and size."""

    target: PaintedImage
    damage: PlannedDamage
    inputs: SampleInputs


@dataclass(frozen=True)
class InpaintResult:
    """The region that could change in the end, how often it grew, and which of its pixels became damage.

    `painted` is bool of the box's size. It is None where damage still touched an edge of the region that is not an edge
    of the image; then nothing was painted.
    """

    box: Box
    growths: int
    painted: BoolMask | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, eq=False)
class Patch:
    """A request on its way into its image: the region that may change now, and the crop that is drawn for it."""

    request: InpaintRequest
    sizes: Sizes
    crop: CropRegion
    box: Box
    where: BoolMask | None
    growths: int = 0

    @property
    def image_size(self) -> tuple[int, int]:
        height, width = self.request.target.mask.shape
        return height, width

    @cached_property
    def free(self) -> BoolMask:
        """Which pixels of the drawn crop may change, bool (H, W): those that lie wholly inside the region.

        So damage that does not touch their rim does not touch the rim of the region either.
        """
        outside = np.ones(self.crop.box.size, np.uint8)
        outside[self.crop.inner(self.box).slices] = 0 if self.where is None else ~self.where
        inside: BoolMask = resize_mask(outside, self.crop.drawn) == 0
        return inside

    @cached_property
    def layout(self) -> Pixels:
        """The mask of the damage, uint8 (H, W) of the drawn crop."""
        damage = self.request.damage
        whole = np.zeros(self.crop.box.size, np.uint8)
        whole[self.crop.inner(damage.box).slices] = damage.mask
        return resize_mask(whole, self.crop.drawn)

    def inputs(self, latent: Floats) -> SampleInputs:
        """The model inputs, for a crop with this latent."""
        rows, columns = self.sizes.stride
        free_cells = self.free.reshape(self.crop.cells[0], rows, self.crop.cells[1], columns).any((1, 3))
        known = Known(latent, np.where(free_cells, 0, 1).astype(np.float32))
        layout = layout_of(self.layout, self.sizes)
        return replace(self.request.inputs, layout=layout, known=known, size=self.crop.cells)

    def paint(self, drawn: Drawn, clean: Drawn) -> BoolMask | None:
        """Paint the drawn damage into the image. Returns which pixels of the box became damage.

        Paints nothing and returns None where damage would be cut off at the edge of the region.
        """
        overlay = difference_overlay(drawn, clean, self.free, self.layout > 0)
        if _touches_edge(overlay.mask, self.free, self.crop, self.image_size):
            return None
        where = np.ones(self.box.size, bool) if self.where is None else self.where
        return apply_overlay(self.request.target, overlay, self.crop, self.box, where)

    def larger_region(self) -> Box | None:
        """A larger region to try after this one; None after the last try, and where there is no larger one."""
        margin = max(8, round(_GROWTH * max(self.box.size)))
        larger = self.box.grown(margin).clip(self.image_size)
        return None if self.growths == GROWTHS or (larger == self.box and self.where is None) else larger


class Painter:
    """Paints with one generator and plan. Raises WetgenError for a bundle that cannot."""

    def __init__(self, generator: Generator, plan: Plan, *, detail: int = DETAIL) -> None:
        bundle = generator.bundle
        check_layouts(bundle)
        self._alphas = bundle.alphas_after(plan)
        self._canvas: TiledGraphs = generator.tiled(plan)
        self._sizes, self._plan, self.detail = bundle.sizes, plan, detail

    def paint(self, requests: Sequence[InpaintRequest]) -> list[InpaintResult]:
        """Paint each request into its image. No two may share an image. Regions that cut damage off grow together."""
        results: dict[int, InpaintResult] = {}
        patches = {i: self._patch(request, request.damage.box) for i, request in enumerate(requests)}
        while patches:
            growing: dict[int, Patch] = {}
            for (i, patch), painted in zip(patches.items(), self._draw(list(patches.values())), strict=True):
                larger = patch.larger_region() if painted is None else None
                if larger is None:
                    results[i] = InpaintResult(patch.box, patch.growths, painted)
                else:
                    growing[i] = self._patch(patch.request, larger, growths=patch.growths + 1)
            patches = growing
        return [results[i] for i in range(len(requests))]

    def _patch(self, request: InpaintRequest, box: Box, growths: int = 0) -> Patch:
        """The patch for a region; a region that grew may change everywhere in its box."""
        height, width = request.target.mask.shape
        crop = crop_around(box, (height, width), self._sizes, self.detail)
        return Patch(request, self._sizes, crop, box, None if growths else request.damage.where, growths)

    def _draw(self, patches: Sequence[Patch]) -> list[BoolMask | None]:
        """Draw every patch and paint those that are whole: which pixels became damage, None where it was cut off."""
        images = [patch.crop.cut(patch.request.target.image) for patch in patches]
        latents = self._canvas.encode(images, [np.zeros(patch.crop.drawn, np.uint8) for patch in patches])
        inputs = [patch.inputs(latent) for patch, latent in zip(patches, latents, strict=True)]
        drawn = self._canvas.decode(self._canvas.draw(inputs, self._plan, self._alphas))
        clean = self._canvas.decode(latents)
        return [patch.paint(*decoded) for patch, *decoded in zip(patches, drawn, clean, strict=True)]


def _touches_edge(mask: Pixels, free: BoolMask, crop: CropRegion, image: tuple[int, int]) -> bool:
    """Whether damage touches an edge of its free region that is not an edge of the image."""
    beyond = np.pad(free, 1)
    if crop.box.top == 0:
        beyond[0] = beyond[1]
    if crop.box.left == 0:
        beyond[:, 0] = beyond[:, 1]
    if crop.box.bottom == image[0]:
        beyond[-1] = beyond[-2]
    if crop.box.right == image[1]:
        beyond[:, -1] = beyond[:, -2]
    inner = beyond[1:-1, 1:-1] & beyond[:-2, 1:-1] & beyond[2:, 1:-1] & beyond[1:-1, :-2] & beyond[1:-1, 2:]
    return bool((mask[free & ~inner] > 0).any())
