"""Where prompts come from: a file or standard input, in UTF-8."""

import sys
from pathlib import Path

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import os_errors

STDIN = "-"
_BOM = b"\xef\xbb\xbf"  # some editors put it in front of UTF-8


def source_name(source: str) -> str:
    """What errors call a source."""
    return "standard input" if source == STDIN else source


def read_source(source: str) -> bytes:
    """The bytes of a file, or of standard input for "-"."""
    return sys.stdin.buffer.read() if source == STDIN else _read(Path(source))


def resolve(path: str, source: str) -> Path:
    """Where a file lies that a prompts file names: beside the prompts file, unless the path is absolute.

    For standard input that is the working folder.
    """
    return Path(path) if source == STDIN else Path(source).parent / path


def no_prompts(name: str, why: str) -> WetgenError:
    """The error for a source that names nothing to draw."""
    return WetgenError(
        f"{name} holds no prompts.",
        why=f"{why}.",
        fix="write one prompt a line, for example: black mold in a bathroom corner",
    )


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise WetgenError(
            f"{path} is a folder.", why="prompts are read from a text file.", fix="give the file inside it."
        )
    if not path.exists():
        raise WetgenError(
            f"{path} does not exist.",
            why="no file of that name is there.",
            fix="check the path, or give - to read standard input.",
        )
    with os_errors(path, "read"):
        return path.read_bytes()


def decode(data: bytes, name: str) -> str:
    """The text of UTF-8 bytes, with or without a byte order mark. Raises WetgenError with byte and line for others."""
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
