"""Writes pairs: checks and encodes them, writes their files, then their row. DatasetWriter writes a dataset folder."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from wetgen.runtime.dataset.journal import Keys, RowLog
from wetgen.runtime.dataset.metadata import IMAGES, MASKS, METADATA, key_faults, row_line
from wetgen.runtime.dataset.reader import Files
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import atomic_write, os_errors, sweep
from wetgen.runtime.masks import classes as class_table
from wetgen.runtime.masks.classes import ClassTable, states_ignore, unknown_ids
from wetgen.runtime.masks.images import Pixels, encode_mask, encode_png, png_text, read_image, read_mask

MAX_NAME = 200  # bytes; leaves room for the suffixes within the 255 bytes of common file systems


class Prepared(NamedTuple):
    """A pair, ready to be written."""

    name: str
    files: tuple[tuple[str, bytes], ...]  # names relative to the folder, and contents
    keys: Keys  # its row, with the names of its files
    line: bytes  # the row as a line of metadata.jsonl


class PairWriter(ABC):
    """Writes a folder of pairs with metadata.jsonl. A process killed at any moment leaves a readable folder.

    A row is added only after its files exist. Opening a folder that has rows resumes it: a last line that was cut off
    is dropped and temporary files are removed. One writer at a time. Without a class table (`classes` None) it writes
    only images: no masks and no classes.json. Only the names of the rows are kept in memory.
    """

    def __init__(self, folder: Path, classes: ClassTable | None) -> None:
        self.folder, self.classes = folder, classes
        for path in (folder, *(folder / name for name in self._folders())):
            with os_errors(path, "created"):
                path.mkdir(parents=True, exist_ok=True)
            sweep(path)
        self._refuse_other_class_table()
        self._log = RowLog(folder / METADATA, self._name_of, self._present)
        if classes is not None:
            table = json.dumps(classes.to_json(), indent=1) + "\n"
            atomic_write(folder / class_table.FILE_NAME, table.encode())

    @property
    def names(self) -> set[str]:
        """The names of the pairs whose row and files exist."""
        return self._log.names

    def rows(self) -> Iterator[tuple[str, Keys]]:
        """Yields the rows of those pairs by name, read one by one."""
        return self._log.rows()

    def existing(self) -> dict[str, Keys]:
        """All of those rows by name."""
        return dict(self.rows())

    def add(self, name: str, image: Pixels, mask: Pixels | None, row: Keys, confidence: Pixels | None = None) -> None:
        """Write image uint8 (H, W, 3), mask and confidence uint8 (H, W), and their row, which must have a `text`.

        The files of a synthetic pair state how they were made. A mask may contain IGNORE if the row states it. Raises
        WetgenError for a pair that the reader would refuse, and if the disk fails; ValueError for a bug in the caller:
        an unusable or known name, wrong dtypes or shapes, a mask without a class table or the reverse.
        """
        self.write(self.prepare(name, image, mask, row, confidence))

    def prepare(
        self, name: str, image: Pixels, mask: Pixels | None, row: Keys, confidence: Pixels | None = None
    ) -> Prepared:
        """Check and encode a pair. Touches no file, so threads may prepare pairs in parallel."""
        self._refuse_name(name)
        ignore = states_ignore(row, f"{self.folder / METADATA}, new row {name}")
        _refuse_pixels(name, image, mask, confidence, self.classes, ignore=ignore)
        text = png_text(row)
        pictures = {"image": encode_png(image, text)}
        if mask is not None:
            pictures["mask"] = encode_mask(mask, text)
        if confidence is not None:
            pictures["confidence"] = encode_png(confidence, text)
        return self._prepared(name, row, pictures)

    @abstractmethod
    def write(self, prepared: Prepared) -> None:
        """Write a prepared pair: the files, then the row."""

    def expect(self, indexes: Iterable[int]) -> None:  # noqa: B027 - loose files do not need it
        """Announce the pairs that will be written or given up; `settle` is called for each of them."""

    def settle(self, index: int) -> None:  # noqa: B027
        """Note that a pair is written, or never will be."""

    @abstractmethod
    def pictures(self, keys: Keys) -> tuple[Pixels, Pixels | None]:
        """Read the image and the mask of a row again."""

    @abstractmethod
    def _folders(self) -> tuple[str, ...]:
        """The subfolders that writing needs."""

    @abstractmethod
    def _prepared(self, name: str, row: Keys, pictures: dict[str, bytes]) -> Prepared:
        """The files and the row of a pair. `pictures` are PNGs by kind: image, mask and confidence."""

    @abstractmethod
    def _name_of(self, keys: Keys, where: str) -> str:
        """The name of a row's pair. Raises WetgenError, with `where`, for a row that cannot be in such a folder."""

    @abstractmethod
    def _present(self, keys: Keys) -> bool:
        """Whether the files of a row exist."""

    def _refuse_other_class_table(self) -> None:
        path = self.folder / class_table.FILE_NAME
        earlier = ClassTable.load(path) if path.exists() else self.classes
        if earlier != self.classes:
            ours = "none: no masks would be written" if self.classes is None else ", ".join(self.classes.names)
            theirs = ", ".join(earlier.names) if earlier else "nothing"
            raise WetgenError(
                f"{self.folder} has pairs of another class table.",
                why=f"its {path.name} says {theirs}; the new one is {ours}.",
                fix="choose an empty folder.",
            )

    def _refuse_name(self, name: str) -> None:
        if not 0 < len(name.encode()) <= MAX_NAME or not name.isprintable() or set(name) & set('/\\:*?"<>|'):
            raise ValueError(f"{name!r} cannot be a file name everywhere")
        if name.startswith(".") or name in self.names:
            raise ValueError(f"{name!r} is hidden or exists already")


