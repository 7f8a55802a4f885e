"""`wetgen run` on prompts files that say more than prompts: every line is drawn as if it were alone."""

import csv
import io
import json
import signal
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.runtime.read_back import files
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.cli import cli
from wetgen.runtime.dataset.reader import Dataset
from wetgen.runtime.layouts.layout import random_layout
from wetgen.runtime.layouts.surfaces import parse_lines
from wetgen.runtime.masks.images import encode_mask, read_mask
from wetgen.runtime.masks.resize import resize_mask
from wetgen.runtime.masks.rle import mask_from_json
from wetgen.runtime.run.tasks import Listed
from wetgen.runtime.sampling import generator as generating
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.sampler import missing_class
from wetgen.training.scenes.scene import CLASSES

LONG = "crack " * 40


@pytest.fixture
def wetgen(bundle_folder, tmp_path):
    """Run `wetgen run` in this process on lines of a .txt file, or on the rows of a .csv; gives result and folder."""

    def call(lines, *more, out="out", file="prompts.txt", **options):
        words = []
        if lines is not None:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text(lines if isinstance(lines, str) else "\n".join(lines) + "\n", "utf-8")
            words = ["--prompts", str(tmp_path / file)]
        given = {"bundle": bundle_folder, "out": tmp_path / out, "threads": 1, **options}
        words += [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        return CliRunner().invoke(cli, ["run", *words, *map(str, more)]), tmp_path / out

    return call


@pytest.fixture
def drawn(wetgen):
    """The folder of such a run, which must have gone well."""

    def call(lines, *more, **options):
        result, out = wetgen(lines, *more, **options)
        assert result.exit_code == 0, (result.output, result.exception)
        return out

    return call


@pytest.fixture
def refused(wetgen):
    """What such a run says on standard error; it may not leave a folder."""

    def call(lines, *more, **options):
        result, out = wetgen(lines, *more, **options)
        assert result.exit_code == 1 and not out.exists() and "why: " in result.stderr, result.output
        return result.stderr

    return call


def rows(out: Path) -> dict[int, dict]:
    listed = [json.loads(line) for line in (out / "metadata.jsonl").read_text("utf-8").splitlines()]
    return {row["index"]: row for row in sorted(listed, key=lambda row: row["index"])}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def pictures(out: Path) -> dict[int, tuple[bytes, bytes, bytes]]:
    """The pixels of each pair, without the texts that PNG files hold beside them, such as the index."""
    kinds = ("images", "masks", "confidence")
    return {i: tuple(pixels(out / kind / f"{i:06d}.png").tobytes() for kind in kinds) for i in rows(out)}


def by_line(out: Path) -> dict[tuple[str, int], tuple[bytes, bytes, bytes]]:
    """The pixels of each pair by its text and how many pairs of this text come before."""
    found: dict[tuple[str, int], tuple[bytes, bytes, bytes]] = {}
    for index, row in rows(out).items():
        number = sum(text == row["text"] for text, _ in found)
        found[row["text"], number] = pictures(out)[index]
    return found


# What a line says


def test_plain_prompts_are_drawn_as_before(drawn, bundle):
    out = drawn(["black mold", "a crack", "a stain"], count=2)
    with Generator(bundle, batch=4, threads=1) as generator:
        for pair in generator.generate(["black mold", "a crack", "a stain"], count=2):
            assert (pixels(out / f"images/{pair.index:06d}.png") == pair.image).all()
    assert not {"number", "class", "layout", "size", "severity"} & set(rows(out)[5])


def test_a_line_with_a_seed_is_drawn_alike_whatever_lines_are_around_it(drawn):
    seeded = ["a crack --seed 7 --count 2", "mold --seed 7"]
    alone = by_line(drawn(seeded, count=2, out="alone"))
    among = by_line(drawn(["a stain", seeded[0], "# no line", "a wall --count 3", seeded[1]], count=2, out="among"))
    assert {key: among[key] for key in alone} == alone and len(alone) == 6
    assert len(set(alone.values())) == 6


def test_a_seeded_pair_has_the_noise_of_its_number_within_the_line(drawn, bundle):
    out = drawn(["a stain", "a crack --seed 7 --count 2"], count=2)
    with Generator(bundle, batch=4, threads=1) as generator:
        expected = list(generator.generate(["a crack"], seed=7, count=4))
    for index, number in ((1, 0), (2, 1), (4, 2), (5, 3)):
        row = rows(out)[index]
        assert row["seed"] == 7 and row.get("number", index) == number
        assert (pixels(out / row["file_name"]) == expected[number].image).all()
    assert rows(out)[0]["seed"] == 0 and "number" not in rows(out)[3]


def test_zero_is_a_seed(drawn):
    mixed, alone = drawn(["a crack --seed 0", "a crack"], seed=5), drawn(["a crack", "a crack"], out="alone")
    assert [row["seed"] for row in rows(mixed).values()] == [0, 5]
    assert pictures(mixed)[0] == pictures(alone)[0] and pictures(mixed)[1] != pictures(alone)[1]


def test_guidance_and_negative_of_a_line_are_those_of_a_run(drawn):
    lines = ["a crack --guidance 6", 'a crack --negative "a dry wall"', 'a crack --guidance 0 --negative ""', "a crack"]
    mixed = drawn(lines, guidance=1.5, negative="people")
    settings = [(6, "people"), (1.5, "a dry wall"), (0, ""), (1.5, "people")]
    for place, (guidance, negative) in enumerate(settings):
        row = rows(mixed)[place]
        assert (row["guidance"], row["negative"]) == (guidance, negative)
        alone = drawn(["a crack"] * 4, out=f"alone{place}", guidance=guidance, negative=negative)
        assert pictures(mixed)[place] == pictures(alone)[place]
    assert len(set(pictures(mixed).values())) == 4


MIXED = ["a crack --plan four", "black mold --plan two", "a stain", "mold --plan two"]
PLAIN = [line.split(" --")[0] for line in MIXED]
PLANS = ["four", "two", "four", "two"]


@pytest.mark.parametrize("plan", ["four", "two"])
def test_plans_mixed_in_a_file_give_the_bytes_of_separate_runs(drawn, plan):
    mixed = drawn(MIXED, count=3)
    alone = drawn(PLAIN, count=3, plan=plan, out="alone")
    of_plan = [index for index in range(12) if PLANS[index % 4] == plan]
    for index in of_plan:
        assert rows(mixed)[index] == rows(alone)[index] and rows(mixed)[index]["plan"] == plan
        for kind in ("images", "masks", "confidence"):
            name = f"{kind}/{index:06d}.png"
            assert files(mixed)[name] == files(alone)[name]


def test_a_line_without_a_plan_has_the_runs(drawn):
    assert [row["plan"] for row in rows(drawn(MIXED, plan="two")).values()] == ["four", "two", "two", "two"]


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_the_batch_decides_nothing(drawn, batch):
    """Not with lines that differ in everything, of which no batch is full in the end."""
    lines = [
        'a crack --guidance 6 --negative "a dry wall"',
        "mold --plan two --seed 3 --count 2",
        "a stain --severity 0.4",
        "{old|wet} {class} --class mold|crack --severity 0.9",
    ]
    out, whole = drawn(lines, batch=batch, count=3), drawn(lines, batch=4, count=3, out="whole")
    assert rows(out) == rows(whole) and files(out) == files(whole) and len(rows(out)) == 15


def test_a_larger_count_changes_nothing_that_was_there(drawn):
    lines = [*MIXED, "a stain --severity 0.4", "a {white|grey} {wall|ceiling} with {class} --class mold|crack"]
    less, more = drawn(lines, count=2), drawn(lines, count=5, out="more")
    assert len(rows(more)) == 30
    assert {index: rows(more)[index] for index in rows(less)} == rows(less)
    assert files(less).items() <= files(more).items()


def test_shards_hold_the_bytes_of_loose_files(drawn):
    lines = [*MIXED, "a stain --severity 0.4", "a wall with {class} --class mold --seed 4"]
    loose, sharded = drawn(lines, count=2), drawn(lines, "--shards", 5, count=2, out="sharded")
    suffixes = {"images": "png", "masks": "mask.png", "confidence": "confidence.png"}
    found = {}
    for shard in (sharded / "shards").iterdir():
        with tarfile.open(shard) as archive:
            found |= {member.name: archive.extractfile(member).read() for member in archive}
    for index in range(12):
        for kind, suffix in suffixes.items():
            assert found[f"{index:06d}.{suffix}"] == files(loose)[f"{kind}/{index:06d}.png"]

    def said(out):
        own = {"file_name", "mask_file_name", "confidence_file_name", "shard", "key"}
        return {index: {key: row[key] for key in row if key not in own} for index, row in rows(out).items()}

    assert said(loose) == said(sharded)


def test_a_row_is_enough_to_make_its_pair_again(drawn, bundle):
    lines = ['mold --seed 3 --count 2 --negative "a wall"', "a stain --severity 0.4 --plan two", "a crack --guidance 1"]
    out = drawn(lines, count=2, size="48x40", batch=2)
    with Generator(bundle, batch=2, threads=1) as generator:
        for index, row in rows(out).items():
            number = row.get("number", index)
            layout = [mask_from_json(row["layout"], bundle.classes, "row")] if "layout" in row else None
            options = {name: row[name] for name in ("seed", "plan", "guidance", "negative")}
            (pair,) = generator.generate(
                [row["text"]], count=number + 1, indexes=[number], layouts=layout, size=tuple(row["size"]), **options
            )
            assert (pixels(out / row["file_name"]) == pair.image).all()
            assert (pixels(out / row["mask_file_name"]) == pair.mask).all()


def test_a_class_that_a_line_asks_for_and_the_mask_lacks_is_a_fault(drawn, bundle, monkeypatch):
    make = generating.make_pair

    def without_mold(*given):
        pair = make(*given)
        return replace(pair, mask=np.where(pair.mask == 3, 0, pair.mask).astype(np.uint8))

    monkeypatch.setattr(generating, "make_pair", without_mold)
    found = rows(drawn(["a wall --class mold", "a wall --class crack", "a wall"]))
    assert found[0]["faults"] == [missing_class("mold")] and found[0]["class"] == "mold"
    assert found[1]["faults"] == [] and "class" not in found[2]


def test_a_quota_says_the_pairs_of_each_class(drawn):
    out = drawn(["a wall with {class}", "a stain", "a crack --count 2"], quota="mold=2,stain=3,crack=3")
    said = [row["class"] for row in rows(out).values()]
    assert sorted(said) == ["crack"] * 3 + ["mold"] * 2 + ["stain"] * 3
    assert json.loads((out / "run.json").read_text())["counts"]["asked"] == 8


def test_a_quota_is_part_of_what_the_run_is(drawn, wetgen):
    drawn(["a wall with {class}"], quota="mold=2,stain=2")
    for quota in ("mold=2,stain=3", "stain=2,mold=2"):
        result, _ = wetgen(["a wall with {class}"], "--resume", quota=quota)
        assert result.exit_code == 1 and "prompts_sha256 was" in result.stderr
    assert wetgen(["a wall with {class}"], "--resume", quota="mold=2,stain=2")[0].exit_code == 0


# Layouts


def mask_file(path: Path, *regions: tuple[int, object], size: tuple[int, int] = (32, 32)) -> np.ndarray:
    """Write a mask with classes in regions, and give it."""
    mask = np.zeros(size, np.uint8)
    for class_id, region in regions:
        mask[region] = class_id
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_mask(mask))
    return mask


