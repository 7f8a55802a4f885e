"""`wetgen paint`: damage in photographs, and a folder that says where."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.runtime.read_back import files, rows
from wetgen.runtime.bundle.archive import file_sha256
from wetgen.runtime.bundle.bundle import Bundle, open_bundle
from wetgen.runtime.cli import cli
from wetgen.runtime.dataset.reader import Dataset
from wetgen.runtime.inpaint.damage import with_margin
from wetgen.runtime.layouts.boxes import read_boxes
from wetgen.runtime.masks.images import encode_mask, encode_png, read_image, read_mask
from wetgen.runtime.masks.regions import Box
from wetgen.runtime.masks.rle import region_from_json

CRACK, STAIN, MOLD = 1, 2, 3
NAMES = ("a.png", "b.jpg", "c.png")


@pytest.fixture
def photos(tmp_path, wall) -> Path:
    """Three photographs, one of them a JPEG and of another size."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, name in enumerate(NAMES):
        size = (80, 64) if name == "b.jpg" else (64, 96)
        Image.fromarray(wall(seed, *size)).save(folder / name, **({"quality": 95} if name == "b.jpg" else {}))
    return folder


@pytest.fixture
def paint(tmp_path, bundle_folder, photos):
    """Run `wetgen paint` in this process, into tmp_path/OUT unless told otherwise."""

    def call(*words, out="out", code=0):
        given = ["--photos", photos, "--bundle", bundle_folder, "--out", tmp_path / out, "--threads", 1, "--quiet"]
        result = CliRunner().invoke(cli, ["paint", *map(str, [*given, *words])])
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    return call


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def load(out: Path, row: dict) -> tuple[np.ndarray, np.ndarray]:
    return read_image(out / row["file_name"]), read_mask(out / row["mask_file_name"])


def regions(row: dict, size: tuple[int, int]) -> np.ndarray:
    """bool (H, W): every pixel that the row says may have changed."""
    free = np.zeros(size, bool)
    for painted in row["painted"]:
        box = Box(*painted.get("grown_to", painted["box"]))
        where = region_from_json(painted["where"], "row") if "where" in painted and "grown_to" not in painted else True
        free[box.slices] |= where
    return free


def assert_sound(out: Path, photos: Path, bundle: Bundle) -> dict[int, dict]:
    """The folder reads; outside the regions photographs stay; boxes lie in the picture, tight around damage."""
    dataset = Dataset.open(out)
    found = rows(out)
    assert len(dataset.rows) == len(found)
    for row in found.values():
        image, mask = load(out, row)
        photo = photos / row["background"]["photo"]
        before = read_image(photo)
        assert row["background"]["sha256"] == file_sha256(photo)
        assert image.shape == before.shape and mask.shape == before.shape[:2]
        free = regions(row, mask.shape)
        np.testing.assert_array_equal(image[~free], before[~free])
        assert not mask[~free].any()
        for said in row["boxes"]:
            box = Box(said["x"], said["y"], said["width"], said["height"])
            assert box.inside(mask.shape)
            there = mask[box.slices] == bundle.classes.names.index(said["class"])
            assert there[0].any() and there[-1].any() and there[:, 0].any() and there[:, -1].any()
            if [each["class"] for each in row["boxes"]].count(said["class"]) == 1:
                all_of_it = mask == bundle.classes.names.index(said["class"])
                assert all_of_it.sum() == there.sum(), "nothing of the only damage of a class lies outside its box"
        assert mask.any() == bool(row["boxes"])
    return found


BOXES = (
    "file_name,class,x,y,width,height,severity,prompt\n"
    "a.png,stain,16,16,28,24,0.5,a brown stain\n"
    "b.jpg,mold,25%,25%,50%,50%,,\n"
    "a.png,mold,56,8,28,28,,\n"
)


def test_boxes_say_where_which_damage_lies(paint, photos, tmp_path, bundle, on_the_double):
    paint("--boxes", write(tmp_path / "b.csv", BOXES))
    found = assert_sound(tmp_path / "out", photos, bundle)
    assert [row["text"] for row in found.values()] == [
        "a brown stain, mold",
        "mold",
        "a photograph without damage",
    ]
    first, second, third = (found[index] for index in range(3))
    assert (
        [each["class"] for each in first["painted"]] == ["stain", "mold"] == [each["class"] for each in first["boxes"]]
    )
    assert Box(*first["painted"][0]["box"]) == with_margin(Box(16, 16, 28, 24), (64, 96))[0]
    assert Box(*second["painted"][0]["box"]) == with_margin(Box(16, 20, 32, 40), (80, 64))[0], "percent of each side"
    assert first["painted"][0]["severity"] == 0.5 and 0 <= second["painted"][0]["severity"] <= 1
    assert third["painted"] == [] and third["boxes"] == [] and third["class_areas"] == {"background": 1.0}
    image, _ = load(tmp_path / "out", third)
    np.testing.assert_array_equal(image, read_image(photos / "c.png"))


