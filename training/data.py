"""Photographs in memory, and the augmented square views that training sees.

A view is a pure function of (run seed, photograph, view number), so a resumed or a distributed run sees the same ones.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wetgen.runtime.dataset.metadata import METADATA
from wetgen.runtime.dataset.reader import Dataset, Row
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import IGNORE, ClassTable
from wetgen.training.config import DataConfig
from wetgen.training.photos import Photo, stored

STORED_SCALE = 1.6  # photographs are kept this much larger than a view, so that crops stay sharp
COVERED = 0.3  # a view's pixel is damaged when this share of it is: thin cracks survive being made smaller
KEPT = 0.3  # a crop must show this share of each class of its photograph, or its caption would speak of nothing
TRIES = 8  # crops drawn before the whole photograph is taken instead

_POOL = ThreadPoolExecutor(thread_name_prefix="view")


@dataclass(frozen=True)
class Photos:
    """Everything a run trains on, split by scene."""

    table: ClassTable
    training: tuple[Photo, ...]
    validation: tuple[Photo, ...]

    @property
    def captions(self) -> list[str]:
        """Every caption of the training part."""
        return [caption for photo in self.training for caption in photo.captions]


def load_photos(folder: Path, config: DataConfig, seed: int, store: Path | None = None) -> Photos:
    """Read one dataset folder, or a folder of them, at the resolution training needs.

    A row's `split` is followed where it is given ("test" is never read); the other rows are split by scene. With
    `store`, pixels are written once to files in that folder and mapped from there: tens of thousands fit any memory.
    """
    datasets = [d for d in Dataset.open_many(folder) if not config.only or d.folder.name in config.only]
    missing = set(config.only) - {d.folder.name for d in datasets}
    if missing or not datasets:
        raise WetgenError(
            f"{folder} has no dataset {', '.join(sorted(missing)) or 'folder'}.",
            why="data.only names the folders to take.",
            fix="correct data.only, or give the folder above them with --data.",
        )
    photos = [photo for dataset in datasets for photo in _photos(dataset, config.size, store)]
    held = [p for p in photos if _is_validation(p, config.validation, seed)]
    kept = [p for p in photos if not _is_validation(p, config.validation, seed)]
    if not kept or not held:
        raise WetgenError(
            f"{folder} cannot be split into training and validation.",
            why=f"of its {len({p.scene for p in photos})} scenes {len({p.scene for p in held})} fell to validation, "
            "and a scene is never split.",
            fix="bring more scenes, or change data.validation.",
        )
    return Photos(datasets[0].classes, tuple(kept), tuple(held))


def _photos(dataset: Dataset, size: int, store: Path | None) -> Iterator[Photo]:
    rows = [row for row in dataset.rows if row.extra.get("split") != "test"]
    if store is None:
        yield from (_read(dataset, row, size) for row in rows)
    else:
        yield from stored(store, _key(dataset, size), (_read(dataset, row, size) for row in rows))


def _key(dataset: Dataset, size: int) -> str:
    """What the stored pixels of a dataset depend on."""
    metadata = hashlib.sha256((dataset.folder / METADATA).read_bytes()).hexdigest()
    return f"{dataset.folder.name}-{size}-{metadata[:16]}"


def _read(dataset: Dataset, row: Row, size: int) -> Photo:
    """A row's pair, no larger than views of `size` pixels need it."""
    shortest = round(size * STORED_SCALE)
    image, mask = dataset.load(row)
    _refuse_ignored(dataset, row, mask)
    scale = shortest / min(mask.shape)
    if scale < 1:
        size = (round(mask.shape[1] * scale), round(mask.shape[0] * scale))
        image, mask = resize_pair(image, mask, (0, 0, mask.shape[1], mask.shape[0]), size)
    source = str(row.extra.get("source", dataset.folder.name))
    license = str(row.extra.get("license", "not stated"))
    more = _more_captions(dataset, row)
    return Photo(image, mask, row.text, row.scene, source, license, str(row.extra.get("split", "")), more)


def _more_captions(dataset: Dataset, row: Row) -> tuple[str, ...]:
    """The captions a row has beside its text; raises WetgenError for anything but a list of sentences."""
    more = row.extra.get("captions", [])
    if not isinstance(more, list) or not all(isinstance(caption, str) and caption.strip() for caption in more):
        raise WetgenError(
            f"{dataset.folder / METADATA}, line {row.line}: captions is not a list of sentences.",
            why="training draws one of `text` and `captions` for each sample.",
            fix='write "captions": ["a sentence", "another one"], or leave the key out.',
        )
    return tuple(more)


