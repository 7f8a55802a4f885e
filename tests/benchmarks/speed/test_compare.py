"""Comparing two runs: the machine's own drift is no difference, a slowdown of a tenth is, other work is an error."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.speed.observed import picture, sampled, work
from wetgen.benchmarks.bootstrap import Ratio, bootstrap_ratio
from wetgen.benchmarks.speed import rows
from wetgen.benchmarks.speed.cli import bench
from wetgen.benchmarks.speed.compare import compare
from wetgen.runtime.errors import WetgenError

ROUNDS, BATCHES = 3, 7


def simulated(
    row, seed: int, *, slower: float = 1.0, noise: float = 0.02, drift: float = 0.0, speed: float = 1.0, **work_of: Any
) -> list[dict[str, Any]]:
    """A run of batches of about 400 ms, on a machine of that speed, which changes by `drift` from round to round."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(ROUNDS):
        now = speed * (1 + drift * rng.standard_normal())
        warm = 400 * slower / now * np.exp(noise * rng.standard_normal(BATCHES))
        paces = 200 * now * np.exp(noise / 2 * rng.standard_normal(BATCHES + 1))
        observed = sampled(warm.tolist(), pace=paces.tolist(), work=work(**work_of))
        found.append(row("sampling", observed, number=number))
    return found


def verdicts(first: Sequence[rows.BenchRow], second: Sequence[rows.BenchRow]) -> list[str]:
    return [one.ratio.verdict(0.05) for one in compare(first, second)]


@pytest.mark.parametrize("seed", range(0, 20, 2))
def test_two_runs_of_the_same_show_no_difference_and_a_tenth_more_is_slower(row, seed: int) -> None:
    first = simulated(row, seed)
    assert verdicts(first, simulated(row, seed + 1)) == ["no difference"]
    assert verdicts(first, simulated(row, seed + 1, slower=1.1)) == ["slower"]
    assert verdicts(first, simulated(row, seed + 1, slower=1 / 1.1)) == ["faster"]


def test_a_machine_that_is_slower_today_is_no_difference(row) -> None:
    first, how = simulated(row, 1, drift=0.1), {"speed": 0.8, "drift": 0.1}
    assert verdicts(first, simulated(row, 2, **how)) == ["no difference"]
    assert verdicts(first, simulated(row, 2, slower=1.1, **how)) == ["slower"]


def test_where_no_pace_is_measured_times_are_compared(row) -> None:
    runs = [simulated(row, 1), simulated(row, 2, speed=0.8)]
    for one in [*runs[0], *runs[1]]:
        one["observed"]["pace_gflops"] = []
    assert verdicts(*runs) == ["slower"]


def test_noise_is_said_to_be_noise(row) -> None:
    assert verdicts(simulated(row, 3, noise=0.4), simulated(row, 4, noise=0.4)) == ["too noisy to tell"]


@pytest.mark.parametrize(
    ("value", "low", "high", "verdict"),
    [
        (1.10, 1.06, 1.14, "slower"),
        (1.10, 0.99, 1.20, "too noisy to tell"),
        (1.04, 1.01, 1.07, "no difference"),
        (1.04, 1.00, 1.12, "too noisy to tell"),  # there is room for a tenth
        (0.90, 0.86, 0.94, "faster"),
        (0.98, 0.89, 1.03, "too noisy to tell"),
    ],
)
def test_what_may_be_said_of_an_interval(value: float, low: float, high: float, verdict: str) -> None:
    assert Ratio(value, low, high).verdict(0.05) == verdict


@given(st.lists(st.floats(1, 100), min_size=3, max_size=9), st.floats(0.1, 10))
def test_a_run_beside_itself_at_another_speed_gives_that_speed(times: list[float], factor: float) -> None:
    found = bootstrap_ratio([np.array(times)], [np.array(times) * factor], draws=50)
    assert found.value == pytest.approx(factor) and found.low <= factor * (1 + 1e-9)
    assert found.high >= factor * (1 - 1e-9)


def test_what_rounds_have_in_common_widens_the_interval() -> None:
    """A process that is slow as a whole is one observation, however many batches it drew."""
    apart = [np.full(50, 100.0), np.full(50, 110.0), np.full(50, 100.0)]
    found = bootstrap_ratio(apart, [np.full(50, 100.0)])
    assert found.high - found.low > 0.05


@pytest.mark.parametrize(
    "changed",
    [
        {"timesteps": [999, 500]},
        {"kinds": ["guided", "guided"]},
        {"batch": 2},
        {"border": "the denoiser alone"},
        {"picture": picture(130)},
        {"guidance": 3.0},
    ],
)
def test_other_work_is_an_error_that_names_what_differs(row, changed: dict[str, Any]) -> None:
    with pytest.raises(WetgenError, match=f"differ in {next(iter(changed))} "):
        compare(simulated(row, 1), simulated(row, 2, **changed))


def test_rounding_is_not_another_picture(row) -> None:
    assert verdicts(simulated(row, 1), simulated(row, 2, picture=picture(101))) == ["no difference"]


def test_runs_without_a_case_in_common_are_refused(row) -> None:
    other = [{**one, "case": {**one["case"], "batch": 8}} for one in simulated(row, 1)]
    with pytest.raises(WetgenError, match=r"first finished two, batch 1 .*second two, batch 8"):
        compare(simulated(row, 1), other)


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ({}, 0, "no difference"),
        ({"slower": 1.1}, 1, "slower"),
        ({"noise": 0.5}, 3, "too noisy"),
        ({"batch": 9}, 1, None),
    ],
)
def test_the_exit_code_of_the_command(tmp_path: Path, row, how: dict[str, Any], code: int, said: str | None) -> None:
    for name, run in (("a", simulated(row, 1)), ("b", simulated(row, 2, **how))):
        for one in run:
            rows.append(tmp_path / name / rows.FILE_NAME, one)
    result = CliRunner().invoke(bench, ["compare", str(tmp_path / "a"), str(tmp_path / "b")])
    assert result.exit_code == code
    assert isinstance(result.exception, WetgenError) if said is None else said in result.output
