"""The part of a picture that the denoiser sees while it paints a region, and at which size.

Sizes are (height, width); `scale` is pixels of the picture to one that is drawn.
"""

import math
from dataclasses import dataclass

from wetgen.runtime.graphs import Sizes
from wetgen.runtime.placing.boxes import Box

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
    cells = (
        _cells(wished[0] / scale, picture[0] / scale, sizes.latent_height, sizes.stride[0]),
        _cells(wished[1] / scale, picture[1] / scale, sizes.latent_width, sizes.stride[1]),
    )
    drawn = cells[0] * sizes.stride[0], cells[1] * sizes.stride[1]
    height, width = (min(whole, round(side * scale)) for side, whole in zip(drawn, picture, strict=True))
    top = _start(region.top, region.height, height, picture[0])
    left = _start(region.left, region.width, width, picture[1])
    return Frame(Box(left, top, width, height), cells, drawn)


def _cells(wished: float, most: float, least: int, stride: int) -> int:
    """Whole cells for a side: at least a window, at most the picture."""
    return max(least, min(math.ceil(wished / stride), int(most / stride + 1e-6)))


def _start(start: int, length: int, frame: int, whole: int) -> int:
    """Where a frame begins that has a length in its middle and stays inside the whole."""
    return min(max(0, start + (length - frame) // 2), whole - frame)
