"""A photograph with its mask, and files that hold many: mapped, so that a data set may be larger than the memory."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_SIDED = re.compile(r"\b(left|right)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Photo:
    """One pair: image uint8 (H, W, 3), mask uint8 (H, W); in memory, or mapped from the file that holds them all."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    text: str
    scene: str
    source: str
    license: str
    split: str = ""  # the part its row states, if it does
    more: tuple[str, ...] = ()  # captions beside `text`

    @property
    def captions(self) -> tuple[str, ...]:
        """Everything that is said of it, `text` first."""
        return (self.text, *self.more)

    @property
    def sided(self) -> bool:
        """Whether a caption says left or right, so that it must not be mirrored."""
        return any(_SIDED.search(caption) for caption in self.captions)

    @cached_property
    def classes(self) -> list[int]:
        """The damage classes in its mask."""
        return [int(id) for id in np.unique(self.mask) if id]


def stored(folder: Path, key: str, photos: Iterable[Photo]) -> Iterator[Photo]:
    """The photographs that `folder` holds under `key`; they are read from `photos`, and written, the first time."""
    rows, pixels = folder / f"{key}.jsonl", folder / f"{key}.pixels"
    if not rows.is_file():
        _write(rows, pixels, photos)
    mapped = np.memmap(pixels, np.uint8, "r")
    start = 0
    for line in rows.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        height, width = row.pop("size")
        row["more"] = tuple(row.get("more", ()))
        image, mask = np.split(mapped[start : start + 4 * height * width], [3 * height * width])
        yield Photo(image.reshape(height, width, 3), mask.reshape(height, width), **row)
        start += 4 * height * width


def _write(rows: Path, pixels: Path, photos: Iterable[Photo]) -> None:
    """The pixels first, their rows last: a killed run leaves nothing that looks whole."""
    rows.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    with pixels.open("wb") as file:
        for photo in photos:
            file.write(photo.image.tobytes() + photo.mask.tobytes())
            row = {"size": photo.mask.shape, "text": photo.text, "scene": photo.scene, "source": photo.source}
            row |= {"license": photo.license, "split": photo.split, "more": photo.more}
            lines.append(json.dumps(row) + "\n")
    part = rows.with_suffix(".part")
    part.write_text("".join(lines), encoding="utf-8")
    part.replace(rows)
