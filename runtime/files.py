"""Files that are whole or absent, and operating system errors in plain English.

Also a folder that appears whole or not at all, the names of a run's pairs, UTF-8 text, and the cores of this machine.
"""

import errno
import hashlib
import os
import secrets
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from wetgen.runtime.errors import WetgenError

_BOM = b"\xef\xbb\xbf"  # some editors put it in front of UTF-8
TEMPORARY = ".wetgen-tmp"  # ends the names of unfinished files, which begin with a dot

_MEANINGS = {
    errno.ENOSPC: ("the disk is full", "free some space, or choose a folder on another disk."),
    errno.EDQUOT: ("the disk quota is used up", "free some space, or choose a folder on another disk."),
    errno.EFBIG: ("the file system or a limit allows no file of this size", "choose a folder on another disk."),
    errno.EACCES: ("permission is denied", "change the permissions, or choose another folder."),
    errno.EPERM: ("the operation is not permitted", "change the permissions, or choose another folder."),
    errno.EROFS: ("the file system is read-only", "choose a folder on a writable disk."),
    errno.ENAMETOOLONG: ("the name is too long for this file system", "use a shorter name."),
    errno.ENOENT: ("it, or the folder it belongs in, does not exist", "check the path."),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "check the path."),
    errno.EEXIST: ("a file of that name is in the way", "choose another folder, or move that file."),
    errno.EISDIR: ("it is a folder, not a file", "check the path."),
    errno.EMFILE: ("too many files are open", "raise the limit (ulimit -n)."),
}


@contextmanager
def os_errors(path: Path, done: str) -> Iterator[None]:
    """Turns an OSError inside the block into the WetgenError "PATH could not be DONE." (read, written, created)."""
    try:
        yield
    except OSError as error:
        raise os_error(path, done, error) from error


def os_error(path: Path, done: str, error: OSError) -> WetgenError:
    """The WetgenError "PATH could not be DONE." for an OSError."""
    why, fix = _MEANINGS.get(error.errno or 0, ("the operating system refused", "check the disk and the path."))
    return WetgenError(f"{path} could not be {done}.", why=f"{why} ({error.strerror or error}).", fix=fix)


def atomic_write(path: Path, data: bytes | memoryview) -> None:
    """Writes a file that appears under its name whole or not at all; its folder must exist.

    This is safe against a killed process, not against a power cut (nothing is synced). After a failure there is no
    temporary file, and the old file at `path` is unchanged. Operating system errors become WetgenError.
    """
    folder, name = os.path.split(path)  # pathlib would take as long as writing: runs write thousands of files a second
    temporary = os.path.join(folder, f".{name}.{os.getpid()}-{threading.get_ident()}{TEMPORARY}")
    with os_errors(path, "written"):
        try:
            with open(temporary, "wb", buffering=0) as file:
                write_all(file, data)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise


def write_all(file: FileIO, data: bytes | memoryview) -> None:
    """Writes everything to an unbuffered file; the system may write a part only."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def read_bytes(path: Path) -> bytes:
    """The whole file; operating system errors become WetgenError."""
    with os_errors(path, "read"):
        return path.read_bytes()


def sweep(folder: Path) -> None:
    """Removes temporary files that a killed process left in `folder`; nothing else may be writing there."""
    with os_errors(folder, "cleaned of unfinished files"):
        for leftover in folder.glob(f".*{TEMPORARY}"):
            leftover.unlink(missing_ok=True)


class NewFolder:
    """An unfinished folder. Files are written by their name relative to it, with "/" between folders."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._created: set[Path] = set()

    def path(self, name: str) -> Path:
        """The path for the file `name`; the folders above it are created."""
        path = self._root / name
        parents = [parent for parent in path.relative_to(self._root).parents if parent not in self._created]
        for parent in sorted(parents, key=lambda folder: len(folder.parts)):
            if parent.parts:
                (self._root / parent).mkdir(
                    exist_ok=True
                )  # without parents=True: a folder that was removed stays removed
            self._created.add(parent)
        return path

    def write(self, name: str, data: bytes) -> None:
        """Writes the file `name`."""
        self.path(name).write_bytes(data)


@contextmanager
def new_folder(out: Path) -> Iterator[NewFolder]:
    """Gives a folder to fill, which becomes `out` if the block ends without an error, and is removed otherwise.

    The next call for `out` removes what a killed process left; so there may be one writer at a time. Raises WetgenError
    if `out` is a file or not empty, and for operating system errors inside the block.
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
                raise WetgenError(f"{out} leads nowhere.", why="it is a broken link.", fix="choose another --out.")
            return
        first = next(out.iterdir(), None)
    if first is not None:
        raise WetgenError(
            f"{out} is not empty.",
            why=f"it contains {first.name}, and wetgen never writes over or between other files.",
            fix="choose an empty or new folder with --out.",
        )


def _escaped(name: str) -> str:
    """A name as glob takes it literally."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def pair_name(index: int) -> str:
    """The name of the files of a pair, without suffix."""
    return f"{index:06d}"


def is_index(name: str) -> bool:
    """Whether a name is one that `pair_name` gives."""
    return name.isascii() and name.isdecimal() and name == name.lstrip("0").zfill(6)


def decode(data: bytes, name: str) -> str:
    """The text of UTF-8 bytes, with or without a byte order mark; raises WetgenError with byte and line for others."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _not_utf8(name, 0, 1, "its first two bytes say UTF-16, which PowerShell writes by default")
    start = len(_BOM) if data.startswith(_BOM) else 0
    try:
        text = data[start:].decode("utf-8")
    except UnicodeDecodeError as error:
        offset = start + error.start
        line = data.count(b"\n", 0, offset) + 1
        raise _not_utf8(name, offset, line, f"byte 0x{data[offset]:02x} cannot stand there ({error.reason})") from error
    if "\0" in text:
        offset = data.index(b"\0")
        line = data.count(b"\n", 0, offset) + 1
        raise WetgenError(
            f"{name} holds a NUL character (byte {offset}, line {line}).",
            why="it is UTF-16 without a byte order mark, or no text file at all.",
            fix="save it as UTF-8 text.",
        )
    return text


def _not_utf8(name: str, offset: int, line: int, why: str) -> WetgenError:
    return WetgenError(
        f"{name} is not UTF-8 (byte {offset}, line {line}).", why=f"{why}.", fix="save it as UTF-8 text."
    )


_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # "max 100000", or microseconds of CPU time per period in a container


def usable_cores() -> int:
    """The cores that this process may use, at least 1: its affinity, and its container's share of CPU time."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(allowed or 1, _container_share()))


def _container_share() -> int:
    """The CPU time that the container grants, in cores, rounded up; a huge number if there is no limit."""
    try:
        quota, period = _QUOTA.read_text().split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError):
        return 2**31


def lines_sha256(lines: Sequence[str]) -> str:
    """One hash for a list of prompts or other lines in their order."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
