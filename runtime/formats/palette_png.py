"""Masks as PASCAL VOC keeps them: PNGs of palette indexes, in the colours of its devkit."""

from io import BytesIO

import numpy as np
from PIL import Image

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.pictures import Pixels, decode_image


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
