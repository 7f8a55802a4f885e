"""The part of a picture that the denoiser sees while it paints a region, and at which size.

Sizes are (height, width); `scale` is pixels of the picture to one that is drawn.
"""

import math
from dataclasses import dataclass

from wetgen.runtime.bundle.graphs import Sizes
from wetgen.runtime.masks.regions import Box

Size = tuple[int, int]

SURROUNDINGS = 1.6  # sides of what is seen to sides of the region: what is drawn must fit what it lies in


@dataclass(frozen=True)
class Frame:
    """A rectangle of the picture, and the latent cells (h, w) that it is drawn with."""

    box: Box
    cells: Size
    drawn: Size  # (H, W) in pixels of the canvas

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the picture to one of the canvas, down and across."""
        return self.box.height / self.drawn[0], self.box.width / self.drawn[1]

    def part(self, box: Box) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of a box of the picture, in pixels of the canvas."""
        down, across = self.scale
        return (
            (box.left - self.box.left) / across,
            (box.top - self.box.top) / down,
            (box.right - self.box.left) / across,
            (box.bottom - self.box.top) / down,
        )


def frame_for(region: Box, picture: Size, sizes: Sizes, detail: int) -> Frame:
    """The frame around a region of a picture; `detail` is how many windows of the graphs the longer side takes.

    The picture is never enlarged, unless it is smaller than a window, and the frame never leaves it.
    """
    wished = tuple(SURROUNDINGS * side for side in region.size)
    longest = max(sizes.height, sizes.width) * (1 + detail) / 2  # windows overlap by half
    scale = max(1.0, max(wished) / longest)
    scale = min(scale, picture[0] / sizes.height, picture[1] / sizes.width)
    sides = (
        _side(wished[0], picture[0], scale, sizes.latent_height, sizes.stride[0]),
        _side(wished[1], picture[1], scale, sizes.latent_width, sizes.stride[1]),
    )
    (rows, height), (columns, width) = sides
    drawn = rows * sizes.stride[0], columns * sizes.stride[1]
    top = _start(region.top, region.height, height, picture[0])
    left = _start(region.left, region.width, width, picture[1])
    return Frame(Box(left, top, width, height), (rows, columns), drawn)


def _side(wished: float, whole: int, scale: float, least: int, stride: int) -> tuple[int, int]:
    """A side in cells, at least a window and at most the picture, and in pixels of the picture.

    Where the picture is no longer than wished it is all of it, a little compressed to whole cells.
    """
    cells = max(least, min(math.ceil(wished / scale / stride), int(whole / scale / stride + 1e-6)))
    return cells, whole if wished >= whole else min(whole, round(cells * stride * scale))


def _start(start: int, length: int, frame: int, whole: int) -> int:
    """Where a frame begins that has a length in its middle and stays inside the whole."""
    return min(max(0, start + (length - frame) // 2), whole - frame)
