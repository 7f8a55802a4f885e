"""Files of a bundle, whether it is a folder or one file.

A packed bundle is a zip whose entries are stored without compression, so each can be read where it lies. Its files have
the paths they would have if the zip were a folder (`site.zip/denoise.onnx`), as Python's zipimport names modules.
"""

import hashlib
import mmap
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import os_errors

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of the name and of the extra field (APPNOTE 4.3.7)
_SIGNATURE = b"PK\x03\x04"


class _Entry(NamedTuple):
    offset: int
    size: int


def archive_of(path: Path) -> Path | None:
    """The packed bundle that a path lies in, or is; None for one in an ordinary folder."""
    for place in (path, *path.parents):
        if place.is_dir():
            return None
        if place.is_file():
            return place if place != path or zipfile.is_zipfile(place) else None
    return None


def exists(path: Path) -> bool:
    """Whether there is a file of that path."""
    archive = archive_of(path)
    return path.is_file() if archive is None else _name(archive, path) in _entries(archive)


def size_of(path: Path) -> int:
    """Bytes of a file; raises WetgenError when it is not there."""
    archive = archive_of(path)
    if archive is not None:
        return _entry(archive, path).size
    with os_errors(path, "read"):
        return path.stat().st_size


def names_in(folder: Path) -> list[str]:
    """The relative names of all files below a folder, or in a packed bundle or a folder of it, sorted."""
    archive = archive_of(folder)
    if archive is None:
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    start = "" if folder == archive else f"{_name(archive, folder)}/"
    return sorted(name.removeprefix(start) for name in _entries(archive) if name.startswith(start))


def read_stored(path: Path) -> bytes:
    """The whole file; raises WetgenError when it cannot be read."""
    with mapped(path) as data:
        return bytes(data)


@contextmanager
def mapped(path: Path) -> Iterator[memoryview]:
    """The bytes of a file, mapped into memory while the block runs: nothing is copied.

    Raises WetgenError when it cannot be read.
    """
    archive = archive_of(path)
    with os_errors(path, "read"):
        file = (path if archive is None else archive).open("rb")
    with file:
        entry = _Entry(0, size_of(path)) if archive is None else _entry(archive, path)
        if entry.size == 0:
            yield memoryview(b"")
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            everything = memoryview(whole)
            view = everything[entry.offset : entry.offset + entry.size]
            try:
                yield view
            finally:
                with suppress(BufferError):  # an error on its way may still hold the view; what it says comes first
                    view.release()
                    everything.release()


def _name(archive: Path, path: Path) -> str:
    return path.relative_to(archive).as_posix()


def _entry(archive: Path, path: Path) -> _Entry:
    found = _entries(archive).get(_name(archive, path))
    if found is None:
        raise WetgenError(
            f"{path} could not be read.", why=f"{archive} holds no such file.", fix="copy the bundle again."
        )
    return found


def _entries(archive: Path) -> Mapping[str, _Entry]:
    with os_errors(archive, "read"):
        state = archive.stat()
    return _listed(archive, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _listed(archive: Path, changed: int, size: int) -> Mapping[str, _Entry]:
    """Where each entry's bytes lie; an archive that changed (time or size) is listed again."""
    try:
        with zipfile.ZipFile(archive) as zipped, archive.open("rb") as file:
            infos = [info for info in zipped.infolist() if not info.is_dir()]
            names = [info.filename for info in infos]
            if len(set(names)) < len(names):
                raise zipfile.BadZipFile("a name occurs twice in it")
            found = {}
            for info in infos:
                if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
                    raise zipfile.BadZipFile(f"{info.filename} is compressed or encrypted in it")
                found[info.filename] = _Entry(_data_offset(file, info), info.file_size)
            if any(entry.offset + entry.size > size for entry in found.values()):
                raise zipfile.BadZipFile("an entry ends behind its end")
            return found
    except (zipfile.BadZipFile, OSError, NotImplementedError, UnicodeError, struct.error) as error:
        raise WetgenError(
            f"{archive} is not a packed bundle.",
            why=f"{error}.",
            fix="copy it again from its source, or pack the bundle again with `wetgen pack`.",
        ) from error


def _data_offset(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Where an entry's bytes begin: behind its local header, whose extra field may differ from the directory's."""
    file.seek(info.header_offset)
    signature, name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    if signature != _SIGNATURE:
        raise zipfile.BadZipFile(f"the header of {info.filename} is damaged")
    return info.header_offset + _LOCAL_HEADER.size + int(name) + int(extra)


def file_sha256(path: Path) -> str:
    """The hex sha256 of a file."""
    with mapped(path) as data:
        return hashlib.sha256(data).hexdigest()
