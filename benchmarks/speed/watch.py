"""Memory of device and machine, power, clocks and temperatures while a block runs."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from wetgen.benchmarks.speed.jetson import Board, SensorReading

NOT_HERE = "not measured here"
_EVERY = 0.1  # seconds between looks
_STATUS, _MEMINFO = Path("/proc/self/status"), Path("/proc/meminfo")


def host_peak_mib() -> float | str:
    """Peak memory of this process (VmHWM)."""
    return _kib_line(_STATUS, "VmHWM:")


def available_mib() -> float | str:
    """Available memory of the machine, which a Jetson shares with its GPU."""
    return _kib_line(_MEMINFO, "MemAvailable:")


def _kib_line(path: Path, name: str) -> float | str:
    try:
        lines = path.read_text().split("\n")
    except OSError:
        return NOT_HERE
    found = [line.split()[1] for line in lines if line.startswith(name)]
    return round(int(found[0]) / 1024, 1) if found else NOT_HERE


class ResourceMonitor:
    """Samples the machine in a thread while a block runs, if there is anything to sample.

    `free_mib` gives the free memory of the device; None if the device is the host.
    """

    def __init__(self, board: Board, free_mib: Callable[[], float] | None, *, unified: bool) -> None:
        self._board, self._free, self._unified = board, free_mib, unified
        self._looks: list[tuple[float, SensorReading]] = []
        self._least: dict[str, float] = {}
        self._first: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._events = board.throttled()

    def __enter__(self) -> "ResourceMonitor":
        self._look()
        if self._board.measures_power or self._free is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def memory(self) -> dict[str, object]:
        """Peaks in MiB: of this process, of the device, and of the machine where both share one memory."""
        return {
            "host_mib": host_peak_mib(),
            "device_mib": self._taken("device"),
            "unified_mib": self._taken("unified") if self._unified else NOT_HERE,
        }

    def power(self) -> dict[str, object] | str:
        """All samples and throttling events; a string if there is no power monitor."""
        if not self._board.measures_power:
            return NOT_HERE
        now = self._board.throttled()
        return {
            "seconds": [round(when, 3) for when, look in self._looks if look.watts is not None],
            "watts": [round(look.watts, 3) for _, look in self._looks if look.watts is not None],
            "rails": [look.rails for _, look in self._looks],
            "temperatures": [look.temperatures for _, look in self._looks],
            "clocks_mhz": [look.clocks for _, look in self._looks],
            "throttled": {name: now[name] - self._events.get(name, 0) for name in now},
        }

    def _taken(self, name: str) -> float | str:
        return round(self._first[name] - self._least[name], 1) if name in self._first else NOT_HERE

    def _run(self) -> None:
        while not self._stop.wait(_EVERY):
            self._look()

    def _look(self) -> None:
        if self._board.measures_power:
            self._looks.append((time.monotonic(), self._board.read()))
        if self._free is not None:
            self._note("device", self._free())
        available = available_mib() if self._unified else NOT_HERE
        if isinstance(available, float):
            self._note("unified", available)

    def _note(self, name: str, free: float) -> None:
        self._first.setdefault(name, free)
        self._least[name] = min(free, self._least.get(name, free))
