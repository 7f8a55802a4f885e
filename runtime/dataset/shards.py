"""Pairs in tar shards that the WebDataset package reads as they are, written while a run goes on.

shards/000000.tar      KEY.png KEY.mask.png KEY.confidence.png KEY.json of pairs 0 to N - 1, in their order
shards/000001.tar.part one that is not complete yet: pairs in the order in which they were kept
metadata.jsonl         a row a pair, with its `shard` and `key`; classes.json

A pair's shard follows from its index, and a shard's bytes from its pairs: not from batch, threads or interruptions.

Tar files as WebDataset keeps its samples in them: neighbouring files KEY.SUFFIX belong together (POSIX ustar).
"""

import json
import os
import tarfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from wetgen.runtime.dataset.journal import Keys, append
from wetgen.runtime.dataset.metadata import METADATA, SHARDS, key_faults, row_line
from wetgen.runtime.dataset.writer import PairWriter, Prepared
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import TEMPORARY, is_index, os_errors
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.masks.images import Pixels, decode_image, decode_mask

PART = ".part"  # what the names of shards end in that are not complete

SUFFIXES = {"image": "png", "mask": "mask.png", "confidence": "confidence.png"}
_OWN_KEYS = ("shard", "key")


class ShardWriter(PairWriter):
    """Writes shards of `size` pairs each; names are those that `pair_name` gives.

    A pair goes to the end of its shard's part, then its row to metadata.jsonl. A shard gets its name, and its pairs
    their order, when every pair expected of it is stored or given up. A finished shard that a pair is added to becomes
    a part again.
    """

    def __init__(self, folder: Path, classes: ClassTable | None, size: int) -> None:
        self._pairs_each = size
        self._parts: dict[int, _Part] = {}
        self._there: dict[int, bool] = {}  # whether a shard stood finished when the rows were taken up
        self._expected: Counter[int] = Counter()  # pairs that a shard still waits for
        super().__init__(folder, classes)

    def expect(self, indexes: Iterable[int]) -> None:
        self._expected = Counter(index // self._pairs_each for index in indexes)
        # One may have been complete but for its name when a process was killed.
        for path in (self.folder / SHARDS).glob(f"*.tar{PART}"):
            number = int(path.name.split(".")[0])
            if not self._expected[number]:
                self._finish(number)

    def settle(self, index: int) -> None:
        number = index // self._pairs_each
        self._expected[number] -= 1
        if not self._expected[number]:
            del self._expected[number]
            self._finish(number)

    def write(self, prepared: Prepared) -> None:
        part = self._part(int(prepared.name) // self._pairs_each)
        for _, data in prepared.files:
            part.append(prepared.name, data)
        self._log.add(prepared.name, prepared.line)

    def pictures(self, keys: Keys) -> tuple[Pixels, Pixels | None]:
        name = str(keys["key"])
        path = self._path(int(name) // self._pairs_each)
        path = path if path.exists() else _part_of(path)
        image, mask = f"{name}.{SUFFIXES['image']}", f"{name}.{SUFFIXES['mask']}"
        found = read(path, [image, *([mask] if self.classes is not None else [])])
        pixels = decode_image(found[image], f"{path}, {image}")
        return pixels, decode_mask(found[mask], f"{path}, {mask}") if mask in found else None

    def _folders(self) -> tuple[str, ...]:
        return (SHARDS,)

    def _prepared(self, name: str, row: Keys, pictures: dict[str, bytes]) -> Prepared:
        if not is_index(name):
            raise ValueError(f"{name!r} is no index of a pair")
        if row.keys() & set(_OWN_KEYS):
            raise ValueError("the writer names shard and key itself")
        keys: Keys = {"shard": self._shard_name(int(name)), "key": name, **row}
        self._name_of(keys, f"{self.folder / METADATA}, new row {name}")
        files = [(f"{name}.{suffix}", pictures[kind]) for kind, suffix in SUFFIXES.items() if kind in pictures]
        files.append((f"{name}.json", json.dumps(row, ensure_ascii=False, allow_nan=False).encode()))
        sample = b"".join(part for file, data in files for part in entry(file, data))
        return Prepared(name, ((str(keys["shard"]), sample),), keys, row_line(keys))

    def _name_of(self, keys: Keys, where: str) -> str:
        shard, key = (keys.get(name) for name in _OWN_KEYS)
        if not (isinstance(key, str) and is_index(key) and shard == self._shard_name(int(key))):
            raise WetgenError(
                f"{where}: this is no row of shards of {self._pairs_each} pairs.",
                why=f"it names {key!r} in {shard!r}.",
                fix="write into an empty folder, or resume with the --shards that the run was started with.",
            )
        for fault in key_faults({"file_name": f"{key}.png", **keys}, where, masks=False):
            raise fault
        return key

    def _present(self, keys: Keys) -> bool:
        number = int(str(keys["key"])) // self._pairs_each
        if number not in self._there:
            path = self._path(number)
            self._there[number] = path.is_file() and path.stat().st_size > 0
        return self._there[number] or keys["key"] in self._part(number).places

    def _part(self, number: int) -> "_Part":
        """The open part of a shard, which is taken up, or begins, when it is first asked for."""
        if number not in self._parts:
            path = self._path(number)
            with os_errors(path, "continued"):
                if path.exists():
                    os.replace(path, _part_of(path))  # over a part that was copied into it, if a kill left one
            self._parts[number] = _Part(_part_of(path))
        return self._parts[number]

    def _finish(self, number: int) -> None:
        part, path = self._part(number), self._path(number)
        part.finish(path, self.names)
        del self._parts[number]

    def _shard_name(self, index: int) -> str:
        return f"{SHARDS}/{index // self._pairs_each:06d}.tar"

    def _path(self, number: int) -> Path:
        return self.folder / self._shard_name(number * self._pairs_each)


class _Part:
    """A shard that is not complete: where each of its pairs lies. What a kill cut off at its end is cut away."""

    def __init__(self, path: Path) -> None:
        self.path, self.places, self._size = path, dict[str, tuple[int, int]](), 0
        if path.exists():
            for name, start, end in samples(path):
                self.places[name] = start, end
                self._size = end
            with os_errors(path, "written"):
                os.truncate(path, self._size)

    def append(self, name: str, sample: bytes) -> None:
        """Add a pair; where it has a place already, that one no longer counts."""
        start, self._size = self._size, append(self.path, sample, self._size)
        self.places[name] = start, self._size

    def finish(self, path: Path, names: set[str]) -> None:
        """Become the shard `path`, of the pairs that have a row, in the order of their names; no shard without any."""
        places = [self.places[name] for name in sorted(self.places, key=int) if name in names]
        gapless = all(end == start for (_, end), (start, _) in zip([(0, 0), *places], places, strict=False))
        if not places:
            with os_errors(self.path, "removed"):
                self.path.unlink(missing_ok=True)
        elif gapless and places[-1][1] == self._size:
            append(self.path, end(self._size), self._size)
            settle(self.path, path)
        else:
            copy(self.path, places, path)
            with os_errors(self.path, "removed"):
                self.path.unlink()


def _part_of(path: Path) -> Path:
    return path.with_name(f"{path.name}{PART}")


_BLOCK = tarfile.BLOCKSIZE

# An empty file without a name, to be filled in. Its checksum counts the 8 bytes of its own field as blanks; of them
# the last two stay (a NUL and a blank).
_HEADER = bytearray(tarfile.TarInfo("").tobuf(tarfile.USTAR_FORMAT))
_HEADER[148:154] = bytes(6)
_CHECKSUM_BLANK = 8 * ord(" ") - sum(_HEADER[148:156])


def entry(name: str, data: bytes) -> tuple[bytes, bytes, bytes]:
    """A file as it stands in a tar: header, content, filling. Without time and owner, so that equal files are equal.

    The header is that of Python's tarfile, which takes several times as long to make it.
    """
    header, title = bytearray(_HEADER), name.encode("ascii")
    assert len(title) <= 100 and len(data) < 8**11
    header[: len(title)] = title
    header[124:135] = b"%011o" % len(data)
    header[148:154] = b"%06o" % (sum(header) + _CHECKSUM_BLANK)
    return bytes(header), data, bytes(-len(data) % _BLOCK)


def end(size: int) -> bytes:
    """What follows the entries of a tar of `size` bytes: two empty blocks, and empty ones up to a whole record."""
    return bytes(2 * _BLOCK + -(size + 2 * _BLOCK) % tarfile.RECORDSIZE)


def samples(path: Path) -> Iterator[tuple[str, int, int]]:
    """Key, start and end of the whole samples of a tar; where a kill cut it off, or damage begins, they end.

    A sample is whole when its last file is: KEY.json, which comes last.
    """
    with os_errors(path, "read"), path.open("rb") as file:
        size, start, place = os.fstat(file.fileno()).st_size, 0, 0
        while place + _BLOCK <= size:
            file.seek(place)
            try:
                info = tarfile.TarInfo.frombuf(file.read(_BLOCK), "utf-8", "strict")
            except tarfile.HeaderError:
                return
            place += _BLOCK + info.size + -info.size % _BLOCK
            key, _, suffix = info.name.partition(".")
            if suffix == "json" and place <= size:
                yield key, start, place
                start = place


def read(path: Path, names: Collection[str]) -> dict[str, bytes]:
    """The files of these names; raises WetgenError when one is not there."""
    found = dict[str, bytes]()
    try:
        with os_errors(path, "read"), tarfile.open(path, "r:") as archive:
            for info in archive:
                content = archive.extractfile(info) if info.name in names else None
                if content is not None:
                    found[info.name] = content.read()
                    if len(found) == len(names):
                        return found
    except tarfile.TarError as error:
        raise _damaged(path, f"{error}") from error
    raise _damaged(path, f"{', '.join(sorted(set(names) - found.keys()))} is not in it")


def copy(source: Path, places: Sequence[tuple[int, int]], path: Path) -> None:
    """Write the tar `path`, whole or not at all, of the bytes start to end of `source`, one after the other."""
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    with os_errors(path, "written"):
        try:
            with source.open("rb") as old, temporary.open("wb") as new:
                for start, stop in places:
                    old.seek(start)
                    new.write(old.read(stop - start))
                new.write(end(new.tell()))
            settle(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def settle(unfinished: Path, path: Path) -> None:
    """Give a file that is complete its name, once it is on the disk for good."""
    with os_errors(path, "written"):
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)


def _damaged(path: Path, why: str) -> WetgenError:
    return WetgenError(f"{path} is damaged.", why=f"{why}.", fix="remove it; --resume makes its pairs again.")
