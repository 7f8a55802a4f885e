"""How many cores this process may use: what is allowed, not what the machine has."""

import os
from pathlib import Path

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
