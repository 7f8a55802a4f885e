"""What may be asked of a generator, whatever the bundle; refused before anything is loaded or drawn."""

from collections.abc import Iterable, Sequence

import numpy as np

from wetgen.runtime.engines import DEVICES
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.graphs import Sizes
from wetgen.runtime.noise import SEED_LIMIT
from wetgen.runtime.schedule import Plan

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


def check_asked(prompts: Sequence[str], seed: int, count: int, guidance: float | None) -> None:
    """Raise WetgenError for values that no bundle can generate from."""
    if isinstance(prompts, str):
        raise TypeError("prompts is a list of prompts, not one string")
    if not prompts:
        raise WetgenError("There are no prompts.", why="the list is empty.", fix="give at least one prompt.")
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
