"""Image files: photographs as RGB pixels, masks as class ids, how a pair was made as texts, and all of it as PNG.

Sizes in messages are width x height; arrays are (H, W) or (H, W, 3). The texts of a synthetic pair repeat its row, so
that an image without its row still says that it is synthetic. The version of wetgen is not among them: a later version
that draws the same pixels writes the same bytes.

PNG files are made of numpy and zlib (W3C PNG, third edition): one filter for a whole picture, and Huffman codes, with
run lengths at most, in place of a search for repeats, for what the filter leaves of a photograph repeats nothing but
zeros. Measured in turns on 288 drawn pairs of 128 pixels against Pillow's compress_level=1, which tries every filter on
every row: a picture takes a quarter of the time for 10 % fewer bytes, a mask a quarter for 43 % fewer, a confidence map
a third for 11 % fewer. Pillow's level 6 saves 1 % more on a picture, at forty times the time.
"""

import json
import re
import struct
import zlib
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile

from wetgen.runtime.errors import WetgenError, printable
from wetgen.runtime.files import os_errors, read_bytes

Pixels = NDArray[np.uint8]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
NO_TEXT: Mapping[str, str] = MappingProxyType({})
MAX_PIXELS = 89_478_485  # Pillow's own limit: without it a small file could fill the memory

_FORMATS = ("PNG", "JPEG")
_PNG_COLOURS = {2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}  # colour type in the header; 0 is plain grey
_MASK_RULE = "a mask is a PNG of one 8-bit grey channel whose pixel values are class ids"


def read_image(path: Path, name: str | None = None) -> Pixels:
    """Reads a PNG or JPEG as uint8 (H, W, 3) RGB, turned upright by its EXIF orientation.

    Grey, palette and CMYK become RGB; alpha is dropped. Raises WetgenError for a file that is missing, damaged, no PNG
    or JPEG, of more than MAX_PIXELS, or grey with more than 8 bits. Messages call it `name`, or else its path.
    """
    name = str(path) if name is None else name
    return decode_image(_read(path, name), name)


def decode_image(data: bytes, name: str) -> Pixels:
    """The same for the bytes of a file."""
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
    """Reads a mask PNG as uint8 (H, W) class ids.

    Raises WetgenError for a file that is missing, damaged, or anything but an 8-bit grey PNG.
    """
    name = str(path) if name is None else name
    return decode_mask(_read(path, name), name)


def decode_mask(data: bytes, name: str) -> Pixels:
    """The same for the bytes of a file."""
    _refuse_other_than_grey_png(data, name)
    return np.array(_decode(data, name))


def _read(path: Path, name: str) -> bytes:
    try:
        with os_errors(path, "read"):
            return path.read_bytes()
    except WetgenError as error:
        raise WetgenError(f"{name} could not be read.", why=error.why, fix=error.fix) from error


def _decode(data: bytes, name: str) -> Image.Image:
    """The upright picture, its pixels loaded."""
    try:
        # Decoding a PNG ignores its checksums: with one flipped bit it could be read as another mask.
        Image.open(BytesIO(data), formats=_FORMATS).verify()
        picture = Image.open(BytesIO(data), formats=_FORMATS)  # after verify() an image cannot be loaded
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
        if data.startswith(SIGNATURE):
            raise _damaged(name, "the file is damaged or cut off inside its header") from error
        raise WetgenError(
            f"{name} is not a PNG or JPEG picture.",
            why="the file is empty." if not data else f"the file begins with {data[:8]!r}.",
            fix="save it as PNG or JPEG.",
        ) from error
    except Exception as error:  # for damaged files Pillow's decoders raise all kinds of errors
        raise _damaged(name, f"the file is damaged or cut off ({error})") from error


def _damaged(name: str, why: str) -> WetgenError:
    fix = "copy it again from its source, or leave the row out."
    return WetgenError(f"{name} cannot be decoded.", why=f"{why}.", fix=fix)


def _refuse_other_than_grey_png(data: bytes, name: str) -> None:
    """Raises WetgenError unless the header says PNG, one grey channel, 8 bits.

    It looks at the bytes, because Pillow silently stretches the ids of 2- and 4-bit masks to 0..255.
    """
    if data.startswith(b"\xff\xd8\xff") or data[8:12] == b"WEBP":
        raise WetgenError(
            f"{name} is a {'JPEG' if data[0] == 0xFF else 'WebP'} file, and a mask must be lossless.",
            why="lossy compression changes class ids along every edge.",
            fix="make the mask again from its source, as PNG; converting this file does not bring the ids back.",
        )
    if not data.startswith(SIGNATURE):
        began = f"begins with {data[:8]!r}" if data else "is empty"
        raise WetgenError(f"{name} is not a PNG file.", why=f"{_MASK_RULE}; this file {began}.", fix="save it as PNG.")
    if len(data) < 26:
        raise _damaged(name, "the file is cut off inside its header")
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
    """The colour of an id in the PASCAL VOC devkit: its bits go in turn to red, green and blue, highest bits first."""
    red = green = blue = 0
    for bit in range(7, -1, -1):
        red |= (id & 1) << bit
        green |= (id >> 1 & 1) << bit
        blue |= (id >> 2 & 1) << bit
        id >>= 3
    return red, green, blue


