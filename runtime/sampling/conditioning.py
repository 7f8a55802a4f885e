"""All that decides one pair beside the bundle and the plan, and how the denoiser is told of it.

Axes: C channels and h w size of a latent, K classes, H W of a picture.

What may be asked of a generator, whatever the bundle; refused before anything is loaded or drawn.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.graphs import Plan, Sizes
from wetgen.runtime.bundle.targets import DEVICES
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.noise import SEED_LIMIT, starting_noise

Floats = NDArray[np.float32]


class SamplingParams(NamedTuple):
    """How a pair is drawn, whatever it shows; its row says so under these names."""

    plan: str
    guidance: float
    negative: str


@dataclass(frozen=True, eq=False)
class Known:
    """A picture that is to stay: its latent float32 (C, h, w), and where it is known, float32 (h, w) of 0 and 1."""

    latent: Floats
    where: Floats


@dataclass(frozen=True, eq=False)
class SampleInputs:
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
    index: int = 0  # of the pair in its dataset

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


_LARGEST = float(np.finfo(np.float32).max)
MOST_PIXELS = 2**24  # of a drawn picture: beyond, its windows and their latents fill the memory


def check_loading(device: str, batch: int, threads: int | None) -> None:
    if device not in DEVICES:
        raise WetgenError(
            f"There is no device '{device}'.", why=f"devices are {', '.join(DEVICES)}.", fix="choose one."
        )
    for name, value in (("batch", batch), ("threads", threads)):
        if value is not None and value < 1:
            raise WetgenError(f"{name} is {value}.", why="it must be at least 1.", fix=f"use {name} 1 or more.")


def check_prompts(prompts: Sequence[str]) -> None:
    if isinstance(prompts, str):
        raise TypeError("prompts is a list of prompts, not one string")
    if not prompts:
        raise WetgenError("There are no prompts.", why="the list is empty.", fix="give at least one prompt.")


def check_inputs(seed: int, guidance: float | None, count: int = 1) -> None:
    """Raise WetgenError for values that no bundle can generate from."""
    if count < 1:
        raise WetgenError(f"The count is {count}.", why="it is the number of pairs per prompt.", fix="use 1 or more.")
    if not 0 <= seed < SEED_LIMIT:
        raise WetgenError(f"The seed is {seed}.", why="seeds run from 0 to 2^63 - 1.", fix="use a seed in that range.")
    if guidance is not None and not abs(guidance) <= _LARGEST:  # false for NaN too
        raise WetgenError(
            f"The guidance is {guidance}.",
            why="it scales the difference that the prompt makes, so it must be a finite number.",
            fix="use a number such as 3; 1 is the prompt alone, 0 ignores the prompt.",
        )


def check_negative(plan: Plan) -> None:
    """Raise WetgenError where a negative prompt would have no effect."""
    if not plan.guided:
        raise WetgenError(
            f"The plan '{plan.name}' has no use for a negative prompt.",
            why="it acts where a step is guided, and no step of this plan is.",
            fix="leave it out, or choose a plan with guided steps; `wetgen inspect` lists them.",
        )


def check_guidance(guidance: float, known: tuple[float, float] | None) -> None:
    """Raise WetgenError for a scale outside the range `known` to a network; None where guidance is not distilled."""
    if known is not None and not known[0] <= guidance <= known[1]:
        raise WetgenError(
            f"The guidance is {guidance:g}.",
            why=f"guidance was distilled into this bundle's denoiser, which learnt scales from {known[0]:g} to "
            f"{known[1]:g}.",
            fix="choose a guidance in that range, or a bundle whose guidance is not distilled.",
        )


def checked_indexes(indexes: Iterable[int], total: int) -> list[int]:
    wanted = list(indexes)
    wrong = [index for index in wanted if not 0 <= index < total]
    if wrong:
        raise WetgenError(
            f"There is no pair {wrong[0]}.",
            why=f"prompts times count make {total} pairs, 0 to {total - 1}.",
            fix="ask for indexes in that range, or raise count.",
        )
    return wanted


def checked_cells(size: tuple[int, int], sizes: Sizes) -> tuple[int, int]:
    """(h, w) of the latent of a picture of (width, height) pixels.

    Raises WetgenError for a size that windows of the graphs' size cannot cover.
    """
    rows, columns = sizes.stride
    width, height = size
    if width % columns or height % rows:
        near = f"{max(sizes.width, round(width / columns) * columns)}x{max(sizes.height, round(height / rows) * rows)}"
        raise WetgenError(
            f"Pictures of {width} x {height} pixels are not possible.",
            why=f"a cell of the latent is {columns} x {rows} pixels, and pictures are whole cells.",
            fix=f"use multiples of {columns} and {rows}, such as {near}.",
        )
    if width < sizes.width or height < sizes.height:
        raise WetgenError(
            f"Pictures of {width} x {height} pixels are not possible.",
            why=f"the bundle's graphs draw windows of {sizes.width} x {sizes.height}, and a picture is at least one.",
            fix=f"use at least {sizes.width}x{sizes.height}, or a bundle exported for smaller pictures.",
        )
    if width * height > MOST_PIXELS:
        raise WetgenError(
            f"Pictures of {width} x {height} pixels are not possible.",
            why=f"at most {MOST_PIXELS:,} pixels are drawn at a time.",
            fix="draw smaller pictures.",
        )
    return height // rows, width // columns
