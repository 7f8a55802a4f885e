"""Tar files as WebDataset keeps its samples in them: neighbouring files KEY.SUFFIX belong together (POSIX ustar)."""

import os
import tarfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import TEMPORARY, os_errors

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
