"""Compare two runs of `wetgen bench`, case by case: is the second slower? Only equal work is compared.

The speed of a machine varies over time. So a run measures the pace of a matrix product between any two batches, and a
batch's time is multiplied by that pace: the result is how many GFLOP the product would have done meanwhile. On a GPU,
where no pace is measured, times themselves are compared.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgen.benchmarks.bootstrap import Ratio, bootstrap_ratio
from wetgen.benchmarks.speed import rows
from wetgen.runtime.errors import WetgenError

LEAST_PSNR = 40.0  # dB between thumbnails: float16 stays above, other weights draw other pictures


@dataclass(frozen=True)
class CaseComparison:
    """One case of both runs."""

    name: str
    first_ms: float
    second_ms: float
    ratio: Ratio


def compare(first: Sequence[rows.BenchRow], second: Sequence[rows.BenchRow]) -> list[CaseComparison]:
    """The sampling cases that both runs finished.

    Raises WetgenError when they share none, and when a shared case is not the same work in both.
    """
    sides = [_cases(first), _cases(second)]
    shared = [name for name in sides[0] if name in sides[1]]
    if not shared:
        listed = [", ".join(side) or "none" for side in sides]
        raise WetgenError(
            "The two runs have no case in common.",
            why=f"the first finished {listed[0]}; the second {listed[1]}.",
            fix="run both with the same plan, batches, device and threads.",
        )
    return [_compared(name, sides[0][name], sides[1][name]) for name in shared]


def _cases(run: Sequence[rows.BenchRow]) -> dict[str, list[rows.BenchRow]]:
    """The rounds of every sampling case, by what it is called."""
    found: dict[str, list[rows.BenchRow]] = {}
    for row in rows.done(run, "sampling"):
        case = row["case"]
        threads = "" if case["threads"] is None else f", {case['threads']} threads"
        found.setdefault(f"{case['plan']}, batch {case['batch']} on {case['device']}{threads}", []).append(row)
    return found


def _compared(name: str, first: Sequence[rows.BenchRow], second: Sequence[rows.BenchRow]) -> CaseComparison:
    check_same_work(name, first[0]["observed"]["work"], second[0]["observed"]["work"])
    return CaseComparison(
        name, *(_median_ms(side) for side in (first, second)), bootstrap_ratio(_taken(first), _taken(second))
    )


def check_same_work(name: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    """Raise WetgenError, naming the differences, unless both sides did the same work."""
    differ = [key for key in sorted(first.keys() | second.keys()) if first.get(key) != second.get(key)]
    if "picture" in differ and _alike(first, second):
        differ.remove("picture")
    if differ:
        listed = "; ".join(f"{key} {_short(first.get(key))} and {_short(second.get(key))}" for key in differ)
        raise WetgenError(
            f"{name}: the two sides did not do the same work.",
            why=f"they differ in {listed}.",
            fix="compare runs of the same weights, plan and batch, measured by the same `wetgen bench`.",
        )


def _alike(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    if "picture" not in first or "picture" not in second:
        return False
    a, b = (np.frombuffer(base64.b64decode(side["picture"]), np.uint8).astype(float) for side in (first, second))
    return a.shape == b.shape and float(np.square(a - b).mean()) <= 255**2 / 10 ** (LEAST_PSNR / 10)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _median_ms(side: Sequence[rows.BenchRow]) -> float:
    return float(np.median(np.concatenate([row["observed"]["warm_ms"] for row in side])))


def _taken(side: Sequence[rows.BenchRow]) -> list[NDArray[np.float64]]:
    """Per round what each warm batch took: GFLOP of the product's pace around it, or milliseconds without a pace."""
    found = []
    for row in side:
        times, pace = (np.asarray(row["observed"][name], float) for name in ("warm_ms", "pace_gflops"))
        found.append(times * (pace[:-1] + pace[1:]) / 2000 if len(pace) else times)
    return found


def render(found: Sequence[CaseComparison], tolerance: float) -> str:
    """The comparison as a table for people."""
    lines = [f"{'case':34} {'first':>10} {'second':>10}  times as long (95 % interval)"]
    for one in found:
        interval = f"{one.ratio.value:.3f} ({one.ratio.low:.3f} to {one.ratio.high:.3f})"
        pace = f"{one.first_ms:7.1f} ms {one.second_ms:7.1f} ms"
        lines.append(f"{one.name:34} {pace}  {interval}: {one.ratio.verdict(tolerance)}")
    return "\n".join(lines)
