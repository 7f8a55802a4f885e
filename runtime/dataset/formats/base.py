"""One pair on its way from one format to another, and what a conversion may be asked for.

Datasets of others, read with care: only files inside their folder, pictures that decode, masks that fit.

What all writers have: a folder to fill, the class table, the options, and a tally of what did not fit.

metadata.jsonl beside a format that has no place for captions, scenes and licences: a row per image, by file name.

The formats' own tools don't look at it; `wetgen convert --from` does, so that nothing of a row is lost on the way back.

Names for files that every format can hold and no two pairs share.

The dataset folder, as the other formats' goal: images copied, masks as PNG, a row per pair.
"""

import hashlib
import json
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from wetgen.runtime.dataset.metadata import IMAGES, MASKS, METADATA, leads_outside, lines, parse, place
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import NewFolder, read_bytes
from wetgen.runtime.masks.classes import FILE_NAME, IGNORE, IGNORE_KEY, ClassTable, states_ignore, unknown_ids
from wetgen.runtime.masks.images import Pixels, decode_image, encode_mask, encode_png, png_text
from wetgen.runtime.masks.regions import Component, connected_components

TRAIN, VALIDATION, TEST = SPLITS = ("train", "validation", "test")

_ORIENTATION = 0x0112  # EXIF's tag; 1 is upright
_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True)
class Example:
    """A pair: the image's file, its mask uint8 (H, W), and its metadata row without the names of the two files."""

    name: str  # of its files, without suffix; no two examples of a dataset share one
    split: str | None  # one of SPLITS; None where the source states none
    image: bytes  # a PNG or JPEG
    mask: Pixels
    row: dict[str, object]  # holds `text` and `scene`

    @property
    def suffix(self) -> str:
        """What its image's file is: .jpg or .png."""
        return ".jpg" if self.image.startswith(_JPEG) else ".png"

    @property
    def mask_file(self) -> bytes:
        """Its mask as the PNG of a dataset folder; of a synthetic pair it says how it was made, as its picture does."""
        return encode_mask(self.mask, png_text(self.row))

    @property
    def part(self) -> str:
        """Its split, train where none is stated."""
        return TRAIN if self.split is None else self.split


@dataclass(frozen=True)
class Options:
    """What some formats can be asked for."""

    polygons: bool = False  # COCO: polygons in place of run lengths
    min_area: int = 1  # COCO, YOLO, VOC's boxes: regions of fewer pixels are left out
    shard_bytes: int = 256 * 2**20  # WebDataset, Parquet: a shard is closed once it holds this much


@dataclass(frozen=True)
class Incoming:
    """What a reader gives: the class table, and the examples, each read when its turn comes."""

    classes: ClassTable
    examples: Iterator[Example]


def portable(image: bytes, pixels: Pixels) -> bytes:
    """The image's file as it is where every reader sees `pixels` uint8 (H, W, 3) in it, else a PNG of them.

    Not every reader turns EXIF upright, drops alpha or knows CMYK, so such files would differ from reader to reader.
    """
    with Image.open(BytesIO(image), formats=("PNG", "JPEG")) as picture:
        plain = picture.mode in ("RGB", "L") and "transparency" not in picture.info
        plain = plain and picture.getexif().get(_ORIENTATION, 1) == 1
        if picture.format == "PNG":
            # Byte 24 of a PNG is its depth; an animation may begin with another picture than readers show.
            plain = plain and image[24] == 8 and not getattr(picture, "is_animated", False)
    return image if plain else encode_png(pixels)


_PARTS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
}


def part_named(name: str) -> str | None:
    """The split that a file or folder name stands for (val2017: validation), or None."""
    return _PARTS.get(name.lower().rstrip("0123456789").rstrip("-_"))


def parts_of(names: list[str], where: Path) -> list[str | None]:
    """The split of each of a dataset's parts; a single part needs none, several must be told apart."""
    if len(names) == 1:
        return [None]
    parts = [part_named(name) for name in names]
    if None in parts or len(set(parts)) < len(parts):
        raise WetgenError(
            f"The parts of {where} cannot be told apart.",
            why=f"they are called {', '.join(names)}; train, val and test are known.",
            fix="rename them, or convert them one by one.",
        )
    return parts