def test_boxes_of_damages_that_touch_are_each_its_own(paint, tmp_path, bundle, photos, on_the_double):
    """Their regions overlap, and both are stains."""
    text = "file_name,class,x,y,width,height,severity\na.png,stain,8,16,30,30,1\na.png,stain,40,16,30,30,1\n"
    paint("--boxes", write(tmp_path / "b.csv", text))
    row = assert_sound(tmp_path / "out", photos, bundle)[0]
    one, other = (Box(each["x"], each["y"], each["width"], each["height"]) for each in row["boxes"])
    assert one.right <= 42 and other.left >= 36, "they lie where they were asked for, give or take a cell"


def test_a_box_holds_what_is_in_sight_of_damage_that_another_lies_over(paint, tmp_path, bundle, photos, on_the_double):
    text = "file_name,class,x,y,width,height,severity\na.png,stain,8,16,44,36,1\na.png,mold,32,12,40,44,1\n"
    paint("--boxes", write(tmp_path / "b.csv", text))
    row = assert_sound(tmp_path / "out", photos, bundle)[0]
    assert [each["class"] for each in row["boxes"]] == ["stain", "mold"]
    assert row["boxes"][0]["width"] < 40, "its right half is hidden"


def test_each_damage_has_noise_of_its_own(paint, tmp_path, on_the_double):
    paint("--boxes", write(tmp_path / "b.csv", BOXES))
    tries = [each["try"] for each in rows(tmp_path / "out")[0]["painted"]]
    assert len(set(tries)) == 2 and min(tries) > 10**6, "nor is it that of a try of the pair"


def test_boxes_without_file_names_hold_for_every_photograph(paint, photos, tmp_path, bundle, on_the_double):
    paint("--boxes", write(tmp_path / "b.csv", "class;x;y;width;height\nstain;30%;30%;40%;40%\n"), "--count", 2)
    found = assert_sound(tmp_path / "out", photos, bundle)
    assert [found[index]["background"]["photo"] for index in range(6)] == list(NAMES) * 2
    assert all(len(row["boxes"]) == 1 for row in found.values())
    one, again = load(tmp_path / "out", found[0]), load(tmp_path / "out", found[3])
    assert not np.array_equal(one[0], again[0]), "each pair of a photograph is another"


def test_what_boxes_csv_says_of_a_run_can_be_painted_again(paint, photos, tmp_path, bundle, on_the_double):
    paint("--boxes", write(tmp_path / "b.csv", BOXES))
    listed = read_boxes(tmp_path / "out" / "boxes.csv", bundle.classes)
    said = [
        (row["file_name"], each["class"], each["x"], each["width"])
        for row in rows(tmp_path / "out").values()
        for each in row["boxes"]
    ]
    found = [(row.file_name, row.class_name, row.lengths["x"].value, row.lengths["width"].value) for row in listed]
    assert found == said


def test_masks_say_what_lies_where(paint, photos, tmp_path, bundle, on_the_double):
    masks = tmp_path / "masks"
    masks.mkdir()
    for name, size in (("a", (64, 96)), ("b", (80, 64)), ("c", (64, 96))):
        mask = np.zeros(size, np.uint8)
        mask[20:40, 16:36] = MOLD if name == "b" else STAIN
        (masks / f"{name}.png").write_bytes(encode_mask(mask if name != "c" else np.zeros(size, np.uint8)))
    classes = write(tmp_path / "c.csv", "class,prompt\nmold,black mold\n")
    paint("--masks", masks, "--damage", classes)
    found = assert_sound(tmp_path / "out", photos, bundle)
    assert [row["text"] for row in found.values()] == ["stain", "black mold", "a photograph without damage"]
    for index, class_id in ((0, STAIN), (1, MOLD)):
        wanted = read_mask(masks / f"{'ab'[index]}.png")
        _, mask = load(tmp_path / "out", found[index])
        both, either = (mask == class_id) & (wanted == class_id), (mask == class_id) | (wanted == class_id)
        assert both.sum() / either.sum() > 0.6  # a frame of these photographs is drawn a third smaller, in cells of 4
        assert "where" in found[index]["painted"][0]


