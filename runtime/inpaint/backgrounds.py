"""The images that damage is painted into: photographs, or surfaces that are drawn without damage.

Sizes are (height, width).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from wetgen.runtime.bundle.archive import file_sha256
from wetgen.runtime.bundle.graphs import Plan
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import os_errors
from wetgen.runtime.masks.images import Pixels, read_image
from wetgen.runtime.sampling.conditioning import Floats, SampleInputs
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


class Photographs:
    """The photographs of a folder; pair `index` is painted into photograph `index % len(files)`."""

    def __init__(self, folder: Path, files: Sequence[Path]) -> None:
        self._folder, self._files = folder, files

    def of(self, indices: Sequence[tuple[int, int]]) -> list[Background]:
        return [self._read(self._files[index % len(self._files)]) for index, _ in indices]

    def _read(self, path: Path) -> Background:
        return Background(read_image(path), photograph_row(path, self._folder))


def photograph_row(path: Path, folder: Path) -> dict[str, object]:
    """The metadata of a photograph: its path below a folder, and its hash."""
    return {"photo": path.relative_to(folder).as_posix(), "sha256": file_sha256(path)}


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


@dataclass(frozen=True)
class Surface:
    """A surface to draw without damage; its noise depends on `seed`, `number` and `attempt`."""

    prompt: str
    seed: int
    number: int
    attempt: int
    guidance: float
    negative: str = ""
    size: tuple[int, int] | None = None  # (h, w) in latent cells

    def metadata(self, attempt: int) -> dict[str, object]:
        """Its metadata, when drawn at this attempt."""
        row = {"prompt": self.prompt, "seed": self.seed, "number": self.number, "try": attempt}
        return {**row, "guidance": self.guidance, "negative": self.negative}


def draw_surfaces(sampler: TiledGraphs, plan: Plan, surfaces: Sequence[Surface], clean: Floats) -> list[Background]:
    """Draw surfaces with an empty layout, `clean` float32 (K, h, w), until their masks show no damage.

    The prompt may name damage: the layout is stronger, and the rest of the prompt says which surface to draw.
    """
    drawn: dict[int, Background] = {}
    for clean_try in range(CLEAN_TRIES):
        left = [i for i in range(len(surfaces)) if i not in drawn or drawn[i].damaged]
        if not left:
            break
        attempts = [surfaces[i].attempt * CLEAN_TRIES + clean_try for i in left]
        inputs = [
            SampleInputs(s.prompt, s.seed, s.number, s.guidance, s.negative, attempt, clean, size=s.size)
            for attempt, s in zip(attempts, (surfaces[i] for i in left), strict=True)
        ]
        decoded = sampler.decode(sampler.draw(inputs, plan))
        for i, attempt, output in zip(left, attempts, decoded, strict=True):
            assert output.mask is not None
            damaged = float((output.mask > 0).mean()) > _SPECK
            drawn[i] = Background(output.image, surfaces[i].metadata(attempt), damaged)
    return [drawn[i] for i in range(len(surfaces))]
