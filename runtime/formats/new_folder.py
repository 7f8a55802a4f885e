"""A folder that appears under its name whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import TEMPORARY, os_errors


class NewFolder:
    """The unfinished folder; files go into it by their name relative to it, with "/" between folders."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made: set[Path] = set()

    def path(self, name: str) -> Path:
        """Where the file `name` is to be written; the folders above it are made."""
        path = self._root / name
        parents = [parent for parent in path.relative_to(self._root).parents if parent not in self._made]
        for parent in sorted(parents, key=lambda folder: len(folder.parts)):
            if parent.parts:
                (self._root / parent).mkdir(exist_ok=True)  # not parents=True: what was taken away stays away
            self._made.add(parent)
        return path

    def write(self, name: str, data: bytes) -> None:
        """Write the file `name`."""
        self.path(name).write_bytes(data)


@contextmanager
def new_folder(out: Path) -> Iterator[NewFolder]:
    """Give a folder beside `out` to fill, and put it in the place of `out` when the block ends without an error.

    Otherwise nothing is left. What a killed process left beside `out` is removed by the next: one writer at a time.
    Raises WetgenError when `out` is a file or not empty, and for operating system errors inside the block.
    """
    _refuse_occupied(out)
    parent = out.absolute().parent
    with os_errors(parent, "created"):
        parent.mkdir(parents=True, exist_ok=True)
        for leftover in parent.glob(f".{_escaped(out.name)}.*{TEMPORARY}"):
            shutil.rmtree(leftover)
    root = parent / f".{out.name}.{secrets.token_hex(4)}{TEMPORARY}"
    with os_errors(out, "written"):
        root.mkdir()
        try:
            yield NewFolder(root)
            if out.exists():
                out.rmdir()  # it is empty; not every system renames onto an empty folder
            os.rename(root, out)
        except BaseException:
            shutil.rmtree(root, ignore_errors=True)
            raise


def _refuse_occupied(out: Path) -> None:
    with os_errors(out, "read"):
        if not out.exists():
            if out.is_symlink():
                raise WetgenError(f"{out} leads nowhere.", why="it is a link to nothing.", fix="choose another --out.")
            return
        first = next(out.iterdir(), None)
    if first is not None:
        raise WetgenError(
            f"{out} is not empty.",
            why=f"it holds {first.name}, and nothing is ever written over or between other files.",
            fix="choose an empty or new folder with --out.",
        )


def _escaped(name: str) -> str:
    """A name without meaning to glob."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)
