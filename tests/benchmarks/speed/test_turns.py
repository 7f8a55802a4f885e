"""Candidates take turns, are compared turn by turn, and only when they did the same work."""

import pytest

from tests.benchmarks.speed.observed import about, work
from wetgen.benchmarks.metrics import EQUAL_PSNR, psnr
from wetgen.benchmarks.speed.cases import EAGER, OURS
from wetgen.benchmarks.speed.comparison import candidates_table, plans_table, speedup
from wetgen.benchmarks.speed.turns import take_turns
from wetgen.runtime.errors import WetgenError

ERROR = {"against": "the float32 reference sampler", "psnr_db": 60.0, "mask_agreement": 0.999}


def test_candidates_take_turns_and_warm_ups_do_not_count() -> None:
    calls: list[str] = []
    works = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    times = take_turns(works, runs=3, warmup=1, settle=0)
    assert calls == ["a", "b"] * 4 and {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3}


def candidate(name: str, times: list[float], plan: str = "two", **changed) -> dict:
    return {"name": name, "plan": plan, "times_ms": times, "error": ERROR, "work": work(**changed)}


def test_a_slow_turn_that_hits_both_sides_does_not_move_the_ratio() -> None:
    slow, fast = candidate(EAGER, [20.0, 200.0, 22.0]), candidate(OURS, [10.0, 100.0, 11.0])
    found = speedup(slow, fast)
    assert (found.value, found.low, found.high) == pytest.approx((2, 2, 2))


def test_everyone_stands_beside_the_eager_baseline_with_an_error() -> None:
    failed = {"name": "compiled", "plan": "two", "failed": {"what": "RuntimeError", "why": "no compiler", "fix": "-"}}
    table = candidates_table([candidate(OURS, [10.0]), candidate(EAGER, [22.0]), failed], "two")
    assert [row[0] for row in table.rows] == [EAGER, "compiled", OURS]
    assert table.rows[2][3].startswith("2.20") and "60.0 dB, 99.9% of mask pixels" in table.rows[2][4]
    assert table.rows[1][1] == "failed" and "no compiler" in table.rows[1][4]


@pytest.mark.parametrize("changed", [{"batch": 4}, {"border": "the denoiser alone"}, {"timesteps": [999]}])
def test_other_work_gets_no_ratio(changed: dict) -> None:
    with pytest.raises(WetgenError, match="did not do the same work"):
        candidates_table([candidate(EAGER, [22.0]), candidate(OURS, [10.0], **changed)], "two")


def test_plans_may_differ_in_their_steps_and_in_nothing_else() -> None:
    other = candidate(OURS, [2.0], "one", timesteps=[999], kinds=["guided"], picture="")
    listed = [candidate(OURS, [10.0]), candidate(EAGER, [22.0]), other]
    rows = {row[0]: row for row in plans_table(listed, about(), 1).rows}
    assert rows["one"][1] == "1 (1 guided)" and rows["two"][1] == "2 (1 guided)"
    assert (
        rows["one"][3] == "500.00"
        and rows["one"][4].startswith("11.00")
        and rows["one"][6] == "psnr db 31.5; two: psnr db 40"
    )
    with pytest.raises(WetgenError, match="guidance"):
        plans_table([*listed, candidate(OURS, [2.0], "one", guidance=9.0)], about(), 1)


def test_psnr_by_the_textbook() -> None:
    import numpy as np

    zeros = np.zeros((4, 4, 3), np.uint8)
    assert psnr(zeros, zeros) == EQUAL_PSNR and psnr(zeros, zeros + 1) == pytest.approx(48.13, abs=0.01)
