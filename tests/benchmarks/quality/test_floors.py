"""A figure beside its floor: same size, whole groups, and chance is not called worse."""

from typing import Any

import numpy as np
import pytest

from wetgen.benchmarks.quality.floors import DRAWS, Sides, beside_floor, entry, score_beside_floor


def sides(train: int, validation: int, synthetic: int, shift: float = 0.0, of_a_place: int = 2) -> Sides:
    """Normal rows (N, 1), the synthetic ones shifted; real pairs come in places of `of_a_place`."""
    rng = np.random.default_rng(5)
    rows = [rng.standard_normal((count, 1)) for count in (train, validation, synthetic)]
    groups = [tuple(f"{name}{i // of_a_place}" for i in range(n)) for name, n in (("t", train), ("v", validation))]
    return Sides(rows[0], rows[1], rows[2] + shift, *groups)


def apart(first: Any, second: Any) -> float:
    return float(abs(first.mean() - second.mean()))


def test_what_differs_is_flagged_and_what_does_not_is_not() -> None:
    assert beside_floor(apart, sides(200, 80, 100, shift=1.5), "higher")["flagged"]
    assert not beside_floor(apart, sides(200, 80, 100), "higher")["flagged"]


def test_lower_may_be_worse() -> None:
    assert entry(0.2, 0.9, 0.1, "lower")["flagged"] and not entry(0.2, 0.9, 0.1, "higher")["flagged"]
    assert not entry(0.6, 0.9, 0.1, "lower")["flagged"], "within 4 deviations"


@pytest.mark.parametrize("validation, floor_from, n", [(60, "validation", 60), (10, "halves", 54)])
def test_every_comparison_is_of_equally_many(validation: int, floor_from: str, n: int) -> None:
    sizes = set()

    def statistic(first: Any, second: Any) -> float:
        sizes.update((len(first), len(second)))
        return apart(first, second)

    figure = beside_floor(statistic, sides(100, validation, 90), "higher")
    assert sizes == {n} == {figure["n"]} and figure["floor_from"] == floor_from


def test_a_place_is_never_in_both_halves() -> None:
    places = np.repeat(np.arange(20.0), 6)
    groups = tuple(map(str, places))
    calls = []
    given = Sides(places[:108], places[108:], places[:50], groups[:108], groups[108:])
    beside_floor(lambda first, second: calls.append((set(first), set(second))) or 0.0, given, "higher")
    assert all(not first & second for first, second in calls[:DRAWS])
    assert all(8 <= len(first) <= 12 and len(first | second) <= 20 for first, second in calls[:DRAWS])


def test_a_large_place_does_not_unbalance_the_halves() -> None:
    groups = ("large",) * 44 + tuple(str(i) for i in range(56))
    given = Sides(np.zeros((100, 1)), np.zeros((0, 1)), np.zeros((100, 1)), groups, ())
    # Wherever the large place falls, what comes before it and it are 28 to 50 of 100.
    assert beside_floor(apart, given, "higher")["n"] >= 28


def test_no_pair_is_drawn_twice_into_a_subset() -> None:
    rows = np.arange(200.0)
    calls = []
    given = Sides(rows[:90], rows[90:140], rows[140:], tuple(map(str, range(90))), tuple(map(str, range(50))))
    beside_floor(lambda first, second: calls.append((first, second)) or 0.0, given, "higher")
    assert all(len(np.unique(side)) == len(side) == 50 for call in calls for side in call)


def test_the_floor_is_of_real_pairs_only() -> None:
    for validation in (60, 10):
        figure = beside_floor(apart, sides(100, validation, 80, shift=5), "higher")
        assert figure["value"] > 4 and figure["floor"] < 0.5


@pytest.mark.parametrize("count, of_a_place", [(20, 2), (90, 90)])
def test_too_few_pairs_or_one_place_only_are_not_measured(count: int, of_a_place: int) -> None:
    figure = beside_floor(apart, sides(count, 0, 100, of_a_place=of_a_place), "higher")
    assert set(figure) == {"not_measured"} and "16 are needed" in figure["not_measured"]


def test_the_same_rows_give_the_same_digits() -> None:
    first, second = (beside_floor(apart, sides(100, 60, 80), "higher") for _ in range(2))
    assert first == second


def share(counts: Any) -> float:
    return float(counts[1] / counts[0])


def rows_of(successes: int, count: int) -> Any:
    return np.stack([np.ones(count), np.arange(count) < successes], 1).astype(float)


def test_the_deviation_of_a_score_is_that_of_the_textbook() -> None:
    groups = [str(i) for i in range(100)]
    figure = score_beside_floor(share, rows_of(100, 400), rows_of(50, 100), groups, "lower")
    expected = np.sqrt(0.25 * 0.75 / 400 + 0.5 * 0.5 / 100)
    assert figure["value"] == 0.25 and figure["floor"] == 0.5 and figure["flagged"]
    # 200 resamples know a deviation to 5 %; three of those.
    np.testing.assert_allclose(figure["margin"], 4 * expected, rtol=0.15)


def test_pairs_of_one_place_count_as_one_draw() -> None:
    alone, together = (
        score_beside_floor(share, rows_of(200, 400), rows_of(50, 100), [str(i // size) for i in range(100)], "lower")
        for size in (1, 10)
    )
    assert together["margin"] > 2 * alone["margin"]


def test_a_score_without_anything_to_score_is_not_measured() -> None:
    groups = [str(i) for i in range(30)]
    figure = score_beside_floor(lambda counts: float("nan"), np.zeros((30, 2)), rows_of(5, 30), groups, "lower")
    assert set(figure) == {"not_measured"}
    few = score_beside_floor(share, rows_of(5, 30), rows_of(5, 30), ["one place"] * 30, "lower")
    assert "1 scenes" in few["not_measured"]


def test_resamples_without_anything_to_score_do_not_count() -> None:
    """A class that one place of eight shows is missing from a third of the resamples."""

    def score(counts: Any) -> float:
        return float(counts[1] / counts[0]) if counts[0] else float("nan")

    rare = np.zeros((40, 2))
    rare[:5] = [1, 0.5]
    figure = score_beside_floor(score, rows_of(10, 40), rare, [str(i // 5) for i in range(40)], "lower")
    assert figure["floor"] == 0.5 and np.isfinite(figure["margin"])
