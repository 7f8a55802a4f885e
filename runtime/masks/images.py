"""Picture files: photographs as RGB pixels, masks as class ids, and both back to PNG.

Sizes in messages are width x height; arrays are (H, W) or (H, W, 3).

Masks as PASCAL VOC keeps them: PNGs of palette indexes, in the colours of its devkit.

How a picture was made, written into its PNG file: a picture that got parted from its row still says it is synthetic.

The texts are those of the pair's row. The version of wetgen is not among them: a later version that draws the same
pixels shall write the same bytes.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from wetgen.runtime.errors import WetgenError, printable
from wetgen.runtime.files import os_errors, read_bytes
from wetgen.runtime.masks import png
from wetgen.runtime.masks.png import SIGNATURE

Pixels = NDArray[np.uint8]

MAX_PIXELS = 89_478_485  # Pillow's own limit: beyond it a small file may be made to fill the memory

_FORMATS = ("PNG", "JPEG")
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_COLOURS = {2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}  # colour type in the header; 0 is plain grey
_MASK_RULE = "a mask is a PNG of one 8-bit grey channel whose pixel values are class ids"


def read_image(path: Path, name: str | None = None) -> Pixels:
    """Read a PNG or JPEG as uint8 (H, W, 3) RGB, turned upright as its EXIF orientation says.

    Grey, palette and CMYK become RGB and alpha is dropped. Raises WetgenError for a file that is missing, damaged, not
    a PNG or JPEG, of more than MAX_PIXELS, or grey of more than 8 bits. Messages call it `name`, else its path.
    """
    name = str(path) if name is None else name
    return decode_image(_read(path, name), name)


def decode_image(data: bytes, name: str) -> Pixels:
    """What `read_image` gives, of a file's bytes."""
    picture = _decode(data, name)
    if picture.mode[0] in "IF":
        raise WetgenError(
            f"{name} has more than 8 bits per pixel (mode {picture.mode}).",
            why="which of its values are black and white is not known, so turning it into 8 bits would be a guess.",
            fix="save it as 8-bit RGB or grey.",
        )
    if "transparency" in picture.info and picture.mode == "P":
        picture = picture.convert("RGBA")  # Pillow warns about palettes with alpha that go straight to RGB
    return np.array(picture.convert("RGB"))


def read_mask(path: Path, name: str | None = None) -> Pixels:
    """Read a mask PNG as uint8 (H, W) class ids.

    Raises WetgenError for a file that is missing, damaged, or anything but an 8-bit grey PNG.
    """
    name = str(path) if name is None else name
    return decode_mask(_read(path, name), name)


def decode_mask(data: bytes, name: str) -> Pixels:
    """What `read_mask` gives, of a file's bytes."""
    _refuse_other_than_grey_png(data, name)
    return np.array(_decode(data, name))


def encode_png(pixels: Pixels, text: Mapping[str, str] = png.NO_TEXT) -> bytes:
    """The PNG file of a picture uint8 (H, W, 3), or of grey levels uint8 (H, W) that change by degrees.

    `text` goes with it by keyword, as `png.encode` says.
    """
    return png.encode(pixels, png.PAETH, text)


def encode_mask(mask: Pixels, text: Mapping[str, str] = png.NO_TEXT) -> bytes:
    """The PNG file of class ids uint8 (H, W), which lie in even areas: half the size and time of `encode_png`."""
    return png.encode(mask, png.NONE, text)


def _read(path: Path, name: str) -> bytes:
    try:
        with os_errors(path, "read"):
            return path.read_bytes()
    except WetgenError as error:
        raise WetgenError(f"{name} could not be read.", why=error.why, fix=error.fix) from error


