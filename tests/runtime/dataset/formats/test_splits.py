"""Splits: by shares, by groups, and still the same when the dataset grows."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wetgen.runtime.dataset.convert import parse_shares, split_rows
from wetgen.runtime.dataset.metadata import Row
from wetgen.runtime.errors import WetgenError

SHARES = parse_shares("train=0.8,validation=0.1,test=0.1")


def row(number: int, scene: str = "", **extra: object) -> Row:
    return Row(number, f"images/{number}.png", f"masks/{number}.png", "text", scene or f"scene {number}", extra)


def test_the_shares_are_met() -> None:
    counts = Counter(split_rows([row(i) for i in range(4000)], SHARES, "scene"))
    for part, share in SHARES.items():
        # Five standard deviations of a binomial count.
        assert abs(counts[part] - 4000 * share) < 5 * (4000 * share * (1 - share)) ** 0.5


@given(st.lists(st.integers(0, 12), min_size=1, max_size=40), st.integers(0, 40), st.randoms())
def test_groups_stay_whole_and_more_rows_move_none(scenes: list[int], cut: int, random: object) -> None:
    rows = [row(number, f"s{scene}") for number, scene in enumerate(scenes)]
    parts = split_rows(rows, SHARES, "scene")
    assert len({(r.scene, part) for r, part in zip(rows, parts, strict=True)}) == len(set(scenes))
    assert split_rows(rows[:cut], SHARES, "scene") == parts[:cut]
    order = sorted(range(len(rows)), key=lambda _: random.random())  # type: ignore[attr-defined]
    assert split_rows([rows[i] for i in order], SHARES, "scene") == [parts[i] for i in order]


def test_the_hash_is_the_same_next_year() -> None:
    """A golden list: another hash would move the pairs of every dataset that was ever split."""
    shares = parse_shares("train=0.5,validation=0.25,test=0.25")
    parts = split_rows([row(i, f"house {i}") for i in range(12)], shares, "scene")
    assert "".join(str(part)[1] for part in parts) == "raerrreeerer"  # r, a, e: train, validation, test


def test_a_larger_share_of_training_takes_from_the_others_only() -> None:
    rows = [row(i) for i in range(500)]
    small, large = (split_rows(rows, parse_shares(f"train={s},test={1 - s}"), "scene") for s in (0.5, 0.7))
    assert all(b == "train" for a, b in zip(small, large, strict=True) if a == "train")


def test_rows_that_state_a_split_are_followed() -> None:
    rows = [row(0, split="test"), row(1, split="train")]
    assert split_rows(rows, None, "scene") == ["test", "train"]
    with pytest.raises(WetgenError, match="state their split already"):
        split_rows(rows, SHARES, "scene")
    with pytest.raises(WetgenError, match="1 of 2 rows state a split"):
        split_rows([rows[0], row(1)], SHARES, "scene")
    with pytest.raises(WetgenError, match="line 0: 'dev' is not a split"):
        split_rows([row(0, split="dev")], None, "scene")


def test_without_shares_no_split_is_made_up() -> None:
    assert split_rows([row(0), row(1)], None, "scene") == [None, None]


def test_another_key_groups() -> None:
    rows = [row(i, claim=f"claim {i % 3}") for i in range(30)]
    parts = split_rows(rows, SHARES, "claim")
    assert len({(r.extra["claim"], part) for r, part in zip(rows, parts, strict=True)}) == 3
    with pytest.raises(WetgenError, match="line 30: there is no claim"):
        split_rows([*rows, row(30)], SHARES, "claim")


@pytest.mark.parametrize(
    "text",
    [
        *("", "train", "train=0.8", "train=0.8,val=0.2", "train=a,test=1", "train=1.5,test=-0.5"),
        *("train=0.5,train=0.5", "train=nan,test=1"),
    ],
)
def test_shares_that_split_nothing_are_refused(text: str) -> None:
    with pytest.raises(WetgenError, match="cannot be used"):
        parse_shares(text)


def test_shares_may_leave_a_part_out_or_at_nothing() -> None:
    assert parse_shares("test=1") == {"test": 1}
    rows = [row(i) for i in range(100)]
    assert set(split_rows(rows, parse_shares("train=1,test=0"), "scene")) == {"train"}
