"""WebDataset: tar shards PART-000000.tar of NAME.jpg|png, NAME.mask.png and NAME.json, and classes.json beside them.

A shard's bytes depend only on its samples: no times, no owners. Masks are the dataset folder's PNGs, IGNORE is 255.
"""

import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from wetgen.runtime.dataset.formats.base import Exporter, Importer, Options, Sample, bad_labels, part_named
from wetgen.runtime.dataset.metadata import SHARDS
from wetgen.runtime.dataset.shards import PART
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import NewFolder, os_errors
from wetgen.runtime.masks.classes import FILE_NAME, ClassTable
from wetgen.runtime.masks.images import decode_image, decode_mask

_BLOCK = tarfile.BLOCKSIZE  # bytes of a header; files are padded to multiples of it
_IMAGES = ("jpg", "jpeg", "png")
_MASK, _ROW = "mask.png", "json"


class WebDatasetExporter(Exporter):
    """Writes shards. Each part has one open shard, which is closed before a sample would make it too large."""

    def __init__(self, folder: NewFolder, classes: ClassTable, options: Options) -> None:
        super().__init__(folder, classes, options)
        self._shards: dict[str, tarfile.TarFile] = {}
        self._counts: Counter[str] = Counter()

    def add(self, sample: Sample) -> None:
        row = json.dumps(sample.metadata, ensure_ascii=False).encode()
        files = [(sample.suffix, sample.image), (f".{_MASK}", sample.mask_file), (f".{_ROW}", row)]
        size = sum(_BLOCK + -(-len(data) // _BLOCK) * _BLOCK for _, data in files)
        shard = self._shard(sample.part, size)
        for suffix, data in files:
            entry = tarfile.TarInfo(f"{sample.name}{suffix}")  # time 0, no owner
            entry.size = len(data)
            shard.addfile(entry, BytesIO(data))

    def close(self) -> None:
        self.write_classes()

    def _shard(self, part: str, size: int) -> tarfile.TarFile:
        """The part's open shard, or its next one if `size` more bytes do not fit."""
        shard = self._shards.get(part)
        if shard is None or (shard.offset and shard.offset + size > self.options.shard_bytes):
            if shard is not None:
                shard.close()
            path = self.folder.path(f"{part}-{self._counts[part]:06d}.tar")
            self._counts[part] += 1
            shard = self.open_files.enter_context(tarfile.open(path, "w", format=tarfile.PAX_FORMAT))  # noqa: SIM115
            self._shards[part] = shard
        return shard


class WebDatasetImporter(Importer):
    """Reads the *.tar of a folder in the order of their names; a mask is NAME.mask.png or NAME.seg.png.

    The folder may be that of a run, which has them in shards/.
    """

    def __init__(self, source: Path, ignore: bool, classes: ClassTable | None) -> None:
        folder = source / SHARDS if (source / SHARDS).is_dir() else source
        self._shards = sorted(folder.glob("*.tar"))
        unfinished = sorted(folder.glob(f"*.tar{PART}"))
        if unfinished:
            raise WetgenError(
                f"{source} contains unfinished shards.",
                why=f"{unfinished[0].name} still waits for pairs.",
                fix="finish the run with --resume.",
            )
        if not self._shards:
            raise WetgenError(
                f"{source} contains no shards.", why="there is no *.tar.", fix="give the folder of the shards."
            )
        super().__init__(source, ClassTable.load(source / FILE_NAME) if classes is None else classes, ignore=ignore)

    def samples(self) -> Iterator[Sample]:
        parts = [part_named(path.name.rpartition("-")[0] or path.stem) for path in self._shards]
        several = len(set(parts)) > 1
        for path, part in zip(self._shards, parts, strict=True):
            for key, files in _grouped(path):
                where = f"{path}, {key}"
                image = next((name for name in _IMAGES if name in files), None)
                mask = next((name for name in (_MASK, "seg.png") if name in files), None)
                if image is None or mask is None:
                    raise bad_labels(where, f"it has {', '.join(sorted(files))}; an image and {_MASK} are needed")
                row = _read_row(files.get(_ROW, b"{}"), f"{where}.{_ROW}")
                pixels = decode_mask(files[mask], f"{where}.{mask}")
                picture = files[image], decode_image(files[image], where)
                yield self.sample(f"{key}.{image}", part if several else None, picture, pixels, row, where)


def _read_row(data: bytes, where: str) -> dict[str, object]:
    try:
        row = json.loads(data)
    except ValueError as error:
        raise bad_labels(where, error) from error
    if not isinstance(row, dict):
        raise bad_labels(where, "it is not a JSON object")
    return row


def _grouped(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Neighbouring files of a tar with the same name up to the first dot: that name, and the files by suffix."""
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
                assert content is not None  # because it is a file
                key, files[suffix.lower()] = stem, content.read()
    except (tarfile.TarError, EOFError) as error:
        raise bad_labels(str(path), f"the archive is damaged or cut off ({error})") from error
    if files:
        yield key, files
