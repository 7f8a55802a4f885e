"""How many cores this process may use, and whether others use them too."""

import os
import time
from pathlib import Path

_STAT = Path("/proc/stat")  # ticks of every core since the start, by what it did
_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # "max 100000", or microseconds of CPU time per period in a container


def usable_cores() -> int:
    """The cores this process may run on, at least 1: its affinity, and its container's share of CPU time."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(allowed or 1, _container_share()))


def _container_share() -> int:
    """Cores' worth of CPU time the container grants, rounded up; effectively no limit where none is set."""
    try:
        quota, period = _QUOTA.read_text().split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError):
        return 2**31


def busy_share(seconds: float = 0.05) -> float:
    """The share of the usable cores' time that was in use over the next `seconds`; 1.0 where nobody tells.

    The caller should sleep through it: what it does itself counts.
    """
    before = _ticks()
    time.sleep(seconds)
    after = _ticks()
    total = sum(after) - sum(before)
    return 1 - (after[1] - before[1]) / total if total else 1.0


def _ticks() -> tuple[int, int]:
    """Ticks (busy, idle) of the usable cores together; zeros where the system does not tell."""
    try:
        rows = [line.split() for line in _STAT.read_text().split("\n") if line.startswith("cpu")]
    except OSError:
        return 0, 0
    usable = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    counts = [[int(value) for value in row[1:9]] for row in rows if row[0] in usable]
    idle = sum(row[3] + row[4] for row in counts)  # idle, and waiting for a disk
    return sum(map(sum, counts)) - idle, idle
