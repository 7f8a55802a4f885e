"""How a picture was made, in its PNG file: written of synthetic pairs alone, and read back without their rows."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from wetgen.runtime.dataset.convert import convert_from, convert_to
from wetgen.runtime.dataset.formats.base import Options
from wetgen.runtime.dataset.reader import Dataset
from wetgen.runtime.dataset.shards import ShardWriter
from wetgen.runtime.dataset.writer import DatasetWriter
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.images import describe_picture, encode_png, png_text, read_image, read_mask, read_provenance
from wetgen.training.scenes.scene import CLASSES

H, W = 12, 20
SHA = "5e" * 32
ROW: dict[str, Any] = {
    "text": "Nässe an der Decke",
    "scene": "7-3",
    "seed": 2**62,
    "index": 3,
    "try": 0,
    "plan": "ddim:20",
    "guidance": 2.5,
    "negative": "",
    "bundle_sha256": SHA,
    "faults": [],
    "synthetic": True,
    "license": "generated",
}
STATED = {
    "synthetic": "true",
    "Software": "wetgen",
    "bundle_sha256": SHA,
    "prompt": "Nässe an der Decke",
    "seed": str(2**62),
    "index": "3",
    "try": "0",
    "plan": "ddim:20",
    "guidance": "2.5",
}
# What a terminal shows and what it does not, all of Unicode but halves of surrogate pairs and NUL.
PROMPTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)

image = np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)
mask = np.random.default_rng(1).integers(0, len(CLASSES), (H, W), np.uint8)
confidence = image[..., 0].copy()


def written(folder: Path, row: dict[str, Any]) -> list[Path]:
    """The image, the mask and the confidence of a pair in a new dataset folder."""
    DatasetWriter(folder, CLASSES, confidence=True).add("000003", image, mask, row, confidence)
    return [folder / kind / "000003.png" for kind in ("images", "masks", "confidence")]


def test_a_row_gives_the_texts_in_their_order() -> None:
    assert list(png_text(ROW).items()) == list(STATED.items())
    assert png_text({**ROW, "negative": "people"}) == {**STATED, "negative": "people"}
    assert png_text({"synthetic": True, "text": "a"}) == {"synthetic": "true", "Software": "wetgen", "prompt": "a"}


@pytest.mark.parametrize(
    "row", [{}, {**ROW, "synthetic": False}, {**ROW, "synthetic": "true"}, {**ROW, "synthetic": 1}]
)
def test_of_what_is_not_synthetic_nothing_is_said(row: dict[str, Any]) -> None:
    assert png_text(row) == {}


def test_all_files_of_a_synthetic_pair_say_how_they_were_made(tmp_path: Path) -> None:
    for path, pixels in zip(written(tmp_path / "set", ROW), (image, mask, confidence), strict=True):
        assert read_provenance(path) == STATED
        with Image.open(path) as picture:
            assert picture.text == STATED
            np.testing.assert_array_equal(np.asarray(picture), pixels)
    dataset = Dataset.open(tmp_path / "set")
    for read, pixels in zip(dataset.load(dataset.rows[0]), (image, mask), strict=True):
        np.testing.assert_array_equal(read, pixels)


def test_the_files_of_other_pairs_hold_no_text(tmp_path: Path) -> None:
    row = {key: value for key, value in ROW.items() if key != "synthetic"}
    for path in written(tmp_path / "set", row):
        with Image.open(path) as picture:
            assert picture.text == {}
        with pytest.raises(WetgenError, match="does not say how it was made"):
            read_provenance(path)
    assert (tmp_path / "set/images/000003.png").read_bytes() == encode_png(image)


@settings(max_examples=50)
@given(prompt=PROMPTS, negative=PROMPTS)
def test_pillow_reads_any_prompt_back(prompt: str, negative: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("one") / "a.png"
    path.write_bytes(encode_png(mask, png_text({**ROW, "text": prompt, "negative": negative})))
    expected = {**STATED, "prompt": prompt, "negative": negative}
    with Image.open(path) as picture:
        assert picture.text == expected
    assert read_provenance(path) == expected
    np.testing.assert_array_equal(read_mask(path), mask)
    np.testing.assert_array_equal(read_image(path), np.repeat(mask[..., None], 3, 2))


@pytest.mark.parametrize(("prompt", "why"), [("a\0b", "a NUL character"), ("a\ud800b", "half of a surrogate pair")])
def test_a_prompt_that_no_png_can_hold_is_said(prompt: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(WetgenError, match=f"(cannot be written into a picture|is not valid Unicode)(.|\n)*{why}"):
        written(tmp_path / "set", {**ROW, "text": prompt})
    assert not list((tmp_path / "set").rglob("*.png"))


def test_shards_hold_the_same_files(tmp_path: Path) -> None:
    loose = DatasetWriter(tmp_path / "loose", CLASSES, confidence=True)
    shards = ShardWriter(tmp_path / "shards", CLASSES, 5)
    prepared = loose.prepare("000003", image, mask, ROW, confidence)
    held = shards.prepare("000003", image, mask, ROW, confidence).pictures
    assert prepared.pictures.keys() == {"image", "mask", "confidence"}
    for kind, file in prepared.pictures.items():
        assert held[kind] == file and b"bundle_sha256" in file


def test_masks_keep_it_on_their_way_through_other_formats(tmp_path: Path) -> None:
    written(tmp_path / "set", ROW)
    for name in ("webdataset", "parquet", "semantic", "coco"):
        convert_to(name, tmp_path / "set", tmp_path / name, Options())
        convert_from(name, tmp_path / name, tmp_path / f"{name}-back")
        for kind in ("images", "masks"):
            back = tmp_path / f"{name}-back" / kind / "000003.png"
            assert back.read_bytes() == (tmp_path / "set" / kind / "000003.png").read_bytes()
    assert read_provenance(tmp_path / "semantic/annotations/training/000003.png") == STATED


def test_it_is_described_for_people(tmp_path: Path) -> None:
    path, *_ = written(tmp_path / "set", {**ROW, "negative": "a\x1b[31m"})
    assert describe_picture(path).split("\n") == [
        f"{path}: a synthetic picture of wetgen",
        f"  bundle_sha256  {SHA}",
        "  prompt         Nässe an der Decke",
        f"  seed           {2**62}",
        "  index          3",
        "  try            0",
        "  plan           ddim:20",
        "  guidance       2.5",
        r"  negative       'a\x1b[31m'",
    ]


# What other programs write, and what breaks on the way


def test_what_another_program_saved_again_is_read_too(tmp_path: Path) -> None:
    """Compressed, and with texts of its own."""
    path = tmp_path / "again.png"
    info = PngImagePlugin.PngInfo()
    for keyword, text in STATED.items():
        info.add_itxt(keyword, text, zip=True) if keyword == "prompt" else info.add_text(keyword, text, zip=True)
    info.add_text("Comment", "one")
    info.add_text("Comment", "another")
    Image.fromarray(image).save(path, "PNG", pnginfo=info)
    assert read_provenance(path) == STATED


@pytest.mark.parametrize("text", [{}, {"parameters": "a wall, seed 3"}, {"Software": "other", "synthetic": "true"}])
def test_pictures_of_others_do_not_say_it(text: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "other.png"
    path.write_bytes(encode_png(image, text))
    with pytest.raises(WetgenError, match=r"does not say how it was made(.|\n)*metadata\.jsonl"):
        read_provenance(path)


def test_a_file_that_is_no_png_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(image).save(path)
    with pytest.raises(WetgenError, match=r"a\.jpg is not a PNG file(.|\n)*begins with b'\\xff\\xd8"):
        read_provenance(path)
    path.write_bytes(b"")
    with pytest.raises(WetgenError, match="it is empty"):
        read_provenance(path)
    with pytest.raises(WetgenError, match="could not be read"):
        read_provenance(tmp_path / "missing.png")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_any_cut_and_any_flipped_bit_is_found(tmp_path: Path) -> None:
    """In all that says something: the last chunk, IEND, is 12 bytes without any."""
    whole, path = encode_png(mask, png_text(ROW)), tmp_path / "a.png"
    for end in range(8, len(whole) - 4):
        path.write_bytes(whole[:end])
        with pytest.raises(WetgenError, match=r"cannot be decoded(.|\n)*damaged or cut off"):
            read_provenance(path)
    for place in range(8, len(whole) - 12, 3):
        broken = bytearray(whole)
        broken[place] ^= 1 << place % 8
        path.write_bytes(broken)
        with pytest.raises(WetgenError, match="cannot be decoded"):
            read_provenance(path)


def test_a_text_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    whole, path = encode_png(mask, png_text(ROW)), tmp_path / "a.png"
    place = whole.index(b"IDAT") - 4
    path.write_bytes(whole[:place] + chunk(b"zTXt", b"seed\0\0" + zlib.compress(b"7" * 2**21)) + whole[place:])
    with pytest.raises(WetgenError, match="cannot be decoded"):
        read_provenance(path)


def test_the_same_said_twice_is_said_once(tmp_path: Path) -> None:
    whole, path = encode_png(mask, png_text(ROW)), tmp_path / "a.png"
    place = whole.index(b"IDAT") - 4
    path.write_bytes(whole[:place] + chunk(b"tEXt", b"index\x003") + whole[place:])
    assert read_provenance(path) == STATED


def test_rows_and_files_say_the_same(tmp_path: Path) -> None:
    path, *_ = written(tmp_path / "set", ROW)
    row = json.loads((tmp_path / "set/metadata.jsonl").read_text(encoding="utf-8"))
    found = read_provenance(path)
    assert (int(found["seed"]), int(found["index"]), float(found["guidance"])) == (
        row["seed"],
        row["index"],
        row["guidance"],
    )
    assert (found["prompt"], found["bundle_sha256"]) == (row["text"], row["bundle_sha256"])