def assert_shows(out: Path, index: int, bundle: Bundle, mask: np.ndarray) -> None:
    """Whether the row of a pair states this layout, and how far its mask agrees with it."""
    row = rows(out)[index]
    np.testing.assert_array_equal(mask_from_json(row["layout"], bundle.classes, "row"), mask)
    agrees = (read_mask(out / row["mask_file_name"]) == mask).mean()
    assert row["layout_agreement"] == round(float(agrees), 4) and 0 <= row["layout_iou"] <= 1


def test_a_severity_draws_a_layout(drawn, bundle):
    """That of the pair's seed and number, on the surfaces of the run."""
    lines = ["a stain --severity 0.7", "a crack", "a wall with {class} --class mold --severity 0.2 --seed 9"]
    out = drawn(lines, count=2, surface_lines="ceiling=0.2,floor=0.8")
    known = parse_lines("ceiling=0.2,floor=0.8")
    wanted = {0: (0, 0, "stain", 0.7), 3: (0, 3, "stain", 0.7), 2: (9, 0, "mold", 0.2), 5: (9, 1, "mold", 0.2)}
    for index, (seed, number, name, severity) in wanted.items():
        mask = random_layout(seed, number, (32, 32), [name], {}, bundle.classes, severity, known)
        assert mask.any() and rows(out)[index]["severity"] == severity
        assert_shows(out, index, bundle, mask)
    assert "layout" not in rows(out)[1] and "layout_iou" not in rows(out)[1]
    plain = drawn(lines, count=2, out="plain")
    assert rows(plain)[0]["layout"] != rows(out)[0]["layout"]  # without surfaces


