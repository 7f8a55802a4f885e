"""The formats in the hands of readers that nobody here wrote; figures must be equal."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from wetgen.runtime.dataset.convert import convert_to, parse_shares
from wetgen.runtime.dataset.formats.base import Options
from wetgen.runtime.dataset.reader import Dataset
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.images import Pixels
from wetgen.runtime.masks.regions import connected_components

Make = Callable[..., Path]
SHARES = parse_shares("train=0.5,validation=0.3,test=0.2")
PARTS = {"train": "train", "val": "validation", "test": "test"}

pytestmark = [
    # Of pycocotools 2.0.11 with numpy 2, in its compiled part.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]


def pairs(source: Path, **how: bool) -> dict[str, tuple[Pixels, Pixels, dict[str, Any]]]:
    """Image, mask and row by file name without folder and suffix."""
    dataset = Dataset.open(source)
    found = {}
    for row in dataset.rows:
        found[Path(row.file_name).stem] = (*dataset.load(row, **how), {"text": row.text, **row.extra})
    return found


@pytest.fixture
def plain(make: Make) -> Path:
    """A dataset folder whose names need no change."""
    source = make(count=8)
    text = (source / "metadata.jsonl").read_text(encoding="utf-8").replace("images/pair ", "images/pair_")
    (source / "metadata.jsonl").write_text(text, encoding="utf-8")
    for path in (source / "images").iterdir():
        path.rename(path.with_name(path.name.replace(" ", "_")))
    return source


@pytest.mark.parametrize("polygons", [False, True])
def test_pycocotools_sees_the_same_masks_areas_and_boxes(polygons: bool, plain: Path, tmp_path: Path) -> None:
    from pycocotools import mask as coco_mask
    from pycocotools.coco import COCO

    convert_to("coco", plain, tmp_path / "coco", Options(polygons=polygons), shares=SHARES)
    expected = pairs(plain)
    for part in PARTS:
        path = tmp_path / "coco" / "annotations" / f"instances_{part}.json"
        if not path.exists():
            continue
        coco = COCO(path)
        assert [(c["id"], c["name"], c["supercategory"]) for c in coco.loadCats(coco.getCatIds())] == [
            (1, "crack", "damage"),
            (2, "water stain", "damage"),
            (3, "mold", "damage"),
        ]
        licenses = {entry["id"]: entry["name"] for entry in coco.dataset["licenses"]}
        for image in coco.loadImgs(coco.getImgIds()):
            picture, mask, row = expected.pop(Path(image["file_name"]).stem)
            assert (image["height"], image["width"]) == picture.shape[:2] and licenses[image["license"]] == row[
                "license"
            ]
            assert (tmp_path / "coco" / "images" / part / image["file_name"]).is_file()
            painted = np.zeros_like(mask)
            for annotation in coco.loadAnns(coco.getAnnIds(image["id"], iscrowd=False)):
                encoded, pixels = coco.annToRLE(annotation), coco.annToMask(annotation) > 0
                assert coco_mask.area(encoded) == annotation["area"] == pixels.sum()
                if not polygons:
                    assert coco_mask.toBbox(encoded).tolist() == annotation["bbox"]
                painted[pixels] = annotation["category_id"]
            np.testing.assert_array_equal(painted, mask)
    assert not expected


def test_pycocotools_leaves_ignored_pixels_out(make: Make, tmp_path: Path) -> None:
    """A detection in the ignored band is neither right nor wrong; the same one elsewhere is wrong."""
    from pycocotools import mask as coco_mask
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    convert_to("coco", make(count=1, ignore=True), tmp_path / "coco", Options(), ignore=True)
    truth = COCO(tmp_path / "coco" / "annotations" / "instances_train.json")
    crowd = [a for a in truth.dataset["annotations"] if a["iscrowd"]]
    assert [a["category_id"] for a in crowd] == [1, 2, 3] and crowd[0]["bbox"] == [20, 12, 10, 1]

    def precision(row: int) -> float:
        """Of the found truth and one more crack, surer than the others, of 8 pixels in the row."""
        extra = np.zeros((24, 36), np.uint8, order="F")
        extra[row, 21:29] = 1
        found = [
            {"image_id": 1, "category_id": a["category_id"], "segmentation": a["segmentation"], "score": 0.5}
            for a in truth.dataset["annotations"]
            if not a["iscrowd"]
        ]
        counts = coco_mask.encode(extra)
        more = {"image_id": 1, "category_id": 1, "segmentation": counts, "score": 0.9}
        judge = COCOeval(truth, truth.loadRes([*found, more]), "segm")
        judge.params.catIds = [1]
        judge.evaluate()
        judge.accumulate()
        return float(judge.eval["precision"][0, :, 0, 0, -1].mean())

    assert precision(12) == 1.0
    assert precision(14) < 0.9


def read_as_ultralytics(label: Path, height: int, width: int) -> list[tuple[int, Pixels]]:
    """Objects as Ultralytics 8.4 paints them: numbers to float32, times the size, cut off to int32, filled with edges.

    Pillow's polygon takes the place of cv2.fillPoly; both fill by even-odd and paint the edges.
    """
    found = []
    for line in label.read_text().split("\n"):
        if line:
            first, *numbers = line.split()
            assert len(numbers) >= 6 and len(numbers) % 2 == 0
            shares = np.array(numbers, np.float32).reshape(-1, 2)
            assert shares.min() >= 0 and shares.max() <= 1
            points = (shares * np.array([width, height], np.float32)).astype(np.int32)
            canvas = Image.new("L", (width, height))
            ImageDraw.Draw(canvas).polygon([tuple(point) for point in points.tolist()], fill=1, outline=1)
            found.append((int(first), np.asarray(canvas)))
    return found


def test_yolo_segments_paint_the_same_masks(plain: Path, tmp_path: Path) -> None:
    convert_to("yolo-seg", plain, tmp_path / "yolo", Options(), shares=SHARES)
    data = yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text(encoding="utf-8"))
    assert data["names"] == {0: "crack", 1: "water stain", 2: "mold"} and data["nc"] == 3
    expected = pairs(plain)
    for key in PARTS:
        if key not in data:
            continue
        for image in (tmp_path / "yolo" / data[key]).iterdir():
            _, mask, _ = expected.pop(image.stem)
            label = Path(str(image.parent).replace("/images/", "/labels/")) / f"{image.stem}.txt"
            painted = np.zeros_like(mask)
            for id, pixels in read_as_ultralytics(label, *mask.shape):
                painted[pixels > 0] = id + 1
            np.testing.assert_array_equal(painted, mask)
    assert not expected


def test_yolo_boxes_lie_around_the_regions(plain: Path, tmp_path: Path) -> None:
    convert_to("yolo-det", plain, tmp_path / "yolo", Options(), shares=SHARES)
    seen = 0
    for stem, (_, mask, _) in pairs(plain).items():
        (label,) = (tmp_path / "yolo" / "labels").rglob(f"{stem}.txt")
        height, width = mask.shape
        boxes = []
        for line in label.read_text().splitlines():
            id, x, y, w, h = map(float, line.split())
            boxes.append((id + 1, (x - w / 2) * width, (y - h / 2) * height, w * width, h * height))
        regions = [(r.class_id, r.left, r.top, r.width, r.height) for r in connected_components(mask)]
        np.testing.assert_allclose(boxes, regions, atol=1e-4)  # seven decimals of at most 36 pixels
        seen += len(boxes)
    assert seen > 8 * 6


def test_yolo_must_have_something_to_validate_on(make: Make, tmp_path: Path) -> None:
    with pytest.raises(WetgenError, match="The validation part has no pairs"):
        convert_to("yolo-seg", make(), tmp_path / "yolo", Options())
    assert not (tmp_path / "yolo").exists()


def test_voc_as_its_devkit_reads_it(make: Make, tmp_path: Path) -> None:
    """Palette indexes through Pillow, boxes through an XML parser, lists line by line."""
    source = make(count=8, ignore=True)
    convert_to("voc", source, tmp_path / "voc", Options(), shares=SHARES, ignore=True)
    listed = []
    for part in PARTS:
        path = tmp_path / "voc" / "ImageSets" / "Segmentation" / f"{part}.txt"
        listed += path.read_text().split() if path.exists() else []
        assert not path.exists() or path.read_text() == path.with_name(path.name).read_text()
    rows = [json.loads(line) for line in (tmp_path / "voc" / "metadata.jsonl").read_text().split("\n") if line]
    originals = {Path(row["file_name"]).stem: row["source_file_name"] for row in rows}
    assert sorted(listed) == sorted(originals)
    expected = pairs(source, ignore=True)
    for name in listed:
        _, mask, _ = expected[Path(originals[name]).stem]
        with Image.open(tmp_path / "voc" / "SegmentationClass" / f"{name}.png") as picture:
            assert picture.mode == "P"
            np.testing.assert_array_equal(np.array(picture), mask)
            palette = np.array(picture.getpalette()).reshape(-1, 3)
            # Of the devkit's documentation: aeroplane, bicycle, bird, void.
            assert palette[[0, 1, 2, 3, 255]].tolist() == [
                [0, 0, 0],
                [128, 0, 0],
                [0, 128, 0],
                [128, 128, 0],
                [224, 224, 192],
            ]
        with Image.open(tmp_path / "voc" / "JPEGImages" / f"{name}.jpg") as photograph:
            assert photograph.format == "JPEG" and photograph.size == mask.shape[::-1]
        root = ElementTree.parse(tmp_path / "voc" / "Annotations" / f"{name}.xml").getroot()
        assert root.findtext("filename") == f"{name}.jpg"
        assert [root.findtext(f"size/{side}") for side in ("width", "height", "depth")] == ["36", "24", "3"]
        names = ("background", "crack", "water stain", "mold")
        boxes = [
            (
                names.index(str(o.findtext("name"))),
                *(int(str(o.findtext(f"bndbox/{s}"))) for s in ("xmin", "ymin", "xmax", "ymax")),
            )
            for o in root.iter("object")
        ]
        assert boxes == [
            (r.class_id, r.left + 1, r.top + 1, r.left + r.width, r.top + r.height) for r in connected_components(mask)
        ]


def test_semantic_masks_are_ids_under_the_images_names(plain: Path, tmp_path: Path) -> None:
    convert_to("semantic", plain, tmp_path / "out", Options(), shares=SHARES)
    about = json.loads((tmp_path / "out" / "metainfo.json").read_text())
    assert about["classes"] == ["background", "crack", "water stain", "mold"] and len(about["palette"]) == 4
    assert about["ignore_index"] == 255 and about["reduce_zero_label"] is False
    expected = pairs(plain)
    for image in (tmp_path / "out" / "images").rglob("*.*"):
        _, mask, _ = expected.pop(image.stem)
        path = tmp_path / "out" / "annotations" / image.parent.name / f"{image.stem}.png"
        with Image.open(path) as picture:
            assert picture.mode == "L"
            np.testing.assert_array_equal(np.array(picture), mask)
    assert not expected


def test_webdataset_reads_the_shards(plain: Path, tmp_path: Path) -> None:
    """With the reader's own expansion of archives, grouping of files and decoding; it forgets to close its files."""
    from webdataset.autodecode import Decoder, ImageHandler
    from webdataset.tariterators import group_by_keys, tar_file_iterator

    convert_to("webdataset", plain, tmp_path / "out", Options(shard_bytes=2500), shares=SHARES)
    expected = pairs(plain)
    decode = Decoder([ImageHandler("pil", extensions=["jpg", "png"])])
    for path in sorted((tmp_path / "out").glob("*.tar")):
        with path.open("rb") as file:
            for sample in map(decode, group_by_keys({**f, "__url__": path.name} for f in tar_file_iterator(file))):
                picture, mask, row = expected.pop(sample["__key__"])
                image = sample["jpg"] if "jpg" in sample else sample["png"]
                np.testing.assert_array_equal(np.asarray(image), picture)
                np.testing.assert_array_equal(np.asarray(sample["mask.png"])[..., 0], mask)  # it makes masks RGB
                assert sample["json"]["text"] == row["text"] and sample["json"]["seed"] == row["seed"]
    assert not expected


