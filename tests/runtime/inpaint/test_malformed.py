"""Photographs, masks and tables that are odd or broken: each is painted right, or refused in plain words.

What is refused exits with 1, names the file, leaves nothing half-written, and keeps the pairs that came before.
"""

import io
import json
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageOps

from wetgen.runtime.cli import cli
from wetgen.runtime.dataset.reader import Dataset
from wetgen.runtime.masks.images import SIGNATURE, encode_mask, encode_png, read_image, read_mask
from wetgen.runtime.masks.regions import Box

BOX = "class,x,y,width,height\nstain,25%,25%,50%,50%\n"
SIZE = (48, 64)


@pytest.fixture
def folder(tmp_path, wall):
    """A folder of photographs with a sound one, a.png, before whatever a test adds, and boxes for all."""
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.png").write_bytes(encode_png(wall(1, *SIZE)))
    (tmp_path / "boxes.csv").write_text(BOX)
    return photos


@pytest.fixture
def paint(tmp_path, bundle_folder, on_the_double):
    """Run `wetgen paint` on the photographs with the canvas double; gives the exit code and what it said."""

    def call(*words):
        given = ["--photos", tmp_path / "photos", "--bundle", bundle_folder, "--out", tmp_path / "out", "--quiet"]
        given += words or ["--boxes", tmp_path / "boxes.csv"]
        result = CliRunner().invoke(cli, ["paint", "--threads", "1", *map(str, given)])
        assert "Traceback" not in result.output and result.exit_code in (0, 1), (result.output, result.exception)
        assert result.exit_code == 0 or result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.stderr

    return call


def pairs(out: Path) -> dict[str, tuple[np.ndarray, np.ndarray, dict]]:
    """Image, mask and row of every pair, by photograph."""
    found = {}
    for line in (out / "metadata.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        found[row["background"]["photo"]] = (
            read_image(out / row["file_name"]),
            read_mask(out / row["mask_file_name"]),
            row,
        )
    return found


def assert_refused(said: tuple[int, str], out: Path, *words: str, before: int | None = None) -> None:
    """Exit code 1, three lines with the words in them; `before` pairs are whole, and nothing else is there."""
    code, text = said
    lines = text.strip().splitlines()
    assert code == 1 and len(lines) == 3, text
    assert lines[0].startswith("Error: ") and lines[1].startswith("  why: ") and lines[2].startswith("  fix: "), text
    assert all(line.rstrip()[-1] in ".)" or "fix:" in line for line in lines), text
    for word in words:
        assert word in text, text
    if before is None:
        assert not out.exists()
        return
    assert len(Dataset.open(out).rows) == before if before else not list(out.rglob("0*.png"))
    assert len(list(out.rglob("0*.png"))) == 3 * before and not list(out.rglob(".*"))
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "failed" and record["counts"]["written"] == before


# Photographs that are painted


def jpeg(picture: Image.Image, **more) -> bytes:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=95, **more)
    return data.getvalue()


def png(picture: Image.Image, **more) -> bytes:
    data = io.BytesIO()
    picture.save(data, "PNG", **more)
    return data.getvalue()


def turned(picture: Image.Image) -> bytes:
    """A JPEG that lies on its side, and says so."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it clockwise by a quarter
    return jpeg(picture.transpose(Image.Transpose.ROTATE_90), exif=exif)


def see_through(picture: Image.Image) -> bytes:
    picture = picture.convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    return png(picture)


def animated(picture: Image.Image) -> bytes:
    return png(picture, save_all=True, append_images=[ImageOps.invert(picture)] * 2, duration=50)


def deep(picture: Image.Image) -> bytes:
    """A PNG of 16 bits a channel, which Pillow does not write."""
    rows = np.asarray(picture).astype(">u2") * 257
    return bare_png(*picture.size, 16, b"".join(b"\0" + row.tobytes() for row in rows))


def bare_png(width: int, height: int, depth: int, pixels: bytes) -> bytes:
    """An RGB PNG of any size and depth, whatever its pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


