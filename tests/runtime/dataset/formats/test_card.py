"""The dataset card: read by the Hub's own reader, with figures that are those of the files."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.cli import cli
from wetgen.runtime.dataset.convert import convert_to, parse_shares
from wetgen.runtime.dataset.formats.base import Options
from wetgen.runtime.dataset.reader import Dataset
from wetgen.runtime.dataset.stats import stats_of
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.run.card import MARK, damage_chart, write_card

Make = Callable[..., Path]


def card(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["card", *map(str, arguments)])


def cells(text: str, first: str) -> list[list[str]]:
    """The rows of the table whose heading begins with `first`."""
    lines = text.split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start:]]
    return rows[2 : next(i for i, row in enumerate(rows) if row == [""])]


def test_the_hubs_reader_takes_the_header(make: Make) -> None:
    from huggingface_hub import DatasetCard

    folder = make(count=3, synthetic=True)
    assert card(folder, "--name", 'Leaks: "north" #1', "--license", "cc-by-4.0").exit_code == 0
    data = DatasetCard.load(folder / "README.md", ignore_metadata_errors=False).data.to_dict()
    assert data["pretty_name"] == 'Leaks: "north" #1' and data["license"] == "cc-by-4.0"
    assert data["size_categories"] == ["n<1K"] and "image-segmentation" in data["task_categories"]
    assert {"synthetic", "wetgen"} <= set(data["tags"]) and "license_name" not in data


@pytest.mark.parametrize("goal", ["imagefolder", "parquet", "webdataset"])
def test_datasets_finds_the_files_that_the_header_names(goal: str, make: Make, tmp_path: Path) -> None:
    import datasets

    # One kind of picture: the loader of archives wants the same files in every sample.
    folder = make(count=8, kinds=("png",))
    place = folder
    if goal != "imagefolder":
        place = tmp_path / "out"
        convert_to(goal, folder, place, Options(), shares=parse_shares("train=0.5,validation=0.3,test=0.2"))
    assert card(folder, "--out", place / "README.md").exit_code == 0
    loaded = datasets.load_dataset(str(place), cache_dir=str(tmp_path / "cache"))
    expected = {"train": 8} if goal == "imagefolder" else {"train": 4, "validation": 2, "test": 2}
    assert {name: len(split) for name, split in loaded.items()} == expected
    mask = loaded["train"][0]["mask.png" if goal == "webdataset" else "mask"]
    assert (mask.mode, mask.size) == ("L", (36, 24))


def test_counts_by_class_and_split_are_those_of_the_masks(make: Make) -> None:
    folder = make(count=4, ignore=True)
    path = folder / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    for row, split in zip(rows, ("test", "train", "train", "validation"), strict=True):
        row["split"] = split
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(WetgenError, match="class table lacks: 255"):
        write_card(folder, folder / "README.md", bundle=None, name=None, license="other")
    write_card(folder, folder / "README.md", bundle=None, name=None, license="other", ignore=True)
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "4 pairs of a picture and its mask, with captions (2 train, 1 validation, 1 test), of 2 scenes" in text
    table = cells(text, "id")
    assert [row[:2] for row in table] == [
        *(["0", "background"], ["1", "crack"], ["2", "water stain"], ["3", "mold"], ["255", "(ignore)"])
    ]
    stats = stats_of([Dataset.open(folder)], ignore=True)
    pixels = stats.pixels / stats.pixels.sum()
    assert [row[-1] for row in table] == [f"{100 * pixels[id]:.3f} %" for id in (0, 1, 2, 3, 255)]
    assert all(row[2:5] == ["2", "1", "1"] for row in table[:4])  # every mask shows every class
    # A ring of 80 pixels with an island of 8, and so on, of 864 pixels without the ten ignored ones.
    assert stats.damage[0] == pytest.approx((864 - 10 - counted_zeros(folder)) / (864 - 10))
    assert "license_name: as-listed-below" in text and "| not stated | MIT | 2 |" in text


def test_a_card_counts_what_rows_say_to_leave_out(make: Make) -> None:
    folder = make(count=4, ignore=True, ignore_id=255)
    write_card(folder, folder / "README.md", bundle=None, name=None, license="other")
    assert ["255", "(ignore)"] in [row[:2] for row in cells((folder / "README.md").read_text(encoding="utf-8"), "id")]
    assert stats_of([Dataset.open(folder)], ignore=False).pixels[255] == 40


def counted_zeros(folder: Path) -> int:
    from wetgen.runtime.masks.images import read_mask

    return int((read_mask(folder / "masks" / "0.png") == 0).sum())


def test_the_chart_has_a_bar_for_every_range() -> None:
    lines = damage_chart([0, 0, 0, 0.0005, 0.001, 0.02, 1.0]).split("\n")
    counts = [int(line[11:20]) for line in lines]
    assert counts == [3, 2, 0, 0, 1, 0, 0, 1]
    assert [line.count("█") for line in lines] == [40, 27, 0, 0, 14, 0, 0, 14]


def test_a_card_says_how_a_run_was_made(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a wall\na ceiling\n")
    out = tmp_path / "pairs"
    made = [
        "run",
        "--prompts",
        tmp_path / "prompts.txt",
        "--bundle",
        bundle.folder,
        "--out",
        out,
        "--seed",
        "7",
        "--quiet",
    ]
    assert CliRunner().invoke(cli, list(map(str, made))).exit_code == 0
    assert card(out, "--bundle", bundle.folder).exit_code == 0
    text = (out / "README.md").read_text(encoding="utf-8")
    facts = dict(cells(text, "")[:9])
    assert facts["synthetic pairs"] == "2 of 2" and facts["seed"] == "7" and facts["bundle (sha256)"] == bundle.hash
    assert facts["drawn, kept"] == "2, 2" and facts["prompts (sha256)"].startswith("2 (")
    assert "| random numbers | CC0-1.0 | 0 |" in text and "drawn by a network" in text
    other = tmp_path / "other"
    other.mkdir()
    result = card(out, "--bundle", other)
    assert result.exit_code == 1 and "Traceback" not in result.output


def test_a_bundle_that_did_not_draw_the_pairs_is_refused(bundle: Bundle, make: Make) -> None:
    result = card(make(count=1), "--bundle", bundle.folder)
    assert result.exit_code == 1 and "did not draw this dataset" in result.output


def test_a_card_replaces_a_card_and_nobody_elses_words(make: Make) -> None:
    folder = make(count=1)
    readme = folder / "README.md"
    assert card(folder).exit_code == 0 and card(folder).exit_code == 0
    assert MARK in readme.read_text(encoding="utf-8")
    readme.write_text("# My thesis\n")
    result = card(folder)
    assert result.exit_code == 1 and "was not written by `wetgen card`" in result.output
    assert readme.read_text() == "# My thesis\n"


def test_what_rows_say_cannot_break_the_card(make: Make) -> None:
    folder = make(count=1, source="a | b\n| <script>", license="x\n---\n# y")
    assert card(folder).exit_code == 0
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "| a \\| b \\| &lt;script> | x --- # y | 1 |" in text


def test_several_folders_have_one_card(make: Make, tmp_path: Path) -> None:
    for name in ("claims/north", "claims/south"):
        make(count=2, name=name)
    assert card(tmp_path / "claims").exit_code == 0
    text = (tmp_path / "claims" / "README.md").read_text(encoding="utf-8")
    assert '- "*/images/**"' in text and "4 pairs" in text
