"""COCO instances: annotations/instances_PART.json and images/PART/.

An instance is a region (8-connected component). Its mask is pycocotools' compressed run-length string, with its holes;
`--polygons` writes one polygon in place of it, a hole cut in by a line without width. IGNORE becomes, where it occurs,
one annotation per category with "iscrowd": 1 (which evaluation leaves out and most trainings drop) and "ignore": 1.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.dataset.formats.base import (
    SHORT,
    Example,
    Incoming,
    Names,
    Options,
    Picture,
    Receiver,
    Sidecar,
    Writer,
    bad_labels,
    parts_of,
    read_inside,
    read_json,
    read_sidecar,
)
from wetgen.runtime.dataset.formats.polygons import filled, outline
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import NewFolder
from wetgen.runtime.masks import rle
from wetgen.runtime.masks.classes import IGNORE, ClassTable
from wetgen.runtime.masks.images import Pixels
from wetgen.runtime.masks.regions import Component

_BACKGROUND = "background"


class CocoWriter(Writer):
    """Writes COCO; ids count from 1 through all parts, in the order of the examples."""

    def __init__(self, folder: NewFolder, classes: ClassTable, options: Options) -> None:
        super().__init__(folder, classes, options)
        self._images: dict[str, list[dict[str, object]]] = {}
        self._annotations: dict[str, list[dict[str, object]]] = {}
        self._licenses: dict[str, int] = {}
        self._sidecar = Sidecar()
        self._last_image = self._last_annotation = 0

    def add(self, example: Example) -> None:
        part, file_name = SHORT[example.part], f"{example.name}{example.suffix}"
        self.folder.write(f"images/{part}/{file_name}", example.image)
        self._sidecar.add(example.row, file_name=f"images/{part}/{file_name}")
        height, width = example.mask.shape
        self._last_image += 1
        image: dict[str, object] = {"id": self._last_image, "file_name": file_name, "width": width, "height": height}
        license = example.row.get("license")
        if license is not None:
            image["license"] = self._licenses.setdefault(str(license), len(self._licenses) + 1)
        self._images.setdefault(part, []).append(image)
        annotations = self._annotations.setdefault(part, [])
        for region in self.regions(example):
            annotations.append(self._annotation(region, self._segmentation(region, height, width)))
        annotations += self._crowds(example.mask)

    def close(self) -> None:
        categories = [{"id": id, "name": name, "supercategory": "damage"} for id, name in enumerate(self.classes.names)]
        for part, images in self._images.items():
            data = {
                "info": {"description": "written by wetgen convert", "version": "1.0"},
                "licenses": [{"id": id, "name": name, "url": ""} for name, id in self._licenses.items()],
                "categories": categories[1:],
                "images": images,
                "annotations": self._annotations[part],
            }
            text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
            self.folder.write(f"annotations/instances_{part}.json", text.encode())
        self._sidecar.write(self.folder)

    def _segmentation(self, region: Component, height: int, width: int) -> object:
        if self.options.polygons:
            return [outline(region).ravel().tolist()]
        return {"size": [height, width], "counts": rle.compress(rle.encode_component(region, height, width))}

    def _annotation(self, region: Component, segmentation: object, **more: int) -> dict[str, object]:
        self._last_annotation += 1
        return {
            "id": self._last_annotation,
            "image_id": self._last_image,
            "category_id": region.class_id,
            "bbox": [region.left, region.top, region.width, region.height],
            "area": region.area,
            "iscrowd": 0,
            "segmentation": segmentation,
            **more,
        }

    def _crowds(self, mask: Pixels) -> Iterator[dict[str, object]]:
        """The pixels to leave out, for every category, because COCO ignores detections by category."""
        ignored = mask == IGNORE
        rows, columns = np.flatnonzero(ignored.any(axis=1)), np.flatnonzero(ignored.any(axis=0))
        if not len(rows):
            return
        box = ignored[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        segmentation = {"size": list(mask.shape), "counts": rle.compress(rle.encode(ignored))}
        for id in range(1, len(self.classes)):
            region = Component(id, int(columns[0]), int(rows[0]), box)
            yield self._annotation(region, segmentation, iscrowd=1, ignore=1)


def read_coco(source: Path, ignore: bool, _: ClassTable | None) -> Incoming:
    """Read annotations/*.json (or PART/_annotations.coco.json) below `source`; the parts must have the same categories.

    Where instances overlap, the later one in the file lies on top. Instances without a mask are refused, not guessed.
    """
    files = sorted(source.glob("annotations/*.json")) or sorted(source.glob("*/_annotations.coco.json"))
    if not files:
        raise WetgenError(
            f"{source} holds no COCO annotations.",
            why="neither annotations/*.json nor PART/_annotations.coco.json is there.",
            fix="give the folder above annotations/.",
        )
    named = [path.parent.name if path.name.startswith("_") else path.stem.removeprefix("instances_") for path in files]
    splits = parts_of(named, source)
    loaded = [(path, split, read_json(path)) for path, split in zip(files, splits, strict=True)]
    ids, table = _categories(loaded[0][2], files[0])
    for path, _split, data in loaded[1:]:
        if _categories(data, path) != (ids, table):
            raise bad_labels(str(path), f"its categories are not those of {files[0].name}")
    return Incoming(table, _examples(source, loaded, ids, Receiver(table, ignore=ignore)))