PAINTED = {
    "cmyk.jpg": lambda picture: jpeg(picture.convert("CMYK")),
    "grey.jpg": lambda picture: jpeg(picture.convert("L")),
    "progressive.JPEG": lambda picture: jpeg(picture, progressive=True),
    "turned.jpg": turned,
    "really a png.jpg": png,
    "animated.png": animated,
    "deep.png": deep,
    "see-through.png": see_through,
    "grey with alpha.png": lambda picture: png(picture.convert("LA")),
    "palette.png": lambda picture: png(picture.quantize(32)),
    "palette see-through.png": lambda picture: png(picture.quantize(32), transparency=bytes(range(32))),
    "one bit.png": lambda picture: png(picture.convert("1")),
    "grey.png": lambda picture: png(picture.convert("L")),
    "interlaced ümlaut.png": lambda picture: png(picture, compress_level=1),
}


@pytest.mark.parametrize("name", PAINTED)
def test_odd_photographs_are_painted_and_kept_outside_the_region(folder, paint, tmp_path, wall, name):
    picture = Image.fromarray(wall(3, *SIZE))
    data = PAINTED[name](picture)
    (folder / name).write_bytes(data)
    code, said = paint()
    assert code == 0, said
    image, mask, row = pairs(tmp_path / "out")[name]
    # What other programs show of the file: upright, its first picture, without transparency.
    shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGBA"))[..., :3]
    assert image.shape == shown.shape and mask.shape == shown.shape[:2] == SIZE
    outside = np.ones(SIZE, bool)
    outside[Box(*row["painted"][0].get("grown_to", row["painted"][0]["box"])).slices] = False
    np.testing.assert_array_equal(image[outside], shown[outside])
    assert (mask == 2).any() and not mask[outside].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (5, 7), (7, 300)])
@pytest.mark.parametrize("damage", ["stain", "crack"])
def test_tiny_photographs_are_painted(folder, paint, tmp_path, wall, size, damage):
    (folder / "tiny.png").write_bytes(encode_png(wall(3, 40, 300)[: size[0], : size[1]]))
    (tmp_path / "boxes.csv").write_text(f"class,x,y,width,height\n{damage},0,0,100%,100%\n")
    code, said = paint()
    assert code == 0, said
    image, mask, row = pairs(tmp_path / "out")["tiny.png"]
    assert image.shape == (*size, 3) and mask.any()
    assert row["boxes"] and all(Box(b["x"], b["y"], b["width"], b["height"]).inside(size) for b in row["boxes"])


def test_tiny_photographs_are_painted_at_random(folder, paint, tmp_path):
    (folder / "tiny.png").write_bytes(encode_png(np.full((1, 1, 3), 120, np.uint8)))
    (tmp_path / "classes.csv").write_text("class\nstain\nmold\n")
    code, said = paint("--damage", tmp_path / "classes.csv")
    assert code == 0, said
    assert pairs(tmp_path / "out")["tiny.png"][0].shape == (1, 1, 3)


def test_a_panorama_is_painted_in_little_memory(folder, paint, tmp_path, wall):
    """20,000 x 60 pixels: the canvas around the region is drawn, not the whole."""
    (folder / "a.png").unlink()
    wide = np.tile(wall(3, 60, 500), (1, 40, 1))
    (folder / "wide.png").write_bytes(encode_png(wide))
    (tmp_path / "boxes.csv").write_text("class,x,y,width,height\nstain,9000,5,60,45\n")
    tracemalloc.start()
    try:
        code, said = paint()
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert code == 0, said
    assert most < 12 * wide.nbytes, "a few copies of the picture, its PNG and its row"
    image, mask, row = pairs(tmp_path / "out")["wide.png"]
    box = Box(*row["painted"][0].get("grown_to", row["painted"][0]["box"]))
    assert mask.any() and box.width < 200
    outside = np.ones(mask.shape, bool)
    outside[box.slices] = False
    np.testing.assert_array_equal(image[outside], wide[outside])


# Photographs that are refused when their turn comes