def test_a_greater_severity_covers_more(drawn):
    out = drawn([f"a stain --seed 4 --severity {severity}" for severity in (0, 0.5, 1)])
    areas = [
        sum((read > 0).mean() for read in [mask_from_json(row["layout"], CLASSES, "row")]) for row in rows(out).values()
    ]
    assert areas == sorted(areas) and areas[0] < areas[2]


def test_a_layout_lies_beside_the_prompts_file(drawn, bundle, tmp_path, monkeypatch):
    """Wherever the command is given, and at any size; an absolute path is one."""
    first = mask_file(tmp_path / "deep" / "masks" / "a.png", (3, np.s_[:, :16]), size=(32, 32))
    second = mask_file(tmp_path / "elsewhere" / "b.png", (1, np.s_[60:90]), (2, np.s_[:20, :50]), size=(96, 128))
    table = io.StringIO()
    csv.writer(table).writerows(
        [["prompt", "layout"], ["mold", "masks/a.png"], ["a crack", tmp_path / "elsewhere" / "b.png"], ["a wall", ""]]
    )
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    out = drawn(table.getvalue(), file="deep/prompts.csv")
    assert_shows(out, 0, bundle, first)
    assert_shows(out, 1, bundle, resize_mask(second, (32, 32)))
    assert rows(out)[0]["layout"]["file"] == "masks/a.png" and len(rows(out)[0]["layout"]["sha256"]) == 64
    assert "layout" not in rows(out)[2]


