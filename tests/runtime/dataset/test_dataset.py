"""The dataset folder: what is read back, every fault by name and line, and what a killed writer leaves."""

import errno
import json
import os
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from wetgen.runtime import files
from wetgen.runtime.dataset import writer as writing
from wetgen.runtime.dataset.reader import Dataset, check
from wetgen.runtime.dataset.writer import DatasetWriter
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import TEMPORARY
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.masks.images import MAX_PIXELS, Pixels, encode_png, read_mask
from wetgen.training.scenes.scene import CLASSES

H, W = 64, 96  # not square, so that a swap of width and height shows


def picture(seed: int = 0, height: int = H, width: int = W) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def labels(seed: int = 0, height: int = H, width: int = W) -> Pixels:
    return np.random.default_rng(seed).integers(0, len(CLASSES), (height, width), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pairs: a, b, c."""
    made = tmp_path / "made"
    writer = DatasetWriter(made, CLASSES)
    for seed, name in enumerate("abc"):
        writer.add(name, picture(seed), labels(seed), {"text": f"stain {name}", "seed": seed})
    return made


def table(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").split("\n") if line]


def rewrite(folder: Path, rows: list[Any]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metadata.jsonl").write_text(text, encoding="utf-8")


def change(folder: Path, line: int, **keys: object) -> None:
    rows = table(folder)
    rows[line - 1].update(keys)
    rewrite(folder, rows)


def only_fault(folder: Path) -> str:
    """The one fault of a folder: found by check, and raised alike by opening and loading."""
    report = check(folder)
    assert len(report.faults) == 1, report.faults
    assert not report.ok
    with pytest.raises(WetgenError) as caught:
        opened = Dataset.open(folder)
        for row in opened.rows:
            opened.load(row)
    assert str(caught.value) == str(report.faults[0])
    fault = report.faults[0]
    assert fault.what and fault.why and fault.fix
    return str(fault)


def place(folder: Path, line: int) -> str:
    return f"{folder / 'metadata.jsonl'}, line {line}: "


# What is read


def test_a_written_pair_is_read_back(folder: Path) -> None:
    opened = Dataset.open(folder)
    assert (len(opened), opened.classes, opened.folder) == (3, CLASSES, folder)
    row = opened.rows[1]
    assert (row.line, row.file_name, row.mask_file_name) == (2, "images/b.png", "masks/b.png")
    assert (row.text, row.scene, row.extra) == ("stain b", "b", {"seed": 1})
    image, mask = opened.load(row)
    assert image.dtype == mask.dtype == np.uint8
    assert image.shape == (H, W, 3) and mask.shape == (H, W)
    np.testing.assert_array_equal(image, picture(1))
    np.testing.assert_array_equal(mask, labels(1))
    assert image.flags.writeable and mask.flags.writeable  # torch.from_numpy warns about others
    assert check(folder).ok
    assert len({hash(row) for row in opened.rows}) == 3


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Pixels, Pixels, str]:
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    image = draw(arrays(np.uint8, (height, width, 3)))
    mask = draw(arrays(np.uint8, (height, width), elements=st.integers(0, len(CLASSES) - 1)))
    text = draw(st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip))
    return image, mask, text


@settings(max_examples=40, deadline=None)
@given(made=st.lists(pairs(), min_size=1, max_size=3))
def test_whatever_is_written_is_read_back(made: list[tuple[Pixels, Pixels, str]]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "set"
        writer = DatasetWriter(folder, CLASSES)
        for index, (image, mask, text) in enumerate(made):
            writer.add(f"{index:06}", image, mask, {"text": text})
        opened = Dataset.open(folder)
        assert [row.text for row in opened.rows] == [text for _, _, text in made]
        for row, (image, mask, _) in zip(opened.rows, made, strict=True):
            loaded_image, loaded_mask = opened.load(row)
            np.testing.assert_array_equal(loaded_image, image)
            np.testing.assert_array_equal(loaded_mask, mask)


@pytest.mark.parametrize("height, width", [(1, 37), (37, 1), (1, 1)])
def test_the_thinnest_pictures_are_read_back(tmp_path: Path, height: int, width: int) -> None:
    image, mask = picture(0, height, width), labels(0, height, width)
    DatasetWriter(tmp_path / "set", CLASSES).add("a", image, mask, {"text": "x"})
    opened = Dataset.open(tmp_path / "set")
    loaded_image, loaded_mask = opened.load(opened.rows[0])
    np.testing.assert_array_equal(loaded_image, image)
    np.testing.assert_array_equal(loaded_mask, mask)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
def test_images_of_other_modes_become_rgb(folder: Path, mode: str) -> None:
    name = "b.jpg" if mode == "CMYK" else "b.png"
    grey = Image.fromarray(np.full((H, W), 255, np.uint8)).convert("RGB").convert(mode)
    grey.save(folder / "images" / name)
    change(folder, 2, file_name=f"images/{name}")
    opened = Dataset.open(folder)
    image, _ = opened.load(opened.rows[1])
    assert image.shape == (H, W, 3) and image.dtype == np.uint8
    np.testing.assert_array_equal(image, np.full((H, W, 3), 255, np.uint8))


def test_a_palette_with_alpha_becomes_rgb_without_a_warning(folder: Path) -> None:
    indexed = Image.fromarray(np.ones((H, W), np.uint8)).convert("P")
    indexed.putpalette([0, 0, 0, 10, 20, 30])
    indexed.save(folder / "images/b.png", transparency=b"\x00\x80")
    opened = Dataset.open(folder)
    image, _ = opened.load(opened.rows[1])
    assert (image == (10, 20, 30)).all()


def test_an_image_is_turned_upright_by_its_exif_orientation(folder: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # to be turned a quarter clockwise
    sideways = np.rot90(picture(1), 1)
    Image.fromarray(sideways).save(folder / "images/b.png", exif=exif)
    opened = Dataset.open(folder)
    image, _ = opened.load(opened.rows[1])
    np.testing.assert_array_equal(image, picture(1))


def test_a_scene_may_be_stated(folder: Path) -> None:
    change(folder, 1, scene="kitchen")
    assert [row.scene for row in Dataset.open(folder).rows] == ["kitchen", "b", "c"]


def test_line_ends_of_windows_a_byte_order_mark_and_blank_lines_are_read(folder: Path) -> None:
    metadata = folder / "metadata.jsonl"
    metadata.write_bytes(b"\xef\xbb\xbf" + metadata.read_bytes().replace(b"\n", b"\r\n\r\n"))
    assert [row.line for row in Dataset.open(folder).rows] == [1, 3, 5]


def test_other_line_separators_belong_to_the_caption(tmp_path: Path) -> None:
    text = "a\u2028b\x85c\x0bd\re"
    DatasetWriter(tmp_path / "set", CLASSES).add("a", picture(), labels(), {"text": text})
    raw = json.dumps({"file_name": "images/a.png", "mask_file_name": "masks/a.png", "text": text}, ensure_ascii=False)
    assert Dataset.open(tmp_path / "set").rows[0].text == text
    (tmp_path / "set/metadata.jsonl").write_bytes(raw.encode())
    assert Dataset.open(tmp_path / "set").rows[0].text == text


def test_the_class_table_may_stand_in_the_parent(folder: Path) -> None:
    (folder / "classes.json").rename(folder.parent / "classes.json")
    assert Dataset.open(folder).classes == CLASSES
    (folder.parent / "classes.json").unlink()
    assert f"{folder / 'classes.json'} is missing" in only_fault(folder)


def test_open_many_takes_the_folder_or_those_inside_it(folder: Path) -> None:
    assert [opened.folder for opened in Dataset.open_many(folder)] == [folder]
    DatasetWriter(folder.parent / "also", CLASSES).add("x", picture(), labels(), {"text": "x"})
    (folder.parent / "neither").mkdir()
    assert [opened.folder.name for opened in Dataset.open_many(folder.parent)] == ["also", "made"]


def test_open_many_wants_one_class_table(folder: Path) -> None:
    other = ClassTable(("background", "damp"))
    DatasetWriter(folder.parent / "other", other).add("x", picture(), labels() % 2, {"text": "x"})
    with pytest.raises(WetgenError, match="different class tables") as caught:
        Dataset.open_many(folder.parent)
    assert str(folder) in str(caught.value) and str(folder.parent / "other") in str(caught.value)
    assert "damp" in str(caught.value)


def test_a_folder_without_datasets_is_said(tmp_path: Path) -> None:
    with pytest.raises(WetgenError, match=r"has no metadata\.jsonl"):
        Dataset.open_many(tmp_path)
    with pytest.raises(WetgenError, match="no such folder"):
        Dataset.open(tmp_path / "no")
    with pytest.raises(WetgenError, match="could not be read"):
        Dataset.open_many(tmp_path / "no")


# Faults of pixels


def test_a_mask_of_another_size(folder: Path) -> None:
    (folder / "masks/b.png").write_bytes(encode_png(labels(0, 32, 48)))
    fault = only_fault(folder)
    assert fault.startswith(place(folder, 2) + "masks/b.png is 48 x 32, its image images/b.png is 96 x 64.")


def test_a_mask_with_width_and_height_swapped(folder: Path) -> None:
    (folder / "masks/b.png").write_bytes(encode_png(labels(0, W, H)))
    fault = only_fault(folder)
    assert "masks/b.png is 64 x 96, its image images/b.png is 96 x 64." in fault and "swapped" in fault


def test_255_is_a_fault_unless_its_row_says_that_it_marks_pixels_to_leave_out(folder: Path) -> None:
    mask = labels(2)
    mask[3, 4:9] = 255
    (folder / "masks/c.png").write_bytes(encode_png(mask))
    said = only_fault(folder)
    assert said.startswith(f"{place(folder, 3)}masks/c.png has class ids that the class table lacks: 255 (5 pixels).")
    assert 'its row must say "ignore_id": 255' in said
    change(folder, 2, ignore_id=255)  # another row's word does not count
    assert "lacks: 255" in only_fault(folder)
    change(folder, 3, ignore_id=255)
    assert check(folder).ok
    opened = Dataset.open(folder)
    np.testing.assert_array_equal(opened.load(opened.rows[2])[1], mask)
    mask[0, 0] = 254
    (folder / "masks/c.png").write_bytes(encode_png(mask))
    assert "lacks: 254 (1 pixels)" in only_fault(folder)


@pytest.mark.parametrize("stated", [0, 254, "255", None, True, [255]])
def test_another_id_to_ignore_is_refused(folder: Path, stated: object) -> None:
    change(folder, 2, ignore_id=stated)
    assert only_fault(folder).startswith(f"{place(folder, 2)}ignore_id is {stated!r}.")


def test_a_writer_takes_255_only_with_a_row_that_says_so(folder: Path) -> None:
    mask = labels(3)
    mask[3, 4:9] = 255
    writer = DatasetWriter(folder, CLASSES)
    with pytest.raises(WetgenError, match=r"The new mask d has class ids that the class table lacks: 255"):
        writer.add("d", picture(3), mask, {"text": "x"})
    with pytest.raises(WetgenError, match=r"new row d: ignore_id is 0"):
        writer.add("d", picture(3), mask, {"text": "x", "ignore_id": 0})
    assert check(folder).ok and len(check(folder).rows) == 3
    writer.add("d", picture(3), mask, {"text": "x", "ignore_id": 255})
    opened = Dataset.open(folder)
    np.testing.assert_array_equal(opened.load(opened.rows[3])[1], mask)
    mask[0, 0] = 254
    with pytest.raises(WetgenError, match=r"lacks: 254 \(1 pixels\)"):
        writer.add("e", picture(3), mask, {"text": "x", "ignore_id": 255})


def test_a_mask_with_unknown_ids(folder: Path) -> None:
    mask = np.zeros((H, W), np.uint8)
    mask[0, :3], mask[1, 0] = 12, 200
    (folder / "masks/c.png").write_bytes(encode_png(mask))
    fault = only_fault(folder)
    assert fault.startswith(place(folder, 3) + "masks/c.png has class ids that the class table lacks: ")
    assert "12 (3 pixels), 200 (1 pixels)" in fault and "binary" not in fault


def test_the_first_id_behind_the_table_is_unknown_and_the_last_in_it_is_not(folder: Path) -> None:
    (folder / "masks/c.png").write_bytes(encode_png(np.full((H, W), len(CLASSES) - 1, np.uint8)))
    assert check(folder).ok
    (folder / "masks/c.png").write_bytes(encode_png(np.full((H, W), len(CLASSES), np.uint8)))
    assert "lacks: 10 (6,144 pixels)" in only_fault(folder)


def test_a_binary_mask_gets_a_hint(folder: Path) -> None:
    (folder / "masks/c.png").write_bytes(encode_png(np.where(labels() > 4, 255, 0).astype(np.uint8)))
    assert "binary mask of 0 and 255" in only_fault(folder)


def grey_png(depth: int, height: int = H, width: int = W) -> bytes:
    """A black grey PNG of 1, 2, 4 or 16 bits, written by hand: Pillow writes not all of them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + b"\0" * -(-width * depth // 8)
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(row * height))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("depth", [1, 2, 4, 16])
def test_a_mask_of_another_bit_depth(folder: Path, depth: int) -> None:
    (folder / "masks/b.png").write_bytes(grey_png(depth))
    assert only_fault(folder).startswith(place(folder, 2) + f"masks/b.png is a {depth}-bit mask.")


@pytest.mark.parametrize("mode, kind", [("RGB", "RGB"), ("P", "palette"), ("RGBA", "RGBA"), ("LA", "grey with alpha")])
def test_a_mask_of_another_colour_type(folder: Path, mode: str, kind: str) -> None:
    Image.fromarray(labels()).convert(mode).save(folder / "masks/b.png")
    assert only_fault(folder).startswith(place(folder, 2) + f"masks/b.png is a {kind} picture.")


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "BMP"])
def test_a_mask_that_is_no_png_whatever_its_name_says(folder: Path, file_format: str) -> None:
    Image.fromarray(labels()).save(folder / "masks/b.png", file_format)
    fault = only_fault(folder)
    assert fault.startswith(place(folder, 2) + "masks/b.png is ")
    assert ("not a PNG file" in fault) == (file_format == "BMP")
    assert ("must be lossless" in fault) == (file_format != "BMP")


