"""COCO instances: annotations/instances_PART.json and images/PART/.

An instance is a region (8-connected component). Its mask is pycocotools' compressed run-length string, which keeps
holes; `--polygons` writes one polygon instead, with holes cut in by a line without width. Pixels of IGNORE become one
annotation per category with "iscrowd": 1 (left out by evaluation, dropped by most trainings) and "ignore": 1.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.dataset.formats.base import (
    SHORT,
    Exporter,
    Importer,
    Options,
    Sample,
    bad_labels,
    check_size,
    parts_of,
    read_json,
    read_sidecar,
)
from wetgen.runtime.dataset.formats.polygons import filled, outline
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import NewFolder
from wetgen.runtime.masks import rle
from wetgen.runtime.masks.classes import IGNORE, ClassTable
from wetgen.runtime.masks.images import Pixels
from wetgen.runtime.masks.regions import Box, Component

_BACKGROUND = "background"


class CocoExporter(Exporter):
    """Writes COCO. Ids count from 1 through all parts, in the order of the samples."""

    def __init__(self, folder: NewFolder, classes: ClassTable, options: Options) -> None:
        super().__init__(folder, classes, options)
        self._images: dict[str, list[dict[str, object]]] = {}
        self._annotations: dict[str, list[dict[str, object]]] = {}
        self._licenses: dict[str, int] = {}
        self._last_image = self._last_annotation = 0

    def add(self, sample: Sample) -> None:
        part, file_name = SHORT[sample.part], f"{sample.name}{sample.suffix}"
        self.folder.write(f"images/{part}/{file_name}", sample.image)
        self.add_row(sample.metadata, file_name=f"images/{part}/{file_name}")
        height, width = sample.mask.shape
        self._last_image += 1
        image: dict[str, object] = {"id": self._last_image, "file_name": file_name, "width": width, "height": height}
        license = sample.metadata.get("license")
        if license is not None:
            image["license"] = self._licenses.setdefault(str(license), len(self._licenses) + 1)
        self._images.setdefault(part, []).append(image)
        annotations = self._annotations.setdefault(part, [])
        for region in self.regions(sample):
            segmentation: object = (
                [outline(region).ravel().tolist()]
                if self.options.polygons
                else {"size": [height, width], "counts": rle.compress(rle.encode_component(region, height, width))}
            )
            annotations.append(self._annotation(region, segmentation))
        annotations += self._crowds(sample.mask)

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
        super().close()

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
        """Annotations of the ignored pixels: one per category, because COCO ignores detections by category."""
        ignored = mask == IGNORE
        if not ignored.any():
            return
        box = Box.around(ignored)
        segmentation = {"size": list(mask.shape), "counts": rle.compress(rle.encode(ignored))}
        for id in range(1, len(self.classes)):
            region = Component(id, box.left, box.top, ignored[box.slices])
            yield self._annotation(region, segmentation, iscrowd=1, ignore=1)


class CocoImporter(Importer):
    """Reads annotations/*.json (or PART/_annotations.coco.json); all parts must have the same categories.

    Where instances overlap, the later one in the file is on top. Instances without a mask are refused.
    """

    def __init__(self, source: Path, ignore: bool, _: ClassTable | None) -> None:
        files = sorted(source.glob("annotations/*.json")) or sorted(source.glob("*/_annotations.coco.json"))
        if not files:
            raise WetgenError(
                f"{source} contains no COCO annotations.",
                why="there is neither annotations/*.json nor PART/_annotations.coco.json.",
                fix="give the folder that contains annotations/.",
            )
        names = [p.parent.name if p.name.startswith("_") else p.stem.removeprefix("instances_") for p in files]
        splits = parts_of(names, source)
        self._parts = [(path, split, read_json(path)) for path, split in zip(files, splits, strict=True)]
        self._ids, table = _categories(self._parts[0][2], files[0])
        for path, _split, data in self._parts[1:]:
            if _categories(data, path) != (self._ids, table):
                raise bad_labels(str(path), f"its categories are not those of {files[0].name}")
        super().__init__(source, table, ignore=ignore)

    def samples(self) -> Iterator[Sample]:
        rows = read_sidecar(self.source)
        for path, split, data in self._parts:
            for entry in _images(data, path):
                where = f"{path}, image {entry.file_name}"
                file = _find_image(self.source, path, entry.file_name, where)
                image = self.read_image(file, where)
                check_size(image[1], entry.width, entry.height, where)
                mask = _mask(entry.annotations, image[1].shape[:2], self._ids, where)
                row = dict(rows.get(file, {}))
                if entry.license is not None:
                    row.setdefault("license", entry.license)
                yield self.sample(entry.file_name, split, image, mask, row, where)