def _refuse_pixels(
    name: str,
    image: Pixels,
    mask: Pixels | None,
    confidence: Pixels | None,
    classes: ClassTable | None,
    *,
    ignore: bool,
) -> None:
    if (mask is None) != (classes is None):
        raise ValueError("masks need a class table, and a class table needs masks")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image is uint8 (H, W, 3), not {image.dtype} {image.shape}")
    for kind, layer in (("mask", mask), ("confidence", confidence)):
        if layer is not None and (layer.dtype != np.uint8 or layer.shape != image.shape[:2]):
            raise ValueError(f"the {kind} of {image.shape} is uint8 {image.shape[:2]}, not {layer.dtype} {layer.shape}")
    if mask is not None and classes is not None:
        fault = unknown_ids(mask, classes, f"The new mask {name}", ignore=ignore)
        if fault is not None:
            raise fault


CONFIDENCE = "confidence"

# The key and the folder of each file of a pair, in the order of writing: the image last, when the rest exists.
_FILES = {
    "confidence": ("confidence_file_name", CONFIDENCE),
    "mask": ("mask_file_name", MASKS),
    "image": ("file_name", IMAGES),
}


class DatasetWriter(PairWriter):
    """Writes images/, masks/, metadata.jsonl and classes.json, and with `confidence` also confidence/."""

    def __init__(self, folder: Path, classes: ClassTable | None, *, confidence: bool = False) -> None:
        self._files, self._confidence = Files(folder), confidence
        super().__init__(folder, classes)

    def write(self, prepared: Prepared) -> None:
        for name, data in prepared.files:
            atomic_write(self.folder / name, data)
        self._log.add(prepared.name, prepared.line)

    def pictures(self, keys: Keys) -> tuple[Pixels, Pixels | None]:
        image = read_image(self.folder / str(keys["file_name"]))
        return image, read_mask(self.folder / str(keys["mask_file_name"])) if "mask_file_name" in keys else None

    def _folders(self) -> tuple[str, ...]:
        return (IMAGES, *([MASKS] if self.classes is not None else []), *([CONFIDENCE] if self._confidence else []))

    def _prepared(self, name: str, row: Keys, pictures: dict[str, bytes]) -> Prepared:
        keys = {_FILES[kind][0]: f"{_FILES[kind][1]}/{name}.png" for kind in pictures}
        if row.keys() & keys.keys():
            raise ValueError("the writer names the files itself")
        keyed: Keys = {**keys, **row}
        for fault in key_faults(keyed, f"{self.folder / METADATA}, new row {name}", masks="mask" in pictures):
            raise fault
        files = tuple((keys[key], pictures[kind]) for kind, (key, _) in _FILES.items() if kind in pictures)
        return Prepared(name, files, keyed, row_line(keyed))

    def _name_of(self, keys: Keys, where: str) -> str:
        for fault in key_faults(keys, where, masks=self.classes is not None):
            raise fault
        return PurePosixPath(str(keys["file_name"])).stem

    def _present(self, keys: Keys) -> bool:
        return all(self._files.present(str(keys[key])) for key in ("file_name", "mask_file_name") if key in keys)
