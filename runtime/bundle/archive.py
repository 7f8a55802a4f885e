"""Files of a bundle, which is a folder or one zip file, and bundle.json, by which every byte of them is verified.

A packed bundle is a zip whose entries are stored without compression, so that an engine can map them where they are: a
device with a small disk needs no second, unpacked copy. Its files have the paths they would have if the zip were a
folder (`site.zip/denoise.onnx`), as Python's zipimport names modules.
"""

import hashlib
import json
import mmap
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from wetgen.runtime.bundle.graphs import JUDGE
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import os_error, os_errors

JSON_NAME = "bundle.json"
TOKENIZER_NAME = "tokenizer.json"
ENGINES = "engines"  # the subfolder for what is built on a device
READ_FORMATS = (2, 3)

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
    try:
        return path.stat().st_size
    except OSError as error:
        raise os_error(path, "read", error) from error


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
    try:
        file = (path if archive is None else archive).open("rb")
    except OSError as error:
        raise os_error(path, "read", error) from error
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


def read_verified(folder: Path) -> tuple[dict[str, Any], str]:
    """bundle.json and its sha256, once every file of the bundle is found to be the one that was exported.

    The folder must hold the files that bundle.json lists, of that size and sha256, and no other. Raises WetgenError
    where it does not; AttributeError, KeyError, TypeError or ValueError where bundle.json describes no bundle.
    """
    info, sha256 = _read_json(folder)
    listed = {name: (int(file["bytes"]), str(file["sha256"])) for name, file in info["files"].items()}
    named = named_files(info)
    for name in (*named, *listed):
        _check_inside(folder, name)
    _refuse_extra(folder, {JSON_NAME, *listed})
    for name in named:
        if name not in listed:
            raise WetgenError(
                f"{folder / JSON_NAME} states no hash for {name}.",
                why="a file without a hash cannot be verified.",
                fix="export the bundle again with wetgen-export.",
            )
    for name, (size, digest) in listed.items():
        _check_file(folder / name, size, digest)
    return info, sha256


def _read_json(folder: Path) -> tuple[dict[str, Any], str]:
    path = folder / JSON_NAME
    if not exists(path):
        raise WetgenError(
            f"{folder} is not a bundle.",
            why=f"it has no {JSON_NAME}.",
            fix="give the folder that wetgen-export wrote, or the file of `wetgen pack`, or leave out --bundle for the "
            "one that ships.",
        )
    data = read_stored(path)
    try:
        info = json.loads(data)
    except ValueError as error:
        raise WetgenError(f"{path} cannot be read.", why=f"{error}.", fix="copy or export the bundle again.") from error
    found = info.get("format") if isinstance(info, dict) else None
    if found not in READ_FORMATS:
        raise WetgenError(
            f"{folder} is a bundle of format {found}.",
            why=f"this wetgen reads the formats {' and '.join(map(str, READ_FORMATS))}.",
            fix="export it again with the installed wetgen-export, or install the wetgen that made it.",
        )
    return dict(info), hashlib.sha256(data).hexdigest()


def named_files(info: Mapping[str, Any]) -> list[str]:
    """Every file that a part of bundle.json names, once each: tokenizer, graphs and weights, judge, fingerprints."""
    graphs = [graph for target in info["targets"].values() for graph in target["graphs"].values()]
    graphs += [info["judge"]] if JUDGE in info["graphs"] else []
    names = [TOKENIZER_NAME, *(name for graph in graphs for name in (graph["file"], *graph.get("weights", ())))]
    return list(dict.fromkeys([*names, *([info["fingerprints"]["file"]] if "fingerprints" in info else [])]))


def _check_inside(folder: Path, name: str) -> None:
    """Raise unless the name is a plain relative path that stays inside the folder, even through links."""
    path = PurePosixPath(name)
    plain = name and "\\" not in name and not path.is_absolute() and ".." not in path.parts
    if not plain or not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise WetgenError(
            f"{folder / JSON_NAME} names '{name}'.",
            why="a bundle may only name files inside its own folder.",
            fix="do not use this bundle; export or copy it again from a source you trust.",
        )


def _refuse_extra(folder: Path, known: set[str]) -> None:
    """Raise for a file without a hash: a graph may load weights from any file beside it.

    Hidden files, such as those of file browsers, and engines/, which is filled on devices, are allowed.
    """
    for name in names_in(folder):
        parts = PurePosixPath(name).parts
        hidden = any(part.startswith(".") and part != ".." for part in parts)
        if not hidden and parts[0] != ENGINES and name not in known:
            raise WetgenError(
                f"{folder / name} is not part of the bundle.",
                why=f"{JSON_NAME} states no hash for it, so it cannot be verified.",
                fix="move it elsewhere, or copy the bundle again from its source.",
            )


def _check_file(path: Path, size: int, sha256: str) -> None:
    again = "copy the bundle again from its source, or export it again."
    if not exists(path):
        raise WetgenError(f"{path} is missing.", why=f"{JSON_NAME} lists it.", fix=again)
    with mapped(path) as data:
        if len(data) != size:
            raise WetgenError(f"{path} has {len(data)} bytes.", why=f"it was exported with {size}.", fix=again)
        if hashlib.sha256(data).hexdigest() != sha256:
            why = f"its sha256 is not the one in {JSON_NAME}."
            raise WetgenError(f"{path} was changed after export.", why=why, fix=again)
