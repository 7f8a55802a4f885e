"""Each format and back: masks equal to the pixel, images to the byte, rows to the key."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wetgen.runtime.dataset.convert import FORMATS, convert_from, convert_to, parse_shares
from wetgen.runtime.dataset.formats.base import Options
from wetgen.runtime.dataset.metadata import Row
from wetgen.runtime.dataset.reader import Dataset, check
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import IGNORE

BACK = [name for name, form in FORMATS.items() if form.importer is not None]
Make = Callable[..., Path]
SHARES = parse_shares("train=0.5,validation=0.3,test=0.2")


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def by_seed(dataset: Dataset) -> dict[object, Row]:
    return {row.extra["seed"]: row for row in dataset.rows}


@pytest.mark.parametrize("name", BACK)
def test_there_and_back_nothing_is_lost(name: str, make: Make, tmp_path: Path) -> None:
    source = make(count=8)
    there = convert_to(name, source, tmp_path / "there", Options(), shares=SHARES)
    back = convert_from(name, tmp_path / "there", tmp_path / "back")
    assert there.parts == back.parts and sum(there.parts.values()) == 8 and len(there.parts) > 1
    old, new = Dataset.open(source), Dataset.open(tmp_path / "back")
    assert new.classes == old.classes
    rows = by_seed(new)
    for row in old.rows:
        other = rows[row.extra["seed"]]
        (image, mask), (other_image, other_mask) = old.load(row), new.load(other)
        np.testing.assert_array_equal(mask, other_mask)
        if name == "voc" and row.file_name.endswith("png"):
            # JPEG of quality 95 without colour subsampling, of a smooth picture.
            np.testing.assert_allclose(image, other_image.astype(int), atol=6)
        else:
            assert (source / row.file_name).read_bytes() == (new.folder / other.file_name).read_bytes()
        kept = {key: value for key, value in other.extra.items() if key not in ("split", "source_file_name")}
        assert (other.text, other.scene, kept) == (row.text, row.scene, row.extra)
        assert other.extra["source_file_name"] == row.file_name  # its name has a space


@pytest.mark.parametrize("name", [name for name in BACK if name != "yolo-seg"])  # YOLO takes no single part
def test_a_split_that_rows_state_comes_back_even_of_one_part(name: str, make: Make, tmp_path: Path) -> None:
    convert_to(name, make(count=2, split="test"), tmp_path / "there", Options())
    convert_from(name, tmp_path / "there", tmp_path / "back")
    assert [row.extra["split"] for row in Dataset.open(tmp_path / "back").rows] == ["test", "test"]


def test_polygons_come_back_to_the_pixel_too(make: Make, tmp_path: Path) -> None:
    source = make()
    convert_to("coco", source, tmp_path / "there", Options(polygons=True))
    text = (tmp_path / "there" / "annotations" / "instances_train.json").read_text()
    assert all(isinstance(a["segmentation"], list) for a in json.loads(text)["annotations"])
    convert_from("coco", tmp_path / "there", tmp_path / "back")
    old, new = Dataset.open(source), Dataset.open(tmp_path / "back")
    for row, other in zip(old.rows, new.rows, strict=True):
        np.testing.assert_array_equal(old.load(row)[1], new.load(other)[1])
        assert "split" not in other.extra  # there was one part, and nobody asked for a split


@pytest.mark.parametrize("name", BACK)
def test_ignored_pixels_come_back_or_are_counted(name: str, make: Make, tmp_path: Path) -> None:
    source = make(count=8, ignore=True)
    with pytest.raises(WetgenError, match="class table lacks: 255"):
        convert_to(name, source, tmp_path / "there", Options(), shares=SHARES)
    there = convert_to(name, source, tmp_path / "there", Options(), shares=SHARES, ignore=True)
    if name == "yolo-seg":
        assert there.lost["ignored pixels, which become background"] == 80
    else:
        assert not sum(there.lost.get(key, 0) for key in there.lost if "ignored" in key)
        with pytest.raises(WetgenError, match="--ignore-255"):
            convert_from(name, tmp_path / "there", tmp_path / "back")
    convert_from(name, tmp_path / "there", tmp_path / "back", ignore=True)
    old, new = Dataset.open(source), Dataset.open(tmp_path / "back")
    rows = by_seed(new)
    for row in old.rows:
        mask = old.load(row, ignore=True)[1]
        expected = np.where(mask == IGNORE, 0, mask) if name == "yolo-seg" else mask
        np.testing.assert_array_equal(new.load(rows[row.extra["seed"]], ignore=True)[1], expected)


@pytest.mark.parametrize("name", BACK)
def test_rows_that_state_ignored_pixels_need_nobody_to_allow_them(name: str, make: Make, tmp_path: Path) -> None:
    source = make(count=8, ignore=True, ignore_id=255)
    there = convert_to(name, source, tmp_path / "there", Options(), shares=SHARES)
    assert there.lost.get("ignored pixels, which become background", 0) == (80 if name == "yolo-seg" else 0)
    convert_from(name, tmp_path / "there", tmp_path / "back")
    assert check(tmp_path / "back").ok
    old, new = Dataset.open(source), Dataset.open(tmp_path / "back")
    rows = by_seed(new)
    for row in old.rows:
        other = rows[row.extra["seed"]]
        mask = old.load(row)[1]
        expected = np.where(mask == IGNORE, 0, mask) if name == "yolo-seg" else mask
        np.testing.assert_array_equal(new.load(other)[1], expected)
        assert other.extra["ignore_id"] == 255


def test_a_row_that_states_another_id_is_refused_on_its_way_in(make: Make, tmp_path: Path) -> None:
    convert_to("semantic", make(count=2), tmp_path / "there", Options())
    path = tmp_path / "there" / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    path.write_text("".join(json.dumps({**row, "ignore_id": 0}) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(WetgenError, match=r"pair.*\.png: ignore_id is 0"):
        convert_from("semantic", tmp_path / "there", tmp_path / "back")


def test_what_was_allowed_once_stands_in_the_rows_that_come_back(make: Make, tmp_path: Path) -> None:
    convert_to("semantic", make(count=2, ignore=True), tmp_path / "there", Options(), ignore=True)
    convert_from("semantic", tmp_path / "there", tmp_path / "back", ignore=True)
    assert [row.extra["ignore_id"] for row in Dataset.open(tmp_path / "back").rows] == [255, 255]
    assert check(tmp_path / "back").ok


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_folder_gives_the_same_bytes(name: str, make: Make, tmp_path: Path) -> None:
    source = make(count=8)
    for out in ("one", "two"):
        convert_to(name, source, tmp_path / out, Options(), shares=SHARES)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


@pytest.mark.parametrize("name", FORMATS)
def test_a_conversion_that_fails_leaves_nothing_and_can_be_repeated(name: str, make: Make, tmp_path: Path) -> None:
    source = make(count=8)
    last = source / "masks" / "7.png"
    whole = last.read_bytes()
    last.write_bytes(whole[:60])
    with pytest.raises(WetgenError, match=r"line 8: masks/7.png cannot be decoded(.|\n)*inspect .* lists every fault"):
        convert_to(name, source, tmp_path / "out", Options(), shares=SHARES)
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    last.write_bytes(whole)
    assert sum(convert_to(name, source, tmp_path / "out", Options(), shares=SHARES).parts.values()) == 8


def test_several_folders_become_one_dataset(make: Make, tmp_path: Path) -> None:
    for name in ("claims/north", "claims/south"):
        make(count=3, name=name)
    out = convert_to("semantic", tmp_path / "claims", tmp_path / "out", Options())
    convert_from("semantic", tmp_path / "out", tmp_path / "back")
    names = {str(row.extra["source_file_name"]) for row in Dataset.open(tmp_path / "back").rows}
    assert out.parts == {"train": 6} and names == {
        f"{side}/images/pair {i}.{'jpg' if i % 2 else 'png'}" for side in ("north", "south") for i in range(3)
    }


def test_a_dataset_cannot_grow_inside_itself(make: Make, tmp_path: Path) -> None:
    with pytest.raises(WetgenError, match="would become a part"):
        convert_to("coco", make(), tmp_path / "made" / "coco", Options())


@pytest.mark.parametrize(("name", "pattern"), [("webdataset", "train-*.tar"), ("parquet", "data/train-*.parquet")])
def test_shards_hold_no_more_than_they_may(name: str, pattern: str, make: Make, tmp_path: Path) -> None:
    source = make(count=8)
    convert_to(name, source, tmp_path / "out", Options(shard_bytes=1500))
    shards = sorted((tmp_path / "out").glob(pattern))
    assert len(shards) > 1
    if name == "webdataset":
        # Two blocks of zeros end an archive, which is filled up to 10,240 bytes.
        assert all(path.stat().st_size <= 1500 + 10_240 for path in shards)
    else:
        assert [path.name for path in shards] == [
            f"train-{i:05d}-of-{len(shards):05d}.parquet" for i in range(len(shards))
        ]
    convert_from(name, tmp_path / "out", tmp_path / "back")
    assert sorted(by_seed(Dataset.open(tmp_path / "back")), key=str) == list(range(8))


def test_small_regions_are_left_out_and_counted(make: Make, tmp_path: Path) -> None:
    out = convert_to("coco", make(count=3), tmp_path / "out", Options(min_area=2))
    # Four single pixels, and two in the corners of which one may touch the patch at the edge.
    assert out.lost["regions below --min-area left out"] >= 3 * 5
    areas = [
        a["area"] for a in json.loads((tmp_path / "out/annotations/instances_train.json").read_text())["annotations"]
    ]
    assert min(areas) >= 2


@pytest.mark.parametrize("kind", ["EXIF", "CMYK", "alpha", "palette", "key colour", "16-bit", "animated"])
def test_pictures_that_readers_see_differently_become_plain_pngs(kind: str, make: Make, tmp_path: Path) -> None:
    source = make(count=1)
    path = next((source / "images").iterdir())
    upright = np.asarray(Image.open(path).convert("RGB"))
    if kind == "EXIF":
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(np.rot90(upright)).save(path, "JPEG", exif=exif, quality=100, subsampling=0)
    elif kind == "CMYK":
        Image.fromarray(upright).convert("CMYK").save(path, "JPEG", quality=100)
    elif kind == "alpha":
        Image.fromarray(np.dstack([upright, np.full(upright.shape[:2], 90, np.uint8)])).save(path, "PNG")
    elif kind == "palette":
        Image.fromarray(upright).quantize(60).save(path, "PNG", transparency=3)
    elif kind == "key colour":
        Image.fromarray(upright).save(path, "PNG", transparency=(0, 0, 0))
    elif kind == "16-bit":
        path.write_bytes(deep_png(upright))
    else:
        Image.fromarray(upright).save(path, "PNG", save_all=True, append_images=[Image.fromarray(upright[::-1])])
    dataset = Dataset.open(source)
    seen = dataset.load(dataset.rows[0])[0]
    convert_to("semantic", source, tmp_path / "out", Options())
    (copy,) = (tmp_path / "out" / "images" / "training").iterdir()
    with Image.open(copy) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB") and not picture.getexif() and picture.n_frames == 1
        np.testing.assert_array_equal(np.asarray(picture), seen)
        assert "transparency" not in picture.info and copy.read_bytes()[24] == 8  # bits a channel


def deep_png(pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> bytes:
    """A PNG of 16 bits per channel, which Pillow reads and does not write."""
    import struct
    import zlib

    height, width = pixels.shape[:2]
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels.reshape(height, -1) * np.uint16(257))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    )
    data = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + data
