"""The prompts file: one prompt a line, in UTF-8; blank lines and lines that begin with # are skipped."""

import sys
from pathlib import Path
from typing import NamedTuple

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import os_errors

STDIN = "-"
_BOM = b"\xef\xbb\xbf"  # some editors put it in front of UTF-8


class Prompt(NamedTuple):
    """A prompt and the line of its file that it stands on, counted from 1."""

    line: int
    text: str


def read_prompts(source: str) -> list[Prompt]:
    """The prompts of a file, or of standard input for "-". Raises WetgenError when there are none or it is not text."""
    name = "standard input" if source == STDIN else source
    data = sys.stdin.buffer.read() if source == STDIN else _read(Path(source))
    prompts = parse_prompts(data, name)
    if not prompts:
        raise WetgenError(
            f"{name} holds no prompts.",
            why="every line is blank or begins with #." if data.strip() else "it is empty.",
            fix="write one prompt a line, for example: black mold in a bathroom corner",
        )
    return prompts


def parse_prompts(data: bytes, name: str = "prompts") -> list[Prompt]:
    """The prompts in UTF-8 bytes, with or without a byte order mark."""
    text = _decode(data, name)
    # Only \n ends a line: str.splitlines would also split at form feeds and at Unicode's own separators.
    lines = [Prompt(number, line.strip()) for number, line in enumerate(text.split("\n"), 1)]
    return [prompt for prompt in lines if prompt.text and not prompt.text.startswith("#")]


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


def _decode(data: bytes, name: str) -> str:
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
