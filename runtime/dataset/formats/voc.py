"""PASCAL VOC: JPEGImages/*.jpg, Annotations/*.xml (boxes), SegmentationClass/*.png (ids, palette), ImageSets/.

IGNORE is VOC's own 255 ("void"). Each region gets a box, counted from 1 and with both ends inside, as VOC does. JPEGs
are copied; other images become JPEGs of quality 95 without colour subsampling, because readers look for NAME.jpg.
labelmap.txt names the ids, as CVAT and Datumaro do.
"""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from PIL import Image

from wetgen.runtime.dataset.formats.base import (
    SHORT,
    Exporter,
    Importer,
    Options,
    Sample,
    bad_labels,
    parts_of,
    read_inside,
    read_sidecar,
)
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import NewFolder, read_bytes
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.masks.images import decode_index_png, encode_palette_png, voc_colour

_QUALITY = 95
_LABELS = "labelmap.txt"


class VocExporter(Exporter):
    """Writes PASCAL VOC. The lists of images are written last."""

    def __init__(self, folder: NewFolder, classes: ClassTable, options: Options) -> None:
        super().__init__(folder, classes, options)
        for name in classes.names:
            if set(name) & set(":\n\r#"):
                raise WetgenError(
                    f"The class name {name!r} cannot be written.",
                    why=f"{_LABELS} ends a name at a colon and a line, and takes # for a comment.",
                    fix="rename the class in classes.json.",
                )
        self._lists: dict[str, list[str]] = {}

    def add(self, sample: Sample) -> None:
        name, jpeg = sample.name, self._jpeg(sample)
        self.folder.write(f"JPEGImages/{name}.jpg", jpeg)
        self.folder.write(f"SegmentationClass/{name}.png", encode_palette_png(sample.mask))
        self.folder.write(f"Annotations/{name}.xml", self._annotation(sample))
        self._lists.setdefault(SHORT[sample.part], []).append(name)
        self.add_row(sample.metadata, file_name=f"JPEGImages/{name}.jpg")

    def close(self) -> None:
        if self._lists.keys() >= {"train", "val"}:
            self._lists["trainval"] = self._lists["train"] + self._lists["val"]
        for part, names in self._lists.items():
            for task in ("Segmentation", "Main"):
                self.folder.write(f"ImageSets/{task}/{part}.txt", "".join(f"{name}\n" for name in names).encode())
        lines = ["# label:color_rgb:parts:actions\n"]
        lines += [f"{name}:{','.join(map(str, voc_colour(id)))}::\n" for id, name in enumerate(self.classes.names)]
        self.folder.write(_LABELS, "".join(lines).encode())
        super().close()

    def _jpeg(self, sample: Sample) -> bytes:
        if sample.suffix == ".jpg":
            return sample.image
        self.lost[f"pictures encoded as JPEG of quality {_QUALITY}"] += 1
        file = BytesIO()
        with Image.open(BytesIO(sample.image)) as picture:
            picture.convert("RGB").save(file, "JPEG", quality=_QUALITY, subsampling=0)
        return file.getvalue()

    def _annotation(self, sample: Sample) -> bytes:
        height, width = sample.mask.shape
        annotation = _element(
            "annotation",
            folder="JPEGImages",
            filename=f"{sample.name}.jpg",
            source=_element("source", database="wetgen"),
            size=_element("size", width=width, height=height, depth=3),
            segmented=1,
        )
        for region in self.regions(sample):
            left, top = region.left + 1, region.top + 1
            box = {"xmin": left, "ymin": top, "xmax": left + region.width - 1, "ymax": top + region.height - 1}
            name = self.classes.names[region.class_id]
            more = {"pose": "Unspecified", "truncated": 0, "difficult": 0, "bndbox": _element("bndbox", **box)}
            annotation.append(_element("object", name=name, **more))
        ElementTree.indent(annotation)
        for tag in ("source", "size", "bndbox"):  # these stay on one line
            for element in annotation.iter(tag):
                element.text = None
                for child in element:
                    child.tail = None
        return ElementTree.tostring(annotation, "unicode").encode() + b"\n"


def _element(tag: str, **children: object) -> Element:
    """An XML element with these children: elements, or the text of elements called so."""
    element = Element(tag)
    for name, child in children.items():
        if isinstance(child, Element):
            element.append(child)
        else:
            ElementTree.SubElement(element, name).text = str(child)
    return element


class VocImporter(Importer):
    """Reads the images listed in ImageSets/Segmentation, each with its mask in SegmentationClass; needs no XML.

    The class table comes from labelmap.txt, or must be given, because masks with a palette do not name their classes.
    """

    def __init__(self, source: Path, ignore: bool, classes: ClassTable | None) -> None:
        super().__init__(source, _label_map(source / _LABELS) if classes is None else classes, ignore=ignore)
        lists = sorted((source / "ImageSets" / "Segmentation").glob("*.txt"))
        lists = [path for path in lists if path.stem != "trainval" or len(lists) == 1]
        if not lists:
            raise WetgenError(
                f"{source} lists no images.",
                why="ImageSets/Segmentation/*.txt is missing.",
                fix="give the folder that contains JPEGImages, SegmentationClass and ImageSets.",
            )
        splits = parts_of([path.stem for path in lists], source / "ImageSets")
        self._lists = list(zip(lists, splits, strict=True))

    def samples(self) -> Iterator[Sample]:
        rows = read_sidecar(self.source)
        for path, split in self._lists:
            for name in filter(None, map(str.strip, read_bytes(path).decode(errors="replace").split("\n"))):
                where = f"{path}, {name}"
                names = [f"JPEGImages/{name}{suffix}" for suffix in (".jpg", ".png", ".jpeg")]
                file = next((file for file in names if (self.source / file).exists()), None)
                if file is None:
                    raise bad_labels(where, "there is no such image in JPEGImages")
                image = self.read_image(file, where)
                mask_name = f"SegmentationClass/{name}.png"
                mask = decode_index_png(read_inside(self.source, mask_name, where), str(self.source / mask_name))
                yield self.sample(f"{name}.jpg", split, image, mask, rows.get(file, {}), where)


def _label_map(path: Path) -> ClassTable:
    """The class table in labelmap.txt. Its colours must be those of VOC's devkit, because ids are read by them."""
    if not path.exists():
        raise WetgenError(
            f"{path} is missing.",
            why="VOC's masks contain ids, and only this file says which class an id is.",
            fix='use --classes FILE with {"0": "background", "1": ...}.',
        )
    names: list[str] = []
    for line in read_bytes(path).decode(errors="replace").split("\n"):
        if line.strip() and not line.startswith("#"):
            name, _, rest = line.rstrip("\r").partition(":")
            if rest.partition(":")[0] not in ("", ",".join(map(str, voc_colour(len(names))))):
                raise bad_labels(f"{path}: {name}", "its colour is not VOC's colour for its id")
            names.append(name)
    return ClassTable(tuple(names))