def encode_palette_png(mask: Pixels) -> bytes:
    """The PNG of a mask uint8 (H, W) as PASCAL VOC keeps it: palette indexes, in the colours of `voc_colour`."""
    picture = Image.fromarray(mask)
    picture.putpalette([part for id in range(256) for part in voc_colour(id)])  # makes the mode P
    file = BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def decode_index_png(data: bytes, name: str) -> Pixels:
    """The indexes uint8 (H, W) of a palette or 8-bit grey PNG."""
    decode_image(data, name)  # raises WetgenError for what is damaged or too large
    with Image.open(BytesIO(data), formats=_FORMATS) as picture:
        if picture.format == "PNG" and (picture.mode == "P" or (picture.mode == "L" and data[24] == 8)):
            return np.array(picture)
        kind = f"{picture.format} of mode {picture.mode}"
    raise WetgenError(
        f"{name} is no mask of ids.",
        why=f"it is a {kind}; a mask of ids is a PNG with a palette or with one 8-bit channel.",
        fix="map its colours to ids, and save those.",
    )


SOFTWARE = "wetgen"

# The keywords of the texts, in their order, and the keys of the row that hold their values.
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


def png_text(row: Mapping[str, object]) -> dict[str, str]:
    """The texts for the PNG files of a pair, by keyword, from its row in metadata.jsonl.

    There are none for a pair that is not synthetic. Keys that the row lacks are left out, and so is an empty negative
    prompt. Raises WetgenError for a text that no PNG can hold.
    """
    if row.get("synthetic") is not True:
        return {}
    texts = {"synthetic": "true", "Software": SOFTWARE}
    for keyword, key in _KEYS.items():
        value = row.get(key)
        if value not in (None, ""):
            texts[keyword] = value if isinstance(value, str) else json.dumps(value)
            _refuse_unwritable(texts[keyword], key)
    return texts


def read_provenance(path: Path) -> dict[str, str]:
    """The texts in a PNG file that say how it was made, by keyword.

    Raises WetgenError for a file that is missing, damaged or no PNG, and for one without such texts.
    """
    data = read_bytes(path)
    if not data.startswith(SIGNATURE):
        began = f"it begins with {data[:8]!r}" if data else "it is empty"
        raise WetgenError(f"{path} is not a PNG file.", why=f"{began}.", fix="give a picture that `wetgen run` wrote.")
    picture = _decode(data, str(path))
    assert isinstance(picture, PngImageFile)
    texts = {keyword: str(text) for keyword, text in picture.text.items() if keyword in _KEYWORDS}
    if texts.get("Software") != SOFTWARE or "synthetic" not in texts:
        raise WetgenError(
            f"{path} does not say how it was made.",
            why="it is a photograph, was drawn by another program, or was saved again by one that drops texts.",
            fix="look for its row in the metadata.jsonl of its dataset.",
        )
    return texts


def describe_picture(path: Path) -> str:
    """The texts of `read_provenance`, for a terminal; raises WetgenError as it does."""
    texts = read_provenance(path)
    lines = [f"{path}: {'a synthetic picture' if texts['synthetic'] == 'true' else 'a picture'} of {SOFTWARE}"]
    listed = [keyword for keyword in _KEYS if keyword in texts]
    wide = max(map(len, listed), default=0)
    return "\n".join([*lines, *(f"  {keyword:<{wide}}  {printable(texts[keyword])}" for keyword in listed)])


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


_NONE, _PAETH = 0, 4  # filter types (section 9.2)
_GREY, _RGB = 0, 2  # colour types
_KEYWORD = re.compile("[!-~\xa1-\xff]+( [!-~\xa1-\xff]+)*")  # printable Latin-1, in it single spaces (section 11.3.3)
_BAND = 2**16  # bytes filtered at a time, so that they stay in a core's cache


def encode_png(pixels: Pixels, text: Mapping[str, str] = NO_TEXT) -> bytes:
    """The PNG file of an image uint8 (H, W, 3), or of smooth grey levels uint8 (H, W); not empty.

    `text` stands before the pixels, in its order: tEXt where keyword and text are ASCII, else iTXt, which is UTF-8.
    Keywords are 1 to 79 Latin-1 characters. ValueError for what the standard forbids.
    Holds the interpreter's lock only between bands, so that threads encode side by side.
    """
    return _encode(pixels, _PAETH, text)


def encode_mask(mask: Pixels, text: Mapping[str, str] = NO_TEXT) -> bytes:
    """The PNG file of class ids uint8 (H, W); for their even areas it takes half the bytes and time of `encode_png`."""
    return _encode(mask, _NONE, text)


