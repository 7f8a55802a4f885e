"""One pair on its way from one format to another, and what a conversion may be asked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from wetgen.runtime.classes import ClassTable
from wetgen.runtime.pictures import Pixels, encode_mask, encode_png
from wetgen.runtime.provenance import png_text

TRAIN, VALIDATION, TEST = SPLITS = ("train", "validation", "test")

_ORIENTATION = 0x0112  # EXIF's tag; 1 is upright
_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True)
class Example:
    """A pair: the image's file, its mask uint8 (H, W), and its metadata row without the names of the two files."""

    name: str  # of its files, without suffix; no two examples of a dataset share one
    split: str | None  # one of SPLITS; None where the source states none
    image: bytes  # a PNG or JPEG
    mask: Pixels
    row: dict[str, object]  # holds `text` and `scene`

    @property
    def suffix(self) -> str:
        """What its image's file is: .jpg or .png."""
        return ".jpg" if self.image.startswith(_JPEG) else ".png"

    @property
    def mask_file(self) -> bytes:
        """Its mask as the PNG of a dataset folder; of a synthetic pair it says how it was made, as its picture does."""
        return encode_mask(self.mask, png_text(self.row))

    @property
    def part(self) -> str:
        """Its split, train where none is stated."""
        return TRAIN if self.split is None else self.split


@dataclass(frozen=True)
class Options:
    """What some formats can be asked for."""

    polygons: bool = False  # COCO: polygons in place of run lengths
    min_area: int = 1  # COCO, YOLO, VOC's boxes: regions of fewer pixels are left out
    shard_bytes: int = 256 * 2**20  # WebDataset, Parquet: a shard is closed once it holds this much


@dataclass(frozen=True)
class Incoming:
    """What a reader gives: the class table, and the examples, each read when its turn comes."""

    classes: ClassTable
    examples: Iterator[Example]


def portable(image: bytes, pixels: Pixels) -> bytes:
    """The image's file as it is where every reader sees `pixels` uint8 (H, W, 3) in it, else a PNG of them.

    Not every reader turns EXIF upright, drops alpha or knows CMYK, so such files would differ from reader to reader.
    """
    with Image.open(BytesIO(image), formats=("PNG", "JPEG")) as picture:
        plain = picture.mode in ("RGB", "L") and "transparency" not in picture.info
        plain = plain and picture.getexif().get(_ORIENTATION, 1) == 1
        if picture.format == "PNG":
            # Byte 24 of a PNG is its depth; an animation may begin with another picture than readers show.
            plain = plain and image[24] == 8 and not getattr(picture, "is_animated", False)
    return image if plain else encode_png(pixels)
