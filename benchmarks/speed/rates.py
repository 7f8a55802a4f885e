"""One batch size over all rounds: load, first batch, warm times, memory, energy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed: always one of them, so a small sample is not smoothed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True)
class Rate:
    """One batch size over all rounds. Times in milliseconds of a whole batch, load and first batch of a new process."""

    batch: int
    to_loaded_ms: float
    first_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    host_mib: float | str
    device_mib: float | str
    unified_mib: float | str
    joules: float | None
    """Per pair, warm; None without a power monitor."""

    @property
    def pairs_per_second(self) -> float:
        return 1000 * self.batch / self.p50_ms


def rate_of(batch: int, rounds: Sequence[Mapping[str, Any]]) -> Rate:
    warm = [took for observed in rounds for took in observed["warm_ms"]]
    memory = [observed["memory"] for observed in rounds]
    return Rate(
        batch,
        float(np.median([observed["to_loaded_ms"] for observed in rounds])),
        float(np.median([observed["to_first_batch_ms"] - observed["to_loaded_ms"] for observed in rounds])),
        *(percentile(warm, share) for share in (0.5, 0.9, 0.99)),
        *(_peak([one[name] for one in memory]) for name in ("host_mib", "device_mib", "unified_mib")),
        _joules(batch, rounds),
    )


def _peak(values: Sequence[float | str]) -> float | str:
    numbers = [value for value in values if not isinstance(value, str)]
    return max(numbers) if numbers else str(values[0])


def _joules(batch: int, rounds: Sequence[Mapping[str, Any]]) -> float | None:
    """Median power of the looks during warm batches, times the median batch."""
    watts = []
    for observed in rounds:
        if not isinstance(observed["power"], str):
            begin, end = observed["warm_between_s"]
            looks = zip(observed["power"]["seconds"], observed["power"]["watts"], strict=True)
            watts += [value for when, value in looks if begin <= when <= end]
    if not watts:
        return None
    seconds = percentile([took for observed in rounds for took in observed["warm_ms"]], 0.5) / 1000
    return float(np.median(watts)) * seconds / batch
