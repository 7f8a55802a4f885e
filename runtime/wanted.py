"""All that decides one pair beside the bundle and the plan, and how the denoiser is told of it.

Axes: C channels and h w size of a latent, K classes, H W of a picture.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.graphs import Sizes
from wetgen.runtime.noise import starting_noise

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Known:
    """A picture that is to stay: its latent float32 (C, h, w), and where it is known, float32 (h, w) of 0 and 1."""

    latent: Floats
    where: Floats


@dataclass(frozen=True, eq=False)
class Wanted:
    """One pair that is to be drawn.

    The noise follows from `seed`, `number` and `attempt` alone. `layout` float32 (K, h, w) holds the share of each
    class under every latent cell; None leaves the mask free. `known` None leaves the picture free. `size` is (h, w) of
    the latent in cells; None is that of the bundle's graphs.
    """

    prompt: str
    seed: int
    number: int
    guidance: float
    negative: str = ""
    attempt: int = 0
    layout: Floats | None = None
    known: Known | None = None
    size: tuple[int, int] | None = None

    def noise(self, sizes: Sizes) -> Floats:
        """The starting noise, float32 (C, h, w)."""
        return starting_noise(self.seed, self.number, (sizes.latent_channels, *self.cells(sizes)), self.attempt)

    def cells(self, sizes: Sizes) -> tuple[int, int]:
        """(h, w) of its latent."""
        return (sizes.latent_height, sizes.latent_width) if self.size is None else self.size

    def conditioning(self, sizes: Sizes) -> Floats:
        """The conditioning tensor float32 (K + C + 1, h, w): layout, known latent, known map; zeros mean "free"."""
        made: Floats = np.zeros((sizes.conditioning_channels, *self.cells(sizes)), np.float32)
        if self.layout is not None:
            made[: sizes.classes] = self.layout
        if self.known is not None:
            made[sizes.classes : -1] = self.known.latent * self.known.where
            made[-1] = self.known.where
        return made


def layout_of(mask: NDArray[np.uint8], sizes: Sizes) -> Floats:
    """The layout float32 (K, h, w) of a mask of class ids uint8 (H, W), whose sides are multiples of the latent stride.

    The share of each class under a latent cell, in 255ths: what the denoiser was trained with.
    """
    rows, columns = sizes.stride
    cells = mask.reshape(mask.shape[0] // rows, rows, mask.shape[1] // columns, columns)
    shares = [(cells == class_id).mean((1, 3)) for class_id in range(sizes.classes)]
    made: Floats = (np.round(np.stack(shares) * 255) / 255).astype(np.float32)
    return made


def undamaged(sizes: Sizes, cells: tuple[int, int] | None) -> Floats:
    """The layout float32 (K, h, w) that shows no damage; `cells` (h, w) None is the size of the bundle's graphs."""
    return layout_of(np.zeros(sizes.pixels(cells), np.uint8), sizes)
