import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.quality.conftest import WriteFolder, picture
from wetgen.benchmarks.quality.duplicates import thumbnail
from wetgen.benchmarks.quality.pairs import load_pairs
from wetgen.benchmarks.quality.split import Item, Shares, assign, drop_duplicates, groups_of, write_split
from wetgen.runtime.dataset.metadata import Row
from wetgen.runtime.dataset.reader import Dataset
from wetgen.runtime.errors import WetgenError
from wetgen.training.config import DataConfig
from wetgen.training.data import load_photos

NONE = np.zeros((32, 32), np.float32)


def items(groups: list[int], kinds: list[int]) -> list[Item]:
    return [Item(str(group), (kind,), NONE) for group, kind in zip(groups, kinds, strict=True)]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=60), st.integers(0, 99))
def test_a_group_stands_in_one_part_only(drawn: list[tuple[int, int]], seed: int) -> None:
    pairs = items([group for group, _ in drawn], [kind for _, kind in drawn])
    for shares in (Shares(), Shares(folds=3, fold=1)):
        parts = assign(pairs, shares, seed)
        where: dict[str, set[str]] = {}
        for item, part in zip(pairs, parts, strict=True):
            where.setdefault(item.group, set()).add(part)
        assert all(len(found) == 1 for found in where.values())


def test_every_class_is_spread_by_the_shares() -> None:
    pairs = items(list(range(200)), [0] * 100 + [1] * 80 + [2] * 20)
    parts = assign(pairs, Shares(), 5)
    for kind, count in ((0, 100), (1, 80), (2, 20)):
        got = Counter(part for item, part in zip(pairs, parts, strict=True) if item.kinds == (kind,))
        # Groups of one pair can be placed to within a pair or two of any share.
        for part, share in (("train", 0.6), ("validation", 0.1), ("test", 0.3)):
            assert abs(got[part] - share * count) <= 2


def test_each_pair_is_tested_in_exactly_one_fold() -> None:
    pairs = items([i // 3 for i in range(60)], [i % 4 for i in range(60)])
    tested = [[part == "test" for part in assign(pairs, Shares(folds=3, fold=fold), 0)] for fold in range(3)]
    assert np.sum(tested, axis=0).tolist() == [1] * 60


def test_another_seed_splits_otherwise() -> None:
    pairs = items(list(range(50)), [1] * 50)
    assert assign(pairs, Shares(), 0) == assign(pairs, Shares(), 0) != assign(pairs, Shares(), 1)


@pytest.mark.parametrize(
    "wrong",
    [{"test": -0.1}, {"validation": 0}, {"test": 0.6, "validation": 0.4}, {"folds": 1}, {"folds": 3, "fold": 3}],
)
def test_impossible_shares_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(WetgenError, match="give no split"):
        Shares(**wrong)


def row(scene: str, **extra: object) -> Row:
    return Row(1, "images/a.png", "masks/a.png", "a wall", scene, extra)


def test_rows_of_one_claim_belong_together_over_any_chain() -> None:
    rows = [row("a", claim=1), row("b", claim=1), row("b"), row("c", claim=2), row("d"), row("b", claim=2)]
    groups = groups_of("photos", rows)
    assert len(set(groups)) == 2 and groups[4] not in groups[:4] + groups[5:]


def test_a_scene_of_another_folder_is_another_scene() -> None:
    assert groups_of("one", [row("1")]) != groups_of("two", [row("1")])


def test_near_duplicates_go_from_train_before_validation_before_test() -> None:
    same, other = thumbnail(picture(1)), thumbnail(picture(2))
    pairs = [Item(str(i), (1,), image) for i, image in enumerate([same, other, same, same, other])]
    dropped = drop_duplicates(pairs, ["train", "train", "validation", "test", "train"])
    assert set(dropped) == {0, 2} and dropped[2][0] == 3


def photos(write_folder: WriteFolder) -> Path:
    pairs = [(number, 1 + number % 2, f"place {number}") for number in range(30)]
    return write_folder("photos", [*pairs, (29, 1, "the same picture of another place")])


def test_the_written_split_is_a_dataset_that_training_and_evaluation_follow(
    write_folder: WriteFolder, tmp_path: Path
) -> None:
    said: list[str] = []
    write_split(photos(write_folder), tmp_path / "split", Shares(), 0, said.append)
    dataset = Dataset.open(tmp_path / "split")
    parts = Counter(str(row.extra["split"]) for row in dataset.rows)
    assert set(parts) == {"train", "validation", "test"}
    assert parts == Counter(load_pairs(tmp_path / "split", 24).parts)
    seen = load_photos(tmp_path / "split", DataConfig(size=32), seed=3)
    assert (len(seen.training), len(seen.validation)) == (parts["train"], parts["validation"])
    prompts = (tmp_path / "split" / "train-prompts.txt").read_text().splitlines()
    assert prompts == [row.text for row in dataset.rows if row.extra["split"] == "train"]
    assert "train" in said[0] and "near-duplicates" in said[1]


def test_left_out_duplicates_are_listed(write_folder: WriteFolder, tmp_path: Path) -> None:
    for seed in range(8):  # some seed puts the two same pictures on different sides
        write_split(
            photos(write_folder) if seed == 0 else tmp_path / "photos", tmp_path / f"{seed}", Shares(), seed, id
        )
        listed = [
            json.loads(line) for line in (tmp_path / f"{seed}" / "near-duplicates.jsonl").read_text().splitlines()
        ]
        assert len(Dataset.open(tmp_path / f"{seed}")) == 31 - len(listed)
        if listed:
            assert {listed[0]["dropped"], listed[0]["repeats"]} == {"photos/images/029.png", "photos/images/030.png"}
            return
    raise AssertionError("no seed put the duplicates on different sides")


def test_a_split_never_overwrites(write_folder: WriteFolder, tmp_path: Path) -> None:
    (tmp_path / "split").mkdir()
    (tmp_path / "split" / "mine").write_text("")
    with pytest.raises(WetgenError, match="not empty"):
        write_split(photos(write_folder), tmp_path / "split", Shares(), 0, id)
