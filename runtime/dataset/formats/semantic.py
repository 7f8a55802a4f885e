"""Semantic segmentation in ADE20K's layout, as MMSegmentation and others read it: images/PART, annotations/PART.

Masks are 8-bit PNGs of our ids, background 0 included, IGNORE 255: ignore_index=255, reduce_zero_label=False.
metainfo.json holds the names and colours for mmseg's `metainfo`, classes.json the id of each class.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from wetgen.runtime.dataset.formats.base import (
    TEST,
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
    parts_of,
    read_inside,
    read_sidecar,
)
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import NewFolder
from wetgen.runtime.masks.classes import FILE_NAME, IGNORE, ClassTable, colour
from wetgen.runtime.masks.images import decode_index_png

_PARTS = {TRAIN: "training", VALIDATION: "validation", TEST: "test"}


class SemanticWriter(Writer):
    """Writes images and masks under the same names."""

    def __init__(self, folder: NewFolder, classes: ClassTable, options: Options) -> None:
        super().__init__(folder, classes, options)
        self._sidecar = Sidecar()

    def add(self, example: Example) -> None:
        place = f"{_PARTS[example.part]}/{example.name}"
        image, mask = f"images/{place}{example.suffix}", f"annotations/{place}.png"
        self.folder.write(image, example.image)
        self.folder.write(mask, example.mask_file)
        self._sidecar.add(example.row, file_name=image, mask_file_name=mask)

    def close(self) -> None:
        about = {
            "classes": self.classes.names,
            "palette": [colour(id) for id in range(len(self.classes))],
            "ignore_index": IGNORE,
            "reduce_zero_label": False,
        }
        self.folder.write("metainfo.json", (json.dumps(about, ensure_ascii=False) + "\n").encode())
        table = json.dumps(self.classes.to_json(), indent=1, ensure_ascii=False) + "\n"
        self.folder.write(FILE_NAME, table.encode())
        self._sidecar.write(self.folder)


def read_semantic(source: Path, ignore: bool, classes: ClassTable | None) -> Incoming:
    """Read images/PART/* with annotations/PART/*.png, or both without parts; classes from classes.json or given."""
    table = ClassTable.load(source / FILE_NAME) if classes is None else classes
    if not (source / "images").is_dir() or not (source / "annotations").is_dir():
        raise WetgenError(
            f"{source} holds no semantic masks.",
            why="images/ or annotations/ is missing.",
            fix="give the folder above the two.",
        )
    folders = sorted(path.name for path in (source / "images").iterdir() if path.is_dir()) or ["."]
    splits = parts_of(folders, source / "images")
    parts = list(zip(folders, splits, strict=True))
    return Incoming(table, _examples(source, parts, Receiver(table, ignore=ignore)))


def _examples(source: Path, parts: list[tuple[str, str | None]], receiver: Receiver) -> Iterator[Example]:
    names, rows = Names(), read_sidecar(source)
    for part, split in parts:
        paths = sorted(path for path in (source / "images" / part).iterdir() if not path.name.startswith("."))
        masks = {path.stem for path in (source / "annotations" / part).glob("*")}
        lonely = sorted(masks - {path.stem for path in paths})
        if lonely:
            raise bad_labels(f"annotations/{part}/{lonely[0]}", "there is no image of that name")
        for path in paths:
            name = path.relative_to(source).as_posix()
            image = Picture.decode(read_inside(source, name, str(path)), str(path))
            mask_path = (Path("annotations") / part / path.stem).as_posix() + ".png"
            mask = decode_index_png(read_inside(source, mask_path, str(path)), str(source / mask_path))
            yield receiver.example(names.give(path.name), split, image, mask, rows.get(name, {}), str(path))