def _refuse_ignored(dataset: Dataset, row: Row, mask: NDArray[np.uint8]) -> None:
    """Raise for a mask that leaves pixels out: the generator draws a class for every pixel, so it must learn one."""
    if (mask == IGNORE).any():
        raise WetgenError(
            f"{dataset.folder / METADATA}, line {row.line}: pixels of its mask are marked {IGNORE}, to be left out.",
            why="a generator learns a class for every pixel, and taking these for background would teach it that.",
            fix="draw the pairs again without --ignore-below and --ignore-band, or give those pixels their class.",
        )


def _is_validation(photo: Photo, share: float, seed: int) -> bool:
    """What the row says, else by the scene's name alone: adding photographs never moves others across the split."""
    if photo.split:
        return photo.split == "validation"
    digest = hashlib.sha256(f"{seed}/{photo.scene}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def resize_pair(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], box: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Cut `box` (left, top, right, bottom) and bring it to `size` (width, height)."""
    if box == (0, 0, *size) and size == image.shape[1::-1]:
        return np.asarray(image), np.asarray(mask)
    picture = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC, box))
    ids = [int(id) for id in np.unique(mask)]
    if ids == [0]:
        return picture, np.zeros(size[::-1], np.uint8)
    cover = np.stack([_share(mask == id, box, size) for id in ids if id])
    chosen = np.array([id for id in ids if id], np.uint8)[cover.argmax(0)]
    return picture, np.where(cover.sum(0) >= COVERED, chosen, 0).astype(np.uint8)


def _share(
    where: NDArray[np.bool_], box: tuple[float, float, float, float], size: tuple[int, int]
) -> NDArray[np.float32]:
    plane = Image.fromarray(where.astype(np.float32))
    return np.asarray(plane.resize(size, Image.Resampling.BOX, box))


def view(photo: Photo, config: DataConfig, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A random square crop, flipped half the time, a little lighter or darker: image (S, S, 3), mask (S, S)."""
    image, mask = resize_pair(photo.image, photo.mask, _crop(photo, config, rng), (config.size, config.size))
    if rng.random() < 0.5 and not photo.sided:
        image, mask = image[:, ::-1], mask[:, ::-1]
    gain, shift = rng.uniform(0.9, 1.1), rng.uniform(-10, 10)
    lit = np.clip(image.astype(np.float32) * gain + shift, 0, 255).astype(np.uint8)
    return lit, np.ascontiguousarray(mask)


def random_views(
    photos: Sequence[Photo], config: DataConfig, seeds: Sequence[object]
) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """A view of each photograph from its own seed, drawn in parallel: resizing leaves Python's lock."""
    return list(_POOL.map(lambda photo, seed: view(photo, config, np.random.default_rng(seed)), photos, seeds))


def plain_view(photo: Photo, config: DataConfig) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The central square, for validation: image (S, S, 3), mask (S, S)."""
    height, width = photo.mask.shape
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    return resize_pair(photo.image, photo.mask, (left, top, left + side, top + side), (config.size, config.size))


def _crop(photo: Photo, config: DataConfig, rng: np.random.Generator) -> tuple[float, float, float, float]:
    height, width = photo.mask.shape
    shortest = min(height, width)
    smallest = max(config.smallest_crop, min(1.0, config.size / shortest))  # a crop is never enlarged
    present = {id: int((photo.mask == id).sum()) for id in photo.classes}
    for _ in range(TRIES):
        side = int(shortest * rng.uniform(smallest, 1.0))
        left, top = int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1))
        part = photo.mask[top : top + side, left : left + side]
        if all((part == id).sum() >= KEPT * count for id, count in present.items()):
            return (left, top, left + side, top + side)
    left, top = (width - shortest) / 2, (height - shortest) / 2
    return (left, top, left + shortest, top + shortest)


def sampling_weights(photos: tuple[Photo, ...], balance: float) -> NDArray[np.float64]:
    """(N,) probabilities of photographs, see class_balance."""
    return class_balance([tuple(photo.classes) or (0,) for photo in photos], balance)


def class_balance(kinds: Sequence[tuple[int, ...]], balance: float) -> NDArray[np.float64]:
    """(N,) probabilities: every class (and "no damage") gets the same share at balance 1, its own at 0."""
    counts = Counter(id for kind in kinds for id in kind)
    weights = np.array([max(1.0 / counts[id] for id in kind) ** balance for kind in kinds])
    return weights / weights.sum()
