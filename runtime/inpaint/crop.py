"""The crop of an image that the denoiser sees while it paints a region, and the size it is drawn at.

Sizes are (height, width); `scale` is pixels of the image per pixel drawn.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from wetgen.runtime.bundle.graphs import Sizes
from wetgen.runtime.masks.images import Pixels
from wetgen.runtime.masks.regions import Box, Size

SURROUNDINGS = 1.6  # sides of the crop to sides of the region: the damage must fit what lies around it


@dataclass(frozen=True)
class CropRegion:
    """A rectangle of an image, and the latent cells (h, w) and pixels (H, W) it is drawn with."""

    box: Box
    cells: Size
    drawn: Size

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the image per pixel drawn, down and across."""
        return self.box.height / self.drawn[0], self.box.width / self.drawn[1]

    def cut(self, image: Pixels) -> Pixels:
        """This part of an image uint8 (H, W, 3), at the size it is drawn at."""
        part = Image.fromarray(image[self.box.slices])
        return np.asarray(part.resize((self.drawn[1], self.drawn[0]), Image.Resampling.LANCZOS))

    def inner(self, box: Box) -> Box:
        """A box of the image, counted from the crop's upper left corner."""
        return Box(box.left - self.box.left, box.top - self.box.top, box.width, box.height)

    def drawn_part(self, box: Box) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of a box of the image, in pixels drawn."""
        down, across = self.scale
        inner = self.inner(box)
        return inner.left / across, inner.top / down, inner.right / across, inner.bottom / down


def crop_around(region: Box, image: Size, sizes: Sizes, detail: int) -> CropRegion:
    """The crop around a region of an image; `detail` is how many windows of the graphs its longer side takes.

    The image is enlarged only where it is smaller than a window, and the crop never leaves it.
    """
    requested = tuple(SURROUNDINGS * side for side in region.size)
    longest = max(sizes.height, sizes.width) * (1 + detail) / 2  # windows overlap by half
    scale = max(1.0, max(requested) / longest)
    scale = min(scale, image[0] / sizes.height, image[1] / sizes.width)
    rows, height = _side(requested[0], image[0], scale, sizes.latent_height, sizes.stride[0])
    columns, width = _side(requested[1], image[1], scale, sizes.latent_width, sizes.stride[1])
    top = _start(region.top, region.height, height, image[0])
    left = _start(region.left, region.width, width, image[1])
    drawn = rows * sizes.stride[0], columns * sizes.stride[1]
    return CropRegion(Box(left, top, width, height), (rows, columns), drawn)


def _side(requested: float, whole: int, scale: float, least: int, stride: int) -> tuple[int, int]:
    """The length of one side in latent cells, and in pixels of the image.

    If the image is smaller than the requested crop, use the whole image, resized to a multiple of the stride.
    """
    cells = max(least, min(math.ceil(requested / scale / stride), int(whole / scale / stride + 1e-6)))
    return cells, whole if requested >= whole else min(whole, round(cells * stride * scale))


def _start(start: int, length: int, side: int, whole: int) -> int:
    """Where a crop of length `side` starts that is centred on the region and stays inside the image."""
    return min(max(0, start + (length - side) // 2), whole - side)