def test_datasets_reads_parquet_with_pictures_and_splits(plain: Path, tmp_path: Path) -> None:
    import datasets

    convert_to("parquet", plain, tmp_path / "out", Options(shard_bytes=1500), shares=SHARES)
    expected = pairs(plain)
    loaded = datasets.load_dataset("parquet", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {"train", "validation"} <= set(loaded)
    for split in loaded.values():
        assert isinstance(split.features["image"], datasets.Image) and isinstance(
            split.features["mask"], datasets.Image
        )
        for record in split:
            row = json.loads(record["row"])
            picture, mask, known = expected.pop(f"pair_{row['seed']}")
            np.testing.assert_array_equal(np.asarray(record["image"]), picture)
            assert record["mask"].mode == "L"
            np.testing.assert_array_equal(np.asarray(record["mask"]), mask)
            assert record["text"] == known["text"] and row["license"] == known["license"]
    assert not expected


def test_parquet_holds_its_pictures_itself(make: Make, tmp_path: Path) -> None:
    """Files that name pictures elsewhere read back on the machine that wrote them, and nowhere else."""
    import pyarrow.parquet

    convert_to("parquet", make(count=3), tmp_path / "out", Options())
    table = pyarrow.parquet.read_table(tmp_path / "out" / "data" / "train-00000-of-00001.parquet")
    for record in table.to_pylist():
        assert (
            record["image"]["bytes"][:3] in (b"\xff\xd8\xff", b"\x89PN") and record["mask"]["bytes"][:4] == b"\x89PNG"
        )
        assert "/" not in record["image"]["path"]


def test_parquet_comes_in_small_row_groups(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader holds a whole row group, so pictures must not all stand in one."""
    import pyarrow.parquet

    monkeypatch.setattr("wetgen.runtime.dataset.formats.parquet._GROUP", 3)
    convert_to("parquet", make(count=8), tmp_path / "out", Options())
    about = pyarrow.parquet.read_metadata(tmp_path / "out" / "data" / "train-00000-of-00001.parquet")
    assert [about.row_group(place).num_rows for place in range(about.num_row_groups)] == [3, 3, 2]
