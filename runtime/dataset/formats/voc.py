"""PASCAL VOC: JPEGImages/*.jpg, Annotations/*.xml (boxes), SegmentationClass/*.png (ids, palette), ImageSets/.

IGNORE is VOC's own 255 ("void"). Boxes are those of the regions, counted from 1 and with both ends inside, as VOC
counts. JPEGs are copied; other pictures become JPEGs of quality 95 without colour subsampling, because readers look for
NAME.jpg. labelmap.txt names the ids in CVAT's and Datumaro's way.
"""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from PIL import Image

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
    read_sidecar,
)
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import NewFolder, read_bytes
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.masks.images import decode_index_png, encode_palette_png, voc_colour
from wetgen.runtime.masks.regions import Component

_QUALITY = 95
_LABELS = "labelmap.txt"


class VocWriter(Writer):
    """Writes VOC; the lists of images come last."""

    def __init__(self, folder: NewFolder, classes: ClassTable, options: Options) -> None:
        super().__init__(folder, classes, options)
        for name in classes.names:
            if set(name) & set(":\n\r#"):
                raise WetgenError(
                    f"The class name {name!r} cannot be written.",
                    why=f"{_LABELS} ends a name at a colon and a line, and takes # for a remark.",
                    fix="rename the class in classes.json.",
                )
        self._sidecar = Sidecar()
        self._lists: dict[str, list[str]] = {}

    def add(self, example: Example) -> None:
        name, jpeg = example.name, self._jpeg(example)
        self.folder.write(f"JPEGImages/{name}.jpg", jpeg)
        self.folder.write(f"SegmentationClass/{name}.png", encode_palette_png(example.mask))
        self.folder.write(f"Annotations/{name}.xml", self._annotation(example))
        self._lists.setdefault(SHORT[example.part], []).append(name)
        self._sidecar.add(example.row, file_name=f"JPEGImages/{name}.jpg")

    def close(self) -> None:
        if self._lists.keys() >= {"train", "val"}:
            self._lists["trainval"] = self._lists["train"] + self._lists["val"]
        for part, names in self._lists.items():
            for task in ("Segmentation", "Main"):
                self.folder.write(f"ImageSets/{task}/{part}.txt", "".join(f"{name}\n" for name in names).encode())
        lines = ["# label:color_rgb:parts:actions\n"]
        lines += [f"{name}:{','.join(map(str, voc_colour(id)))}::\n" for id, name in enumerate(self.classes.names)]
        self.folder.write(_LABELS, "".join(lines).encode())
        self._sidecar.write(self.folder)

    def _jpeg(self, example: Example) -> bytes:
        if example.suffix == ".jpg":
            return example.image
        self.lost[f"pictures encoded as JPEG of quality {_QUALITY}"] += 1
        file = BytesIO()
        with Image.open(BytesIO(example.image)) as picture:
            picture.convert("RGB").save(file, "JPEG", quality=_QUALITY, subsampling=0)
        return file.getvalue()

    def _annotation(self, example: Example) -> bytes:
        height, width = example.mask.shape
        annotation = _element(
            "annotation",
            folder="JPEGImages",
            filename=f"{example.name}.jpg",
            source=_element("source", database="wetgen"),
            size=_element("size", width=width, height=height, depth=3),
            segmented=1,
        )
        annotation.extend(self._object(region) for region in self.regions(example))
        ElementTree.indent(annotation)
        for tag in ("source", "size", "bndbox"):  # these stay on one line
            for element in annotation.iter(tag):
                element.text = None
                for child in element:
                    child.tail = None
        return ElementTree.tostring(annotation, "unicode").encode() + b"\n"

    def _object(self, region: Component) -> Element:
        left, top = region.left + 1, region.top + 1
        return _element(
            "object",
            name=self.classes.names[region.class_id],
            pose="Unspecified",
            truncated=0,
            difficult=0,
            bndbox=_element("bndbox", xmin=left, ymin=top, xmax=left + region.width - 1, ymax=top + region.height - 1),
        )


def _element(tag: str, **children: object) -> Element:
    """An XML element with these children: elements, or the text of elements called so."""
    element = Element(tag)
    for name, child in children.items():
        if isinstance(child, Element):
            element.append(child)
        else:
            ElementTree.SubElement(element, name).text = str(child)
    return element


def read_voc(source: Path, ignore: bool, classes: ClassTable | None) -> Incoming:
    """Read what ImageSets/Segmentation lists, each mask from SegmentationClass; XML is not needed for it.

    The class table comes from labelmap.txt, else it must be given, because palette masks don't name their ids.
    """
    table = _label_map(source / _LABELS) if classes is None else classes
    lists = sorted((source / "ImageSets" / "Segmentation").glob("*.txt"))
    lists = [path for path in lists if path.stem != "trainval" or len(lists) == 1]
    if not lists:
        raise WetgenError(
            f"{source} lists no images.",
            why="ImageSets/Segmentation/*.txt is missing.",
            fix="give the folder that holds JPEGImages, SegmentationClass and ImageSets.",
        )
    splits = parts_of([path.stem for path in lists], source / "ImageSets")
    parts = list(zip(lists, splits, strict=True))
    return Incoming(table, _examples(source, parts, Receiver(table, ignore=ignore)))


def _examples(source: Path, parts: list[tuple[Path, str | None]], receiver: Receiver) -> Iterator[Example]:
    names, rows = Names(), read_sidecar(source)
    for path, split in parts:
        for line in read_bytes(path).decode(errors="replace").split("\n"):
            if not (name := line.strip()):
                continue
            where = f"{path}, {name}"
            found = next(
                (f for f in (f"JPEGImages/{name}{s}" for s in (".jpg", ".png", ".jpeg")) if (source / f).exists()), None
            )
            if found is None:
                raise bad_labels(where, "there is no such image in JPEGImages")
            image = Picture.decode(read_inside(source, found, where), where)
            mask_name = f"SegmentationClass/{name}.png"
            mask = decode_index_png(read_inside(source, mask_name, where), str(source / mask_name))
            yield receiver.example(names.give(f"{name}.jpg"), split, image, mask, rows.get(found, {}), where)


def _label_map(path: Path) -> ClassTable:
    """The class table in labelmap.txt; its colours must be the devkit's, which the ids are read by."""
    if not path.exists():
        raise WetgenError(
            f"{path} is missing.",
            why="VOC's masks hold ids, and nothing else says which class an id is.",
            fix='give --classes FILE with {"0": "background", "1": ...}.',
        )
    names: list[str] = []
    for line in read_bytes(path).decode(errors="replace").split("\n"):
        if line.strip() and not line.startswith("#"):
            name, _, rest = line.rstrip("\r").partition(":")
            if rest.partition(":")[0] not in ("", ",".join(map(str, voc_colour(len(names))))):
                raise bad_labels(f"{path}: {name}", "its colour is not the one that VOC gives to its id")
            names.append(name)
    return ClassTable(tuple(names))