def _decode(data: bytes, name: str) -> Image.Image:
    """The upright picture, its pixels loaded."""
    try:
        # Decoding a PNG does not look at its checksums: one flipped bit may pass as another mask.
        Image.open(BytesIO(data), formats=_FORMATS).verify()
        picture = Image.open(BytesIO(data), formats=_FORMATS)  # verify() uses a picture up
        if picture.width * picture.height > MAX_PIXELS:
            raise Image.DecompressionBombError(f"{picture.width} x {picture.height}")
        ImageOps.exif_transpose(picture, in_place=True)
        picture.load()
        return picture
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise WetgenError(
            f"{name} is too large a picture to open.",
            why=f"it has more than {MAX_PIXELS:,} pixels ({error}).",
            fix="make it smaller, or cut it into pieces.",
        ) from error
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        raise WetgenError(
            f"{name} is not a PNG or JPEG picture.",
            why="the file is empty." if not data else f"the file begins with {data[:8]!r}.",
            fix="save it as PNG or JPEG.",
        ) from error
    except Exception as error:  # on damaged files Pillow's decoders raise whatever they stumble over
        raise WetgenError(
            f"{name} cannot be decoded.",
            why=f"the file is damaged or cut off ({error}).",
            fix="copy it again from its source, or leave the row out.",
        ) from error


def _refuse_other_than_grey_png(data: bytes, name: str) -> None:
    """Raise unless the header says PNG, one grey channel, 8 bits.

    Asked of the file itself, because Pillow silently stretches the ids of 2- and 4-bit masks to 0..255.
    """
    if data.startswith(b"\xff\xd8\xff") or data[8:12] == b"WEBP":
        raise WetgenError(
            f"{name} is a {'JPEG' if data[0] == 0xFF else 'WebP'} file, and a mask must be lossless.",
            why="lossy compression changes class ids along every edge.",
            fix="make the mask again from its source as PNG; converting this file does not bring the ids back.",
        )
    if not data.startswith(_PNG):
        began = f"begins with {data[:8]!r}" if data else "is empty"
        raise WetgenError(f"{name} is not a PNG file.", why=f"{_MASK_RULE}; this file {began}.", fix="save it as PNG.")
    if len(data) < 26:
        raise WetgenError(
            f"{name} cannot be decoded.",
            why="the file is cut off inside its header.",
            fix="copy it again from its source, or leave the row out.",
        )
    depth, colour = data[24], data[25]
    if colour != 0:
        kind = _PNG_COLOURS.get(colour, f"colour type {colour}")
        raise WetgenError(
            f"{name} is a {kind} picture.",
            why=f"{_MASK_RULE}; which colour means which class is not known.",
            fix="map its colours to class ids and save those as 8-bit grey.",
        )
    if depth != 8:
        raise WetgenError(
            f"{name} is a {depth}-bit mask.",
            why=f"{_MASK_RULE}.",
            fix="save the class ids as 8-bit grey; do not stretch them to 0..255.",
        )


def voc_colour(id: int) -> tuple[int, int, int]:
    """The devkit's colour of an index: its bits dealt out in turn to red, green and blue, highest bits first."""
    red = green = blue = 0
    for place in range(8):
        red |= (id & 1) << (7 - place)
        green |= (id >> 1 & 1) << (7 - place)
        blue |= (id >> 2 & 1) << (7 - place)
        id >>= 3
    return red, green, blue


def encode_palette_png(mask: Pixels) -> bytes:
    """The palette PNG of a mask uint8 (H, W)."""
    picture = Image.fromarray(mask)
    picture.putpalette([part for id in range(256) for part in voc_colour(id)])  # makes the mode P
    file = BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def decode_index_png(data: bytes, name: str) -> Pixels:
    """The indexes uint8 (H, W) of a palette or 8-bit grey PNG."""
    decode_image(data, name)  # says in plain words what is damaged or too large
    with Image.open(BytesIO(data), formats=("PNG", "JPEG")) as picture:
        if picture.format == "PNG" and (picture.mode == "P" or (picture.mode == "L" and data[24] == 8)):
            return np.array(picture)
        kind = f"{picture.format} of mode {picture.mode}"
    raise WetgenError(
        f"{name} is no mask of ids.",
        why=f"it is a {kind}; ids stand in PNGs with a palette, or of one 8-bit channel.",
        fix="map its colours to ids, and save those.",
    )


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
    return "\n".join([*lines, *(f"  {keyword:<{wide}}  {printable(found[keyword])}" for keyword in listed)])


def _refuse_unwritable(text: str, key: str) -> None:
    why = "it holds a NUL character" if "\0" in text else ""
    try:
        text.encode()
    except UnicodeEncodeError:
        why = "half of a surrogate pair stands alone in it"
    if why:
        raise WetgenError(
            f"The {key} {printable(text)} cannot be written into a picture.",
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