def test_a_layout_comes_before_a_severity(drawn, bundle, tmp_path):
    mask = mask_file(tmp_path / "m.png", (2, np.s_[4:9, 4:9]))
    assert_shows(drawn(["a stain --severity 1 --layout m.png"]), 0, bundle, mask)


def test_a_layout_changes_the_picture_and_only_its_own(drawn, tmp_path):
    mask_file(tmp_path / "m.png", (3, np.s_[:, :16]))
    free, told = drawn(["mold", "mold"]), drawn(["mold --layout m.png", "mold"], out="told")
    assert pictures(free)[0] != pictures(told)[0] and pictures(free)[1] == pictures(told)[1]


def test_every_layout_of_a_folder_is_shown(drawn, bundle, tmp_path):
    masks = {name: mask_file(tmp_path / "masks" / f"{name}.png", (id, np.s_[:8])) for name, id in (("b", 1), ("a", 3))}
    out = drawn(None, layouts=tmp_path / "masks", count=2)
    assert [row["text"] for row in rows(out).values()] == ["mold", "crack"] * 2
    for index, name in enumerate("abab"):
        assert_shows(out, index, bundle, masks[name])
    assert len(set(pictures(out).values())) == 4
    prompted = drawn(["cracks", "black mold", "a crack"], layouts=tmp_path / "masks", count=2, out="prompted")
    assert [row["text"] for row in rows(prompted).values()] == ["black mold", "cracks", "black mold", "a crack"]


