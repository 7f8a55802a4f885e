"""What writing pairs is, whatever the files: checks, encoding, and a row that is added only after its files stand.

Writes a dataset folder, one pair at a time.
"""

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
    """A pair as it goes to disk."""

    name: str
    files: tuple[tuple[str, bytes], ...]  # by their name relative to the folder
    keys: Keys  # its row, with the names of its files
    line: bytes  # the row as metadata.jsonl has it


class PairWriter(ABC):
    """Writes a folder of pairs with metadata.jsonl; a process killed at any moment leaves a readable folder.

    A row is added only after its files stand. Opening a folder that holds rows resumes it: a last line that was cut
    off is dropped and temporary files are removed. One writer at a time. Without a class table (`classes` None) it
    writes images only: no masks and no classes.json. Of the rows only the names are held in memory.
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
        """The rows of those pairs by name, read one by one."""
        return self._log.rows()

    def existing(self) -> dict[str, Keys]:
        """All of those rows at once."""
        return dict(self.rows())

    def add(self, name: str, image: Pixels, mask: Pixels | None, row: Keys, confidence: Pixels | None = None) -> None:
        """Write image uint8 (H, W, 3), mask and confidence uint8 (H, W), and their row, which must hold a `text`.

        Of a synthetic pair the files say themselves how they were made. A mask may hold IGNORE where the row states it.
        Raises WetgenError for what the reader would refuse and for a failing disk. ValueError (a bug in the caller):
        an unusable or known name, wrong dtypes or shapes, a mask without a class table or the reverse.
        """
        self.write(self.prepare(name, image, mask, row, confidence))

    def prepare(
        self, name: str, image: Pixels, mask: Pixels | None, row: Keys, confidence: Pixels | None = None
    ) -> Prepared:
        """The checks and the encoding of `add`; touches no file, so threads may prepare pairs side by side."""
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
        """Write what `prepare` gave: the files, then the row."""

    def expect(self, indexes: Iterable[int]) -> None:  # noqa: B027 - loose files need not know
        """Say which pairs are to come, each of which is settled in the end."""

    def settle(self, index: int) -> None:  # noqa: B027
        """Note that a pair is stored, or will never be."""

    @abstractmethod
    def pictures(self, keys: Keys) -> tuple[Pixels, Pixels | None]:
        """The image and the mask of a row, read again."""

    @abstractmethod
    def _folders(self) -> tuple[str, ...]:
        """The folders inside the folder that writing needs."""

    @abstractmethod
    def _prepared(self, name: str, row: Keys, pictures: dict[str, bytes]) -> Prepared:
        """The files and the row of a pair; `pictures` holds PNGs as image, mask and confidence."""

    @abstractmethod
    def _name_of(self, keys: Keys, where: str) -> str:
        """The name of a row's pair; raises WetgenError, which says where, for what is no row of such a folder."""

    @abstractmethod
    def _present(self, keys: Keys) -> bool:
        """Whether the files of a row exist."""

    def _refuse_other_class_table(self) -> None:
        path = self.folder / class_table.FILE_NAME
        there = ClassTable.load(path) if path.exists() else self.classes
        if there != self.classes:
            ours = "none: no masks would be written" if self.classes is None else ", ".join(self.classes.names)
            raise WetgenError(
                f"{self.folder} holds pairs of another class table.",
                why=f"{path.name} there says {', '.join(there.names) if there else 'nothing'}; the new one is {ours}.",
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

# What a pair is written as, in this order: the image, which a look into the folder finds first, when all is there.
_PLACES = {
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
        keys = {_PLACES[kind][0]: f"{_PLACES[kind][1]}/{name}.png" for kind in pictures}
        if row.keys() & keys.keys():
            raise ValueError("the writer names the files itself")
        keyed: Keys = {**keys, **row}
        for fault in key_faults(keyed, f"{self.folder / METADATA}, new row {name}", masks="mask" in pictures):
            raise fault
        files = tuple((keys[key], pictures[kind]) for kind, (key, _) in _PLACES.items() if kind in pictures)
        return Prepared(name, files, keyed, row_line(keyed))

    def _name_of(self, keys: Keys, where: str) -> str:
        for fault in key_faults(keys, where, masks=self.classes is not None):
            raise fault
        return PurePosixPath(str(keys["file_name"])).stem

    def _present(self, keys: Keys) -> bool:
        return all(self._files.present(str(keys[key])) for key in ("file_name", "mask_file_name") if key in keys)
