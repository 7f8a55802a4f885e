"""Files of a bundle, which is a folder or one zip file.

A packed bundle is a zip whose entries are stored without compression, so that an engine can map them where they are: a
device with a small disk needs no second, unpacked copy. Its files have the paths they would have if the zip were a
folder (`site.zip/denoise.onnx`), as Python's zipimport names modules.
"""

import hashlib
import mmap
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import os_errors

_Span = tuple[int, int]  # start and stop of an entry's bytes


def archive_of(path: Path) -> Path | None:
    """The packed bundle that a path is in, or is itself; None for a path in an ordinary folder."""
    for parent in (path, *path.parents):
        if parent.is_dir():
            return None
        if parent.is_file():
            return parent if parent != path or zipfile.is_zipfile(parent) else None
    return None


def exists(path: Path) -> bool:
    """Whether there is a file of that path."""
    archive = archive_of(path)
    return path.is_file() if archive is None else _name(archive, path) in _entries(archive)


def size_of(path: Path) -> int:
    """The size of a file in bytes. Raises WetgenError if it is missing."""
    archive = archive_of(path)
    if archive is not None:
        start, stop = _span(archive, path)
        return stop - start
    with os_errors(path, "read"):
        return path.stat().st_size


def names_in(folder: Path) -> list[str]:
    """The relative names of all files below a folder, or in a packed bundle or a folder of it, sorted."""
    archive = archive_of(folder)
    if archive is None:
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    prefix = "" if folder == archive else f"{_name(archive, folder)}/"
    return sorted(name.removeprefix(prefix) for name in _entries(archive) if name.startswith(prefix))


def read_stored(path: Path) -> bytes:
    """The whole file. Raises WetgenError if it cannot be read."""
    with mapped(path) as data:
        return bytes(data)


@contextmanager
def mapped(path: Path) -> Iterator[memoryview]:
    """The bytes of a file, mapped into memory while the block runs, without a copy.

    Raises WetgenError if it cannot be read.
    """
    archive = archive_of(path)
    with os_errors(path, "read"):
        file = (path if archive is None else archive).open("rb")
    with file:
        start, stop = (0, size_of(path)) if archive is None else _span(archive, path)
        if start == stop:
            yield memoryview(b"")
            return
        whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        view = memoryview(whole)[start:stop]
        try:
            yield view
        finally:
            with suppress(BufferError):  # an error may still use the view; the error itself matters more
                view.release()
                whole.close()


def _name(archive: Path, path: Path) -> str:
    return path.relative_to(archive).as_posix()


def _span(archive: Path, path: Path) -> _Span:
    span = _entries(archive).get(_name(archive, path))
    if span is None:
        raise WetgenError(
            f"{path} could not be read.", why=f"{archive} contains no such file.", fix="copy the bundle again."
        )
    return span


def _entries(archive: Path) -> Mapping[str, _Span]:
    with os_errors(archive, "read"):
        state = archive.stat()
    return _listed(archive, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _listed(archive: Path, changed: int, size: int) -> Mapping[str, _Span]:
    """Where the bytes of each entry are. `changed` and `size` make a changed archive be listed again."""
    try:
        found: dict[str, _Span] = {}
        with archive.open("rb") as file, zipfile.ZipFile(file) as zipped:
            for info in zipped.infolist():
                if info.is_dir():
                    continue
                if info.filename in found:
                    raise zipfile.BadZipFile(f"{info.filename} is in it twice")
                if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
                    raise zipfile.BadZipFile(f"{info.filename} is compressed or encrypted in it")
                with zipped.open(info):  # reads the entry's header, whose length only the header itself states
                    start = file.tell()
                if start + info.file_size > size:
                    raise zipfile.BadZipFile(f"{info.filename} ends behind its end")
                found[info.filename] = start, start + info.file_size
            return found
    except (zipfile.BadZipFile, OSError, NotImplementedError, UnicodeError) as error:
        raise WetgenError(
            f"{archive} is not a packed bundle.",
            why=f"{error}.",
            fix="copy it again from its source, or pack the bundle again with `wetgen pack`.",
        ) from error


def file_sha256(path: Path) -> str:
    """The hex sha256 of a file."""
    with mapped(path) as data:
        return hashlib.sha256(data).hexdigest()