class _ImageEntry(NamedTuple):
    """An image of a COCO file with its annotations."""

    file_name: str
    width: object
    height: object
    license: object
    annotations: list[dict[str, Any]]


def _images(data: Mapping[str, Any], path: Path) -> list[_ImageEntry]:
    annotations: dict[Any, list[dict[str, Any]]] = {}
    entries = {}
    try:
        licenses = {entry["id"]: entry.get("name") for entry in data.get("licenses", [])}
        for annotation in data.get("annotations", []):
            annotations.setdefault(annotation["image_id"], []).append(annotation)
        for image in data["images"]:
            id, file_name, license = image["id"], str(image["file_name"]), licenses.get(image.get("license"))
            entries[id] = _ImageEntry(file_name, image["width"], image["height"], license, annotations.get(id, []))
    except (KeyError, TypeError) as error:
        raise bad_labels(str(path), f"{type(error).__name__}: {error}") from error
    if len(entries) < len(data["images"]):
        raise bad_labels(f"{path}: images", "two have the same id")
    strays = annotations.keys() - entries.keys()
    if strays:
        raise bad_labels(f"{path}: annotations", f"image {sorted(map(str, strays))[0]} is not among its images")
    return list(entries.values())


def _categories(data: Mapping[str, Any], path: Path) -> tuple[dict[int, int], ClassTable]:
    """Our class id by category id, in the order of the ids, and the class table. A category "background" becomes 0."""
    try:
        categories = sorted((int(entry["id"]), str(entry["name"])) for entry in data["categories"])
    except (KeyError, TypeError, ValueError) as error:
        raise bad_labels(f"{path}: categories", f"{type(error).__name__}: {error}") from error
    damage = [(id, name) for id, name in categories if name.lower() != _BACKGROUND]
    ids = dict.fromkeys((id for id, name in categories if name.lower() == _BACKGROUND), 0)
    ids |= {id: i for i, (id, _) in enumerate(damage, 1)}
    return ids, ClassTable((_BACKGROUND, *(name for _, name in damage)))


def _find_image(source: Path, path: Path, file_name: str, where: str) -> str:
    """The image's path in `source`. COCO states only the file name, and the folders differ from tool to tool."""
    part = path.stem.removeprefix("instances_")
    beside = path.parent.relative_to(source).as_posix()
    for folder in (f"images/{part}", part, "images", ".", beside):
        name = file_name if folder == "." else f"{folder}/{file_name}"
        if (source / name).is_file():
            return name
    raise WetgenError(
        f"{where} is missing.",
        why=f"it is not in images/{part}, {part}, images or {source.name}, and not beside the annotations.",
        fix="put the images there.",
    )


def _mask(annotations: list[dict[str, Any]], size: tuple[int, ...], ids: Mapping[int, int], where: str) -> Pixels:
    mask = np.zeros(size, np.uint8)
    for annotation in annotations:
        try:
            pixels = _pixels(annotation.get("segmentation"), *size)
            value = IGNORE if annotation.get("ignore") and annotation.get("iscrowd") else ids[annotation["category_id"]]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            what = f"{where}, annotation {annotation.get('id')}"
            raise bad_labels(what, f"{type(error).__name__}: {error}") from error
        mask[pixels] = value
    return mask


def _pixels(segmentation: object, height: int, width: int) -> NDArray[np.bool_]:
    """The pixels of run lengths (a list or a string), or of all polygons together."""
    if isinstance(segmentation, dict):
        if list(segmentation["size"]) != [height, width]:
            raise ValueError(f"its size is {segmentation['size']}, not [{height}, {width}]")
        counts = segmentation["counts"]
        return rle.decode(rle.decompress(counts) if isinstance(counts, str) else list(counts), height, width)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("it has a box and no mask")
    pixels = np.zeros((height, width), bool)
    for polygon in segmentation:
        points = np.array(polygon, np.float64).reshape(-1, 2)
        if len(points) < 3 or not np.isfinite(points).all():
            raise ValueError(f"{len(points)} points are not a polygon, or a coordinate is not a number")
        pixels |= filled(points, height, width)
    return pixels