def test_another_mask_in_the_folder_of_layouts_is_another_run(drawn, wetgen, tmp_path):
    mask_file(tmp_path / "masks" / "a.png", (1, np.s_[:8]))
    drawn(None, layouts=tmp_path / "masks")
    assert wetgen(None, "--resume", layouts=tmp_path / "masks", count=2)[0].exit_code == 0
    mask_file(tmp_path / "masks" / "a.png", (1, np.s_[:9]))
    result, _ = wetgen(None, "--resume", layouts=tmp_path / "masks", count=2)
    assert result.exit_code == 1 and "holds another run" in result.stderr and "prompts_sha256 was" in result.stderr
    mask_file(tmp_path / "masks" / "a.png", (1, np.s_[:8]))
    mask_file(tmp_path / "masks" / "b.png", (1, np.s_[:8]))
    assert "prompts was 1 and is 2" in wetgen(None, "--resume", layouts=tmp_path / "masks")[0].stderr
    (tmp_path / "masks" / "b.png").unlink()
    assert "prompts_sha256 was" in wetgen(["a crack"], "--resume", layouts=tmp_path / "masks")[0].stderr


def test_pairs_that_do_not_show_their_layout_are_drawn_again(drawn, tmp_path):
    mask_file(tmp_path / "m.png", (3, np.s_[:, :16]))
    lines = ["mold --layout m.png --count 6", "a crack"]
    found = [row["layout_iou"] for row in rows(drawn(lines, out="all")).values() if "layout_iou" in row]
    least = sorted(found)[3]
    out = drawn(lines, keep_layout=least, tries=2)
    rejected = list(map(json.loads, (out / "rejected.jsonl").read_text().splitlines()))
    assert rejected and all(set(row["reasons"]) == {"layout"} and row["layout_iou"] < least for row in rejected)
    assert all(row.get("layout_iou", 1) >= least for row in rows(out).values()) and 6 in rows(out)


# Sizes


@pytest.mark.parametrize("size", ["48x40", "32X64"])
def test_pictures_have_the_size_that_is_asked_for(drawn, bundle, size, tmp_path):
    width, height = map(int, size.lower().split("x"))
    whole = mask_file(tmp_path / "m.png", (3, np.s_[:40]), size=(80, 80))
    out = drawn(["mold", "a stain --severity 0.5", "mold --layout m.png"], size=size)
    for row in rows(out).values():
        assert row["size"] == [width, height]
        assert pixels(out / row["file_name"]).shape == (height, width, 3)
        assert pixels(out / row["mask_file_name"]).shape == pixels(out / row["confidence_file_name"]).shape
    assert_shows(out, 1, bundle, random_layout(0, 1, (height, width), ["stain"], {}, bundle.classes, 0.5))
    assert_shows(out, 2, bundle, resize_mask(whole, (height, width)))
    assert len(Dataset.open(out).rows) == 3
    with Generator(bundle, batch=3, threads=1) as generator:
        (pair,) = generator.generate(["mold"], size=(width, height))
    assert (pixels(out / rows(out)[0]["file_name"]) == pair.image).all()


def test_another_size_is_another_run(drawn, wetgen):
    drawn(["mold"], size="48x40")
    result, _ = wetgen(["mold"], "--resume", size="40x48")
    assert result.exit_code == 1 and "size was [48, 40] and is [40, 48]" in result.stderr
    assert "size was [48, 40] and is None" in wetgen(["mold"], "--resume")[0].stderr


@pytest.mark.parametrize(
    "size, said",
    [
        ("28x64", "28 x 64 pixels are not possible"),
        ("64x28", "a picture is at least one"),
        ("50x40", "use multiples of 4 and 4, such as 48x40"),
        ("40x50", "use multiples of 4 and 4, such as 40x48"),
        ("40000x40000", "at most 16,777,216 pixels"),
    ],
)
def test_a_size_that_cannot_be_drawn_is_refused(refused, size, said):
    assert said in refused(["mold"], size=size)


