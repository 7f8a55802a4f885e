"""What every format shares: samples, importers, exporters, metadata.jsonl beside the samples, and names of files."""

import hashlib
import json
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from wetgen.runtime.dataset.metadata import IMAGES, MASKS, METADATA, leads_outside, lines, location, parse
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import NewFolder, read_bytes
from wetgen.runtime.masks.classes import FILE_NAME, IGNORE, IGNORE_KEY, ClassTable, states_ignore, unknown_ids
from wetgen.runtime.masks.images import Pixels, decode_image, encode_mask, encode_png, png_text
from wetgen.runtime.masks.regions import Component, connected_components

TRAIN, VALIDATION, TEST = SPLITS = ("train", "validation", "test")

_ORIENTATION = 0x0112  # EXIF's tag; 1 is upright
_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True)
class Sample:
    """A pair on its way from one format to another."""

    name: str  # of its files, without suffix; no two samples of a dataset share one
    split: str | None  # one of SPLITS; None where the source states none
    image: bytes  # a PNG or JPEG file
    mask: Pixels  # uint8 (H, W)
    metadata: dict[str, object]  # its row without the names of the two files; has `text` and `scene`

    @property
    def suffix(self) -> str:
        """The suffix of the image's file: .jpg or .png."""
        return ".jpg" if self.image.startswith(_JPEG) else ".png"

    @property
    def mask_file(self) -> bytes:
        """The mask as a PNG of a dataset folder. That of a synthetic pair states how it was made, like its image."""
        return encode_mask(self.mask, png_text(self.metadata))

    @property
    def part(self) -> str:
        """The split, or train where none is stated."""
        return TRAIN if self.split is None else self.split


@dataclass(frozen=True)
class Options:
    """Options of some formats."""

    polygons: bool = False  # COCO: polygons instead of run lengths
    min_area: int = 1  # COCO, YOLO, VOC's boxes: regions of fewer pixels are left out
    shard_bytes: int = 256 * 2**20  # WebDataset, Parquet: a shard is closed at this size


def portable(image: bytes, pixels: Pixels) -> bytes:
    """Returns the image's file if every reader sees `pixels` uint8 (H, W, 3) in it, else a PNG of them.

    Not every reader applies the EXIF orientation, drops alpha or knows CMYK, so readers would see such files
    differently.
    """
    with Image.open(BytesIO(image), formats=("PNG", "JPEG")) as picture:
        plain = picture.mode in ("RGB", "L") and "transparency" not in picture.info
        plain = plain and picture.getexif().get(_ORIENTATION, 1) == 1
        if picture.format == "PNG":
            # Byte 24 of a PNG is its bit depth. Readers may show another frame of an animation than the first.
            plain = plain and image[24] == 8 and not getattr(picture, "is_animated", False)
    return image if plain else encode_png(pixels)


_PARTS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
}


def part_named(name: str) -> str | None:
    """The split that the name of a file or folder means (val2017: validation), or None."""
    return _PARTS.get(name.lower().rstrip("0123456789").rstrip("-_"))


def parts_of(names: list[str], where: Path) -> list[str | None]:
    """The split of each part of a dataset. A single part needs none; several must have different known names."""
    if len(names) == 1:
        return [None]
    parts = [part_named(name) for name in names]
    if None in parts or len(set(parts)) < len(parts):
        raise WetgenError(
            f"The splits in {where} are unclear.",
            why=f"its parts are called {', '.join(names)}; train, val and test are known, once each.",
            fix="rename them, or convert them one by one.",
        )
    return parts


def read_inside(root: Path, name: str, where: str) -> bytes:
    """The bytes of the file `name` in `root`. Raises WetgenError if it is missing or leads out of `root`."""
    path = root / name
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError):  # links in a circle; a NUL
        inside = False
    if not inside:
        raise leads_outside(where, name)
    return read_bytes(path)