def test_places_at_random_and_as_many_pairs_as_are_asked_for(paint, photos, tmp_path, bundle, on_the_double):
    text = "class,prompt,probability,least_count,most_count,least_size,most_size\nstain,a stain,1,1,2,0.05,0.15\n"
    classes = write(tmp_path / "c.csv", text)
    paint("--damage", classes, "--auto", "--count", 3)
    found = assert_sound(tmp_path / "out", photos, bundle)
    assert sorted(found) == list(range(9))
    places = [tuple(each["box"]) for row in found.values() for each in row["painted"]]
    assert len(set(places)) == len(places) and {len(row["painted"]) for row in found.values()} == {1, 2}
    paint("--damage", classes, "--count", 3, out="same")
    assert files(tmp_path / "same") == files(tmp_path / "out"), "--auto is what --damage alone does"
    paint("--damage", classes, "--seed", 1, out="other")
    other = rows(tmp_path / "other")
    assert [row["painted"] for row in other.values()] != [found[index]["painted"] for index in range(3)]


def test_one_photograph_may_be_given_instead_of_a_folder(paint, photos, tmp_path, bundle, on_the_double):
    paint(
        "--photos", photos / "c.png", "--boxes", write(tmp_path / "b.csv", "class,x,y,width,height\nmold,9,9,40,40\n")
    )
    (row,) = assert_sound(tmp_path / "out", photos, bundle).values()
    assert row["background"]["photo"] == "c.png"


def test_damage_that_would_be_cut_off_is_left_out_and_said(paint, tmp_path, on_the_double, monkeypatch):
    """Of two boxes of a class one is painted, so that the pair has its class."""
    from wetgen.runtime.inpaint import painter

    touches = painter._touches_edge
    monkeypatch.setattr(painter, "_touches_edge", lambda mask, *more: (mask == MOLD).any() or touches(mask, *more))
    text = "file_name,class,x,y,width,height\na.png,stain,8,8,30,30\na.png,mold,52,30,30,30\n"
    paint("--boxes", write(tmp_path / "b.csv", text), "--photos", tmp_path / "photos" / "a.png", "--tries", 1, code=1)
    (rejected,) = map(json.loads, (tmp_path / "out" / "rejected.jsonl").read_text().splitlines())
    assert rejected["reasons"] == {"asked": "asked for mold, none in the mask"}
    assert rejected["dropped"] == ["mold: it would be cut off at the edge of its region"]
    assert [each["class"] for each in rejected["boxes"]] == ["stain"]


def test_a_row_says_so_when_all_of_a_box_was_freed_in_the_end(paint, tmp_path, on_the_double, monkeypatch):
    """The mask lies along two edges of the picture: its box is all of it and cannot grow; what was to stay is freed."""
    from wetgen.runtime.inpaint import painter

    tries, touches = iter([True]), painter._touches_edge
    monkeypatch.setattr(painter, "_touches_edge", lambda *given: next(tries, False) or touches(*given))
    (tmp_path / "masks").mkdir()
    mask = np.zeros((64, 96), np.uint8)
    mask[:12], mask[:, :12] = STAIN, STAIN
    (tmp_path / "masks" / "a.png").write_bytes(encode_mask(mask))
    paint("--photos", tmp_path / "photos" / "a.png", "--masks", tmp_path / "masks")
    (said,) = rows(tmp_path / "out")[0]["painted"]
    assert said["box"] == said["grown_to"] == [0, 0, 96, 64] and "where" in said


def test_damage_that_nobody_would_see_is_said(paint, tmp_path, on_the_double, monkeypatch):
    from wetgen.runtime.inpaint import blend as inlay

    monkeypatch.setattr(inlay, "_LEAST_CONTRAST", 1000)
    paint("--boxes", write(tmp_path / "b.csv", "class,x,y,width,height\nstain,9,9,40,40\n"), "--tries", 1, code=1)
    first = json.loads((tmp_path / "out" / "rejected.jsonl").read_text().splitlines()[0])
    assert first["dropped"] == ["stain: nothing of it would be seen"] and first["boxes"] == []