@pytest.mark.parametrize("size", ["48", "48x", "0x40", "48x40x3", "axb", "-48x40", "4.5x40"])
def test_what_is_no_size_is_a_usage_error(wetgen, size):
    result, out = wetgen(["mold"], size=size)
    assert result.exit_code == 2 and "width x height in pixels" in result.stderr and not out.exists()


def test_a_bundle_of_images_only_draws_other_sizes(drawn, images_only_folder):
    out = drawn(["a wall", "a floor"], size="48x40", bundle=images_only_folder)
    assert {pixels(out / row["file_name"]).shape for row in rows(out).values()} == {(40, 48, 3)}


def test_the_judge_looks_at_no_other_size(refused, tiny, tmp_path):
    folder = tiny.write_bundle(tmp_path / "judged", judge=True)
    said = refused(["mold"], size="48x40", bundle=folder, keep_agreement=0.1)
    assert "The judge cannot look at pictures of another size" in said


# What cannot be drawn is said with its line, before anything is drawn


@pytest.mark.parametrize(
    "line, said",
    [
        (LONG, "line 3: A prompt is too long"),
        (f'mold --negative "{LONG}"', "line 3: A prompt is too long"),
        ("mold --plan six", "line 3: The bundle has no plan 'six'"),
        ("mold --layout missing.png", "line 3: "),
        ("mold --layout rgb.png", "is a RGB picture"),
        ("mold --layout ids.png", "has class ids that the class table lacks: 9"),
        ("mold --layout photo.jpg", "a mask must be lossless"),
        ("mold --photo missing.jpg", "missing.jpg could not be read"),
        ("a wall --photo photo.jpg", "line 3: A photograph is given, and no damage for it"),
    ],
)
def test_an_error_names_its_line(refused, tmp_path, line, said):
    Image.new("RGB", (32, 32)).save(tmp_path / "rgb.png")
    Image.new("RGB", (32, 32)).save(tmp_path / "photo.jpg")
    mask_file(tmp_path / "ids.png", (9, np.s_[:]))
    told = refused(["mold", "# a comment", line, "a crack"])
    assert f"{tmp_path / 'prompts.txt'}, line 3: " in told and said in told


def test_a_long_negative_of_the_run_is_no_lines_fault(refused):
    assert "Error: The negative prompt: A prompt is too long" in refused(["mold", "a crack"], negative=LONG)


def test_what_stands_on_standard_input_is_called_that(bundle_folder, tmp_path):
    words = ["run", "--prompts", "-", "--bundle", str(bundle_folder), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli, words, input=f"mold\n{LONG}\n")
    assert result.exit_code == 1 and "standard input, line 2: A prompt is too long" in result.stderr


def test_a_layout_without_a_prompts_file_is_named_itself(refused, wetgen, tiny, tmp_path):
    """Its prompt is made of all the classes it shows, which may be too long; here it is made so."""
    mask_file(tmp_path / "masks" / "a.png", (1, np.s_[:8]))
    folder = tiny.write_bundle(tmp_path / "bundle")
    info = json.loads((folder / "bundle.json").read_text())
    info["words"]["crack"] = [LONG]
    (folder / "bundle.json").write_text(json.dumps(info))
    said = refused(None, layouts=tmp_path / "masks", bundle=folder)
    assert f"Error: {tmp_path / 'masks' / 'a.png'}: A prompt is too long" in said


def test_guidance_that_the_denoiser_never_learnt_is_refused_by_its_line(refused, tiny, tmp_path):
    folder = tiny.write_bundle(tmp_path / "bundle")
    info = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**info, "guidance_range": [1.0, 5.0]}))
    assert "line 2: The guidance is 6" in refused(["mold", "a crack --guidance 6"], bundle=folder)


def test_a_negative_prompt_for_a_plan_without_guidance_is_refused_by_its_line(refused, mixed_folder):
    lines = ["mold", 'mold --plan unguided --negative "a wall"']
    said = refused(lines, bundle=mixed_folder)
    assert "line 2: The plan 'unguided' has no use for a negative prompt" in said
    assert "line 2: " in refused(["mold", "mold --plan unguided"], bundle=mixed_folder, negative="a wall")


