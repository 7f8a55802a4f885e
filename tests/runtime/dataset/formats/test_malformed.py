"""Datasets with faults: each is converted rightly or refused in plain words, and nothing half-made is left."""

import json
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from wetgen.runtime.cli import cli
from wetgen.runtime.dataset.convert import FORMATS, convert_from, convert_to, parse_shares
from wetgen.runtime.dataset.formats.base import Options
from wetgen.runtime.dataset.reader import Dataset

Make = Callable[..., Path]
Harm = Callable[[Path], object]


def convert(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["convert", *map(str, arguments)])


def refused(result: Result, words: str, parent: Path, names: set[str]) -> None:
    """A message of three lines, no traceback, and nothing in the folder but what was there."""
    assert isinstance(result.exception, SystemExit) and result.exit_code == 1, result.output
    assert words in result.output and "\n  why: " in result.output and "\n  fix: " in result.output, result.output
    assert {path.name for path in parent.iterdir()} == names


def edit(folder: Path, **keys: object) -> None:
    """Change keys of the first row; None removes one."""
    path = folder / "metadata.jsonl"
    first, *others = path.read_text(encoding="utf-8").split("\n")
    row = {key: value for key, value in {**json.loads(first), **keys}.items() if value is not None}
    path.write_text("\n".join([json.dumps(row), *others]), encoding="utf-8")


def put(folder: Path, name: str, pixels: object, kind: str = "PNG", mode: str | None = None, **how: object) -> None:
    picture = Image.fromarray(np.asarray(pixels))
    (picture if mode is None else picture.convert(mode)).save(folder / name, kind, **how)


FIRST, MASK = "images/pair 0.png", "masks/0.png"
ONES = np.ones((24, 36), np.uint8)
RED = np.full((24, 36, 3), (200, 10, 10), np.uint8)

