"""Files that are whole or absent, and operating system errors in plain words."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from wetgen.runtime.errors import WetgenError

TEMPORARY = ".wetgen-tmp"  # how the names of unfinished files end; they begin with a dot

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
    """Turn an OSError inside the block into the WetgenError "PATH could not be DONE." (read, written, created)."""
    try:
        yield
    except OSError as error:
        system = f"{error.strerror}" if error.strerror else f"{error}"
        why, fix = _MEANINGS.get(error.errno or 0, ("the operating system refused", "check the disk and the path."))
        raise WetgenError(f"{path} could not be {done}.", why=f"{why} ({system}).", fix=fix) from error


def atomic_write(path: Path, data: bytes | memoryview) -> None:
    """Write a file that appears under its name whole or not at all; its folder must exist.

    Safe against a killed process, not against a power cut (nothing is synced). On failure no temporary file is left
    and what stood at `path` still stands; operating system errors become WetgenError.
    """
    folder, name = os.path.split(path)  # not pathlib's, which takes as long as the file: runs write thousands a second
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
    """Write everything to an unbuffered file; a system's write may stop part way."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def read_bytes(path: Path) -> bytes:
    """The whole file; operating system errors become WetgenError."""
    with os_errors(path, "read"):
        return path.read_bytes()


def sweep(folder: Path) -> None:
    """Remove temporary files a killed process left in `folder`; nothing else may be writing there."""
    with os_errors(folder, "cleaned of unfinished files"):
        for leftover in folder.glob(f".*{TEMPORARY}"):
            leftover.unlink(missing_ok=True)
