"""What damage is painted into: photographs, or surfaces that are drawn without any.

Sizes are (height, width).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wetgen.runtime.bundle.archive import file_sha256
from wetgen.runtime.bundle.schedule import Plan
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import os_errors
from wetgen.runtime.masks.images import read_image
from wetgen.runtime.sampling.conditioning import Floats, SampleInputs
from wetgen.runtime.sampling.tiled import CanvasSampler

Bytes = NDArray[np.uint8]

CLEAN_TRIES = 6  # of a surface that is to have no damage, before the pair is drawn again as a whole
SUFFIXES = (".jpeg", ".jpg", ".png")
_OTHERS = (".avif", ".bmp", ".gif", ".heic", ".heif", ".tif", ".tiff", ".webp")  # pictures that read_image refuses
_SPECK = 0.002  # share of a picture that its mask may mark and still be called undamaged


class Background(NamedTuple):
    """A picture uint8 (H, W, 3) to paint in, and what its row says of it; `damaged`: it came out with damage."""

    image: Bytes
    said: Mapping[str, object]
    damaged: bool = False


class Photographs:
    """Photographs as they are; pair `index` is painted into photograph `index % len(files)`."""

    def __init__(self, folder: Path, files: Sequence[Path]) -> None:
        self._folder, self._files = folder, files

    def of(self, named: Sequence[tuple[int, int]]) -> list[Background]:
        return [self._read(self._files[index % len(self._files)]) for index, _ in named]

    def _read(self, path: Path) -> Background:
        return Background(read_image(path), photograph_said(path, self._folder))


def photograph_said(path: Path, folder: Path) -> dict[str, object]:
    """What a row says of a photograph: its name below a folder, and its hash."""
    return {"photo": path.relative_to(folder).as_posix(), "sha256": file_sha256(path)}


def photograph_files(folder: Path) -> list[Path]:
    """The photographs in a folder, by name; raises WetgenError when there are none, or one of a kind nobody reads."""
    with os_errors(folder, "read"):
        if folder.is_file():
            return [folder]
        files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    for path in files:
        if path.suffix.lower() in _OTHERS:
            raise WetgenError(
                f"{path} is no picture that wetgen reads.",
                why=f"it reads {', '.join(SUFFIXES)}.",
                fix="convert it to PNG or JPEG, or move it away.",
            )
        if path.suffix.lower() in SUFFIXES and not path.is_file():
            raise WetgenError(
                f"{path} is no file.",
                why="it is a folder." if path.is_dir() else "it is a link that leads nowhere, or no ordinary file.",
                fix="move it away, or put the photograph there.",
            )
    found = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not found:
        raise WetgenError(
            f"{folder} holds no photographs.",
            why=f"no {', '.join(SUFFIXES)} lies directly in it.",
            fix="give the folder that the photographs are in.",
        )
    return found


def cropped(image: Bytes, size: tuple[int, int]) -> Bytes:
    """The middle of a picture at another size (H, W): scaled until it covers that, the rest cut off."""
    scale = min(image.shape[0] / size[0], image.shape[1] / size[1])
    height, width = size[0] * scale, size[1] * scale
    top, left = (image.shape[0] - height) / 2, (image.shape[1] - width) / 2
    box = (left, top, left + width, top + height)
    picture = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.LANCZOS, box=box)
    return np.asarray(picture)


@dataclass(frozen=True)
class Surface:
    """A surface that is to be drawn without damage: its prompt, and what its noise follows from."""

    prompt: str
    seed: int
    number: int
    attempt: int
    guidance: float
    negative: str = ""
    size: tuple[int, int] | None = None  # (h, w) in latent cells

    def said(self, attempt: int) -> dict[str, object]:
        """What a row says of it, drawn at this try."""
        said = {"prompt": self.prompt, "seed": self.seed, "number": self.number, "try": attempt}
        return {**said, "guidance": self.guidance, "negative": self.negative}


def draw_surfaces(sampler: CanvasSampler, plan: Plan, surfaces: Sequence[Surface], clean: Floats) -> list[Background]:
    """Draw surfaces with a layout that shows no damage, `clean` float32 (K, h, w), until their masks show none.

    The prompt may name damage: the layout is stronger, and what is left of the prompt is its surface.
    """
    made: dict[int, Background] = {}
    for attempt in range(CLEAN_TRIES):
        still = [place for place in range(len(surfaces)) if place not in made or made[place].damaged]
        if not still:
            break
        tries = [surfaces[place].attempt * CLEAN_TRIES + attempt for place in still]
        wanted = [
            SampleInputs(s.prompt, s.seed, s.number, s.guidance, s.negative, at, clean, size=s.size)
            for at, s in zip(tries, (surfaces[place] for place in still), strict=True)
        ]
        for place, at, drawn in zip(still, tries, sampler.decode(sampler.draw(wanted, plan)), strict=True):
            assert drawn.mask is not None
            damaged = float((drawn.mask > 0).mean()) > _SPECK
            made[place] = Background(drawn.image, surfaces[place].said(at), damaged)
    return [made[place] for place in range(len(surfaces))]
