"""YOLO as Ultralytics reads it: images/PART/, labels/PART/*.txt and data.yaml; class ids from 0 without background.

A line is an object: "class x y x y ..." (segments) or "class x_center y_center width height" (boxes), in shares of the
image's width and height. The format has neither ignored pixels nor holes. So a region is one polygon with its holes cut
in (polygons.py), drawn 1/64 pixel inside its own pixels: Ultralytics rounds coordinates down to whole pixels and fills
with cv2.fillPoly, which paints the edges too, so it paints exactly the region, even if it is one pixel wide. Pixels
that touch by corners are one object; parts that do not touch are separate objects.
"""

import json
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.dataset.formats.base import (
    SHORT,
    TRAIN,
    VALIDATION,
    Exporter,
    Importer,
    Options,
    Sample,
    bad_labels,
    images_in,
    read_sidecar,
)
from wetgen.runtime.dataset.formats.polygons import Polygon, filled, outline
from wetgen.runtime.errors import WetgenError, missing
from wetgen.runtime.files import NewFolder, read_bytes
from wetgen.runtime.masks.classes import IGNORE, ClassTable
from wetgen.runtime.masks.images import Pixels
from wetgen.runtime.masks.regions import Component

_INSET = 1 / 64  # pixels; seven decimals keep it apart from 0 in pictures of up to 100,000 pixels
_DATA = "data.yaml"
_KEYS = {"train": "train", "val": "validation", "test": "test"}


class YoloSegExporter(Exporter):
    """Writes a polygon per region."""

    def __init__(self, folder: NewFolder, classes: ClassTable, options: Options) -> None:
        super().__init__(folder, classes, options)
        self._pairs: Counter[str] = Counter()

    def add(self, sample: Sample) -> None:
        stem = f"{SHORT[sample.part]}/{sample.name}"
        self.folder.write(f"images/{stem}{sample.suffix}", sample.image)
        height, width = sample.mask.shape
        lines = [f"{region.class_id - 1} {self.label(region, height, width)}\n" for region in self.regions(sample)]
        self.folder.write(f"labels/{stem}.txt", "".join(lines).encode())
        self.add_row(sample.metadata, file_name=f"images/{stem}{sample.suffix}")
        self._pairs[sample.part] += 1
        self.lost["ignored pixels, which become background"] += int(np.count_nonzero(sample.mask == IGNORE))

    def close(self) -> None:
        if not (self._pairs[TRAIN] and self._pairs[VALIDATION]):
            lacking = VALIDATION if self._pairs[TRAIN] else TRAIN
            raise WetgenError(
                f"The {lacking} part has no pairs.",
                why=f"YOLO's {_DATA} must name images for training and for validation.",
                fix="--split train=0.8,validation=0.2, or other shares if the dataset is small.",
            )
        parts = "".join(f"{short}: images/{short}\n" for part, short in SHORT.items() if self._pairs[part])
        # A JSON string is a YAML string too.
        names = [f"  {id}: {json.dumps(name, ensure_ascii=False)}\n" for id, name in enumerate(self.classes.names[1:])]
        self.folder.write(_DATA, f"{parts}nc: {len(names)}\nnames:\n{''.join(names)}".encode())
        super().close()

    def label(self, region: Component, height: int, width: int) -> str:
        """The coordinates of a region, as text."""
        return _numbers(outline(region, _INSET) / (width, height))


class YoloDetExporter(YoloSegExporter):
    """Writes a box per region, along pixel edges."""

    def label(self, region: Component, height: int, width: int) -> str:
        x, y = region.left + region.width / 2, region.top + region.height / 2
        return _numbers(np.array([[x, y], [region.width, region.height]]) / (width, height))


class YoloSegImporter(Importer):
    """Reads a YOLO segmentation dataset with its data.yaml. Polygons are painted as Ultralytics paints them.

    Where objects overlap, the later line is on top. Boxes are refused, because a box is not a mask.
    """

    def __init__(self, source: Path, ignore: bool, _: ClassTable | None) -> None:
        data = _read_yaml(source / _DATA)
        table = ClassTable(("background", *_names(data.get("names"), source / _DATA)))
        super().__init__(source, table, ignore=ignore)
        self._parts = [(part, _folder(source, data, key)) for key, part in _KEYS.items() if data.get(key)]
        if not self._parts:
            raise bad_labels(str(source / _DATA), "it names neither train nor val nor test")

    def samples(self) -> Iterator[Sample]:
        source, rows = self.source, read_sidecar(self.source)
        for part, folder in self._parts:
            split = part if len(self._parts) > 1 else None
            labels = _label_folder(source, folder)
            for path in images_in(source / folder, labels, "*.txt"):
                name = path.relative_to(source).as_posix()
                image = self.read_image(name, str(path))
                label = labels / f"{path.stem}.txt"
                # For Ultralytics, a missing file means an image without objects.
                lines = read_bytes(label).decode(errors="replace").split("\n") if label.exists() else []
                mask = _painted(lines, label, image[1].shape[:2], len(self.classes) - 1)
                yield self.sample(path.name, split, image, mask, rows.get(name, {}), str(path))