def _categories(data: Mapping[str, Any], path: Path) -> tuple[dict[int, int], ClassTable]:
    """Our class id by category id, in the order of the ids, and the class table; a category "background" becomes 0."""
    try:
        categories = sorted((int(entry["id"]), str(entry["name"])) for entry in data["categories"])
    except (KeyError, TypeError, ValueError) as error:
        raise bad_labels(f"{path}: categories", f"{type(error).__name__}: {error}") from error
    damage = [(id, name) for id, name in categories if name.lower() != _BACKGROUND]
    ids = dict.fromkeys((id for id, name in categories if name.lower() == _BACKGROUND), 0)
    ids |= {id: place for place, (id, _) in enumerate(damage, 1)}
    return ids, ClassTable((_BACKGROUND, *(name for _, name in damage)))


def _examples(
    source: Path, loaded: list[tuple[Path, str | None, dict[str, Any]]], ids: Mapping[int, int], receiver: Receiver
) -> Iterator[Example]:
    names, rows = Names(), read_sidecar(source)
    for path, split, data in loaded:
        instances: dict[Any, list[dict[str, Any]]] = {}
        try:
            licenses = {entry["id"]: entry.get("name") for entry in data.get("licenses", [])}
            images = [
                (image["id"], str(image["file_name"]), image["height"], image["width"]) for image in data["images"]
            ]
            for annotation in data.get("annotations", []):
                instances.setdefault(annotation["image_id"], []).append(annotation)
            licensed = {image["id"]: licenses.get(image.get("license")) for image in data["images"]}
        except (KeyError, TypeError) as error:
            raise bad_labels(str(path), f"{type(error).__name__}: {error}") from error
        if len(licensed) < len(images):
            raise bad_labels(f"{path}: images", "two have the same id")
        strays = instances.keys() - {id for id, *_ in images}
        if strays:
            raise bad_labels(f"{path}: annotations", f"image {sorted(map(str, strays))[0]} is not among its images")
        for id, file_name, height, width in images:
            where = f"{path}, image {file_name}"
            found = _find_image(source, path, file_name, where)
            image = Picture.decode(read_inside(source, found, where), where)
            image.check_size(width, height, where)
            mask = _mask(instances.get(id, []), image.height, image.width, ids, where)
            row = dict(rows.get(found, {}))
            if licensed[id] is not None:
                row.setdefault("license", licensed[id])
            yield receiver.example(names.give(file_name), split, image, mask, row, where)


def _find_image(source: Path, path: Path, file_name: str, where: str) -> str:
    """The image's path below `source`: COCO states the file name alone, and folders are laid out in several ways."""
    part = path.stem.removeprefix("instances_")
    beside = path.parent.relative_to(source).as_posix()
    for folder in (f"images/{part}", part, "images", ".", beside):
        name = file_name if folder == "." else f"{folder}/{file_name}"
        if (source / name).is_file():
            return name
    raise WetgenError(
        f"{where} is missing.",
        why=f"it is neither in images/{part}, {part}, images, {source.name} nor beside the annotations.",
        fix="put the images there.",
    )


def _mask(annotations: list[dict[str, Any]], height: int, width: int, ids: Mapping[int, int], where: str) -> Pixels:
    mask = np.zeros((height, width), np.uint8)
    for annotation in annotations:
        place = f"{where}, annotation {annotation.get('id')}"
        try:
            pixels = _pixels(annotation.get("segmentation"), height, width)
            value = IGNORE if annotation.get("ignore") and annotation.get("iscrowd") else ids[annotation["category_id"]]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise bad_labels(place, f"{type(error).__name__}: {error}") from error
        mask[pixels] = value
    return mask


def _pixels(segmentation: object, height: int, width: int) -> NDArray[np.bool_]:
    """The pixels of run lengths (a list or a string) or of polygons, which are united."""
    if isinstance(segmentation, dict):
        if list(segmentation["size"]) != [height, width]:
            raise ValueError(f"its size is {segmentation['size']}, not [{height}, {width}]")
        counts = segmentation["counts"]
        return rle.decode(rle.decompress(counts) if isinstance(counts, str) else list(counts), height, width)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("it has a box and no mask, and a box is not one")
    pixels = np.zeros((height, width), bool)
    for polygon in segmentation:
        points = np.array(polygon, np.float64).reshape(-1, 2)
        if len(points) < 3 or not np.isfinite(points).all():
            raise ValueError(f"{len(points)} points are no polygon, or a coordinate is no number")
        pixels |= filled(points, height, width)
    return pixels
