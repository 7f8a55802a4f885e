"""Figures of a report, against arithmetic by hand."""

import pytest

from tests.benchmarks.speed.observed import CEILINGS, NOT_HERE, about, sampled
from wetgen.benchmarks.speed.rates import percentile
from wetgen.benchmarks.speed.summary import HOST, BenchSummary


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 3), (0.9, 5), (1.0, 5)])
def test_percentiles_of_a_small_sample_are_its_members(share: float, expected: float) -> None:
    assert percentile([5, 3, 1, 4, 2], share) == expected


def summary(row, *sampling: dict, **changed) -> BenchSummary:
    first = [row("bundle", about(**changed)), row("ceilings", CEILINGS)]
    rows = [row("sampling", one, number=n, batch=one["batch"]) for n, one in enumerate(sampling)]
    return BenchSummary([*first, *rows])


def test_the_rates_of_rounds_are_put_together(row) -> None:
    found = summary(row, sampled([10.0, 12.0, 50.0]), sampled([10.0, 10.0]), sampled([20.0, 20.0], batch=2)).rates()
    assert [rate.batch for rate in found] == [1, 2]
    assert (found[0].p50_ms, found[0].p99_ms, found[0].pairs_per_second) == (10.0, 50.0, 100.0)
    assert (found[0].to_loaded_ms, found[0].first_ms) == (500.0, 30.0)
    assert found[0].device_mib == NOT_HERE and found[0].joules is None


@pytest.mark.parametrize(
    ("times", "knee"), [([10, 15, 29], 2), ([10, 20, 40], 1), ([10, 15, 20], 4), ([10, 25, 60], 1)]
)
def test_the_knee_is_the_smallest_batch_near_the_best_rate(row, times: list[float], knee: int) -> None:
    sampling = [sampled([took], batch=batch) for batch, took in zip((1, 2, 4), times, strict=True)]
    assert summary(row, *sampling).knee() == knee


def test_shares_of_graphs_and_of_the_host_add_up_to_the_batch(row) -> None:
    stages = {stage.name: stage for stage in summary(row, sampled([10.0, 10.0])).stages(1)}
    assert list(stages) == ["text", "denoise", "denoise_unguided", "decode", HOST]
    assert stages["denoise"].share == pytest.approx(0.4) and stages["denoise"].p50_ms == 4.0
    # 0.5 before the text, 0.5 between the steps, 1 after decoding; none elsewhere.
    assert stages[HOST].share == pytest.approx(0.2) and stages[HOST].calls == 5
    assert sum(stage.share for stage in stages.values()) == pytest.approx(1)


def test_a_step_is_known_by_its_row_and_its_kind(row) -> None:
    assert summary(row, sampled([10.0])).steps(1) == [("guided", 4.0), ("unguided", 2.0)]


def test_the_roofline_by_hand(row) -> None:
    found = {line.name: line for line in summary(row, sampled([10.0], batch=2)).roofline(2)}
    denoise = found["denoise"]  # 2 GFLOP in 4 ms, of 500 GFLOP/s; 3 MB, of 40 GB/s
    assert (denoise.gflops, denoise.gbs) == (pytest.approx(500), pytest.approx(0.75))
    assert denoise.share == pytest.approx(1.0) and denoise.bound == "arithmetic"
    assert found["text"].batch == 1 and found["text"].gflop == pytest.approx(1)  # a prompt at a time


def test_a_graph_of_few_operations_is_bound_by_memory_or_by_neither(row) -> None:
    few = {"flops": [0, 10], "bytes": [40 * 10**6, 0], "moved": [40 * 10**6, 0]}
    found = summary(row, sampled([10.0]), work={"denoise": few, "decode": few}).roofline(1)
    # 40 MB are beyond 4 MiB, so the copy of 256 MiB counts: 5 ms, of 4 that were measured in cache.
    assert [line.bound for line in found] == ["memory", "memory"] and found[0].share == pytest.approx(5 / 4)
    little = {**few, "bytes": [10**6, 0]}
    (line,) = summary(row, sampled([10.0]), work={"denoise": little}).roofline(1)
    assert line.bound.startswith("neither") and line.share == pytest.approx(1 / 40 / 4)


def test_the_share_of_the_matrix_rate_is_that_of_steps_and_decoder(row) -> None:
    found = summary(row, sampled([12.0]))
    assert found.plan_flops("two", 1) == 3 * 10**9 and found.plan_flops("one", 2) == 4 * 10**9
    assert found.share_of_matrix(1) == pytest.approx(3 / 500 / 0.012)


def test_the_best_rate_at_any_time_of_the_run_is_the_ceiling(row) -> None:
    assert summary(row, sampled([10.0], pace=[510.0, 520.0])).matrix == 520.0


def test_without_counted_work_there_are_no_shares(row) -> None:
    found = summary(row, sampled([10.0]), work={})
    assert found.roofline(1) == [] and found.share_of_matrix(1) is None and found.rates()


def test_calls_that_nobody_saw_give_no_stages(row) -> None:
    found = summary(row, sampled([10.0], calls=[[]]))
    assert found.stages(1) == [] and found.steps(1) == [] and found.roofline(1) == []


def test_energy_counts_the_looks_during_warm_batches(row) -> None:
    power = {"seconds": [1.0, 2.0, 3.0, 11.0, 12.0], "watts": [90.0, 90.0, 90.0, 20.0, 20.0]}
    (rate,) = summary(row, sampled([100.0], batch=4, power=power)).rates()
    assert rate.joules == pytest.approx(20 * 0.1 / 4)