def read_inside(root: Path, name: str, where: str) -> bytes:
    """The bytes of the file `name` below `root`; raises WetgenError for one that leads elsewhere or is missing."""
    path = root / name
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError):  # a circle of links; a NUL
        inside = False
    if not inside:
        raise leads_outside(where, name)
    return read_bytes(path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        data = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise WetgenError(f"{path} is not JSON.", why=f"{error}.", fix="write it again from its source.") from error
    if not isinstance(data, dict):
        raise WetgenError(f"{path} is no JSON object.", why=f"it is a {type(data).__name__}.", fix="check the file.")
    return data


@dataclass(frozen=True)
class Picture:
    """A picture's file and its pixels uint8 (H, W, 3)."""

    file: bytes
    pixels: Pixels

    @classmethod
    def decode(cls, file: bytes, where: str) -> "Picture":
        """Raises WetgenError naming `where` for what is no sound PNG or JPEG."""
        return cls(file, decode_image(file, where))

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    def check_size(self, width: object, height: object, where: str) -> None:
        """Raise unless labels for a picture of this size lie on it."""
        if (width, height) == (self.width, self.height):
            return
        swapped = (height, width) == (self.width, self.height)
        raise WetgenError(
            f"{where}: the image is {self.width} x {self.height}, its labels are for {width} x {height}.",
            why="width and height are swapped (an EXIF orientation counts)." if swapped else "they do not lie on it.",
            fix="make the labels again on the image as it is shown upright.",
        )


class Receiver:
    """Makes sound examples of pictures, masks and rows as they come in.

    `ignore` allows IGNORE in all masks; a row that states it allows it in its own.
    """

    def __init__(self, classes: ClassTable, *, ignore: bool) -> None:
        self.classes, self._ignore = classes, ignore

    def example(
        self, name: str, split: str | None, image: Picture, mask: Pixels, row: Mapping[str, object], where: str
    ) -> Example:
        """Raises WetgenError naming `where` for what the dataset folder would not take."""
        image.check_size(mask.shape[1], mask.shape[0], where)
        ignore = states_ignore(row, where) or self._ignore
        fault = unknown_ids(mask, self.classes, f"{where}: its mask", ignore=ignore)
        if fault is not None:
            if (mask == IGNORE).any():
                raise WetgenError(fault.what, why=fault.why, fix=f"{fault.fix} If {IGNORE} means ignore: --ignore-255.")
            raise fault
        keys = completed(row, name, mask, self.classes)
        stated = keys.pop("split", None)  # of a single part it may be known from the row alone
        if split is None and stated in SPLITS:
            split = str(stated)
        return Example(name, split, portable(image.file, image.pixels), mask, keys)


def bad_labels(where: str, why: object) -> WetgenError:
    """The fault of labels that break their format."""
    return WetgenError(f"{where} cannot be read.", why=f"{why}.", fix="correct it, or export the dataset again.")


SHORT = {TRAIN: "train", VALIDATION: "val", TEST: "test"}  # what COCO, YOLO and VOC call the parts


class Writer(ABC):
    """Writes a dataset in one format, example by example; `lost` counts what the format could not take, by words."""

    def __init__(self, folder: NewFolder, classes: ClassTable, options: Options) -> None:
        self.folder, self.classes, self.options = folder, classes, options
        self.lost: Counter[str] = Counter()

    @abstractmethod
    def add(self, example: Example) -> None:
        """Write one pair."""

    @abstractmethod
    def close(self) -> None:
        """Write what stands once for all pairs."""

    def release(self) -> None:  # noqa: B027 - most writers hold no file open
        """Close files that are open still, because the conversion ends here, done or not."""

    def regions(self, example: Example) -> list[Component]:
        """The regions of an example's mask that are large enough; the others are counted."""
        found = connected_components(example.mask)
        kept = [region for region in found if region.area >= self.options.min_area]
        self.lost["regions below --min-area left out"] += len(found) - len(kept)
        return kept

    def count_ignored(self, example: Example, becomes: str) -> None:
        """Note the pixels of a format that has no "ignore"."""
        self.lost[f"ignored pixels, which {becomes}"] += int(np.count_nonzero(example.mask == IGNORE))


class Sidecar:
    """Collects rows and writes them in the end."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, row: Mapping[str, object], **keys: str) -> None:
        """Add a row; `keys` are the files' names in the new folder and the like, and come first."""
        self._lines.append(json.dumps({**keys, **row}, ensure_ascii=False) + "\n")

    def write(self, folder: NewFolder) -> None:
        """Put metadata.jsonl into the folder."""
        folder.write(METADATA, "".join(self._lines).encode())


def read_sidecar(folder: Path) -> dict[str, dict[str, object]]:
    """The rows by file name, without it; none where there is no metadata.jsonl."""
    path = folder / METADATA
    if not path.exists():
        return {}
    rows = {}
    for line in lines(BytesIO(read_bytes(path))):
        row = parse(line, path)
        name = row.pop("file_name", None)
        if not isinstance(name, str):
            raise WetgenError(
                f"{place(path, line.number)}: the key file_name is missing.",
                why="rows belong to images by it.",
                fix="write it, or remove metadata.jsonl to do without captions.",
            )
        row.pop("mask_file_name", None)
        rows[name] = row
    return rows


def completed(row: Mapping[str, object], name: str, mask: Pixels, classes: ClassTable) -> dict[str, object]:
    """A row with what the dataset folder asks for: `text`, made of the classes in the mask where there is none.

    It states IGNORE where the mask has it, so that nobody needs to allow it again.
    """
    if (mask == IGNORE).any():
        row = {**row, IGNORE_KEY: IGNORE}
    text = row.get("text")
    if isinstance(text, str) and text.strip():
        return {"scene": name, **row}
    present = [classes.names[id] for id in range(1, len(classes)) if (mask == id).any()]
    made = {"text": ", ".join(present) if present else "no damage", "text_from": "mask"}
    return {"scene": name, **row, **made}


_LONGEST = 120  # characters; up to four bytes each are still within the 255 bytes of common file systems


class Names:
    """Gives out names. One depends on its own file name, and on earlier ones only where two would be equal."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def give(self, file_name: str, folder: str = "") -> str:
        """The name for the image `file_name`, without suffix; `folder` tells datasets apart that become one.

        Letters and digits of any script, "-" and "_" stay. Others (spaces, commas, dots, slashes) mean something in
        one format or another: they become "_", and a hash of the whole file name keeps the name unique.
        """
        path = PurePosixPath(file_name)
        inner = path.parts[1:] if path.parts[0] == "images" else path.parts
        asked = "/".join([*([folder] if folder else []), *inner[:-1], path.stem])
        safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in unicodedata.normalize("NFC", asked))
        # A slash between folders is the ordinary case: it alone needs no hash.
        name = safe if safe == asked.replace("/", "_") and len(safe) <= _LONGEST else _hashed(safe, file_name)
        if name.casefold() in self._taken:
            name = _hashed(safe, f"{folder}/{file_name}")
        numbered = (f"{name}-{number}" for number in count(2))  # two parts may hold files of one name
        while name.casefold() in self._taken:
            name = next(numbered)
        self._taken.add(name.casefold())
        return name


def _hashed(safe: str, whole: str) -> str:
    return f"{safe[:_LONGEST]}-{hashlib.sha256(whole.encode()).hexdigest()[:10]}"


class DatasetFolderWriter(Writer):
    """Writes a dataset folder; its rows state a split where the source had several parts."""

    def __init__(self, folder: NewFolder, classes: ClassTable, options: Options) -> None:
        super().__init__(folder, classes, options)
        self._sidecar = Sidecar()

    def add(self, example: Example) -> None:
        image, mask = f"{IMAGES}/{example.name}{example.suffix}", f"{MASKS}/{example.name}.png"
        self.folder.write(image, example.image)
        self.folder.write(mask, example.mask_file)
        row = example.row if example.split is None else {**example.row, "split": example.split}
        self._sidecar.add(row, file_name=image, mask_file_name=mask)

    def close(self) -> None:
        table = json.dumps(self.classes.to_json(), indent=1, ensure_ascii=False) + "\n"
        self.folder.write(FILE_NAME, table.encode())
        self._sidecar.write(self.folder)
