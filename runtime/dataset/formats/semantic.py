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
    Exporter,
    Importer,
    Sample,
    images_in,
    parts_of,
    read_inside,
    read_sidecar,
)
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import FILE_NAME, IGNORE, ClassTable, colour
from wetgen.runtime.masks.images import decode_index_png

_PARTS = {TRAIN: "training", VALIDATION: "validation", TEST: "test"}


class SemanticExporter(Exporter):
    """Writes images and masks under the same names."""

    def add(self, sample: Sample) -> None:
        stem = f"{_PARTS[sample.part]}/{sample.name}"
        image, mask = f"images/{stem}{sample.suffix}", f"annotations/{stem}.png"
        self.folder.write(image, sample.image)
        self.folder.write(mask, sample.mask_file)
        self.add_row(sample.metadata, file_name=image, mask_file_name=mask)

    def close(self) -> None:
        about = {
            "classes": self.classes.names,
            "palette": [colour(id) for id in range(len(self.classes))],
            "ignore_index": IGNORE,
            "reduce_zero_label": False,
        }
        self.folder.write("metainfo.json", (json.dumps(about, ensure_ascii=False) + "\n").encode())
        self.write_classes()
        super().close()


class SemanticImporter(Importer):
    """Reads images/PART/* with annotations/PART/*.png, or both without parts; classes from classes.json or given."""

    def __init__(self, source: Path, ignore: bool, classes: ClassTable | None) -> None:
        super().__init__(source, ClassTable.load(source / FILE_NAME) if classes is None else classes, ignore=ignore)
        if not (source / "images").is_dir() or not (source / "annotations").is_dir():
            raise WetgenError(
                f"{source} has no semantic masks.",
                why="images/ or annotations/ is missing.",
                fix="give the folder that contains both.",
            )
        folders = sorted(path.name for path in (source / "images").iterdir() if path.is_dir()) or ["."]
        self._parts = list(zip(folders, parts_of(folders, source / "images"), strict=True))

    def samples(self) -> Iterator[Sample]:
        rows = read_sidecar(self.source)
        for part, split in self._parts:
            for path in images_in(self.source / "images" / part, self.source / "annotations" / part):
                name = path.relative_to(self.source).as_posix()
                image = self.read_image(name, str(path))
                mask_path = (Path("annotations") / part / path.stem).as_posix() + ".png"
                mask_file = read_inside(self.source, mask_path, str(path))
                mask = decode_index_png(mask_file, str(self.source / mask_path))
                yield self.sample(path.name, split, image, mask, rows.get(name, {}), str(path))
