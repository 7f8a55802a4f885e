"""Packs a bundle into one file: `wetgen pack`."""

import json
import os
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from wetgen.runtime.bundle.archive import ENGINES, JSON_NAME, mapped, named_files, names_in, read_stored
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import TEMPORARY, os_errors

SUFFIX = ".wetgen.zip"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest date in a zip, always the same: equal bundles give equal bytes
_READABLE = 0o644 << 16
_ZIP64 = 2**31 - 1  # bytes; larger entries need the longer header
_BLOCK = 2**24


def pack(bundle: Bundle, out: Path, *, targets: Collection[str] = (), engines: bool = True) -> Path:
    """Write a bundle as a zip of uncompressed entries and open it to verify it. Replaces a file of that name.

    Keeps only these `targets` (empty: all), and with `engines` the engine files built for them. Raises WetgenError for
    a target that the bundle lacks, and if the file cannot be written; then nothing of it is left.
    """
    info = _with_targets(bundle, targets)
    names = [*sorted(info["files"]), *(_engines_of(bundle, info["targets"]) if engines else ())]
    part = out.with_name(f".{out.name}.{os.getpid()}{TEMPORARY}")
    try:
        with os_errors(out, "written"), zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as packed:
            packed.writestr(_entry(JSON_NAME), _json_bytes(bundle, info))
            for name in names:
                _copy(bundle.folder / name, packed, name)
        Bundle.open(part)
        with os_errors(out, "written"):
            os.replace(part, out)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    return out


def _with_targets(bundle: Bundle, wanted: Collection[str]) -> dict[str, Any]:
    """bundle.json with only these targets and their files."""
    lacking = sorted(set(wanted) - set(bundle.targets))
    if lacking:
        raise WetgenError(
            f"The bundle has no target {', '.join(lacking)}.",
            why=f"{bundle.folder} holds {', '.join(bundle.targets)}.",
            fix="choose one of those, or export the bundle again with this target added.",
        )
    info = dict(bundle.info)
    if not wanted or set(wanted) == set(bundle.targets):
        return info
    info["targets"] = {name: entry for name, entry in info["targets"].items() if name in set(wanted)}
    dropped = set(named_files(bundle.info)) - set(named_files(info))
    info["files"] = {name: file for name, file in info["files"].items() if name not in dropped}
    info["packed_from"] = bundle.hash
    return info


def _json_bytes(bundle: Bundle, info: Mapping[str, Any]) -> bytes:
    """The bytes of bundle.json, unchanged if nothing was dropped, so that the bundle keeps its hash."""
    if info == bundle.info:
        return read_stored(bundle.folder / JSON_NAME)
    return (json.dumps(info, indent=1) + "\n").encode()


def _engines_of(bundle: Bundle, targets: Collection[str]) -> Iterator[str]:
    """The engine files of these targets and their keys: GRAPH.TARGET.bN.engine and the same with .json."""
    for name in names_in(bundle.folder / ENGINES):
        parts = name.split(".")
        if ".engine" in name and not name.startswith(".") and len(parts) > 2 and parts[1] in targets:
            yield f"{ENGINES}/{name}"


def _copy(path: Path, packed: zipfile.ZipFile, name: str) -> None:
    with mapped(path) as data:
        entry = _entry(name)
        entry.file_size = len(data)
        with packed.open(entry, "w", force_zip64=len(data) > _ZIP64) as file:
            for start in range(0, len(data), _BLOCK):
                file.write(data[start : start + _BLOCK])


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _LONG_AGO)
    entry.compress_type, entry.external_attr = zipfile.ZIP_STORED, _READABLE
    return entry