def test_a_class_that_is_on_none_of_the_surfaces_is_refused_by_its_line(refused, drawn):
    """Where a layout is drawn; the classes of the tiny bundle that surfaces rule out are stains, on floors."""
    lines = ["mold --severity 0.5", "a stain --severity 0.5"]
    assert "line 2: stain cannot be on this floor" in refused(lines, surface_lines="surface=floor")
    drawn(["mold --severity 0.5", "a stain"], surface_lines="surface=floor")


def test_what_has_no_layouts_takes_none(refused, images_only_folder, tmp_path):
    mask_file(tmp_path / "m.png")
    said = refused(["a wall", "a wall --layout m.png"], bundle=images_only_folder)
    assert "line 2: This bundle takes no layouts" in said
    assert "This bundle takes no layouts" in refused(None, layouts=tmp_path, bundle=images_only_folder)


@pytest.mark.parametrize("more", [["--count", "0"], ["--count", "-1"]])
@pytest.mark.parametrize("layouts", [True, False])
def test_a_count_below_one_is_refused(refused, tmp_path, more, layouts):
    mask_file(tmp_path / "masks" / "a.png", (1, np.s_[:8]))
    given = {"layouts": tmp_path / "masks"} if layouts else {}
    assert f"The count is {more[1]}." in refused(None if layouts else ["mold"], *more, **given)


def test_a_run_of_nothing_says_what_to_give(refused):
    assert "neither --prompts nor --layouts is given" in refused(None)


def test_layouts_take_no_quota(refused, tmp_path):
    mask_file(tmp_path / "masks" / "a.png", (1, np.s_[:8]))
    assert "--quota does nothing with --layouts" in refused(None, layouts=tmp_path / "masks", quota="mold=2")


# Interruption


def test_a_run_of_mixed_plans_that_was_killed_resumes_to_the_same_bytes(drawn, bundle_folder, tmp_path):
    """Plans are drawn one after the other, so a kill leaves the pairs of some lines and none of others."""
    (tmp_path / "prompts.txt").write_text("\n".join(MIXED) + "\n")
    command = [sys.executable, "-W", "error", "-m", "wetgen.runtime.cli", "run", "--json", "--threads", "1"]
    command += ["--prompts", tmp_path / "prompts.txt", "--bundle", bundle_folder, "--out", tmp_path / "out"]
    process = subprocess.Popen(list(map(str, [*command, "--count", 1000])), stdout=subprocess.PIPE, text=True)
    for _ in range(6):  # the start and five pairs
        assert process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    done = rows(tmp_path / "out")
    assert len(done) >= 5 and {row["plan"] for row in done.values()} == {"four"}
    more = max(done) // 4 + 2  # beyond the pairs whose files a kill may have left without a row
    out, whole = drawn(MIXED, "--resume", count=more), drawn(MIXED, count=more, out="whole")
    assert rows(out) == rows(whole) and files(out) == files(whole)
    assert not list(out.rglob(".*"))


@pytest.mark.parametrize("lost", [(0, 1, 2, 3), (1, 3, 5), (2, 6)])
def test_what_lacks_of_any_plan_is_made_again(drawn, lost):
    lines = [*MIXED[:3], "a stain --severity 0.3 --plan two"]
    out, whole = drawn(lines, count=2, batch=3), drawn(lines, count=2, batch=3, out="whole")
    for index in lost:
        (out / rows(out)[index]["file_name"]).unlink()
    drawn(lines, "--resume", count=2)
    assert rows(out) == rows(whole) and files(out) == files(whole)


# From Python


def test_plain_prompts_are_listed_by_turns():
    listed = Listed(["a", "b", "c"], 2)
    assert [(ask.line, ask.text, ask.number) for ask in listed] == [
        (1, "a", 0),
        (2, "b", 0),
        (3, "c", 0),
        (1, "a", 1),
        (2, "b", 1),
        (3, "c", 1),
    ]
    assert [ask.text for ask in listed[2:5]] == ["c", "a", "b"] and listed[-1] == listed[5]
    with pytest.raises(IndexError):
        listed[6]