def _encode(pixels: Pixels, filter_type: int, text: Mapping[str, str]) -> bytes:
    """Every row has the filter _NONE or _PAETH."""
    assert pixels.dtype == np.uint8 and pixels.size and (pixels.ndim == 2 or pixels.shape[2:] == (3,))
    height, width = pixels.shape[:2]
    channels = pixels.size // (height * width)
    header = struct.pack(">IIBBBBB", width, height, 8, _GREY if channels == 1 else _RGB, 0, 0, 0)
    rows = pixels.reshape(height, width * channels)
    step = max(1, _BAND // (width * channels))
    data = _deflated([_filtered(rows, top, step, channels, filter_type) for top in range(0, height, step)])
    return b"".join(
        [
            SIGNATURE,
            *_chunk(b"IHDR", header),
            *(_text_chunk(keyword, text[keyword]) for keyword in text),
            *_chunk(b"IDAT", data),
            *_chunk(b"IEND", b""),
        ]
    )


def _deflated(bands: list[Pixels]) -> bytes:
    """The zlib stream of the bands.

    Run lengths are looked for where most bytes repeat the one before: elsewhere Huffman codes alone take two thirds of
    the time for 1 % more bytes.
    """
    repeats = sum(int(np.count_nonzero(band.reshape(-1)[1:] == band.reshape(-1)[:-1])) for band in bands)
    strategy = zlib.Z_RLE if 2 * repeats > sum(band.size for band in bands) else zlib.Z_HUFFMAN_ONLY
    deflate = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy)
    return b"".join([*(deflate.compress(band.data) for band in bands), deflate.flush()])


def _filtered(rows: Pixels, top: int, step: int, channels: int, filter_type: int) -> Pixels:
    """Rows `top` to `top + step` of (H, W * channels) as PNG stores them: each after its filter type."""
    band = rows[top : top + step]
    stored = np.empty((len(band), rows.shape[1] + 1), np.uint8)
    stored[:, 0] = filter_type
    if filter_type == _NONE:
        stored[:, 1:] = band
    else:
        np.subtract(band, _paeth(rows, top, len(band), channels), out=stored[:, 1:])
    return stored


def _paeth(rows: Pixels, top: int, count: int, channels: int) -> Pixels:
    """Paeth's prediction of `count` rows from `top` on: of left, above and upper left what is nearest to a + b - c.

    Without words longer than a byte, which would cost several times as much. With lo <= hi the lesser and greater of
    left a and above b, and c the upper left: a + b - c is nearest to hi where c is so low that 2 (c - lo) <= hi - c, to
    lo where it is so high that 2 (hi - c) <= c - lo, else to c. Distances below 0 count as 0, which decides alike.
    """
    stride = rows.shape[1] + channels
    padded = np.zeros((count + 1, stride), np.uint8)  # zeros stand left of the picture and above it (section 9.2)
    first = max(top - 1, 0)
    padded[first - top + 1 :, channels:] = rows[first : top + count]
    flat = padded.reshape(-1)
    left, above = flat[stride - channels : -channels], flat[:-stride]
    corner = np.zeros_like(above)
    corner[channels:] = above[:-channels]
    low, high = np.minimum(left, above), np.maximum(left, above)
    below_high, over_low = np.maximum(high, corner) - corner, corner - np.minimum(low, corner)
    # True is the byte 1, and its negative 255.
    take_low: Pixels = np.negative((below_high <= over_low >> 1).view(np.uint8))
    take_high: Pixels = np.negative((over_low <= below_high >> 1).view(np.uint8))
    # x ^ (x ^ y) & m is y where m is 255 and x where it is 0, several times as fast as np.where.
    nearest: Pixels = corner ^ (corner ^ low) & take_low
    nearest ^= (nearest ^ high) & take_high
    return nearest.reshape(count, stride)[:, channels:]


@lru_cache(maxsize=256)  # a pair's pictures hold the same texts, and many of them are those of the whole run
def _text_chunk(keyword: str, text: str) -> bytes:
    """The chunk of a text (section 11.3.3).

    Latin-1 text that is not ASCII goes into iTXt too, for many readers take all bytes for UTF-8.
    """
    if len(keyword) > 79 or not _KEYWORD.fullmatch(keyword):
        raise ValueError(f"{keyword!r} is no keyword of a text chunk")
    if "\0" in text:
        raise ValueError(f"the text of {keyword!r} holds a NUL, which no text chunk may")
    if keyword.isascii() and text.isascii():
        return b"".join(_chunk(b"tEXt", f"{keyword}\0{text}".encode("ascii")))
    # Not compressed (0), by method 0, in no stated language and without a translated keyword.
    return b"".join(_chunk(b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode()))


def _chunk(kind: bytes, data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Length, type, data and CRC (section 5.3)."""
    return struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
