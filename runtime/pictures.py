"""Picture files: photographs as RGB pixels, masks as class ids, and both back to PNG.

Sizes in messages are width x height; arrays are (H, W) or (H, W, 3).
"""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from wetgen.runtime import png
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import os_errors

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
