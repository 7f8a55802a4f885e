"""Power, temperatures, clocks and throttling of a Jetson board, read from sysfs.

Sources: NVIDIA's Jetson Linux developer guide (INA3221 power monitors under hwmon: millivolts and milliamperes of each
rail; over-current events as oc*_event_cnt), and the kernel's documentation of thermal zones, devfreq and cpufreq.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys")
WHOLE = "VDD_IN"  # the rail that feeds the module, where a board measures one


@dataclass(frozen=True)
class SensorReading:
    """One look. Rails in watts, temperatures in degrees Celsius, clocks in MHz; empty where the board tells nothing."""

    rails: dict[str, float]
    temperatures: dict[str, float]
    clocks: dict[str, float]

    @property
    def watts(self) -> float | None:
        """Of the module: the rail that feeds it, or else all rails together; None without a power monitor."""
        if not self.rails:
            return None
        return self.rails[WHOLE] if WHOLE in self.rails else sum(self.rails.values())


class Board:
    """The sensors that a machine has; `root` is its /sys."""

    def __init__(self, root: Path = ROOT) -> None:
        self._rails = dict(_rails(root))
        self._zones = dict(_zones(root))
        self._clocks = dict(_clocks(root))
        self._events = {
            path.name.removesuffix("_event_cnt"): path for path in _sorted(root, "class/hwmon/*/oc*_event_cnt")
        }

    @property
    def measures_power(self) -> bool:
        return bool(self._rails)

    def read(self) -> SensorReading:
        """Every sensor once; one that does not answer just now is left out."""
        rails = {}
        for name, (volts, amperes) in self._rails.items():
            millivolts, milliamperes = _number(volts), _number(amperes)
            if millivolts is not None and milliamperes is not None:
                rails[name] = millivolts * milliamperes / 1e6
        return SensorReading(
            rails, _scaled(self._zones, 1e-3), {name: _mhz(name, hz) for name, hz in _known(self._clocks)}
        )

    def throttled(self) -> dict[str, int]:
        """How often each over-current alarm has gone off since the board started."""
        return {name: int(value) for name, value in _known(self._events)}


def _sorted(root: Path, pattern: str) -> list[Path]:
    return sorted(root.glob(pattern))


def _rails(root: Path) -> Iterator[tuple[str, tuple[Path, Path]]]:
    """Rails by name: the files of its voltage and its current."""
    for label in _sorted(root, "bus/i2c/drivers/ina3221/*/hwmon/*/in*_label"):
        volts = label.with_name(label.name.replace("_label", "_input"))
        amperes = label.with_name(label.name.replace("_label", "_input").replace("in", "curr", 1))
        if volts.is_file() and amperes.is_file():  # the sum of shunts has a label, and no current of its own
            yield label.read_text().strip(), (volts, amperes)


def _zones(root: Path) -> Iterator[tuple[str, Path]]:
    for kind in _sorted(root, "class/thermal/thermal_zone*/type"):
        yield kind.read_text().strip(), kind.with_name("temp")


def _clocks(root: Path) -> Iterator[tuple[str, Path]]:
    for path in _sorted(root, "class/devfreq/*/cur_freq"):
        if path.parent.name.endswith((".gpu", ".ga10b", ".gv11b", ".gp10b")):
            yield "gpu", path
    for path in _sorted(root, "devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"):
        yield path.parent.parent.name, path


def _mhz(name: str, value: float) -> float:
    return value / 1e6 if name == "gpu" else value / 1e3  # devfreq tells Hz, cpufreq kHz


def _scaled(files: dict[str, Path], scale: float) -> dict[str, float]:
    return {name: value * scale for name, value in _known(files)}


def _known(files: dict[str, Path]) -> Iterator[tuple[str, float]]:
    for name, path in files.items():
        value = _number(path)
        if value is not None:
            yield name, value


def _number(path: Path) -> float | None:
    """A file's number; None when the driver refuses, as sensors of a sleeping part do."""
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None