def images_in(folder: Path, labels: Path, pattern: str = "*") -> list[Path]:
    """The images in a folder; raises WetgenError for a file of labels without an image."""
    files = sorted(folder.iterdir())
    paths = [path for path in files if path.name[0] != "." and path.suffix != ".cache"]  # caches of Ultralytics
    lonely = sorted({path.stem for path in labels.glob(pattern)} - {path.stem for path in paths})
    if lonely and labels != folder:
        raise bad_labels(str(labels / pattern.replace("*", lonely[0])), f"there is no image of that name in {folder}")
    return paths


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        data = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise WetgenError(f"{path} is not JSON.", why=f"{error}.", fix="write it again from its source.") from error
    if not isinstance(data, dict):
        raise WetgenError(f"{path} is not a JSON object.", why=f"it is a {type(data).__name__}.", fix="check the file.")
    return data


def check_size(pixels: Pixels, width: object, height: object, where: str) -> None:
    """Raise WetgenError unless labels of this size fit an image (H, W, 3)."""
    own_height, own_width = pixels.shape[:2]
    if (width, height) == (own_width, own_height):
        return
    swapped = (height, width) == (own_width, own_height)
    raise WetgenError(
        f"{where}: the image is {own_width} x {own_height}, its labels are for {width} x {height}.",
        why="width and height are swapped (an EXIF orientation counts)." if swapped else "they do not fit the image.",
        fix="make the labels again on the upright image.",
    )


class Importer(ABC):
    """Reads a dataset in one format. The constructor finds its files and classes; each sample is read in its turn.

    `ignore` allows IGNORE in all masks; a row that states it allows it in its own.
    """

    def __init__(self, source: Path, classes: ClassTable, *, ignore: bool) -> None:
        self.source, self.classes, self._ignore = source, classes, ignore
        self._names = Names()

    @abstractmethod
    def samples(self) -> Iterator[Sample]:
        """Yields the samples. Raises WetgenError at the first fault."""

    def read_image(self, name: str, where: str) -> tuple[bytes, Pixels]:
        """An image's file in the source, and its pixels uint8 (H, W, 3)."""
        image = read_inside(self.source, name, where)
        return image, decode_image(image, where)

    def sample(
        self,
        file_name: str,
        split: str | None,
        image: tuple[bytes, Pixels],
        mask: Pixels,
        row: Mapping[str, object],
        where: str,
    ) -> Sample:
        """Returns a checked sample, named after the image's file and with its file and pixels.

        Raises WetgenError, which names `where`, if a dataset folder could not hold it.
        """
        check_size(image[1], mask.shape[1], mask.shape[0], where)
        ignore = states_ignore(row, where) or self._ignore
        fault = unknown_ids(mask, self.classes, f"{where}: its mask", ignore=ignore)
        if fault is not None:
            if (mask == IGNORE).any():
                raise WetgenError(fault.what, why=fault.why, fix=f"{fault.fix} If {IGNORE} means ignore: --ignore-255.")
            raise fault
        name = self._names.give(file_name)
        metadata = completed(row, name, mask, self.classes)
        stated = metadata.pop("split", None)  # with a single part only the row may know it
        if split is None and stated in SPLITS:
            split = str(stated)
        return Sample(name, split, portable(*image), mask, metadata)


def bad_labels(where: str, why: object) -> WetgenError:
    """The error for labels that break their format."""
    return WetgenError(f"{where} cannot be read.", why=f"{why}.", fix="correct it, or export the dataset again.")


SHORT = {TRAIN: "train", VALIDATION: "val", TEST: "test"}  # the splits' names in COCO, YOLO and VOC


