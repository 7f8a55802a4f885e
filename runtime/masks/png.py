"""PNG files from pixels, made of numpy and zlib (W3C PNG, third edition).

One filter for a whole picture, and Huffman codes, with run lengths at most, in place of a search for repeats: what the
filter leaves of a photograph repeats nothing but zeros. Measured in turns on 288 drawn pairs of 128 pixels against
Pillow's compress_level=1, which tries every filter on every row: a picture takes a quarter of the time for 10 % fewer
bytes, a mask a quarter for 43 % fewer, a confidence map a third for 11 % fewer. Pillow's level 6 saves 1 % more on a
picture, at forty times the time.
"""

import re
import struct
import zlib
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

NONE, PAETH = 0, 4  # filter types (section 9.2)
NO_TEXT: Mapping[str, str] = MappingProxyType({})

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB = 0, 2  # colour types
_KEYWORD = re.compile("[!-~\xa1-\xff]+( [!-~\xa1-\xff]+)*")  # printable Latin-1, in it single spaces (section 11.3.3)
_BAND = 2**16  # bytes filtered at a time, so that they stay in a core's cache


def encode(pixels: NDArray[np.uint8], filter_type: int, text: Mapping[str, str] = NO_TEXT) -> bytes:
    """The PNG file of uint8 (H, W) or (H, W, 3), not empty; every row has the filter NONE or PAETH.

    `text` stands before the pixels, in its order: tEXt where keyword and text are ASCII, else iTXt, which is UTF-8.
    Keywords are 1 to 79 Latin-1 characters. ValueError for what the standard forbids.
    Holds the interpreter's lock only between bands, so that threads encode side by side.
    """
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


def _deflated(bands: list[NDArray[np.uint8]]) -> bytes:
    """The zlib stream of the bands.

    Run lengths are looked for where most bytes repeat the one before: elsewhere Huffman codes alone take two thirds of
    the time for 1 % more bytes.
    """
    repeats = sum(int(np.count_nonzero(band.reshape(-1)[1:] == band.reshape(-1)[:-1])) for band in bands)
    strategy = zlib.Z_RLE if 2 * repeats > sum(band.size for band in bands) else zlib.Z_HUFFMAN_ONLY
    deflate = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy)
    return b"".join([*(deflate.compress(band.data) for band in bands), deflate.flush()])


def _filtered(rows: NDArray[np.uint8], top: int, step: int, channels: int, filter_type: int) -> NDArray[np.uint8]:
    """Rows `top` to `top + step` of (H, W * channels) as PNG stores them: each after its filter type."""
    band = rows[top : top + step]
    stored = np.empty((len(band), rows.shape[1] + 1), np.uint8)
    stored[:, 0] = filter_type
    if filter_type == NONE:
        stored[:, 1:] = band
    else:
        np.subtract(band, _paeth(rows, top, len(band), channels), out=stored[:, 1:])
    return stored


def _paeth(rows: NDArray[np.uint8], top: int, count: int, channels: int) -> NDArray[np.uint8]:
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
    take_low: NDArray[np.uint8] = np.negative((below_high <= over_low >> 1).view(np.uint8))
    take_high: NDArray[np.uint8] = np.negative((over_low <= below_high >> 1).view(np.uint8))
    # x ^ (x ^ y) & m is y where m is 255 and x where it is 0, several times as fast as np.where.
    nearest: NDArray[np.uint8] = corner ^ (corner ^ low) & take_low
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
