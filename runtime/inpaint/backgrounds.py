"""The images that damage is painted into: photographs, or surfaces that are drawn without damage.

Sizes are (height, width).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from wetgen.runtime.bundle.archive import file_sha256
from wetgen.runtime.bundle.graphs import Plan
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import os_errors
from wetgen.runtime.masks.images import Pixels, read_image
from wetgen.runtime.sampling.sampler import SampleInputs
from wetgen.runtime.sampling.tiled import TiledGraphs

CLEAN_TRIES = 6  # of a surface without damage, before the whole pair is drawn again
SUFFIXES = (".jpeg", ".jpg", ".png")
_OTHERS = (".avif", ".bmp", ".gif", ".heic", ".heif", ".tif", ".tiff", ".webp")  # image files that read_image refuses
_SPECK = 0.002  # share of an image that its mask may mark while the image still counts as undamaged


class Background(NamedTuple):
    """An image uint8 (H, W, 3) to paint in, and its metadata; `damaged` says that it came out with damage."""

    image: Pixels
    metadata: Mapping[str, object]
    damaged: bool = False


def read_photograph(path: Path) -> Background:
    """A photograph; its metadata are its name and its hash."""
    return Background(read_image(path), {"photo": path.name, "sha256": file_sha256(path)})


def photograph_files(folder: Path) -> list[Path]:
    """The photographs in a folder, by name. Raises WetgenError for an empty folder and for files wetgen cannot read."""
    with os_errors(folder, "read"):
        if folder.is_file():
            return [folder]
        files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    for path in files:
        if path.suffix.lower() in _OTHERS:
            raise WetgenError(
                f"wetgen cannot read {path}.",
                why=f"it reads only {', '.join(SUFFIXES)}.",
                fix="convert the file to PNG or JPEG, or move it away.",
            )
        if path.suffix.lower() in SUFFIXES and not path.is_file():
            raise WetgenError(
                f"{path} is not a file.",
                why="it is a folder." if path.is_dir() else "it is a broken link or a special file.",
                fix="move it away, or put the photograph in its place.",
            )
    found = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not found:
        raise WetgenError(
            f"{folder} has no photographs.",
            why=f"no {', '.join(SUFFIXES)} file is directly in it.",
            fix="give the folder with the photographs.",
        )
    return found


def cropped(image: Pixels, size: tuple[int, int]) -> Pixels:
    """The middle of an image at another size (H, W): the image is scaled to cover that size and cut to it."""
    scale = min(image.shape[0] / size[0], image.shape[1] / size[1])
    height, width = size[0] * scale, size[1] * scale
    top, left = (image.shape[0] - height) / 2, (image.shape[1] - width) / 2
    box = (left, top, left + width, top + height)
    picture = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.LANCZOS, box=box)
    return np.asarray(picture)


def draw_surfaces(sampler: TiledGraphs, plan: Plan, surfaces: Sequence[SampleInputs]) -> list[Background]:
    """Draw surfaces until their masks show no damage; each of the inputs has a layout without damage.

    The prompt may name damage: the layout is stronger, and the rest of the prompt says which surface to draw.
    """
    drawn: dict[int, Background] = {}
    for clean_try in range(CLEAN_TRIES):
        left = [i for i in range(len(surfaces)) if i not in drawn or drawn[i].damaged]
        if not left:
            break
        inputs = [replace(surfaces[i], attempt=surfaces[i].attempt * CLEAN_TRIES + clean_try) for i in left]
        for i, surface, output in zip(left, inputs, sampler.decode(sampler.draw(inputs, plan)), strict=True):
            assert output.mask is not None
            _, guidance, negative = surface.params
            metadata = {"prompt": surface.prompt, "seed": surface.seed, "number": surface.number}
            metadata |= {"try": surface.attempt, "guidance": guidance, "negative": negative}
            drawn[i] = Background(output.image, metadata, float((output.mask > 0).mean()) > _SPECK)
    return [drawn[i] for i in range(len(surfaces))]
