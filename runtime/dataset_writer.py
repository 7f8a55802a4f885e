"""Writes a dataset folder, one pair at a time."""

from pathlib import Path, PurePosixPath

from wetgen.runtime.classes import ClassTable
from wetgen.runtime.dataset import Files
from wetgen.runtime.files import atomic_write
from wetgen.runtime.metadata import IMAGES, MASKS, METADATA, key_faults
from wetgen.runtime.pair_writer import PairWriter, Prepared, row_line
from wetgen.runtime.pictures import Pixels, read_image, read_mask
from wetgen.runtime.row_log import Keys

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