def cut_off(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def flipped(data: bytes) -> bytes:
    """One bit of the pixels' checksum is another."""
    place = data.rindex(b"IEND") - 6
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def deep_grey(picture: Image.Image) -> bytes:
    levels = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    return png(Image.fromarray(levels))


REFUSED = {
    "cut off.jpg": (lambda picture: cut_off(jpeg(picture)), "cannot be decoded"),
    "cut off.png": (lambda picture: cut_off(png(picture)), "cannot be decoded"),
    "flipped.png": (lambda picture: flipped(png(picture)), "damaged or cut off"),
    "deep grey.png": (deep_grey, "more than 8 bits per pixel"),
    "empty.jpg": (lambda picture: b"", "the file is empty"),
    "text.jpg": (lambda picture: b"a photograph of a wall\n", "is not a PNG or JPEG picture"),
    "gif.png": (lambda picture: b"GIF89a" + bytes(40), "is not a PNG or JPEG picture"),
    "header.png": (lambda picture: png(picture)[:20], "header.png"),
    "bomb.png": (lambda picture: bare_png(60_000, 60_000, 8, bytes(9)), "too large a picture"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_broken_photograph_stops_the_run_and_the_pairs_before_it_stay(folder, paint, tmp_path, wall, name):
    make, what = REFUSED[name]
    (folder / name).write_bytes(make(Image.fromarray(wall(3, *SIZE))))
    (folder / "z.png").write_bytes((folder / "a.png").read_bytes())
    assert_refused(paint(), tmp_path / "out", name, what, before=1)
    (folder / name).write_bytes(encode_png(wall(3, *SIZE)))
    code, said = paint("--boxes", tmp_path / "boxes.csv", "--resume")
    assert code == 0 and sorted(pairs(tmp_path / "out")) == sorted(["a.png", name, "z.png"]), said


def test_a_photograph_that_vanishes_before_its_turn_is_said(folder, paint, tmp_path, wall, on_the_double):
    (folder / "b.png").write_bytes(encode_png(wall(3, *SIZE)))

    def gone(mask, free):
        (folder / "b.png").unlink(missing_ok=True)
        return mask

    on_the_double.shape = gone
    assert_refused(paint(), tmp_path / "out", "b.png could not be read", "does not exist", before=1)


# Folders of photographs that are refused before anything is written


@pytest.mark.parametrize("suffix", ["gif", "webp", "tiff", "TIF", "bmp", "heic", "avif"])
def test_pictures_of_other_formats_are_refused_not_passed_over(folder, paint, tmp_path, suffix):
    (folder / f"b.{suffix}").write_bytes(b"whatever")
    assert_refused(
        paint(), tmp_path / "out", f"photos/b.{suffix}.", "wetgen cannot read", "convert the file to PNG or JPEG"
    )


def test_a_folder_called_like_a_photograph_is_refused(folder, paint, tmp_path):
    (folder / "x.jpg").mkdir()
    assert_refused(paint(), tmp_path / "out", "x.jpg is not a file", "it is a folder")


def test_a_link_that_leads_nowhere_is_refused(folder, paint, tmp_path):
    (folder / "x.jpg").symlink_to(tmp_path / "gone.jpg")
    assert_refused(paint(), tmp_path / "out", "x.jpg is not a file", "a broken link")


def test_a_link_to_a_photograph_is_a_photograph(folder, paint, tmp_path):
    (folder / "x.png").symlink_to(folder / "a.png")
    assert paint()[0] == 0 and sorted(pairs(tmp_path / "out")) == ["a.png", "x.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root: may read every file")
def test_a_photograph_that_may_not_be_read_is_said(folder, paint, tmp_path, wall):
    (folder / "b.png").write_bytes(encode_png(wall(3, *SIZE)))
    (folder / "b.png").chmod(0)
    assert_refused(paint(), tmp_path / "out", "b.png could not be read", "permission", before=1)


def test_a_folder_without_photographs_is_refused(folder, paint, tmp_path):
    (folder / "a.png").rename(folder / "a.txt")
    assert_refused(paint(), tmp_path / "out", "photos has no photographs", ".jpeg, .jpg, .png")


def test_a_folder_that_is_not_there_is_refused(folder, paint, tmp_path):
    folder.rename(tmp_path / "elsewhere")
    assert_refused(paint(), tmp_path / "out", "photos could not be read", "does not exist")


# Masks


def mask_file(mask: np.ndarray) -> Image.Image:
    return Image.fromarray(mask)


def with_id(value: int) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[10:20, 10:20] = value
    return mask


MASKS = {
    "colours": (lambda: png(mask_file(with_id(2)).convert("RGB")), "is a RGB picture"),
    "jpeg": (lambda: jpeg(mask_file(with_id(2))), "a mask must be lossless"),
    "palette": (lambda: png(mask_file(with_id(2)).convert("P")), "is a palette picture"),
    "alpha": (lambda: png(mask_file(with_id(2)).convert("LA")), "grey with alpha"),
    "one bit": (lambda: png(mask_file(with_id(255)).convert("1")), "is a 1-bit mask"),
    "other size": (lambda: encode_mask(with_id(2)[:, :-1].copy()), "is 63 x 48, its photograph b.png is 64 x 48"),
    "on its side": (lambda: encode_mask(with_id(2).T.copy()), "is 48 x 64, its photograph b.png is 64 x 48"),
    "unknown id": (lambda: encode_mask(with_id(4)), "4"),
    "ignored": (lambda: encode_mask(with_id(255)), "255"),
    "empty": (lambda: b"", "is not a PNG file"),
    "cut off": (lambda: cut_off(png(mask_file(with_id(2)))), "cannot be decoded"),
    "flipped": (lambda: flipped(png(mask_file(with_id(2)))), "damaged or cut off"),
}


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_that_is_none_stops_the_run_at_its_photograph(folder, paint, tmp_path, wall, name):
    make, what = MASKS[name]
    (folder / "b.png").write_bytes(encode_png(wall(3, *SIZE)))
    masks = tmp_path / "masks"
    masks.mkdir()
    (masks / "a.png").write_bytes(encode_mask(with_id(2)))
    (masks / "b.png").write_bytes(make())
    assert_refused(paint("--masks", masks), tmp_path / "out", "masks/b.png", what, before=1)


def test_a_photograph_without_its_mask_is_said_before_anything_is_written(folder, paint, tmp_path):
    (tmp_path / "masks").mkdir()
    assert_refused(paint("--masks", tmp_path / "masks"), tmp_path / "out", "has no mask for a.png", "an undamaged one")


def test_masks_that_are_nowhere_are_said(folder, paint, tmp_path):
    assert_refused(paint("--masks", tmp_path / "no"), tmp_path / "out", "no has no mask for a.png")


# Tables

TABLES = {
    "no header": ("stain,0,0,9,9\n", "there is no column 'stain'"),
    "unknown column": ("class,x,y,widht,height\nstain,0,0,9,9\n", "did you mean 'width'?"),
    "column twice": ("class,x,y,width,height,x\nstain,0,0,9,9,0\n", "the column 'x' stands twice"),
    "column missing": ("class,x,y,width\nstain,0,0,9\n", "the header lacks height"),
    "unknown class": ("class,x,y,width,height\nstian,0,0,9,9\n", "line 2: class is 'stian'"),
    "not a number": ("class,x,y,width,height\nstain,nan,0,9,9\n", "line 2: x is 'nan'"),
    "infinite": ("class,x,y,width,height\nstain,0,0,inf,9\n", "line 2: width is 'inf'"),
    "negative": ("class,x,y,width,height\nstain,-1,0,9,9\n", "line 2: x is -1"),
    "huge": (f"class,x,y,width,height\nstain,0,0,{'9' * 400},9\n", "that is no number"),
    "decimal comma": ('class,x,y,width,height\nstain,0,0,"9,5",9\n', "write the decimals behind a point"),
    "half a quote": ('class,x,y,width,height\nstain,0,0,"9,9\n', "line 2: a quote is never closed"),
    "behind a quote": ('class,x,y,width,height\nstain,0,0,"9"9,9\n', "text follows a closing quote"),
    "short row": ("class,x,y,width,height\nstain,0,0,9\n", "the row has 4 cells"),
    "severity": ("class,x,y,width,height,severity\nstain,0,0,9,9,2\n", "severity is 2"),
    "nothing": ("", "is empty"),
    "blank lines": ("\n\n\n", "is empty"),
    "header only": ("class,x,y,width,height\n", "has no boxes"),
    "wide text": (BOX.encode("utf-16"), "its first two bytes say UTF-16"),
    "latin": (
        "class,x,y,width,height,prompt\nstain,0,0,9,9,N\xe4sse\n".encode("latin-1"),
        "is not UTF-8 (byte 45, line 2)",
    ),
    "nul": (b"class,x,y,width,height\nstain,0,0,9\0,9\n", "holds a NUL character (byte 34, line 2)"),
    "picture": (encode_png(np.zeros((4, 4, 3), np.uint8)), "is not UTF-8"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_boxes_that_is_wrong_is_refused_at_its_place(folder, paint, tmp_path, name):
    data, what = TABLES[name]
    (tmp_path / "boxes.csv").write_bytes(data if isinstance(data, bytes) else data.encode())
    assert_refused(paint(), tmp_path / "out", "boxes.csv", what)


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("b.png,stain,60,0,9,9", "width 9 reaches 69 pixels from the left"),
        ("b.png,stain,1e99,0,9,9", "reaches 1e+99 pixels from the left"),
        ("b.png,stain,0,0,0.2,9", "covers no whole pixel"),
        ("b.png,stain,99.9%,0,0.1%,9", "covers no whole pixel"),
    ],
)
def test_a_box_that_does_not_fit_its_photograph_stops_the_run_there(folder, paint, tmp_path, wall, row, what):
    (folder / "b.png").write_bytes(encode_png(wall(3, *SIZE)))
    text = f"file_name,class,x,y,width,height\na.png,stain,9,9,20,20\n{row}\n"
    (tmp_path / "boxes.csv").write_text(text)
    assert_refused(paint(), tmp_path / "out", "line 3", what, "the picture has 64 x 48 pixels", before=1)


CLASS_TABLES = {
    "no header": ("stain\n", "there is no column 'stain'"),
    "header only": ("class\n", "has no classes"),
    "unknown class": ("class\nstian\n", "did you mean 'stain'?"),
    "count": ("class,least_count\nstain,1.5\n", "least_count is 1.5"),
    "count in words": ("class,most_count\nstain,two\n", "most_count is 'two'"),
    "too many": ("class,most_count\nstain,1e6\n", "it must lie between 0 and 50"),
    "reversed": ("class,least_size,most_size\nstain,0.3,0.1\n", "exchange the two"),
    "probability": ("class,probability\nstain,150%\n", "probability is '150%'"),
    "not a number": ("class,least_severity\nstain,nan\n", "least_severity is 'nan'"),
    "overlap": ("class,overlap\nstain,some\n", "write never, any or a number"),
    "wide text": ("class\nstain\n".encode("utf-16"), "UTF-16"),
    "nul": (b"class\nsta\0in\n", "NUL"),
}


@pytest.mark.parametrize("name", CLASS_TABLES)
def test_a_table_of_classes_that_is_wrong_is_refused_at_its_place(folder, paint, tmp_path, name):
    data, what = CLASS_TABLES[name]
    (tmp_path / "c.csv").write_bytes(data if isinstance(data, bytes) else data.encode())
    assert_refused(paint("--damage", tmp_path / "c.csv"), tmp_path / "out", "c.csv", what)


BACKGROUND_TABLES = {
    "no header": ("a white wall\n", "there is no column 'a white wall'"),
    "header only": ("prompt\n", "holds no backgrounds"),
    "no prompt": ("prompt,weight\n,1\n", "prompt is empty"),
    "weights": ("prompt,weight\na wall,0\n", "every weight is 0"),
    "negative weight": ("prompt,weight\na wall,-1\n", "weight is -1"),
    "guidance": ("prompt,guidance\na wall,inf\n", "guidance is 'inf'"),
    "huge guidance": ("prompt,guidance\na wall,1e39\n", "guidance is 1e39"),
    "lines": ("prompt,surface_lines\na wall,ceiling=2\n", "The surface lines cannot be used"),
    "latin": ("prompt\nW\xe4nde\n".encode("latin-1"), "is not UTF-8"),
    "column twice": ("prompt,prompt\na,b\n", "stands twice"),
}


@pytest.mark.parametrize("name", BACKGROUND_TABLES)
def test_a_table_of_backgrounds_that_is_wrong_is_refused_at_its_place(tmp_path, bundle_folder, on_the_double, name):
    data, what = BACKGROUND_TABLES[name]
    (tmp_path / "b.csv").write_bytes(data if isinstance(data, bytes) else data.encode())
    (tmp_path / "c.csv").write_text("class\nstain\n")
    words = ["--backgrounds", tmp_path / "b.csv", "--classes", tmp_path / "c.csv", "--count", 1, "--quiet"]
    words += ["--bundle", bundle_folder, "--out", tmp_path / "out"]
    result = CliRunner().invoke(cli, ["compose", *map(str, words)])
    assert "Traceback" not in result.output
    assert_refused((result.exit_code, result.stderr), tmp_path / "out", "b.csv", what)