class Exporter(ABC):
    """Writes a dataset in one format, sample by sample. `lost` counts what the format cannot hold, by description.

    A format that has no place for captions, scenes and licences gets metadata.jsonl beside it, a row per image. Other
    tools ignore it. `wetgen convert --from` reads it, so that converting back loses nothing of a row.
    """

    def __init__(self, folder: NewFolder, classes: ClassTable, options: Options) -> None:
        self.folder, self.classes, self.options = folder, classes, options
        self.lost: Counter[str] = Counter()
        self.open_files = ExitStack()  # closed when the conversion ends, finished or not
        self._metadata: list[str] = []

    @abstractmethod
    def add(self, sample: Sample) -> None:
        """Write one pair."""

    def add_row(self, row: Mapping[str, object], **keys: str) -> None:
        """Add a row to metadata.jsonl, after `keys`, which name its files in the new folder."""
        self._metadata.append(json.dumps({**keys, **row}, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Write the files that are shared by all pairs."""
        self.folder.write(METADATA, "".join(self._metadata).encode())

    def regions(self, sample: Sample) -> list[Component]:
        """The regions of a sample's mask that are large enough; the others are counted."""
        found = connected_components(sample.mask)
        kept = [region for region in found if region.area >= self.options.min_area]
        self.lost["regions below --min-area left out"] += len(found) - len(kept)
        return kept

    def write_classes(self) -> None:
        """Write classes.json."""
        table = json.dumps(self.classes.to_json(), indent=1, ensure_ascii=False) + "\n"
        self.folder.write(FILE_NAME, table.encode())


def read_sidecar(folder: Path) -> dict[str, dict[str, object]]:
    """The rows of metadata.jsonl by file name; none if there is no such file."""
    path = folder / METADATA
    if not path.exists():
        return {}
    rows = {}
    for line in lines(BytesIO(read_bytes(path))):
        row = parse(line, path)
        name = row.pop("file_name", None)
        if not isinstance(name, str):
            raise WetgenError(
                f"{location(path, line.number)}: the key file_name is missing.",
                why="it says to which image a row belongs.",
                fix="add it, or remove metadata.jsonl to do without captions.",
            )
        row.pop("mask_file_name", None)
        rows[name] = row
    return rows


def completed(row: Mapping[str, object], name: str, mask: Pixels, classes: ClassTable) -> dict[str, object]:
    """The row with the keys a dataset folder needs. Without `text`, that is made from the classes in the mask.

    If the mask contains IGNORE, the row states it, so that nobody needs to allow it again.
    """
    if (mask == IGNORE).any():
        row = {**row, IGNORE_KEY: IGNORE}
    text = row.get("text")
    if isinstance(text, str) and text.strip():
        return {"scene": name, **row}
    present = [classes.names[id] for id in range(1, len(classes)) if (mask == id).any()]
    return {"scene": name, **row, "text": ", ".join(present) if present else "no damage", "text_from": "mask"}


_LONGEST = 120  # characters; up to four bytes each are still within the 255 bytes of common file systems


class Names:
    """Gives names to files that every format can hold, and no two pairs the same.

    A name depends only on its own file name, or on earlier ones where two would be equal.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def give(self, file_name: str, folder: str = "") -> str:
        """Returns the name for the image `file_name`, without suffix. `folder` is the dataset, if several become one.

        Letters and digits of any script, "-" and "_" stay. Others (spaces, commas, dots, slashes) have a meaning in
        some format: they become "_", and a hash of the whole file name keeps the name unique.
        """
        path = PurePosixPath(file_name)
        inner = path.parts[1:] if path.parts[0] == "images" else path.parts
        plain = "/".join([*([folder] if folder else []), *inner[:-1], path.stem])
        safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in unicodedata.normalize("NFC", plain))
        # A slash between folders is common and needs no hash.
        name = safe if safe == plain.replace("/", "_") and len(safe) <= _LONGEST else _hashed(safe, file_name)
        if name.casefold() in self._taken:
            name = _hashed(safe, f"{folder}/{file_name}")
        numbered = (f"{name}-{number}" for number in count(2))  # two parts may have files of one name
        while name.casefold() in self._taken:
            name = next(numbered)
        self._taken.add(name.casefold())
        return name


def _hashed(safe: str, whole: str) -> str:
    return f"{safe[:_LONGEST]}-{hashlib.sha256(whole.encode()).hexdigest()[:10]}"


class DatasetFolderExporter(Exporter):
    """Writes a dataset folder. Its rows state a split if the source had several parts."""

    def add(self, sample: Sample) -> None:
        image, mask = f"{IMAGES}/{sample.name}{sample.suffix}", f"{MASKS}/{sample.name}.png"
        self.folder.write(image, sample.image)
        self.folder.write(mask, sample.mask_file)
        row = sample.metadata if sample.split is None else {**sample.metadata, "split": sample.split}
        self.add_row(row, file_name=image, mask_file_name=mask)

    def close(self) -> None:
        self.write_classes()
        super().close()
