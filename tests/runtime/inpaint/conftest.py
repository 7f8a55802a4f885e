"""A canvas that draws flat damage where it is told to, so that painting can be watched without a network."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.graphs import Plan, Sizes
from wetgen.runtime.inpaint.painter import Painter
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.sampler import Floats, SampleInputs, starting_noise
from wetgen.runtime.sampling.tiled import Drawn

Mask = NDArray[np.uint8]
Shape = Callable[[Mask, NDArray[np.bool_]], Mask]

DARKER = 60  # levels by which damage differs from its surface


class CanvasDouble:
    """Stands in for a TiledGraphs: latents hold the picture itself and its mask, cell by cell.

    Damage is what the layout shows, darker by DARKER and a little more by its noise. `shape` may change it: given the
    mask (H, W) of the layout and which pixels (H, W) are free, it gives the mask to be drawn. All that was wanted is
    kept in `asked`, call by call.
    """

    def __init__(self, sizes: Sizes, shape: Shape | None = None) -> None:
        self.sizes, self.shape = sizes, shape
        self.asked: list[list[SampleInputs]] = []
        self.alphas: list[Sequence[float]] = []

    def encode(self, images: Sequence[Mask], masks: Sequence[Mask]) -> list[Floats]:
        return [self._latent(image, mask) for image, mask in zip(images, masks, strict=True)]

    def decode(self, latents: Sequence[Floats]) -> list[Drawn]:
        return [Drawn(*self._parts(latent)) for latent in latents]

    def draw(self, wanted: Sequence[SampleInputs], plan: Plan, alphas: Sequence[float] = ()) -> list[Floats]:
        self.asked.append(list(wanted))
        self.alphas.append(alphas)
        return [self._drawn(each) for each in wanted]

    def _drawn(self, wanted: SampleInputs) -> Floats:
        cells, (rows, columns) = wanted.cells(self.sizes), self.sizes.stride
        size = cells[0] * rows, cells[1] * columns
        noise = starting_noise(wanted.seed, wanted.number, (*size, 3), wanted.attempt)
        if wanted.known is None:
            image, free = np.clip(150 + 8 * noise, 0, 255).astype(np.uint8), np.ones(size, bool)
        else:
            image, free = self._parts(wanted.known.latent)[0], _grown(wanted.known.where == 0, rows, columns)
        mask = np.zeros(size, np.uint8)
        if wanted.layout is not None:
            cells_of = wanted.layout.argmax(0).astype(np.uint8)
            mask = np.where(free, _grown(cells_of, rows, columns), 0).astype(np.uint8)
        if self.shape is not None:
            mask = self.shape(mask, free)
        darker = DARKER + np.clip(4 * noise, -20, 20) + 5 * mask[..., None]
        painted = np.where(mask[..., None] > 0, np.clip(image - darker, 0, 255), image).astype(np.uint8)
        return self._latent(painted, mask)

    def _latent(self, image: Mask, mask: Mask) -> Floats:
        """(4 * rows * columns, h, w): the pixels under each cell."""
        rows, columns = self.sizes.stride
        planes = np.concatenate([image, mask[..., None]], -1).astype(np.float32)
        cells = planes.reshape(image.shape[0] // rows, rows, image.shape[1] // columns, columns, 4)
        made: Floats = cells.transpose(1, 3, 4, 0, 2).reshape(rows * columns * 4, *cells.shape[0:3:2])
        return made

    def _parts(self, latent: Floats) -> tuple[Mask, Mask, Mask]:
        (rows, columns), (height, width) = self.sizes.stride, latent.shape[1:]
        cells = latent.reshape(rows, columns, 4, height, width).transpose(3, 0, 4, 1, 2)
        planes = cells.reshape(height * rows, width * columns, 4).astype(np.uint8)
        return np.ascontiguousarray(planes[..., :3]), planes[..., 3].copy(), np.full(planes.shape[:2], 180, np.uint8)


def _grown(cells: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    return cells.repeat(rows, 0).repeat(columns, 1)


@pytest.fixture
def canvas_double(bundle: Bundle) -> CanvasDouble:
    """A canvas double with the tiny bundle's sizes."""
    return CanvasDouble(bundle.sizes)


@pytest.fixture
def painter(bundle: Bundle, canvas_double: CanvasDouble) -> Painter:
    """A painter on the double."""
    generator: Any = SimpleNamespace(bundle=bundle, tiled=lambda plan: canvas_double)
    return Painter(generator, bundle.plan(None))


@pytest.fixture
def on_the_double(monkeypatch: pytest.MonkeyPatch, canvas_double: CanvasDouble) -> CanvasDouble:
    """Every generator draws on the double, so that commands run on the tiny bundle paint something to look at."""
    monkeypatch.setattr(Generator, "tiled", lambda self, plan: canvas_double)
    return canvas_double


@pytest.fixture(scope="session")
def wall() -> Callable[..., Mask]:
    """Makes a textured wall uint8 (H, W, 3) of its own for every seed."""

    def make(seed: int, height: int = 96, width: int = 128) -> Mask:
        from PIL import Image

        rng = np.random.default_rng(seed)
        base = rng.uniform(110, 215) + rng.uniform(-22, 22, 3)
        y, x = np.mgrid[0:height, 0:width]
        light = 1 + rng.uniform(-0.15, 0.15) * (x / width - 0.5) + rng.uniform(-0.15, 0.15) * (y / height - 0.5)
        grain = np.zeros((height, width), np.float32)
        for coarse, strength in ((1, 3), (2, 3), (6, 3), (24, 6)):
            noise = rng.normal(size=(height // coarse + 2, width // coarse + 2)).astype(np.float32)
            grain += strength * np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))
        wall = base * light[..., None] + grain[..., None]
        if seed % 4 == 2:  # of bricks
            joints = (y % 32 < 3) | ((x + y // 32 % 2 * 32) % 64 < 3)
            wall -= 25 * joints[..., None]
        return np.clip(wall, 0, 255).astype(np.uint8)

    return make