def test_a_stopped_run_goes_on_to_the_same_bytes(paint, tmp_path, on_the_double, monkeypatch):
    boxes = write(tmp_path / "b.csv", BOXES)
    paint("--boxes", boxes, "--count", 2, out="whole")
    draw = type(on_the_double).draw

    def stop(self, wanted, plan, alphas=()):
        if wanted[0].number == 3:
            raise KeyboardInterrupt
        return draw(self, wanted, plan, alphas)

    monkeypatch.setattr(type(on_the_double), "draw", stop)
    stopped = paint("--boxes", boxes, "--count", 2, code=130)
    assert "--resume" in stopped.stderr and sorted(rows(tmp_path / "out")) == [0, 1, 2]
    monkeypatch.setattr(type(on_the_double), "draw", draw)
    paint("--boxes", boxes, "--count", 2, "--resume")
    assert files(tmp_path / "out") == files(tmp_path / "whole") and rows(tmp_path / "out") == rows(tmp_path / "whole")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        path.name for path in (tmp_path / "whole").iterdir()
    }


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(paint, tmp_path, bundle_folder, photos):
    """With the tiny bundle's own networks, in a process that is killed after four pairs or rejected tries."""
    boxes = write(tmp_path / "b.csv", "class,x,y,width,height\nstain,30%,30%,40%,40%\n")
    command = [sys.executable, "-W", "error", "-m", "wetgen.runtime.cli", "paint", "--json", "--threads", 1]
    command += ["--photos", photos, "--boxes", boxes, "--bundle", bundle_folder, "--out", tmp_path / "out"]
    words = list(map(str, [*command, "--count", 400]))
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        for _ in range(5):  # the start comes first
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    done = (tmp_path / "out" / "metadata.jsonl").read_bytes().count(b"\n")
    assert 0 < done < 1200
    count = done // 3 + 2  # beyond the pair whose files a kill may have left without a row
    paint("--boxes", boxes, "--resume", "--count", count)
    paint("--boxes", boxes, "--count", count, "--batch", 2, out="whole")
    assert files(tmp_path / "out") == files(tmp_path / "whole") and rows(tmp_path / "out") == rows(tmp_path / "whole")


@pytest.mark.parametrize("changed", ["boxes", "masks", "damage", "way", "detail", "photos"])
def test_another_run_is_not_gone_on_with(paint, tmp_path, photos, on_the_double, changed):
    boxes, classes = write(tmp_path / "b.csv", BOXES), write(tmp_path / "c.csv", "class\nstain\n")
    masks = tmp_path / "masks"
    masks.mkdir()
    for name, size in (("a", (64, 96)), ("b", (80, 64)), ("c", (64, 96))):
        mask = np.zeros(size, np.uint8)
        mask[20:40, 20:40] = STAIN
        (masks / f"{name}.png").write_bytes(encode_mask(mask))
    way = ("--masks", masks, "--damage", classes) if changed in ("masks", "damage", "way") else ("--boxes", boxes)
    paint(*way)
    before = (tmp_path / "out" / "run.json").read_bytes()
    more = ["--detail", 3] if changed == "detail" else []
    if changed == "boxes":
        write(boxes, BOXES.replace("28,28", "28,27"))
    if changed == "masks":
        (masks / "a.png").write_bytes(encode_mask(np.zeros((64, 96), np.uint8)))
    if changed == "damage":
        write(classes, "class,prompt\nstain,a brown stain\n")
    if changed == "way":
        way = ("--damage", classes)
    if changed == "photos":
        (photos / "c.png").rename(photos / "d.png")
    result = paint(*way, *more, "--resume", code=1)
    assert "holds another run" in result.stderr
    assert (tmp_path / "out" / "run.json").read_bytes() == before


