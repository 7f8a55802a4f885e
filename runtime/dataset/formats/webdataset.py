"""WebDataset: tar shards PART-000000.tar of NAME.jpg|png, NAME.mask.png and NAME.json, and classes.json beside them.

A shard's bytes depend on its samples alone: no times, no owners. Masks are the dataset folder's PNGs, IGNORE 255.
"""

import json
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from wetgen.runtime.dataset.formats.base import (
    Example,
    Incoming,
    Names,
    Options,
    Picture,
    Receiver,
    Writer,
    bad_labels,
    part_named,
)
from wetgen.runtime.dataset.metadata import SHARDS
from wetgen.runtime.dataset.shards import PART
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import NewFolder, os_errors
from wetgen.runtime.masks.classes import FILE_NAME, ClassTable
from wetgen.runtime.masks.images import decode_mask

_BLOCK = 512  # tar writes a header of this size and fills files up to multiples of it
_IMAGES = ("jpg", "jpeg", "png")
_MASK, _ROW = "mask.png", "json"


class WebDatasetWriter(Writer):
    """Writes shards; each part has an open one, closed before it would pass the limit (a sample is never cut)."""

    def __init__(self, folder: NewFolder, classes: ClassTable, options: Options) -> None:
        super().__init__(folder, classes, options)
        self._shards: dict[str, tarfile.TarFile] = {}
        self._counts: dict[str, int] = {}

    def add(self, example: Example) -> None:
        row = json.dumps(example.row, ensure_ascii=False).encode()
        files = [(example.suffix, example.image), (f".{_MASK}", example.mask_file), (f".{_ROW}", row)]
        size = sum(_BLOCK + -(-len(data) // _BLOCK) * _BLOCK for _, data in files)
        shard = self._shard(example.part, size)
        for suffix, data in files:
            entry = tarfile.TarInfo(f"{example.name}{suffix}")  # time 0, no owner
            entry.size = len(data)
            shard.addfile(entry, BytesIO(data))

    def close(self) -> None:
        table = json.dumps(self.classes.to_json(), indent=1, ensure_ascii=False) + "\n"
        self.folder.write(FILE_NAME, table.encode())

    def release(self) -> None:
        for shard in self._shards.values():
            shard.close()

    def _shard(self, part: str, size: int) -> tarfile.TarFile:
        """The part's open shard, or its next one when `size` more bytes don't fit."""
        shard = self._shards.get(part)
        if shard is not None and shard.offset and shard.offset + size > self.options.shard_bytes:
            shard.close()
            shard = None
        if shard is None:
            number = self._counts.get(part, 0)
            path = self.folder.path(f"{part}-{number:06d}.tar")
            self._counts[part] = number + 1
            shard = self._shards[part] = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        return shard


def read_webdataset(source: Path, ignore: bool, classes: ClassTable | None) -> Incoming:
    """Read the *.tar of a folder in the order of their names; a mask is NAME.mask.png or NAME.seg.png.

    The folder may be that of a run, which has them in shards/.
    """
    folder = source / SHARDS if (source / SHARDS).is_dir() else source
    shards = sorted(folder.glob("*.tar"))
    unfinished = sorted(folder.glob(f"*.tar{PART}"))
    if unfinished:
        raise WetgenError(
            f"{source} holds shards that are not complete.",
            why=f"{unfinished[0].name} still waits for pairs.",
            fix="finish the run with --resume.",
        )
    if not shards:
        raise WetgenError(f"{source} holds no shards.", why="there is no *.tar.", fix="give the folder of the shards.")
    table = ClassTable.load(source / FILE_NAME) if classes is None else classes
    return Incoming(table, _examples(shards, Receiver(table, ignore=ignore)))


def _examples(shards: list[Path], receiver: Receiver) -> Iterator[Example]:
    names = Names()
    parts = [part_named(path.name.rpartition("-")[0] or path.stem) for path in shards]
    several = len(set(parts)) > 1
    for path, part in zip(shards, parts, strict=True):
        for key, files in _samples(path):
            where = f"{path}, {key}"
            image = next((name for name in _IMAGES if name in files), None)
            mask = next((name for name in (_MASK, "seg.png") if name in files), None)
            if image is None or mask is None:
                raise bad_labels(where, f"it has {', '.join(sorted(files))}; an image and {_MASK} are needed")
            try:
                row = json.loads(files.get(_ROW, b"{}"))
            except ValueError as error:
                raise bad_labels(f"{where}.{_ROW}", error) from error
            if not isinstance(row, dict):
                raise bad_labels(f"{where}.{_ROW}", "it is no JSON object")
            pixels = decode_mask(files[mask], f"{where}.{mask}")
            picture = Picture.decode(files[image], where)
            split = part if several else None
            yield receiver.example(names.give(f"{key}.{image}"), split, picture, pixels, row, where)


def _samples(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Neighbouring files that are called alike up to the first dot, by what follows it."""
    key, files = "", dict[str, bytes]()
    try:
        with os_errors(path, "read"), tarfile.open(path, "r:") as shard:
            for entry in shard:
                if not entry.isfile():
                    continue
                folder, _, name = entry.name.rpartition("/")
                stem, _, suffix = name.partition(".")
                stem = f"{folder}/{stem}" if folder else stem
                if stem != key and files:
                    yield key, files
                    files = {}
                content = shard.extractfile(entry)
                assert content is not None  # it is None only for what is no file
                key, files[suffix.lower()] = stem, content.read()
    except (tarfile.TarError, EOFError) as error:
        raise bad_labels(str(path), f"the archive is damaged or cut off ({error})") from error
    if files:
        yield key, files
