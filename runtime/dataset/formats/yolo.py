"""YOLO as Ultralytics reads it: images/PART/, labels/PART/*.txt and data.yaml; class ids from 0 without background.

A line is an object: "class x y x y ..." (segments) or "class x_center y_center width height" (boxes), in shares of the
image's width and height. There is no ignore and no hole in the format. So a region is one polygon with its holes cut in
(polygons.py), drawn 1/64 pixel into its own pixels: Ultralytics cuts coordinates off to whole pixels and fills with
cv2.fillPoly, which paints the edges too, and so it paints exactly the region, hairlines included. What touches by
corners is one object; parts that lie apart are objects of their own.
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
    Example,
    Incoming,
    Names,
    Options,
    Picture,
    Receiver,
    Sidecar,
    Writer,
    bad_labels,
    read_inside,
    read_sidecar,
)
from wetgen.runtime.dataset.formats.polygons import Points, filled, outline
from wetgen.runtime.errors import WetgenError, missing
from wetgen.runtime.files import NewFolder, read_bytes
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.masks.images import Pixels
from wetgen.runtime.masks.regions import Component

_INSET = 1 / 64  # pixels; seven decimals keep it apart from 0 in pictures of up to 100,000 pixels
_DATA = "data.yaml"
_KEYS = {"train": "train", "val": "validation", "test": "test"}


class _YoloWriter(Writer):
    """What segments and boxes have in common."""

    def __init__(self, folder: NewFolder, classes: ClassTable, options: Options) -> None:
        super().__init__(folder, classes, options)
        self._sidecar = Sidecar()
        self._pairs: Counter[str] = Counter()

    def add(self, example: Example) -> None:
        place = f"{SHORT[example.part]}/{example.name}"
        self.folder.write(f"images/{place}{example.suffix}", example.image)
        height, width = example.mask.shape
        lines = [f"{region.class_id - 1} {self.label(region, height, width)}\n" for region in self.regions(example)]
        self.folder.write(f"labels/{place}.txt", "".join(lines).encode())
        self._sidecar.add(example.row, file_name=f"images/{place}{example.suffix}")
        self._pairs[example.part] += 1
        self.count_ignored(example, "become background")

    def close(self) -> None:
        if not (self._pairs[TRAIN] and self._pairs[VALIDATION]):
            lacking = VALIDATION if self._pairs[TRAIN] else TRAIN
            raise WetgenError(
                f"The {lacking} part has no pairs.",
                why=f"YOLO's {_DATA} must name images to train and images to validate on.",
                fix="--split train=0.8,validation=0.2, or other shares when the dataset is small.",
            )
        parts = "".join(f"{short}: images/{short}\n" for part, short in SHORT.items() if self._pairs[part])
        # A JSON string is a YAML string too.
        names = [f"  {id}: {json.dumps(name, ensure_ascii=False)}\n" for id, name in enumerate(self.classes.names[1:])]
        self.folder.write(_DATA, f"{parts}nc: {len(names)}\nnames:\n{''.join(names)}".encode())
        self._sidecar.write(self.folder)

    def label(self, region: Component, height: int, width: int) -> str:
        """What stands behind the class in a region's line."""
        raise NotImplementedError


class YoloSegWriter(_YoloWriter):
    """A polygon per region."""

    def label(self, region: Component, height: int, width: int) -> str:
        return _numbers(outline(region, _INSET) / (width, height))


class YoloDetWriter(_YoloWriter):
    """A box per region, its sides along pixel edges."""

    def label(self, region: Component, height: int, width: int) -> str:
        x, y = region.left + region.width / 2, region.top + region.height / 2
        return _numbers(np.array([[x, y], [region.width, region.height]]) / (width, height))


def read_yolo_seg(source: Path, ignore: bool, _: ClassTable | None) -> Incoming:
    """Read a YOLO segmentation dataset with its data.yaml; polygons are painted as Ultralytics paints them.

    Where objects overlap, the later line lies on top. Boxes are refused, for a box is not a mask.
    """
    data = _read_yaml(source / _DATA)
    classes = ClassTable(("background", *_names(data.get("names"), source / _DATA)))
    parts = [(part, _folder(source, data, key)) for key, part in _KEYS.items() if data.get(key)]
    if not parts:
        raise bad_labels(str(source / _DATA), "it names neither train nor val nor test")
    return Incoming(classes, _examples(source, parts, Receiver(classes, ignore=ignore)))


