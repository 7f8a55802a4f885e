"""Calls of graphs, and how near to the machine's ceilings they come."""

from dataclasses import dataclass
from typing import Any, Literal

Bound = Literal["arithmetic", "memory", "neither: calls and small operators"]

_LEAST_SHARE = 0.4  # of either ceiling; below it something else takes most of the time


@dataclass(frozen=True)
class GraphTime:
    """One graph's calls in a warm batch, or the host's part of it; times in milliseconds."""

    name: str
    calls: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    share: float
    """Of the batch's time."""


@dataclass(frozen=True)
class Roofline:
    """A graph against the machine's ceilings (Williams, Waterman, Patterson 2009); rates in GFLOP/s and GB/s."""

    name: str
    batch: int
    gflop: float
    mb: float
    gflops: float
    gbs: float
    share: float
    """Of the ceiling that bounds it: the least time that its arithmetic or its bytes need, over the time it took."""
    bound: Bound


def roofline_of(stage: GraphTime, batch: int, flops: int, moved: int, matrix: float, copy: float) -> Roofline:
    least_ms = {"arithmetic": flops / 1e6 / matrix, "memory": moved / 1e6 / copy}
    bound: Any = max(least_ms, key=lambda name: least_ms[name])
    share = least_ms[bound] / stage.p50_ms
    if share < _LEAST_SHARE:
        bound = "neither: calls and small operators"
    rates = flops / 1e6 / stage.p50_ms, moved / 1e6 / stage.p50_ms
    return Roofline(stage.name, batch, flops / 1e9, moved / 1e6, *rates, share, bound)
