"""Timing on machines that are never quiet: candidates take turns, and are compared turn by turn."""

import statistics
import time
from collections.abc import Callable, Mapping

SETTLE = 0.05  # seconds before a call: threads of the other candidate that still spin must not take this one's cores


def take_turns(works: Mapping[str, Callable[[], object]], *, runs: int, warmup: int = 2) -> dict[str, list[float]]:
    """Milliseconds of every call, (runs,) for each candidate; A B A B ..., so that drift hits all alike.

    A call must not return before its work is done.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(-warmup, runs):
        for name, work in works.items():
            time.sleep(SETTLE)
            began = time.perf_counter()
            work()
            if turn >= 0:
                times[name].append(1000 * (time.perf_counter() - began))
    return times


def paired_ratio(slow: list[float], fast: list[float]) -> float:
    """How many times as fast the second is: the median over turns of their ratio."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
