"""The table of a dataset folder, metadata.jsonl: one JSON object per line, a line per pair."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from wetgen.runtime.errors import WetgenError, printable
from wetgen.runtime.files import read_bytes

METADATA = "metadata.jsonl"
IMAGES, MASKS = "images", "masks"
SHARDS = "shards"

_BOM = b"\xef\xbb\xbf"  # some editors put it in front of UTF-8


@dataclass(frozen=True)
class Row:
    """A pair, as its line in metadata.jsonl states it."""

    line: int  # counted from 1
    file_name: str  # relative to the dataset folder, like mask_file_name
    mask_file_name: str
    text: str
    scene: str  # pictures of one scene belong in one split
    extra: dict[str, object] = field(hash=False)  # all other keys


class JsonLine(NamedTuple):
    """A line of metadata.jsonl."""

    number: int  # counted from 1
    end: int  # byte of the file after its line end
    text_start: int  # byte of the file where content begins: after a byte order mark
    content: bytes  # without byte order mark and line end
    whole: bool  # it has a line end, so it was not cut off


def read_metadata(folder: Path) -> bytes:
    """The bytes of metadata.jsonl. Raises WetgenError if it has no rows or is UTF-16."""
    metadata = folder / METADATA
    data = read_bytes(metadata)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise WetgenError(
            f"{metadata}, line 1: byte 0 of the file is not UTF-8.",
            why="its first two bytes say UTF-16, which PowerShell writes by default.",
            fix="save the file as UTF-8.",
        )
    if not data.removeprefix(_BOM).strip():
        raise WetgenError(
            f"{metadata} has no rows.",
            why="the dataset is empty.",
            fix="add one JSON object per pair, or choose another folder.",
        )
    return data


def lines(file: Iterable[bytes]) -> Iterator[JsonLine]:
    """Yields the lines that are not blank of a file opened for reading bytes.

    Only \\n ends a line, because captions may contain other separators.
    """
    start = 0
    for number, piece in enumerate(file, 1):
        text = piece.removeprefix(_BOM) if start == 0 else piece
        if text.strip():
            end, text_start = start + len(piece), start + len(piece) - len(text)
            content = text.removesuffix(b"\n").removesuffix(b"\r")
            yield JsonLine(number, end, text_start, content, piece.endswith(b"\n"))
        start += len(piece)


def parse(line: JsonLine, metadata: Path) -> dict[str, object]:
    """The object in a line. Raises WetgenError, with a message of its own for a last line that was cut off."""
    where = location(metadata, line.number)
    try:
        keys = json.loads(line.content.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _not_json(line, where, error) from error
    if not isinstance(keys, dict):
        raise WetgenError(
            f"{where}: this is not a JSON object.",
            why=f"it is a {type(keys).__name__}.",
            fix='write {"file_name": ..., "mask_file_name": ..., "text": ...}.',
        )
    return keys


def _not_json(line: JsonLine, where: str, error: Exception) -> WetgenError:
    if not line.whole:
        return WetgenError(
            f"{where}: the last line is cut off.",
            why=f"it has no line end and is not complete ({error}); the program that wrote it was interrupted.",
            fix="run the command that wrote the folder again, which resumes it, or delete the last line.",
        )
    if isinstance(error, UnicodeDecodeError):
        return WetgenError(
            f"{where}: byte {line.text_start + error.start} of the file is not UTF-8.",
            why=f"{error.reason} (0x{line.content[error.start]:02x}).",
            fix="save the file as UTF-8.",
        )
    return WetgenError(f"{where}: this is not JSON.", why=f"{error}.", fix="write one JSON object per line.")


def row_line(keys: Mapping[str, object]) -> bytes:
    """A row as a line of metadata.jsonl. Raises ValueError or TypeError for what JSON cannot hold."""
    return json.dumps(keys, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        twice = next(key for key in keys if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f"the key {printable(twice)} occurs twice")
    return keys


def _no_constant(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


def row_faults(
    line: JsonLine, metadata: Path, first_lines: dict[PurePosixPath, int]
) -> tuple[list[WetgenError], dict[str, object]]:
    """The faults of a line, and its keys. `first_lines` remembers which line named a file first."""
    try:
        keys = parse(line, metadata)
    except WetgenError as fault:
        return [fault], {}
    where = location(metadata, line.number)
    faults = list(key_faults(keys, where))
    for key in ("file_name", "mask_file_name"):
        name = keys.get(key)
        if isinstance(name, str) and name.strip():
            path = PurePosixPath(name)  # ./a.png and a.png are one file
            if path in first_lines:
                faults.append(named_twice(where, printable(name), f"line {first_lines[path]}"))
            first_lines.setdefault(path, line.number)
    return faults, keys


def key_faults(keys: dict[str, object], where: str, *, masks: bool = True) -> Iterator[WetgenError]:
    """What is wrong with the keys of a row. `masks`: whether it must name a mask, or must not."""
    for key in ("file_name", "mask_file_name", "text", "scene"):
        if key not in keys:
            if key != "scene" and (key != "mask_file_name" or masks):
                yield WetgenError(f"{where}: the key {key} is missing.", why="every row needs it.", fix=_KEY_FIXES[key])
            continue
        value = keys[key]
        if not isinstance(value, str):
            kind = type(value).__name__
            yield WetgenError(f"{where}: {key} is not a string.", why=f"it is of type {kind}.", fix=_KEY_FIXES[key])
        elif not value.strip():
            yield WetgenError(f"{where}: {key} is empty.", why="every row needs it.", fix=_KEY_FIXES[key])
        elif not _encodable(value):
            why = "it contains half of a surrogate pair."
            yield WetgenError(f"{where}: {key} is not valid Unicode.", why=why, fix="write the character whole.")
        elif key in ("file_name", "mask_file_name"):
            yield from _path_faults(value, where)
    if "mask_file_name" in keys and not masks:
        why = "a folder of images without masks has no mask_file_name."
        yield WetgenError(f"{where}: this row names a mask.", why=why, fix="choose an empty folder.")


_KEY_FIXES = {
    "file_name": f'add the image, e.g. "file_name": "{IMAGES}/0001.jpg".',
    "mask_file_name": f'add the mask, e.g. "mask_file_name": "{MASKS}/0001.png".',
    "text": 'describe the picture, e.g. "text": "a brown stain on a white ceiling".',
    "scene": "write the scene's name as a string, or leave the key out.",
}


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _path_faults(name: str, where: str) -> Iterator[WetgenError]:
    """A path must stay inside the folder as it is written, on every system. Links are checked later."""
    windows = PureWindowsPath(name)
    if windows.anchor or name.startswith("/") or ".." in windows.parts or "\0" in name:
        yield leads_outside(where, name)


def row_of(number: int, keys: dict[str, object]) -> Row:
    """The row of these keys, which must be without faults."""
    text = {key: str(keys[key]) for key in ("file_name", "mask_file_name", "text")}
    scene = str(keys["scene"]) if "scene" in keys else PurePosixPath(text["file_name"]).stem
    extra = {key: value for key, value in keys.items() if key not in text and key != "scene"}
    return Row(number, text["file_name"], text["mask_file_name"], text["text"], scene, extra)


def leads_outside(where: str, name: str) -> WetgenError:
    """The error for a path or link that leaves the dataset folder."""
    return WetgenError(
        f"{where}: the path {printable(name)} leaves the dataset folder.",
        why="a dataset folder names only files inside itself, so that it can be moved and trusted.",
        fix="copy the file into the folder and name it relative to the folder.",
    )


def named_twice(where: str, name: str, first: str) -> WetgenError:
    """The error for two rows that share a file."""
    return WetgenError(
        f"{where}: {name} is named twice.",
        why=f"{first} names it too.",
        fix="delete one of the two rows, or give each its own file.",
    )


def location(metadata: Path, number: int) -> str:
    """How messages name a line."""
    return f"{metadata}, line {number}"