def test_detail_says_how_finely_large_regions_are_drawn(paint, tmp_path, on_the_double):
    boxes = write(tmp_path / "b.csv", "class,x,y,width,height\nstain,20,20,24,24\n")
    cells = {}
    for detail in (1, 3):
        on_the_double.asked.clear()
        paint("--boxes", boxes, "--detail", detail, out=f"out{detail}")
        cells[detail] = on_the_double.asked[0][0].size
        assert rows(tmp_path / f"out{detail}")[0]["detail"] == detail
    assert cells[1][0] < cells[3][0] and cells[1][1] < cells[3][1]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ((), "Nothing says which damage to paint."),
        (("--auto",), "Nothing says which damage to paint."),
        (("--boxes", "b.csv", "--masks", "m"), "--boxes and --masks are given."),
        (("--boxes", "b.csv", "--auto"), "--boxes and --auto are given."),
        (("--boxes", "b.csv", "--surface-lines", "surface=wall"), "--surface-lines and --boxes are given."),
        (("--damage", "c.csv", "--surface-lines", "roof=0.1"), "The surface lines cannot be used: roof=0.1."),
        (("--boxes", "b.csv", "--keep-agreement", "0"), "--keep-agreement is not possible with this bundle."),
        (("--boxes", "b.csv", "--plan", "slow"), "The bundle has no plan 'slow'."),
        (("--boxes", "b.csv", "--seed", "-1"), "The seed is -1."),
        (("--boxes", "b.csv", "--guidance", "nan"), "The guidance is nan."),
        (("--boxes", "long.csv"), "A prompt is too long"),
        (("--damage", "two.csv"), "A prompt is too long"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_written(paint, tmp_path, monkeypatch, words, what):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "b.csv", BOXES)
    write(tmp_path / "c.csv", "class\nstain\n")
    write(tmp_path / "long.csv", f"class,x,y,width,height,prompt\nstain,0,0,9,9,{'wet ' * 60}\n")
    write(tmp_path / "two.csv", f"class,prompt\nstain,{'wet ' * 60}\nstain,a stain\n")
    result = paint(*words, code=1)
    assert what in result.stderr and "why:" in result.stderr and "fix:" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_bundle_of_images_only_is_refused(paint, images_only_folder, tmp_path):
    result = paint("--bundle", images_only_folder, "--boxes", write(tmp_path / "b.csv", BOXES), code=1)
    assert "This bundle takes no layouts." in result.stderr and not (tmp_path / "out").exists()


def test_boxes_for_a_photograph_that_is_not_there_are_a_mistake(paint, tmp_path):
    text = BOXES + "e.png,mold,0,0,9,9,,\nd.png,mold,0,0,9,9,,\n"
    result = paint("--boxes", write(tmp_path / "b.csv", text), code=1)
    assert "has boxes for d.png." in result.stderr and "and 1 more like it" in result.stderr
    assert not (tmp_path / "out").exists()


# The bundle that ships


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return open_bundle(None)


@pytest.fixture
def real(tmp_path, wall):
    """`wetgen paint` with the shipped bundle's fast plan on two photographs of 150 x 140, and the folder of those."""
    photos = tmp_path / "real"
    photos.mkdir()
    for seed in (0, 2):
        (photos / f"{seed}.png").write_bytes(encode_png(wall(seed, 140, 150)))

    def call(*words, out="out"):
        given = ["--photos", photos, "--plan", "fast", "--detail", 1, "--out", tmp_path / out]
        given += ["--threads", 1, "--quiet"]
        result = CliRunner().invoke(cli, ["paint", *map(str, [*given, *words])])
        assert result.exit_code == 0, result.output
        return tmp_path / out

    return photos, call


@pytest.mark.slow
def test_the_shipped_bundle_paints_what_it_is_told_whatever_the_batch(real, tmp_path, shipped):
    photos, call = real
    boxes = write(
        tmp_path / "b.csv",
        "file_name,class,x,y,width,height,severity\n0.png,stain,20%,20%,55%,55%,0.7\n2.png,mold,40,30,70,80,0.7\n",
    )
    found = assert_sound(call("--boxes", boxes), photos, shipped)
    for row, name in zip(found.values(), ("stain", "mold"), strict=True):
        (said,) = row["boxes"]
        _, mask = load(tmp_path / "out", row)
        assert said["class"] == name and row["class_areas"][name] > 0.03
        for painted in row["painted"]:
            box = Box(*painted.get("grown_to", painted["box"]))
            assert_whole(mask[box.slices] > 0, box, mask.shape)
    assert files(call("--boxes", boxes, "--batch", 1, out="one")) == files(tmp_path / "out")


def assert_whole(there: np.ndarray, box: Box, size: tuple[int, int]) -> None:
    """No damage touches the rim of its region, unless that is the picture's edge."""
    assert box.top == 0 or not there[0].any()
    assert box.left == 0 or not there[:, 0].any()
    assert box.bottom == size[0] or not there[-1].any()
    assert box.right == size[1] or not there[:, -1].any()
