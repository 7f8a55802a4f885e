"""Measuring: candidates take turns, and ratios are taken turn by turn."""

import pytest

from wetgen.benchmarks.measure import paired_ratio, percentile, take_turns


def test_candidates_take_turns_and_warm_ups_do_not_count() -> None:
    calls: list[str] = []
    times = take_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, runs=3, warmup=1)
    assert calls == ["a", "b"] * 4
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3}


def test_a_slow_turn_that_hits_both_sides_does_not_move_the_ratio() -> None:
    assert paired_ratio([20.0, 200.0, 22.0], [10.0, 100.0, 11.0]) == pytest.approx(2.0)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 3), (0.9, 5), (1.0, 5)])
def test_percentiles_of_a_small_sample_are_its_members(share: float, expected: float) -> None:
    assert percentile([5, 3, 1, 4, 2], share) == expected