REFUSED: dict[str, tuple[Harm, str]] = {
    "no such folder": (lambda f: f.rename(f.with_name("moved")), "does not exist"),
    "no metadata": (lambda f: (f / "metadata.jsonl").unlink(), "is not a dataset folder"),
    "empty metadata": (lambda f: (f / "metadata.jsonl").write_text("\n \n"), "has no rows"),
    "broken JSON": (lambda f: (f / "metadata.jsonl").write_text("{'a': 1}\n"), "line 1: this is not JSON"),
    "UTF-16": (lambda f: (f / "metadata.jsonl").write_text("{}", encoding="utf-16"), "UTF-16"),
    "no class table": (lambda f: (f / "classes.json").unlink(), "classes.json is missing"),
    "ids with a gap": (lambda f: (f / "classes.json").write_text('{"0": "background", "2": "mold"}'), "without gaps"),
    "one class twice": (lambda f: (f / "classes.json").write_text('{"0": "a", "1": "b", "2": "b"}'), "appears twice"),
    "missing mask": (lambda f: (f / MASK).unlink(), "line 1: the file masks/0.png is missing"),
    "missing image": (lambda f: (f / FIRST).unlink(), "is missing"),
    "no caption": (lambda f: edit(f, text=None), "line 1: the key text is missing"),
    "two rows of one file": (lambda f: edit(f, file_name="images/pair 2.png"), "is named twice"),
    "a path outside": (lambda f: edit(f, file_name="../secret.png"), "leaves the dataset folder"),
    "a link outside": (
        lambda f: ((f / FIRST).rename(f.parent / "x.png"), (f / FIRST).symlink_to(f.parent / "x.png")),
        "leaves the dataset folder",
    ),
    "smaller mask": (lambda f: put(f, MASK, ONES[:9]), "is 36 x 9, its image"),
    "mask turned": (lambda f: put(f, MASK, ONES.T), "width and height are swapped"),
    "ids outside": (lambda f: put(f, MASK, ONES * 9), "class ids that the class table lacks: 9 (864 pixels)"),
    "binary mask": (lambda f: put(f, MASK, ONES * 255), "this looks like a binary mask"),
    "palette mask": (lambda f: put(f, MASK, ONES, mode="P"), "is a palette picture"),
    "RGB mask": (lambda f: put(f, MASK, RED), "is a RGB picture"),
    "JPEG mask": (lambda f: put(f, MASK, ONES, "JPEG"), "a mask must be lossless"),
    "16-bit mask": (lambda f: put(f, MASK, ONES.astype(np.uint16)), "is a 16-bit mask"),
    "16-bit grey image": (lambda f: put(f, FIRST, ONES.astype(np.uint16)), "more than 8 bits per pixel"),
    "animated GIF": (
        lambda f: put(f, FIRST, RED, "GIF", save_all=True, append_images=[Image.new("RGB", (36, 24))]),
        "is not a PNG or JPEG picture",
    ),
    "truncated image": (lambda f: (f / FIRST).write_bytes((f / FIRST).read_bytes()[:90]), "damaged or cut off"),
    "zero bytes": (lambda f: (f / FIRST).write_bytes(b""), "the file is empty"),
    "a flipped bit": (
        lambda f: (f / MASK).write_bytes(bytes(b ^ (i == 50) for i, b in enumerate((f / MASK).read_bytes()))),
        "cannot be decoded",
    ),
    "split of another name": (lambda f: edit(f, split="dev"), "1 of 4 rows state a split"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_fault_is_refused_in_plain_words(fault: str, make: Make, tmp_path: Path) -> None:
    folder = make(count=4)
    harm, words = REFUSED[fault]
    harm(folder)
    before = {path.name for path in tmp_path.iterdir()}
    refused(convert(folder, "--to", "coco", "--out", tmp_path / "out"), words, tmp_path, before)


def stretch(folder: Path) -> None:
    """A picture 20,000 pixels wide, and one of a single pixel."""
    put(folder, FIRST, np.zeros((1, 20_000, 3), np.uint8))
    put(folder, MASK, np.tile(np.array([[1, 1, 0, 2]], np.uint8), 5000))
    put(folder, "images/pair 2.png", np.zeros((1, 1, 3), np.uint8))
    put(folder, "masks/2.png", np.ones((1, 1), np.uint8))


def lying(folder: Path) -> None:
    """A photograph that lies on its side, and says so in its EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = 6
    put(folder, FIRST, np.rot90(RED), "JPEG", exif=exif)


def odd_names(folder: Path) -> None:
    """Spaces, commas, dots, quotes, letters of other scripts, and two files that differ by suffix or case alone."""
    names = ["a, b.c.png", 'é "壁" %20.jpg', "A, B.C.png", "a, b.c.jpg"]
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").split("\n") if line]
    for row, name in zip(rows, names, strict=True):
        (folder / row["file_name"]).rename(folder / "images" / name)
        row["file_name"] = f"images/{name}"
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


RIGHT: dict[str, Harm] = {
    "as it is": lambda f: None,
    "CMYK": lambda f: put(f, FIRST, RED, "JPEG", mode="CMYK"),
    "transparent": lambda f: put(f, FIRST, np.dstack([RED, ONES]), "PNG"),
    "grey": lambda f: put(f, FIRST, ONES * 90),
    "EXIF": lying,
    "undamaged": lambda f: put(f, MASK, ONES * 0),
    "all damage": lambda f: put(f, MASK, ONES * 3),
    "noise": lambda f: put(f, MASK, np.random.default_rng(1).integers(0, 4, (24, 36), np.uint8)),
    "very wide and very small": stretch,
    "odd names": odd_names,
}


@pytest.mark.parametrize("kind", RIGHT)
@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form.importer is not None])
def test_what_is_unusual_and_sound_goes_there_and_back(name: str, kind: str, make: Make, tmp_path: Path) -> None:
    folder = make(count=4)
    RIGHT[kind](folder)
    convert_to(name, folder, tmp_path / "out", Options(), shares=parse_shares("train=0.5,validation=0.5"))
    convert_from(name, tmp_path / "out", tmp_path / "back")
    old, new = Dataset.open(folder), Dataset.open(tmp_path / "back")
    rows = {row.extra["seed"]: row for row in new.rows}
    assert len(rows) == len(old.rows) == len(new.rows)
    for row in old.rows:
        (image, mask), (other, other_mask) = old.load(row), new.load(rows[row.extra["seed"]])
        np.testing.assert_array_equal(other_mask, mask)
        if name != "voc":
            np.testing.assert_array_equal(other, image)


def test_a_class_name_that_labelmap_cannot_hold_is_refused(make: Make, tmp_path: Path) -> None:
    folder = make(count=1)
    (folder / "classes.json").write_text('{"0": "background", "1": "a:b", "2": "c", "3": "d"}')
    refused(convert(folder, "--to", "voc", "--out", tmp_path / "out"), "'a:b' cannot be written", tmp_path, {"made"})


def change_coco(harm: Callable[[dict[str, list[dict[str, object]]]], object]) -> Harm:
    def harm_file(folder: Path) -> None:
        path = folder / "annotations" / "instances_train.json"
        data = json.loads(path.read_text())
        harm(data)
        path.write_text(json.dumps(data))

    return harm_file


def first_label(folder: Path, text: str) -> None:
    next((folder / "labels" / "train").iterdir()).write_text(text)


def first_file(folder: Path, pattern: str) -> Path:
    return sorted(folder.glob(pattern))[0]


def no_masks(folder: Path) -> None:
    with tarfile.open(first_file(folder, "*.tar"), "w") as shard:
        data = BytesIO()
        Image.new("RGB", (4, 4)).save(data, "PNG")
        entry = tarfile.TarInfo("a.png")
        entry.size = len(data.getvalue())
        shard.addfile(entry, BytesIO(data.getvalue()))


def other_columns(folder: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    path = first_file(folder, "data/*.parquet")
    record = {"image": {"bytes": None, "path": "/home/me/a.png"}, "mask": {"bytes": None, "path": "b.png"}}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([record]), path)


FOREIGN: dict[str, tuple[str, Harm, str]] = {
    "no annotations": ("coco", lambda f: (f / "annotations").rename(f / "labels"), "contains no COCO annotations"),
    "broken JSON": ("coco", lambda f: first_file(f, "annotations/*").write_text("{"), "is not JSON"),
    "a list": ("coco", lambda f: first_file(f, "annotations/*").write_text("[]"), "is not a JSON object"),
    "no categories": ("coco", change_coco(lambda d: d.pop("categories")), "categories cannot be read"),
    "two categories of one name": ("coco", change_coco(lambda d: d["categories"][0].update(name="mold")), "twice"),
    "boxes only": ("coco", change_coco(lambda d: d["annotations"][0].pop("segmentation")), "it has a box and no mask"),
    "runs too short": (
        "coco",
        change_coco(lambda d: d["annotations"][0].update(segmentation={"size": [24, 36], "counts": [5, 5]})),
        "runs cover 10 pixels of 864",
    ),
    "runs of another size": (
        "coco",
        change_coco(lambda d: d["annotations"][0].update(segmentation={"size": [36, 24], "counts": [864]})),
        "its size is [36, 24]",
    ),
    "a polygon of two points": (
        "coco",
        change_coco(lambda d: d["annotations"][0].update(segmentation=[[1, 1, 2, 2]])),
        "2 points are not a polygon",
    ),
    "no number": (
        "coco",
        change_coco(lambda d: d["annotations"][0].update(segmentation=[[1, 1, 2, 2, 3, float("nan")]])),
        "a coordinate is not a number",
    ),
    "unknown category": ("coco", change_coco(lambda d: d["annotations"][0].update(category_id=77)), "KeyError: 77"),
    "annotation of no image": ("coco", change_coco(lambda d: d["annotations"][0].update(image_id=77)), "image 77"),
    "two images of one id": ("coco", change_coco(lambda d: d["images"][1].update(id=1)), "two have the same id"),
    "image missing": ("coco", lambda f: first_file(f, "images/train/*").unlink(), "is missing"),
    "image outside": (
        "coco",
        lambda f: (
            (f.parent / "x.png").write_bytes(first_file(f, "images/train/*").read_bytes()),
            change_coco(lambda d: d["images"][0].update(file_name="../../../x.png"))(f),
        ),
        "leaves the dataset folder",
    ),
    "size turned": ("coco", change_coco(lambda d: d["images"][0].update(width=24, height=36)), "are swapped"),
    "a monstrous size": ("coco", change_coco(lambda d: d["images"][0].update(width=10**9, height=10**9)), "1000000000"),
    "no data.yaml": ("yolo-seg", lambda f: (f / "data.yaml").unlink(), "could not be read"),
    "broken YAML": ("yolo-seg", lambda f: (f / "data.yaml").write_text("names: [a"), "cannot be read"),
    "no names": ("yolo-seg", lambda f: (f / "data.yaml").write_text("train: images/train\n"), "neither a list nor"),
    "names with a gap": (
        "yolo-seg",
        lambda f: (f / "data.yaml").write_text("train: images/train\nnames: {0: a, 2: b}\n"),
        "without gaps",
    ),
    "no such part": (
        "yolo-seg",
        lambda f: (f / "data.yaml").write_text("train: ../../elsewhere\nnames: [a]\n"),
        "train names no folder",
    ),
    "a box": ("yolo-seg", lambda f: first_label(f, "0 0.5 0.5 0.1 0.1\n"), "a box is not a mask"),
    "odd numbers": ("yolo-seg", lambda f: first_label(f, "0 0.1 0.1 0.2 0.2 0.3\n"), "5 numbers are not a polygon"),
    "pixels for shares": ("yolo-seg", lambda f: first_label(f, "0 1 1 9 1 9 9\n"), "from 0 to 1"),
    "not numbers": ("yolo-seg", lambda f: first_label(f, "crack 0 0 1 1 0 1\n"), "line 1 cannot be read"),
    "a class too many": ("yolo-seg", lambda f: first_label(f, "3 0 0 1 1 0 1\n"), "class 3 is not among the 3"),
    "labels without image": ("yolo-seg", lambda f: first_file(f, "images/train/*").unlink(), "no image of that name"),
    "no label map": ("voc", lambda f: (f / "labelmap.txt").unlink(), "use --classes FILE"),
    "another palette": (
        "voc",
        lambda f: (f / "labelmap.txt").write_text("background:0,0,0::\ncrack:9,9,9::\n"),
        "its colour is not VOC's colour for its id",
    ),
    "no lists": ("voc", lambda f: [p.unlink() for p in f.glob("ImageSets/*/*")], "lists no images"),
    "listed and missing": ("voc", lambda f: first_file(f, "JPEGImages/*").unlink(), "no such image in JPEGImages"),
    "mask of colours": (
        "voc",
        lambda f: put(f, first_file(f, "SegmentationClass/*").relative_to(f).as_posix(), RED),
        "is no mask of ids",
    ),
    "ids without names": ("semantic", lambda f: (f / "classes.json").write_text('{"0": "a", "1": "b"}'), "lacks: 2"),
    "no annotations folder": ("semantic", lambda f: (f / "annotations").rename(f / "x"), "has no semantic masks"),
    "mask without image": ("semantic", lambda f: first_file(f, "images/training/*").unlink(), "no image of that name"),
    "parts of unknown names": (
        "semantic",
        lambda f: (f / "images" / "training").rename(f / "images" / "mine"),
        "are unclear",
    ),
    "no shards": ("webdataset", lambda f: [p.unlink() for p in f.glob("*.tar")], "contains no shards"),
    "archive cut off": (
        "webdataset",
        lambda f: first_file(f, "train*.tar").write_bytes(first_file(f, "train*.tar").read_bytes()[:900]),
        "damaged or cut off",
    ),
    "samples without masks": ("webdataset", no_masks, "an image and mask.png are needed"),
    "not Parquet": ("parquet", lambda f: first_file(f, "data/*").write_bytes(b"PAR1"), "damaged or not Parquet"),
    "pictures elsewhere": ("parquet", other_columns, "names image files and does not contain them"),
}


@pytest.mark.parametrize("fault", FOREIGN)
def test_a_faulty_dataset_of_another_format_is_refused(fault: str, make: Make, tmp_path: Path) -> None:
    name, harm, words = FOREIGN[fault]
    shares = parse_shares("train=0.5,validation=0.5")
    convert_to(name, make(count=4), tmp_path / "there", Options(), shares=shares)
    harm(tmp_path / "there")
    before = {path.name for path in tmp_path.iterdir()}
    result = convert(tmp_path / "there", "--from", name, "--out", tmp_path / "back")
    refused(result, words, tmp_path, before)
