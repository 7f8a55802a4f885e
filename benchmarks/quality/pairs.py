"""Image-mask pairs in memory, all of one size: what every figure of the evaluation is computed from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgen.benchmarks.quality.split import PARTS, groups_of
from wetgen.runtime.dataset.metadata import METADATA
from wetgen.runtime.dataset.reader import Dataset
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import IGNORE, ClassTable
from wetgen.training.data import resize_pair


@dataclass(frozen=True, eq=False)
class Pairs:
    """N pairs: images uint8 (N, S, S, 3) RGB, masks uint8 (N, S, S) of class ids."""

    table: ClassTable
    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    texts: tuple[str, ...]
    groups: tuple[str, ...]  # pairs of one group belong on one side of a split
    sources: tuple[str, ...]  # the dataset folder each comes from
    names: tuple[str, ...]  # source/file_name
    parts: tuple[str, ...]  # what each row states as its split, or ""

    def __post_init__(self) -> None:
        count, side = len(self.images), self.images.shape[1]
        assert self.images.shape == (count, side, side, 3) and self.images.dtype == np.uint8
        assert self.masks.shape == (count, side, side) and self.masks.dtype == np.uint8
        for listed in (self.texts, self.groups, self.sources, self.names, self.parts):
            assert len(listed) == count

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Pixels a side."""
        return int(self.images.shape[1])

    @property
    def classes(self) -> tuple[int, ...]:
        """The damage classes that occur in the masks, ascending."""
        return tuple(int(id) for id in np.flatnonzero(np.bincount(self.masks.ravel())) if id)

    @property
    def digest(self) -> str:
        """sha256 over everything that figures depend on: pixels, masks, captions, groups."""
        digest = hashlib.sha256("\0".join((*self.table.names, *self.texts, *self.groups, *self.names)).encode())
        digest.update(np.ascontiguousarray(self.images).tobytes())
        digest.update(np.ascontiguousarray(self.masks).tobytes())
        return digest.hexdigest()

    def take(self, indices: Sequence[int] | NDArray[np.integer]) -> "Pairs":
        """The pairs at these indices, in this order; an index may come twice."""
        chosen = [int(i) for i in indices]
        listed = {
            name: tuple(getattr(self, name)[i] for i in chosen)
            for name in ("texts", "groups", "sources", "names", "parts")
        }
        return Pairs(self.table, self.images[chosen], self.masks[chosen], **listed)

    def with_pixels(self, images: NDArray[np.uint8], masks: NDArray[np.uint8]) -> "Pairs":
        """The same pairs with other images and masks."""
        return Pairs(self.table, images, masks, self.texts, self.groups, self.sources, self.names, self.parts)

    def __add__(self, other: "Pairs") -> "Pairs":
        """Both, one after the other."""
        assert self.table == other.table and self.size == other.size
        listed = {
            name: getattr(self, name) + getattr(other, name)
            for name in ("texts", "groups", "sources", "names", "parts")
        }
        images, masks = np.concatenate([self.images, other.images]), np.concatenate([self.masks, other.masks])
        return Pairs(self.table, images, masks, **listed)


def common_size(folder: Path) -> int:
    """The side in pixels that all pictures of a dataset folder share; raises WetgenError when they differ."""
    sides = sorted({min(d.load(row)[1].shape) for d in Dataset.open_many(folder) for row in d.rows})
    if len(sides) > 1:
        raise WetgenError(
            f"The pictures of {folder} have different sizes.",
            why=f"their shorter sides are between {sides[0]} and {sides[-1]} pixels.",
            fix=f"say at which size to compare them, for example --size {sides[0]}.",
        )
    return sides[0]


def load_pairs(folder: Path, size: int) -> Pairs:
    """The central squares of a dataset folder's pictures, or of a folder of them, brought to `size` pixels."""
    datasets = Dataset.open_many(folder)
    images, masks, small = [], [], 0
    texts, groups, sources, names, parts = [], [], [], [], []
    for dataset in datasets:
        groups += groups_of(dataset.folder.name, dataset.rows)
        for row in dataset.rows:
            image, mask = dataset.load(row)
            if (mask == IGNORE).any():
                raise _ignored(dataset, row.line)
            small += min(mask.shape) < size
            image, mask = _square(image, mask, size)
            images.append(image)
            masks.append(mask)
            texts.append(row.text)
            sources.append(dataset.folder.name)
            names.append(f"{dataset.folder.name}/{row.file_name}")
            parts.append(_part(dataset, row.line, row.extra.get("split", "")))
    if small:
        raise WetgenError(
            f"{small} pictures of {folder} are smaller than {size} pixels.",
            why="enlarged, they would be blurred, and every figure would see the blur.",
            fix="compare at their size with --size, or leave them out.",
        )
    listed = (tuple(texts), tuple(groups), tuple(sources), tuple(names), tuple(parts))
    return Pairs(datasets[0].classes, np.stack(images), np.stack(masks), *listed)


def _square(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], size: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    height, width = mask.shape
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    if (height, width) == (size, size):
        return image, mask
    return resize_pair(image, mask, (left, top, left + side, top + side), (size, size))


def _ignored(dataset: Dataset, line: int) -> WetgenError:
    """The fault of a mask that leaves pixels out: agreement, regions and segmenters here count every pixel."""
    return WetgenError(
        f"{dataset.folder / METADATA}, line {line}: pixels of its mask are marked {IGNORE}, to be left out.",
        why="the figures of an evaluation count every pixel, and would take these for a class.",
        fix="evaluate pairs drawn without --ignore-below and --ignore-band, or give those pixels their class.",
    )


def _part(dataset: Dataset, line: int, part: object) -> str:
    if part not in ("", *PARTS):
        raise WetgenError(
            f"{dataset.folder / METADATA}, line {line}: its split is {part!r}.",
            why=f"a split is one of {', '.join(PARTS)}.",
            fix="correct it, or remove `split` from every row.",
        )
    return str(part)
