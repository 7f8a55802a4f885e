"""Adds drawn damage to an image, and nothing of the surface it was drawn on.

Both the image with damage and the image without it come out of the decoder. So their difference shows the damage, not
the softness of the decoder. Added to the photograph, it keeps the grain of the surface, which no latent holds. Where no
damage was drawn, the difference shows how far the denoiser missed the colour of the surface. That error is continued
smoothly under the damage and subtracted. So nothing changes at the edge of the region, and no border can be seen.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from wetgen.runtime.inpaint.crop import CropRegion
from wetgen.runtime.masks.images import Pixels
from wetgen.runtime.masks.regions import BoolMask, Box, connected_components
from wetgen.runtime.sampling.sampler import Floats
from wetgen.runtime.sampling.tiled import Drawn

_SOFT = 1  # pixels over which damage fades out beyond its mask
_HALO = 2  # pixels around damage that are not clean surface: shadows and light on its rim
_SURFACE = 12  # pixels over which the colour error of the surface is taken to be the same
_FAR = 1e-3  # weight of the mean error, against that of the surface nearby
_APART = 2  # pixels that damage may reach beyond its requested mask; farther out it has the outline of latent cells
_LEAST_CONTRAST = 6.0  # levels of 255 by which a region of damage must differ from the clean surface, on average


@dataclass(eq=False)
class PaintedImage:
    """An image uint8 (H, W, 3) that damage is painted into, its mask and confidence uint8 (H, W)."""

    image: Pixels
    mask: Pixels
    confidence: Pixels

    @classmethod
    def over(cls, image: Pixels) -> "PaintedImage":
        """A copy of an undamaged image; its confidence starts at 255 everywhere."""
        return cls(image.copy(), np.zeros(image.shape[:2], np.uint8), np.full(image.shape[:2], 255, np.uint8))


@dataclass(frozen=True, eq=False)
class Overlay:
    """What is added to a crop, at the size it is drawn at: float32 (H, W, 3), mask and confidence uint8 (H, W)."""

    added: Floats
    mask: Pixels
    confidence: Pixels


def difference_overlay(drawn: Drawn, clean: Drawn, free: BoolMask, requested: BoolMask) -> Overlay:
    """The difference that damage makes: a drawn image minus the same image without damage.

    Only pixels that are `free`, bool (H, W), may change. Damage away from where it was `requested`, bool (H, W), is
    left out.
    """
    assert drawn.mask is not None and drawn.confidence is not None
    difference = drawn.image.astype(np.float32) - clean.image
    mask = np.where(free, drawn.mask, 0).astype(np.uint8)
    difference -= _colour_error(difference, free & ~(blurred((mask > 0).astype(np.float32), _HALO) > 0.05))
    mask = _visible(np.where(dilated(requested, _APART), mask, 0).astype(np.uint8), difference)
    damaged = (mask > 0).astype(np.float32)
    soft = np.maximum(damaged, np.minimum(1, 2 * blurred(damaged, _SOFT)))  # keeps thin cracks at full strength
    fade = soft * _inside(free)
    return Overlay(difference * fade[..., None], mask, drawn.confidence)


def apply_overlay(target: PaintedImage, overlay: Overlay, crop: CropRegion, box: Box, where: BoolMask) -> BoolMask:
    """Add an overlay to an image in place. Returns which pixels of `box` became damage, bool of its size.

    Only pixels of `box` where `where`, bool of its size, is True are touched.
    """
    part = crop.drawn_part(box)
    image = target.image[box.slices]
    for channel in range(3):
        added = resized_part(np.ascontiguousarray(overlay.added[..., channel]), box.size, part)
        levels = np.clip(np.round(image[..., channel] + added), 0, 255).astype(np.uint8)
        image[..., channel] = np.where(where, levels, image[..., channel])
    confidence = np.clip(np.round(resized_part(overlay.confidence.astype(np.float32), box.size, part)), 0, 255)
    target.confidence[box.slices] = np.where(where, confidence.astype(np.uint8), target.confidence[box.slices])
    best, most, damaged = np.zeros(box.size, np.uint8), np.zeros(box.size, np.float32), np.zeros(box.size, np.float32)
    for class_id in np.unique(overlay.mask[overlay.mask > 0]):
        share = resized_part((overlay.mask == class_id).astype(np.float32), box.size, part)
        best[share > most] = class_id
        most, damaged = np.maximum(most, share), damaged + share
    painted: BoolMask = where & (damaged > 0.5)  # of a pixel
    target.mask[box.slices][painted] = best[painted]
    return painted


def _inside(free: BoolMask) -> Floats:
    """1 where damage may be, fading to 0 before the free region ends; no fading at the edge of the crop.

    The free region reaches the edge of the crop only where that is the edge of the image, too.
    """
    beyond = 3 * _SOFT  # as far as smoothing reaches
    inside = blurred(np.pad(free, beyond, mode="edge").astype(np.float32), _SOFT)[beyond:-beyond, beyond:-beyond]
    weights: Floats = np.where(free, np.clip(2 * inside - 1, 0, 1), 0)
    return weights


def _colour_error(difference: Floats, surface: BoolMask) -> Floats:
    """The difference on the clean surface, float32 (H, W, 3), continued smoothly under the damage.

    Where no surface lies within reach of the smoothing, it is the mean.
    """
    weight = blurred(surface.astype(np.float32), _SURFACE)
    error = np.zeros_like(difference)
    for channel in range(3):
        mean = difference[..., channel].mean(where=surface) if surface.any() else np.float32(0)
        near = blurred(difference[..., channel] * surface, _SURFACE)
        error[..., channel] = (near + _FAR * mean) / (weight + _FAR)
    return error


def _visible(mask: Pixels, difference: Floats) -> Pixels:
    """The mask without regions too faint to be seen in the image."""
    strength = np.abs(difference).max(-1)
    visible = mask.copy()
    for region in connected_components(mask):
        slices = slice(region.top, region.top + region.height), slice(region.left, region.left + region.width)
        if strength[slices][region.pixels].mean() < _LEAST_CONTRAST:
            visible[slices][region.pixels] = 0
    return visible


_PASSES = 3  # of a box filter; three of them come close to a Gaussian


def blurred(values: Floats, radius: int) -> Floats:
    """Values float32 (H, W) smoothed over about `radius` pixels; beyond the edge are zeros."""
    for _ in range(_PASSES):
        for axis in (0, 1):
            values = _box_mean(values, radius, axis)
    return values


def dilated(region: BoolMask, radius: int) -> BoolMask:
    """A region (H, W) grown by `radius` pixels, with square corners."""
    for axis in (0, 1):
        region = _box_mean(region.astype(np.float32), radius, axis) > 0.5 / (2 * radius + 1)
    return region


def resized_part(values: Floats, size: tuple[int, int], part: tuple[float, float, float, float]) -> Floats:
    """The `part` (left, top, right, bottom) of values float32 (H, W), resized to `size` (height, width)."""
    picture = Image.fromarray(values, mode="F") if values.dtype == np.float32 else Image.fromarray(values)
    resized: Floats = np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BICUBIC, box=part), np.float32)
    return resized


def _box_mean(values: Floats, radius: int, axis: int) -> Floats:
    width = [(0, 0), (0, 0)]
    width[axis] = (radius + 1, radius)
    sums = np.cumsum(np.pad(values, width), axis=axis, dtype=np.float64)
    size = 2 * radius + 1
    ahead, behind = (sums[size:], sums[:-size]) if axis == 0 else (sums[:, size:], sums[:, :-size])
    mean: Floats = ((ahead - behind) / size).astype(np.float32)
    return mean