def _label_folder(source: Path, images: str) -> Path:
    """Where Ultralytics looks for the labels of a folder: the last "images" of its path becomes "labels"."""
    head, found, tail = f"/{images}/".rpartition("/images/")
    return source / f"{head}/labels/{tail}".strip("/") if found else source / images


def _painted(lines: list[str], label: Path, size: tuple[int, ...], classes: int) -> Pixels:
    """The mask uint8 of `size` (H, W) that the lines of a label file describe."""
    height, width = size
    mask = np.zeros(size, np.uint8)
    for number, line in enumerate(lines, 1):
        if words := line.split():
            id, polygon = _parsed(words, f"{label}, line {number}", classes)
            mask[_filled_with_edges(polygon * (width, height), height, width)] = id + 1
    return mask


def _parsed(words: list[str], where: str, classes: int) -> tuple[int, Polygon]:
    """The class id and the polygon of a line, in shares of width and height."""
    try:
        id, numbers = int(float(words[0])), np.array(words[1:], np.float64)
    except ValueError as error:
        raise bad_labels(where, error) from error
    if not 0 <= id < classes:
        raise bad_labels(where, f"class {id} is not among the {classes} of {_DATA}")
    if len(numbers) == 4:
        raise bad_labels(where, "it is a box, and a box is not a mask")
    if len(numbers) < 6 or len(numbers) % 2:
        raise bad_labels(where, f"{len(numbers)} numbers are not a polygon")
    if not ((numbers >= 0) & (numbers <= 1)).all():
        raise bad_labels(where, "coordinates are shares of width and height, from 0 to 1")
    return id, numbers.reshape(-1, 2)


def _filled_with_edges(polygon: Polygon, height: int, width: int) -> NDArray[np.bool_]:
    """The pixels that cv2.fillPoly paints for coordinates rounded down: those inside, and those on the edges."""
    corners = np.minimum(np.floor(polygon), (width - 1, height - 1))
    pixels = filled(corners + 0.5, height, width)
    ends = np.roll(corners, -1, axis=0)
    lengths = np.abs(ends - corners).max(axis=1).astype(np.int64) + 1
    edges = np.repeat(np.arange(len(corners)), lengths)
    step = np.arange(len(edges)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    way = step / np.maximum(lengths - 1, 1)[edges]
    points = np.floor(corners[edges] + way[:, None] * (ends - corners)[edges] + 0.5).astype(np.int64)
    pixels[points[:, 1], points[:, 0]] = True
    return pixels


def _numbers(shares: NDArray[np.float64]) -> str:
    return " ".join(f"{share:.7f}".rstrip("0").rstrip(".") for share in shares.ravel())


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        yaml = import_module("yaml")
    except ImportError as error:
        raise missing("PyYAML", extra="convert", needed_to=f"read {path.name}") from error
    try:
        data = yaml.safe_load(read_bytes(path))
    except (yaml.YAMLError, ValueError) as error:
        raise bad_labels(str(path), " ".join(str(error).split())) from error
    if not isinstance(data, dict):
        raise bad_labels(str(path), "it has no keys")
    return data


def _names(names: object, path: Path) -> list[str]:
    """The names in the order of their ids, from a list or from numbered entries."""
    if isinstance(names, dict) and sorted(names, key=str) == sorted(range(len(names)), key=str):
        return [str(names[id]) for id in range(len(names))]
    if isinstance(names, list):
        return [str(name) for name in names]
    raise bad_labels(f"{path}: names", "they are neither a list nor numbered from 0 without gaps")


def _folder(source: Path, data: dict[str, Any], key: str) -> str:
    """The folder of a part in `source`. The `path` in data.yaml is ignored: it belongs to the machine that wrote it."""
    named = data[key]
    if isinstance(named, str):
        # Roboflow writes ../train/images although the folder is beside data.yaml; Ultralytics corrects that too.
        for candidate in (named, named.removeprefix("../")):
            if (source / candidate).is_dir() and (source / candidate).resolve().is_relative_to(source.resolve()):
                return (source / candidate).resolve().relative_to(source.resolve()).as_posix()
    raise WetgenError(
        f"{source / _DATA}: {key} names no folder inside {source}.",
        why=f"it says {named!r}.",
        fix="name one folder of images, relative to data.yaml.",
    )