def _examples(source: Path, parts: list[tuple[str, str]], receiver: Receiver) -> Iterator[Example]:
    names, rows = Names(), read_sidecar(source)
    for part, folder in parts:
        labels = _label_folder(source, folder)
        # Ultralytics leaves caches beside the images.
        paths = [
            path for path in sorted((source / folder).iterdir()) if path.name[0] != "." and path.suffix != ".cache"
        ]
        lonely = sorted({path.stem for path in labels.glob("*.txt")} - {path.stem for path in paths})
        if lonely and labels != source / folder:
            raise bad_labels(str(labels / f"{lonely[0]}.txt"), f"there is no image of that name in {folder}")
        for path in paths:
            name = path.relative_to(source).as_posix()
            image = Picture.decode(read_inside(source, name, str(path)), str(path))
            label = labels / f"{path.stem}.txt"
            # Ultralytics takes a missing file for an image without objects.
            lines = read_bytes(label).decode(errors="replace").split("\n") if label.exists() else []
            mask = _painted(lines, label, image, len(receiver.classes) - 1)
            split = part if len(parts) > 1 else None
            yield receiver.example(names.give(path.name), split, image, mask, rows.get(name, {}), str(path))


def _label_folder(source: Path, images: str) -> Path:
    """Where Ultralytics looks for the labels of a folder: the last "images" of its path turned to "labels"."""
    head, found, tail = f"/{images}/".rpartition("/images/")
    return source / f"{head}/labels/{tail}".strip("/") if found else source / images


def _painted(lines: list[str], label: Path, image: Picture, classes: int) -> Pixels:
    """The mask uint8 (H, W) of a label file's lines."""
    height, width = image.height, image.width
    mask = np.zeros((height, width), np.uint8)
    for number, line in enumerate(lines, 1):
        where = f"{label}, line {number}"
        if not (words := line.split()):
            continue
        try:
            id, numbers = int(float(words[0])), np.array(words[1:], np.float64)
        except ValueError as error:
            raise bad_labels(where, error) from error
        if not 0 <= id < classes:
            raise bad_labels(where, f"class {id} is not among the {classes} of {_DATA}")
        if len(numbers) == 4:
            raise bad_labels(where, "it is a box, and a box is not a mask")
        if len(numbers) < 6 or len(numbers) % 2:
            raise bad_labels(where, f"{len(numbers)} numbers are no polygon")
        if not ((numbers >= 0) & (numbers <= 1)).all():
            raise bad_labels(where, "coordinates are shares of width and height, from 0 to 1")
        mask[_filled_with_edges(numbers.reshape(-1, 2) * (width, height), height, width)] = id + 1
    return mask


def _filled_with_edges(polygon: Points, height: int, width: int) -> NDArray[np.bool_]:
    """The pixels that cv2.fillPoly paints for coordinates cut off to whole numbers: inside, and on the edges."""
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
        raise bad_labels(str(path), "it holds no keys")
    return data


def _names(names: object, path: Path) -> list[str]:
    """The names in the order of their ids, whether listed or numbered."""
    if isinstance(names, dict) and sorted(names, key=str) == sorted(range(len(names)), key=str):
        return [str(names[id]) for id in range(len(names))]
    if isinstance(names, list):
        return [str(name) for name in names]
    raise bad_labels(f"{path}: names", "they are neither a list nor numbered from 0 without gaps")


def _folder(source: Path, data: dict[str, Any], key: str) -> str:
    """The folder of a part below `source`; data.yaml may state `path`, which names the machine it was written on."""
    named = data[key]
    if isinstance(named, str):
        # Roboflow writes ../train/images although the folder lies beside data.yaml; Ultralytics corrects that too.
        for candidate in (named, named.removeprefix("../")):
            if (source / candidate).is_dir() and (source / candidate).resolve().is_relative_to(source.resolve()):
                return (source / candidate).resolve().relative_to(source.resolve()).as_posix()
    raise WetgenError(
        f"{source / _DATA}: {key} names no folder inside {source}.",
        why=f"it says {named!r}.",
        fix="name one folder of images, relative to data.yaml.",
    )
