"""A board's sensors, on a tree of files as Jetson Linux has it."""

from pathlib import Path

import pytest

from wetgen.benchmarks.speed.jetson import Board
from wetgen.benchmarks.speed.watch import NOT_HERE, ResourceMonitor


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


MONITOR = "bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
ORIN_NX = {
    f"{MONITOR}/in1_label": "VDD_IN",
    f"{MONITOR}/in1_input": "5000",
    f"{MONITOR}/curr1_input": "2000",
    f"{MONITOR}/in2_label": "VDD_CPU_GPU_CV",
    f"{MONITOR}/in2_input": "5000",
    f"{MONITOR}/curr2_input": "800",
    f"{MONITOR}/in7_label": "sum of shunt voltages",
    f"{MONITOR}/in7_input": "12",
    "class/thermal/thermal_zone0/type": "gpu-thermal",
    "class/thermal/thermal_zone0/temp": "51250",
    "class/devfreq/17000000.gpu/cur_freq": "918000000",
    "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1984000",
    "class/hwmon/hwmon1/oc1_event_cnt": "3",
}


def test_an_orin_nx_tells_power_temperatures_clocks_and_alarms(tmp_path: Path) -> None:
    board = Board(write(tmp_path, ORIN_NX))
    look = board.read()
    assert board.measures_power and look.watts == pytest.approx(10.0)  # VDD_IN feeds the others
    assert look.rails == {"VDD_IN": pytest.approx(10.0), "VDD_CPU_GPU_CV": pytest.approx(4.0)}
    assert look.temperatures == {"gpu-thermal": pytest.approx(51.25)}
    assert look.clocks == {"gpu": pytest.approx(918.0), "cpu0": pytest.approx(1984.0)}
    assert board.throttled() == {"oc1": 3}


def test_a_board_without_a_rail_for_all_adds_its_rails(tmp_path: Path) -> None:
    files = {name: text.replace("VDD_IN", "VDD_GPU_SOC") for name, text in ORIN_NX.items()}
    assert Board(write(tmp_path, files)).read().watts == pytest.approx(14.0)


def test_a_sensor_that_does_not_answer_is_left_out(tmp_path: Path) -> None:
    board = Board(write(tmp_path, ORIN_NX))
    write(tmp_path, {"class/thermal/thermal_zone0/temp": "", f"{MONITOR}/in2_input": ""})
    look = board.read()
    assert look.temperatures == {} and set(look.rails) == {"VDD_IN"}


def test_another_machine_has_none_and_never_a_number(tmp_path: Path) -> None:
    board = Board(tmp_path)
    assert not board.measures_power and board.read().watts is None and board.throttled() == {}
    with ResourceMonitor(board, None, unified=False) as watch:
        pass
    assert watch.power() == NOT_HERE
    assert watch.memory()["device_mib"] == watch.memory()["unified_mib"] == NOT_HERE
    assert watch.memory()["host_mib"] > 1


def test_a_watch_keeps_every_look_the_alarms_of_its_time_and_the_device_s_least_free_memory(tmp_path: Path) -> None:
    root, free = write(tmp_path, ORIN_NX), iter([1000.0, *[400.0] * 1000])
    with ResourceMonitor(Board(root), lambda: next(free), unified=True) as watch:
        write(tmp_path, {"class/hwmon/hwmon1/oc1_event_cnt": "5"})
        while len(watch.power()["watts"]) < 2:  # until its thread has looked once more
            pass
    power = watch.power()
    assert set(power["watts"]) == {10.0} and len(power["seconds"]) == len(power["watts"])
    assert power["throttled"] == {"oc1": 2}
    assert watch.memory()["device_mib"] == 600.0 and isinstance(watch.memory()["unified_mib"], float)
