"""How a picture was made, written into its PNG file: a picture that got parted from its row still says it is synthetic.

The texts are those of the pair's row. The version of wetgen is not among them: a later version that draws the same
pixels shall write the same bytes.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import read_bytes
from wetgen.runtime.metadata import shown
from wetgen.runtime.png import SIGNATURE

SOFTWARE = "wetgen"

# Keywords of the text chunks, in their order, and the keys of the row that hold their values.
_KEYS = {
    "bundle_sha256": "bundle_sha256",
    "prompt": "text",
    "seed": "seed",
    "index": "index",
    "try": "try",
    "plan": "plan",
    "guidance": "guidance",
    "negative": "negative",
}
_KEYWORDS = ("synthetic", "Software", *_KEYS)

_TEXT, _TEXT_COMPRESSED, _TEXT_UNICODE = b"tEXt", b"zTXt", b"iTXt"
_LONGEST = 2**20  # bytes of a text once it is decompressed: a small file may be made to fill the memory


def png_text(row: Mapping[str, object]) -> dict[str, str]:
    """What the PNG files of a pair say of it, by keyword, from its row in metadata.jsonl.

    Nothing for a pair that is not synthetic. Of the row's keys those that are there; a negative prompt that is empty is
    none. Raises WetgenError for a text that no PNG can hold.
    """
    if row.get("synthetic") is not True:
        return {}
    found = {"synthetic": "true", "Software": SOFTWARE}
    for keyword, key in _KEYS.items():
        value = row.get(key)
        if value not in (None, ""):
            found[keyword] = value if isinstance(value, str) else json.dumps(value)
            _refuse_unwritable(found[keyword], key)
    return found


def read_provenance(path: Path) -> dict[str, str]:
    """What a PNG file says of how it was made, by keyword; its pixels are not decoded, its checksums are checked.

    Raises WetgenError for a file that is missing, damaged, no PNG, or that says nothing of it.
    """
    data = read_bytes(path)
    if not data.startswith(SIGNATURE):
        began = f"it begins with {data[:8]!r}" if data else "it is empty"
        raise WetgenError(f"{path} is not a PNG file.", why=f"{began}.", fix="give a picture that `wetgen run` wrote.")
    found: dict[str, str] = {}
    for keyword, text in _texts(data, path):
        if found.get(keyword, text) != text:
            raise _damaged(path, f"it states {keyword} twice, and not alike")
        if keyword in _KEYWORDS:
            found[keyword] = text
    if found.get("Software") != SOFTWARE or "synthetic" not in found:
        raise WetgenError(
            f"{path} does not say how it was made.",
            why="it is a photograph, was drawn by another program, or was saved again by one that drops texts.",
            fix="look for its row in the metadata.jsonl of its dataset.",
        )
    return found


def describe_picture(path: Path) -> str:
    """What a PNG file says of how it was made, as text for a terminal; raises WetgenError as `read_provenance` does."""
    found = read_provenance(path)
    lines = [f"{path}: {'a synthetic picture' if found['synthetic'] == 'true' else 'a picture'} of {SOFTWARE}"]
    listed = [keyword for keyword in _KEYS if keyword in found]
    wide = max(map(len, listed), default=0)
    return "\n".join([*lines, *(f"  {keyword:<{wide}}  {shown(found[keyword])}" for keyword in listed)])


def _refuse_unwritable(text: str, key: str) -> None:
    why = "it holds a NUL character" if "\0" in text else ""
    try:
        text.encode()
    except UnicodeEncodeError:
        why = "half of a surrogate pair stands alone in it"
    if why:
        raise WetgenError(
            f"The {key} {shown(text)} cannot be written into a picture.",
            why=f"{why}, which no text in a PNG may have.",
            fix="take that character out.",
        )


def _texts(data: bytes, path: Path) -> Iterator[tuple[str, str]]:
    """Keyword and text of every text chunk, those that other programs wrote included."""
    for kind, content in _chunks(data, path):
        if kind not in (_TEXT, _TEXT_COMPRESSED, _TEXT_UNICODE):
            continue
        try:
            keyword, _, rest = content.partition(b"\0")
            compressed = kind == _TEXT_COMPRESSED
            if kind == _TEXT_UNICODE:
                compressed = rest[0] == 1
                _language, _translated, rest = rest[2:].split(b"\0", 2)
            elif compressed:
                rest = rest[1:]  # behind the method, of which there is one
            text = _decompressed(rest) if compressed else rest
            yield keyword.decode("latin-1"), text.decode("utf-8" if kind == _TEXT_UNICODE else "latin-1")
        except (ValueError, IndexError, zlib.error) as error:
            raise _damaged(path, f"a {kind.decode()} chunk cannot be read ({error})") from error


def _decompressed(data: bytes) -> bytes:
    inflate = zlib.decompressobj()
    text = inflate.decompress(data, _LONGEST)
    if not inflate.eof:
        raise ValueError(f"it is cut off, or longer than {_LONGEST:,} bytes")
    return text


def _chunks(data: bytes, path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Type and data of every chunk up to the last (W3C PNG, third edition, section 5.3), its checksum checked."""
    at = len(SIGNATURE)
    while True:
        if at + 12 > len(data):
            raise _damaged(path, f"it is cut off at byte {len(data)}, and its last chunk is not there")
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            raise _damaged(path, f"it is cut off at byte {len(data)}, inside the chunk that begins at byte {at}")
        if zlib.crc32(data[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise _damaged(path, f"the checksum of the chunk at byte {at} is wrong")
        yield kind, data[at + 8 : end]
        if kind == b"IEND":
            return
        at = end + 4


def _damaged(path: Path, why: str) -> WetgenError:
    return WetgenError(f"{path} is damaged.", why=f"{why}.", fix="copy it again from its source.")