def test_an_image_of_more_than_8_bits(folder: Path) -> None:
    (folder / "images/a.png").write_bytes(grey_png(16))
    assert only_fault(folder).startswith(place(folder, 1) + "images/a.png has more than 8 bits per pixel")


@pytest.mark.parametrize("name", ["images/b.png", "masks/b.png"])
@pytest.mark.parametrize("keep", [0, 4, 20, 40, 0.5, 0.97])
def test_a_truncated_picture(folder: Path, name: str, keep: float) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    assert only_fault(folder).startswith(place(folder, 2) + name)


def test_a_truncated_photograph(folder: Path) -> None:
    Image.fromarray(picture()).save(folder / "images/b.jpg")
    data = (folder / "images/b.jpg").read_bytes()
    (folder / "images/b.jpg").write_bytes(data[: len(data) // 2])
    change(folder, 2, file_name="images/b.jpg")
    assert only_fault(folder).startswith(place(folder, 2) + "images/b.jpg cannot be decoded.")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_never_passes_as_another_mask(data: st.DataObject) -> None:
    mask = np.kron(labels(1, 8, 8), np.ones((8, 8), np.uint8))
    encoded = bytearray(encode_png(mask))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= 1 << data.draw(st.integers(0, 7))
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "mask.png"
        path.write_bytes(encoded)
        try:
            read = read_mask(path)
        except WetgenError as fault:
            assert str(path) in fault.what
        else:
            np.testing.assert_array_equal(read, mask)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("width", [MAX_PIXELS // H + 1, 3 * MAX_PIXELS // H])
@pytest.mark.parametrize("name", ["images/b.png", "masks/b.png"])
def test_a_decompression_bomb(folder: Path, name: str, width: int) -> None:
    bomb = grey_png(8)
    header = bomb[12:16] + struct.pack(">II", width, H) + bomb[24:29]
    (folder / name).write_bytes(bomb[:12] + header + struct.pack(">I", zlib.crc32(header)) + bomb[33:])
    assert only_fault(folder).startswith(place(folder, 2) + f"{name} is too large a picture")


def test_a_file_of_another_kind(folder: Path) -> None:
    (folder / "images/a.png").write_bytes(b"\x00\x00\x00\x18ftypheic and so on")
    assert "images/a.png is not a PNG or JPEG picture" in only_fault(folder)


# Faults of files


@pytest.mark.parametrize("name", ["images/b.png", "masks/b.png"])
def test_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert only_fault(folder).startswith(place(folder, 2) + f"the file {name} is missing.")


def test_a_folder_in_place_of_a_file(folder: Path) -> None:
    change(folder, 2, file_name="images")
    assert only_fault(folder).startswith(place(folder, 2) + "images is not a file.")


@pytest.mark.parametrize("key", ["file_name", "mask_file_name"])
@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../b.png", "images/../../b.png", "C:\\b.png", "..\\b.png", "\\b", "a\0"]
)
def test_a_path_that_leaves_the_folder(folder: Path, key: str, path: str) -> None:
    change(folder, 2, **{key: path})
    fault = only_fault(folder)
    assert fault.startswith(place(folder, 2) + "the path ") and "leaves the dataset folder" in fault


@pytest.mark.parametrize("linked", ["images/b.png", "masks"])
def test_a_link_that_leaves_the_folder(folder: Path, linked: str) -> None:
    outside = folder.parent / "outside"
    (folder / linked).rename(outside)
    (folder / linked).symlink_to(outside)
    faults = [str(fault) for fault in check(folder).faults]
    assert all("leaves the dataset folder" in fault for fault in faults)
    assert len(faults) == (3 if linked == "masks" else 1)
    with pytest.raises(WetgenError, match="leaves the dataset folder"):
        Dataset.open(folder)


def test_a_link_inside_the_folder_is_fine_and_a_circle_is_not(folder: Path) -> None:
    (folder / "images/b.png").unlink()
    (folder / "images/b.png").symlink_to("a.png")
    assert check(folder).ok
    (folder / "images/b.png").unlink()
    (folder / "images/b.png").symlink_to("b.png")
    assert only_fault(folder).startswith(place(folder, 2) + "the file images/b.png is missing.")


# Faults of the table


@pytest.mark.parametrize("key", ["file_name", "mask_file_name", "text"])
def test_a_missing_key(folder: Path, key: str) -> None:
    rows = table(folder)
    del rows[1][key]
    rewrite(folder, rows)
    assert only_fault(folder).startswith(place(folder, 2) + f"the key {key} is missing.")


@pytest.mark.parametrize("key", ["file_name", "mask_file_name", "text", "scene"])
@pytest.mark.parametrize("value, words", [(3, "type int"), (None, "NoneType"), (["a"], "list"), (" ", "is empty")])
def test_a_key_of_the_wrong_type_or_empty(folder: Path, key: str, value: object, words: str) -> None:
    change(folder, 2, **{key: value})
    fault = only_fault(folder)
    assert fault.startswith(place(folder, 2) + key) and words in fault


def test_a_caption_that_is_not_unicode(folder: Path) -> None:
    change(folder, 3, text="half \ud800")
    assert only_fault(folder).startswith(place(folder, 3) + "text is not valid Unicode.")


@pytest.mark.parametrize(
    "line, words",
    [
        ('{"file_name": }', "this is not JSON"),
        ('{"text": NaN}', "NaN is not JSON"),
        ('{"text": "a", "text": "b"}', "the key text occurs twice"),
        ("[" * 100_000, "this is not JSON"),
        ("[1]", "this is not a JSON object"),
    ],
)
def test_a_line_that_is_no_json_object(folder: Path, line: str, words: str) -> None:
    lines = (folder / "metadata.jsonl").read_text().split("\n")
    lines[1] = line
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    fault = only_fault(folder)
    assert fault.startswith(place(folder, 2)) and words in fault
    assert [row.line for row in check(folder).rows] == [1, 3]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_bytes_that_are_not_utf_8_are_said_by_offset_and_line(folder: Path, mark: bytes) -> None:
    data = mark + (folder / "metadata.jsonl").read_bytes().replace(b"stain b", b"st\xe4in b")
    (folder / "metadata.jsonl").write_bytes(data)
    offset = data.index(b"\xe4")
    assert only_fault(folder).startswith(place(folder, 2) + f"byte {offset} of the file is not UTF-8.")


def test_utf_16_is_recognised(folder: Path) -> None:
    text = (folder / "metadata.jsonl").read_text()
    (folder / "metadata.jsonl").write_bytes(text.encode("utf-16"))
    assert "UTF-16" in only_fault(folder)


@pytest.mark.parametrize("content", [b"", b"\n\r\n", b"\xef\xbb\xbf\n"])
def test_an_empty_dataset(folder: Path, content: bytes) -> None:
    (folder / "metadata.jsonl").write_bytes(content)
    assert only_fault(folder).startswith(f"{folder / 'metadata.jsonl'} has no rows.")


def test_a_missing_table(folder: Path) -> None:
    (folder / "metadata.jsonl").unlink()
    assert only_fault(folder).startswith(f"{folder / 'metadata.jsonl'} could not be read.")


@pytest.mark.parametrize("content", [b"[", b"[]", b'{"0": "background", "2": "x"}', b"\xff", b'{"0": "only"}'])
def test_an_unusable_class_table(folder: Path, content: bytes) -> None:
    (folder / "classes.json").write_bytes(content)
    only_fault(folder)


@pytest.mark.parametrize("key", ["file_name", "mask_file_name"])
@pytest.mark.parametrize("dot", ["", "./"])
def test_a_file_named_by_two_rows(folder: Path, key: str, dot: str) -> None:
    name = table(folder)[0][key]
    change(folder, 3, **{key: dot + name})
    fault = only_fault(folder)
    assert fault.startswith(place(folder, 3) + f"{dot}{name} is named twice.") and "line 1 names it" in fault


def test_an_image_named_as_a_mask(folder: Path) -> None:
    change(folder, 2, mask_file_name="images/b.png")
    assert only_fault(folder).startswith(place(folder, 2) + "images/b.png is named twice.")


def test_check_finds_every_fault_at_once(folder: Path) -> None:
    (folder / "images/a.png").write_bytes(b"")
    (folder / "masks/a.png").unlink()
    (folder / "masks/b.png").write_bytes(encode_png(np.full((8, 8), 77, np.uint8)))
    change(folder, 3, text="", scene=1)
    whats = [fault.what for fault in check(folder).faults]
    assert [what.split(": ")[0].rsplit(" ")[-1] for what in whats] == ["3", "3", "1", "1", "2", "2"]


def test_names_that_a_terminal_would_obey_are_escaped(folder: Path) -> None:
    change(folder, 2, file_name="images/\x1b[31m.png")
    assert "\x1b" not in only_fault(folder)


# The writer


def test_the_last_line_cut_off_at_every_byte(folder: Path) -> None:
    """A killed writer leaves a prefix of the last line: the reader says so, and a new writer drops it and goes on."""
    metadata = folder / "metadata.jsonl"
    whole = metadata.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    for end in range(last, len(whole) + 1):
        metadata.write_bytes(whole[:end])
        cut = last < end < len(whole) - 1  # without its line end, the line is still whole
        if cut:
            with pytest.raises(WetgenError, match="line 3: the last line is cut off"):
                Dataset.open(folder)
        else:
            assert len(Dataset.open(folder)) == (2 if end == last else 3)
        writer = DatasetWriter(folder, CLASSES)
        assert [name for name, _ in writer.rows()] == (["a", "b"] if cut or end == last else ["a", "b", "c"])
        if "c" not in dict(writer.rows()):
            writer.add("c", picture(2), labels(2), {"text": "stain c", "seed": 2})
        assert metadata.read_bytes() == whole


def test_a_line_cut_inside_a_character_is_cut_off(folder: Path) -> None:
    with (folder / "metadata.jsonl").open("ab") as file:
        file.write('{"text": "ä'.encode()[:-1])
    assert "line 4: the last line is cut off" in only_fault(folder)
    assert len(dict(DatasetWriter(folder, CLASSES).rows())) == 3
    assert check(folder).ok


def test_a_corrupt_line_is_no_cut_and_stops_the_writer_too(folder: Path) -> None:
    metadata = folder / "metadata.jsonl"
    data = metadata.read_bytes().replace(b'{"file_name": "images/b', b"x")
    metadata.write_bytes(data)
    assert "line 2: this is not JSON" in only_fault(folder)
    with pytest.raises(WetgenError, match="line 2: this is not JSON"):
        DatasetWriter(folder, CLASSES)
    assert metadata.read_bytes() == data


@pytest.mark.parametrize("at", range(6))
def test_a_writer_killed_between_any_two_steps_leaves_a_readable_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Steps: write and rename the mask, write and rename the image, append the row (half of it, all of it)."""

    class Killed(BaseException):
        pass

    steps = iter(range(6))

    def killing(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            if next(steps) == at:
                raise Killed
            return call(*args)

        return run

    def append(path: Path, line: bytes, size: int) -> int:
        with path.open("ab") as file:
            for half in (line[:20], line[20:]):
                killing(file.write)(half)
                file.flush()
        return size + len(line)

    writer = DatasetWriter(folder, CLASSES)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(os, "unlink", lambda path: None)  # a killed process cleans nothing up
        patch.setattr(os, "replace", killing(os.replace))
        patch.setattr(files, "write_all", killing(files.write_all))
        patch.setattr(writing, "append", append)
        writer.add("d", picture(3), labels(3), {"text": "stain d"})
    if at != 5:
        assert check(folder).ok and len(check(folder).rows) == 3
    resumed = DatasetWriter(folder, CLASSES)
    assert [name for name, _ in resumed.rows()] == ["a", "b", "c"]
    resumed.add("d", picture(3), labels(3), {"text": "stain d"})
    opened = Dataset.open(folder)
    np.testing.assert_array_equal(opened.load(opened.rows[3])[1], labels(3))
    assert not list(folder.rglob(f"*{TEMPORARY}"))
    assert sorted(os.listdir(folder / "masks")) == ["a.png", "b.png", "c.png", "d.png"]


def test_a_process_killed_while_it_writes_leaves_a_folder_to_resume(tmp_path: Path) -> None:
    code = (
        "import itertools, sys, pathlib, numpy as np\n"
        "from wetgen.training.scenes.scene import CLASSES\n"
        "from wetgen.runtime.dataset.writer import DatasetWriter\n"
        "writer = DatasetWriter(pathlib.Path(sys.argv[1]), CLASSES)\n"
        "for index in itertools.count():\n"
        "    pixels = np.zeros((64, 96, 3), np.uint8)\n"
        "    writer.add(f'{index:06}', pixels, pixels[..., 0], {'text': 'x'})\n"
        "    print(index, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(20):
            process.stdout.readline()
        process.kill()
    written = dict(DatasetWriter(tmp_path, CLASSES).rows())
    assert len(written) >= 20
    assert check(tmp_path).ok and len(Dataset.open(tmp_path)) == len(written)


def test_a_new_writer_removes_unfinished_files(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    for place in (folder, folder / "images", folder / "masks"):
        (place / f".x.png.1-2{TEMPORARY}").write_bytes(b"half")
    DatasetWriter(folder, CLASSES)
    assert sorted(folder.rglob("*")) == before


def test_existing_rows_are_given_back_with_their_keys(folder: Path) -> None:
    assert dict(DatasetWriter(folder, CLASSES).rows())["b"] == {
        "file_name": "images/b.png",
        "mask_file_name": "masks/b.png",
        "text": "stain b",
        "seed": 1,
    }


@pytest.mark.parametrize("loss", ["missing", "empty"])
def test_a_row_whose_file_is_lost_is_written_again_in_one_line(folder: Path, loss: str) -> None:
    if loss == "missing":
        (folder / "masks/b.png").unlink()
    else:
        (folder / "masks/b.png").write_bytes(b"")
    writer = DatasetWriter(folder, CLASSES)
    assert [name for name, _ in writer.rows()] == ["a", "c"]
    writer.add("b", picture(9), labels(9), {"text": "again"})
    writer.add("d", picture(3), labels(3), {"text": "stain d"})
    assert [row["text"] for row in table(folder)] == ["stain a", "stain c", "again", "stain d"]
    assert check(folder).ok


def test_rows_of_lost_files_go_all_at_once(folder: Path) -> None:
    """A lost shard or folder has thousands: rewriting the table for each would take as long as making them."""
    rows = table(folder)
    for name in ("a", "c"):
        (folder / f"images/{name}.png").unlink()
    writer = DatasetWriter(folder, CLASSES)
    assert table(folder) == rows  # nothing is lost by looking
    writer.add("c", picture(2), labels(2), {"text": "again"})
    assert [row["text"] for row in table(folder)] == ["stain b", "again"]
    writer.add("a", picture(0), labels(0), {"text": "and again"})
    assert [row["text"] for row in table(folder)] == ["stain b", "again", "and again"]
    assert check(folder).ok and not list(folder.glob(".*"))


def test_images_without_masks(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    DatasetWriter(folder, None).add("a", picture(), None, {"text": "x"})
    writer = DatasetWriter(folder, None)
    writer.add("b", picture(), None, {"text": "y"})
    assert table(folder)[0] == {"file_name": "images/a.png", "text": "x"}
    assert sorted(os.listdir(folder)) == ["images", "metadata.jsonl"]
    with pytest.raises(WetgenError, match="mask_file_name is missing"):
        DatasetWriter(folder, CLASSES)
    assert not (folder / "classes.json").exists()


def test_another_class_table_is_refused(folder: Path) -> None:
    for other in (ClassTable(("background", "damp")), None):
        with pytest.raises(WetgenError, match="pairs of another class table"):
            DatasetWriter(folder, other)


def test_what_the_reader_would_refuse_is_not_written(folder: Path) -> None:
    writer = DatasetWriter(folder, CLASSES)
    before = sorted(folder.rglob("*"))
    with pytest.raises(WetgenError, match=r"new mask d has class ids .* 99 \(6,144 pixels\)"):
        writer.add("d", picture(), np.full((H, W), 99, np.uint8), {"text": "x"})
    with pytest.raises(WetgenError, match="new row d: text is empty"):
        writer.add("d", picture(), labels(), {"text": ""})
    with pytest.raises(WetgenError, match="new row d: the key text is missing"):
        writer.add("d", picture(), labels(), {})
    for value in (float("nan"), object()):
        with pytest.raises((ValueError, TypeError)):
            writer.add("d", picture(), labels(), {"text": "x", "score": value})
    assert sorted(folder.rglob("*")) == before and len(table(folder)) == 3


@pytest.mark.parametrize("name", ["a", "", ".d", "../d", "d/e", "d\\e", "d\n", "C:d", "x" * 201])
def test_a_name_that_cannot_be_used_is_a_bug(folder: Path, name: str) -> None:
    with pytest.raises(ValueError):
        DatasetWriter(folder, CLASSES).add(name, picture(), labels(), {"text": "x"})


@pytest.mark.parametrize(
    "image, mask",
    [
        (picture(), labels(0, W, H)),
        (picture(), labels().astype(np.int64)),
        (picture(), None),
        (picture().astype(np.float32), labels()),
        (labels(), labels()),
        (np.zeros((H, W, 4), np.uint8), labels()),
    ],
)
def test_pixels_of_the_wrong_shape_or_dtype_are_a_bug(folder: Path, image: Any, mask: Any) -> None:
    with pytest.raises(ValueError, match=r"uint8|class table"):
        DatasetWriter(folder, CLASSES).add("d", image, mask, {"text": "x"})
    assert check(folder).ok


def test_a_full_disk_while_a_picture_is_written_leaves_the_folder_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = DatasetWriter(folder, CLASSES)
    before = sorted(folder.rglob("*"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(WetgenError, match="disk is full"):
        patch.setattr(os, "replace", full)
        writer.add("d", picture(), labels(), {"text": "x"})
    assert sorted(folder.rglob("*")) == before
    writer.add("d", picture(), labels(), {"text": "x"})
    assert check(folder).ok


def test_a_row_that_does_not_fit_on_the_disk_is_taken_back(folder: Path) -> None:
    """A limit on file size cuts a write short as a full disk does."""
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    metadata = folder / "metadata.jsonl"
    whole = metadata.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, hard))
        with pytest.raises(WetgenError, match=r"metadata\.jsonl could not be written"):
            writing.append(metadata, b"x" * 100, len(whole))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert metadata.read_bytes() == whole


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_table_on_a_full_device(folder: Path) -> None:
    writer = DatasetWriter(folder, CLASSES)
    writer._metadata.path, writer._metadata._size = Path("/dev/full"), 0
    with pytest.raises(WetgenError, match=r"/dev/full could not be written\.\n  why: the disk is full"):
        writer.add("d", picture(), labels(), {"text": "x"})
    assert "d" not in writer.names


def test_two_writers_of_one_folder_are_noticed(folder: Path) -> None:
    one, two = DatasetWriter(folder, CLASSES), DatasetWriter(folder, CLASSES)
    one.add("d", picture(), labels(), {"text": "x"})
    with pytest.raises(WetgenError, match="another program writes the same folder"):
        two.add("e", picture(), labels(), {"text": "x"})
    assert check(folder).ok


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "set"):
        with pytest.raises(WetgenError, match="could not be created"):
            DatasetWriter(folder, CLASSES)
