"""The files of a bundle: inside its folder (or the one file it is packed into), and exactly those that bundle.json
states, by size and hash."""

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.stored import exists, mapped, names_in, size_of

JSON_NAME = "bundle.json"
ENGINES = "engines"  # the subfolder for what is built on a device


def file_sha256(path: Path) -> str:
    """The hex sha256 of a file."""
    with mapped(path) as data:
        return hashlib.sha256(data).hexdigest()


def inside(folder: Path, name: str) -> str:
    """The name, if it is a plain relative path that stays inside the folder, links resolved."""
    path = PurePosixPath(name)
    plain = name and "\\" not in name and not path.is_absolute() and ".." not in path.parts
    if not plain or not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise WetgenError(
            f"{folder / JSON_NAME} names '{name}'.",
            why="a bundle may only name files inside its own folder.",
            fix="do not use this bundle; export or copy it again from a source you trust.",
        )
    return name


def check_files(folder: Path, listed: Mapping[str, tuple[int, str]], needed: list[str]) -> None:
    """Raise WetgenError unless the folder holds the files of `listed`, of that size and sha256, and no other.

    `needed` are the files that the rest of bundle.json names: each must be among them.
    """
    _check_extra(folder, set(listed))
    for name in needed:
        if name not in listed:
            raise WetgenError(
                f"{folder / JSON_NAME} states no hash for {name}.",
                why="a file without a hash cannot be verified.",
                fix="export the bundle again with wetgen-export.",
            )
    for name, (size, sha256) in listed.items():
        _check_file(folder / inside(folder, name), size, sha256)


def _check_extra(folder: Path, listed: set[str]) -> None:
    """A graph may load weights from a file beside it, so a file without a hash has no place here.

    Hidden files (of file browsers, say) and engines/, which devices fill later, are left alone.
    """
    for name in names_in(folder):
        parts = PurePosixPath(name).parts
        hidden = any(part.startswith(".") and part != ".." for part in parts)
        if hidden or parts[0] == ENGINES or name in {JSON_NAME, *listed}:
            continue
        raise WetgenError(
            f"{folder / name} is not part of the bundle.",
            why=f"{JSON_NAME} states no hash for it, so it cannot be verified.",
            fix="move it elsewhere, or copy the bundle again from its source.",
        )


def _check_file(path: Path, size: int, sha256: str) -> None:
    again = "copy the bundle again from its source, or export it again."
    if not exists(path):
        raise WetgenError(f"{path} is missing.", why="bundle.json lists it.", fix=again)
    found = size_of(path)
    if found != size:
        raise WetgenError(f"{path} has {found} bytes.", why=f"it was exported with {size}.", fix=again)
    if file_sha256(path) != sha256:
        raise WetgenError(
            f"{path} was changed after export.", why="its sha256 is not the one in bundle.json.", fix=again
        )
