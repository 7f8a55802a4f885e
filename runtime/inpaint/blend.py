"""What is laid into a picture: the damage that was drawn, and nothing of the surface it was drawn on.

The drawn picture and the undamaged one both come out of the decoder, so that what their difference shows is damage, not
the decoder's softness. Added to the photograph it leaves the grain of the surface, which no latent holds. The
difference where no damage was drawn is how far the denoiser missed the surface's colour; continued under the damage it
is taken off. So nothing changes at the edge of the region: there is no border to be seen.

Smoothing and stretching of maps, with numpy and Pillow.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wetgen.runtime.inpaint.crop import Frame
from wetgen.runtime.masks.regions import Box, connected_components
from wetgen.runtime.sampling.conditioning import Floats
from wetgen.runtime.sampling.tiled import Drawn

Bytes = NDArray[np.uint8]
Region = NDArray[np.bool_]

_SOFT = 1  # pixels of the canvas over which damage fades out, beyond where its mask ends
_HALO = 2  # pixels around damage that are no clean surface: shadows and light on its rim
_SURFACE = 12  # pixels over which the missed colour of the surface is taken to be the same
_FAR = 1e-3  # weight of the mean miss against that of the surface near by
_APART = 2  # pixels around where damage was wished, that it may cover: beyond, its outline is that of latent cells
_LEAST_CONTRAST = 6.0  # levels of 255 by which a region of damage must differ from what was there, on average


@dataclass(frozen=True, eq=False)
class Inlay:
    """On the canvas: what is added float32 (H, W, 3), mask uint8 (H, W), confidence uint8 (H, W)."""

    added: Floats
    mask: Bytes
    confidence: Bytes


def inlay(drawn: Drawn, clean: Drawn, free: Region, wished: Region) -> Inlay:
    """The damage of a drawn picture over the same picture without, where it was `free` to be drawn, bool (H, W).

    Damage that was drawn beside where it was `wished`, bool (H, W), is left out.
    """
    assert drawn.mask is not None and drawn.confidence is not None
    difference = drawn.image.astype(np.float32) - clean.image
    near = dilated(wished, _APART)
    mask = np.where(free, drawn.mask, 0).astype(np.uint8)
    difference -= _missed(difference, free & ~(blurred((mask > 0).astype(np.float32), _HALO) > 0.05))
    mask = _visible(np.where(near, mask, 0).astype(np.uint8), difference)
    damaged = (mask > 0).astype(np.float32)
    soft = np.maximum(damaged, np.minimum(1, 2 * blurred(damaged, _SOFT)))  # thin cracks lose nothing
    fade = soft * _inside(free)
    return Inlay(difference * fade[..., None], mask, drawn.confidence)


def lay(picture: Bytes, mask: Bytes, confidence: Bytes, made: Inlay, frame: Frame, box: Box, where: Region) -> Region:
    """Lay an inlay into a picture uint8 (H, W, 3), its mask and confidence uint8 (H, W), in place.

    Only pixels of `box` where `where`, bool of its size, is set are touched. Gives those that became damage.
    """
    part = frame.part(box)
    there = picture[box.slices]
    for channel in range(3):
        added = stretched(np.ascontiguousarray(made.added[..., channel]), box.size, part)
        levels = np.clip(np.round(there[..., channel] + added), 0, 255).astype(np.uint8)
        there[..., channel] = np.where(where, levels, there[..., channel])
    sure = np.clip(np.round(stretched(made.confidence.astype(np.float32), box.size, part)), 0, 255)
    confidence[box.slices] = np.where(where, sure.astype(np.uint8), confidence[box.slices])
    best, most, damaged = np.zeros(box.size, np.uint8), np.zeros(box.size, np.float32), np.zeros(box.size, np.float32)
    for class_id in np.unique(made.mask[made.mask > 0]):
        share = stretched((made.mask == class_id).astype(np.float32), box.size, part)
        best[share > most] = class_id
        most, damaged = np.maximum(most, share), damaged + share
    laid: Region = where & (damaged > 0.5)  # of a pixel
    mask[box.slices][laid] = best[laid]
    return laid


def _inside(free: Region) -> Floats:
    """1 where damage may be, fading to 0 before its region ends; not at the canvas's edge, which is the picture's
    wherever damage reaches it."""
    beyond = 3 * _SOFT  # as far as smoothing reaches
    inside = blurred(np.pad(free, beyond, mode="edge").astype(np.float32), _SOFT)[beyond:-beyond, beyond:-beyond]
    made: Floats = np.where(free, np.clip(2 * inside - 1, 0, 1), 0)
    return made


def _missed(difference: Floats, surface: Region) -> Floats:
    """The difference on the clean surface, float32 (H, W, 3), continued smoothly to where there is damage.

    Further from any surface than smoothing reaches it is the mean.
    """
    weight = blurred(surface.astype(np.float32), _SURFACE)
    missed = np.zeros_like(difference)
    for channel in range(3):
        mean = difference[..., channel].mean(where=surface) if surface.any() else np.float32(0)
        near = blurred(difference[..., channel] * surface, _SURFACE)
        missed[..., channel] = (near + _FAR * mean) / (weight + _FAR)
    return missed


def _visible(mask: Bytes, difference: Floats) -> Bytes:
    """The mask without the regions that nobody would see in the picture."""
    strength = np.abs(difference).max(-1)
    seen = mask.copy()
    for region in connected_components(mask):
        place = slice(region.top, region.top + region.height), slice(region.left, region.left + region.width)
        if strength[place][region.pixels].mean() < _LEAST_CONTRAST:
            seen[place][region.pixels] = 0
    return seen


_PASSES = 3  # of a box; three of them come close to a Gaussian


def blurred(values: Floats, radius: int) -> Floats:
    """Values float32 (H, W) smoothed over about `radius` pixels; beyond the edge lie zeros."""
    if radius < 1:
        return values
    for _ in range(_PASSES):
        for axis in (0, 1):
            values = _box_mean(values, radius, axis)
    return values


def dilated(region: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """A region (H, W) grown by so many pixels, corners square."""
    for axis in (0, 1):
        region = _box_mean(region.astype(np.float32), radius, axis) > 0.5 / (2 * radius + 1)
    return region


def stretched(values: Floats, size: tuple[int, int], box: tuple[float, float, float, float]) -> Floats:
    """The part `box` (left, top, right, bottom) of values float32 (H, W), at the size (height, width)."""
    picture = Image.fromarray(values, mode="F") if values.dtype == np.float32 else Image.fromarray(values)
    made: Floats = np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BICUBIC, box=box), np.float32)
    return made


def _box_mean(values: Floats, radius: int, axis: int) -> Floats:
    width = [(0, 0), (0, 0)]
    width[axis] = (radius + 1, radius)
    sums = np.cumsum(np.pad(values, width), axis=axis, dtype=np.float64)
    size = 2 * radius + 1
    ahead, behind = (sums[size:], sums[:-size]) if axis == 0 else (sums[:, size:], sums[:, :-size])
    made: Floats = ((ahead - behind) / size).astype(np.float32)
    return made
