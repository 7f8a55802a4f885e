"""Pairs in tar shards (POSIX ustar), which the WebDataset package reads as they are, written while a run goes on.

shards/000000.tar      KEY.png KEY.mask.png KEY.confidence.png KEY.json of pairs 0 to N - 1, in their order
shards/000001.tar.part one that is not complete yet: pairs in the order in which they were kept
metadata.jsonl         a row per pair, with its `shard` and `key`; classes.json

A pair's index decides its shard, and a shard's pairs decide its bytes: batch, threads and interruptions change nothing.
"""

import json
import os
import tarfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from wetgen.runtime.dataset.metadata import SHARDS, key_faults
from wetgen.runtime.dataset.writer import Keys, PairWriter, Prepared, append, has_bytes
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import TEMPORARY, is_index, os_errors
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.masks.images import Pixels, decode_image, decode_mask

PART = ".part"  # suffix of a shard that is not complete

SUFFIXES = {"image": "png", "mask": "mask.png", "confidence": "confidence.png"}
_OWN_KEYS = ("shard", "key")


class ShardWriter(PairWriter):
    """Writes shards of `size` pairs each; `pair_name` gives the names of pairs.

    A pair is appended to its shard's part, then its row to metadata.jsonl. When every pair expected of a shard is
    written or given up, its pairs are put in order and it gets its final name. A finished shard becomes a part again
    when a pair is added to it.
    """

    def __init__(self, folder: Path, classes: ClassTable | None, size: int) -> None:
        self._pairs_per_shard = size
        self._parts: dict[int, _Part] = {}
        self._finished: dict[int, bool] = {}  # whether a shard was finished when the rows were read
        self._expected: Counter[int] = Counter()  # pairs that a shard still waits for
        super().__init__(folder, classes)

    def expect(self, indexes: Iterable[int]) -> None:
        self._expected = Counter(index // self._pairs_per_shard for index in indexes)
        # A process may have been killed when all of a shard was written but its name.
        for path in (self.folder / SHARDS).glob(f"*.tar{PART}"):
            number = int(path.name.split(".")[0])
            if not self._expected[number]:
                self._finish(number)

    def write(self, pair: Prepared) -> None:
        super().write(pair)
        self.settle(int(pair.name))

    def settle(self, index: int) -> None:
        number = index // self._pairs_per_shard
        self._expected[number] -= 1
        if not self._expected[number]:
            del self._expected[number]
            self._finish(number)

    def pictures(self, row: Keys) -> tuple[Pixels, Pixels | None]:
        name = str(row["key"])
        path = self._path(int(name) // self._pairs_per_shard)
        path = path if path.exists() else _part_of(path)
        image, mask = f"{name}.{SUFFIXES['image']}", f"{name}.{SUFFIXES['mask']}"
        found = read(path, [image, *([mask] if self.classes is not None else [])])
        pixels = decode_image(found[image], f"{path}, {image}")
        return pixels, decode_mask(found[mask], f"{path}, {mask}") if mask in found else None

    def _folders(self) -> tuple[str, ...]:
        return (SHARDS,)

    def _named(self, name: str, row: Keys, kinds: list[str], where: str) -> Keys:
        if not is_index(name):
            raise ValueError(f"{name!r} is not the index of a pair")
        if row.keys() & set(_OWN_KEYS):
            raise ValueError("the writer names shard and key itself")
        keys: Keys = {"shard": self._shard_name(int(name)), "key": name, **row}
        self._name_of(keys, where)
        return keys

    def _write_pictures(self, pair: Prepared) -> None:
        about = {key: value for key, value in pair.row.items() if key not in _OWN_KEYS}
        files = [(SUFFIXES[kind], pair.pictures[kind]) for kind in SUFFIXES if kind in pair.pictures]
        files.append(("json", json.dumps(about, ensure_ascii=False, allow_nan=False).encode()))
        sample = b"".join(entry(f"{pair.name}.{suffix}", data) for suffix, data in files)
        self._part(int(pair.name) // self._pairs_per_shard).append(pair.name, sample)

    def _name_of(self, row: Keys, where: str) -> str:
        shard, key = (row.get(name) for name in _OWN_KEYS)
        if not (isinstance(key, str) and is_index(key) and shard == self._shard_name(int(key))):
            raise WetgenError(
                f"{where}: this row does not fit shards of {self._pairs_per_shard} pairs.",
                why=f"it names {key!r} in {shard!r}.",
                fix="write into an empty folder, or resume with the --shards that the run was started with.",
            )
        for fault in key_faults({"file_name": f"{key}.png", **row}, where, masks=False):
            raise fault
        return key

    def _present(self, row: Keys) -> bool:
        number = int(str(row["key"])) // self._pairs_per_shard
        if number not in self._finished:
            self._finished[number] = has_bytes(self._path(number))
        return self._finished[number] or row["key"] in self._part(number).spans

    def _part(self, number: int) -> "_Part":
        """The open part of a shard, opened when it is first needed."""
        if number not in self._parts:
            path = self._path(number)
            with os_errors(path, "continued"):
                if path.exists():
                    os.replace(path, _part_of(path))  # replaces the part it was copied from, if a kill left one
            self._parts[number] = _Part(_part_of(path))
        return self._parts[number]

    def _finish(self, number: int) -> None:
        part, path = self._part(number), self._path(number)
        part.finish(path, self.names)
        del self._parts[number]

    def _shard_name(self, index: int) -> str:
        return f"{SHARDS}/{index // self._pairs_per_shard:06d}.tar"

    def _path(self, number: int) -> Path:
        return self.folder / self._shard_name(number * self._pairs_per_shard)


class _Part:
    """A shard that is not complete, and the bytes of each of its pairs. Reopening drops a pair that was cut off."""

    def __init__(self, path: Path) -> None:
        self.path, self.spans, self._size = path, dict[str, tuple[int, int]](), 0
        if path.exists():
            for name, start, stop in samples(path):
                self.spans[name] = start, stop
                self._size = stop
            with os_errors(path, "written"):
                os.truncate(path, self._size)

    def append(self, name: str, sample: bytes) -> None:
        """Add a pair. It replaces an earlier one of that name."""
        start, self._size = self._size, append(self.path, sample, self._size)
        self.spans[name] = start, self._size

    def finish(self, path: Path, names: set[str]) -> None:
        """Become the shard `path`: the pairs in `names`, in the order of their names. Without any there is no shard."""
        spans = [self.spans[name] for name in sorted(self.spans, key=int) if name in names]
        gapless = all(stop == start for (_, stop), (start, _) in zip([(0, 0), *spans], spans, strict=False))
        if not spans:
            with os_errors(self.path, "removed"):
                self.path.unlink(missing_ok=True)
        elif gapless and spans[-1][1] == self._size:
            append(self.path, end_of_archive(self._size), self._size)
            finish_file(self.path, path)
        else:
            copy(self.path, spans, path)
            with os_errors(self.path, "removed"):
                self.path.unlink()


def _part_of(path: Path) -> Path:
    return path.with_name(f"{path.name}{PART}")


_BLOCK = tarfile.BLOCKSIZE


def entry(name: str, data: bytes) -> bytes:
    """A file as an entry of a tar: header, content, padding. It has no time and no owner, so equal files are equal."""
    header = tarfile.TarInfo(name)
    header.size = len(data)
    return header.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % _BLOCK)


def end_of_archive(size: int) -> bytes:
    """The end of a tar after `size` bytes of entries: two empty blocks, and more up to a whole record."""
    return bytes(2 * _BLOCK + -(size + 2 * _BLOCK) % tarfile.RECORDSIZE)


def samples(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yields key, start and end of every whole sample of a tar, up to where it was cut off or is damaged.

    A sample is whole when its last file is: KEY.json, which comes last.
    """
    with os_errors(path, "read"), path.open("rb") as file:
        size, start, offset = os.fstat(file.fileno()).st_size, 0, 0
        while offset + _BLOCK <= size:
            file.seek(offset)
            try:
                info = tarfile.TarInfo.frombuf(file.read(_BLOCK), "utf-8", "strict")
            except tarfile.HeaderError:
                return
            offset += _BLOCK + info.size + -info.size % _BLOCK
            key, _, suffix = info.name.partition(".")
            if suffix == "json" and offset <= size:
                yield key, start, offset
                start = offset


def read(path: Path, names: Collection[str]) -> dict[str, bytes]:
    """Reads the files of these names from a tar. Raises WetgenError when one is missing."""
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
    raise _damaged(path, f"it lacks {', '.join(sorted(set(names) - found.keys()))}")


def copy(source: Path, spans: Sequence[tuple[int, int]], path: Path) -> None:
    """Write the tar `path` from these (start, stop) bytes of `source`, whole or not at all."""
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    with os_errors(path, "written"):
        try:
            with source.open("rb") as old, temporary.open("wb") as new:
                for start, stop in spans:
                    old.seek(start)
                    new.write(old.read(stop - start))
                new.write(end_of_archive(new.tell()))
            finish_file(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def finish_file(unfinished: Path, path: Path) -> None:
    """Give a complete file its final name, once it is on the disk for good."""
    with os_errors(path, "written"):
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)


def _damaged(path: Path, why: str) -> WetgenError:
    return WetgenError(f"{path} is damaged.", why=f"{why}.", fix="remove it; --resume makes its pairs again.")
