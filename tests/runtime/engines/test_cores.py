"""Cores: what may be used, and whether it is in use."""

import os
from pathlib import Path

import pytest

from wetgen.runtime.engines import ort as cores
from wetgen.runtime.files import usable_cores

STAT = "cpu  300 0 0 500 0 0 0 0 0 0\ncpu0 {} 0 0 {} 0 0 0 0 0 0\ncpu1 100 0 0 100 50 0 0 0 0 0\nintr 5\n"


def tell(monkeypatch: pytest.MonkeyPatch, path: Path, usable: set[int]) -> None:
    """Ticks from `path`: while it sleeps, core 0 is busy for 30 and idle for 10."""
    path.write_text(STAT.format(100, 100))
    monkeypatch.setattr(cores, "_STAT", path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: usable)
    monkeypatch.setattr(cores.time, "sleep", lambda _: path.write_text(STAT.format(130, 110)))


def test_busy_time_is_a_share_of_the_usable_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tell(monkeypatch, tmp_path / "stat", {0})
    assert cores.busy_share() == pytest.approx(0.75)


def test_waiting_for_a_disk_is_idle_and_other_cores_do_not_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "stat"
    tell(monkeypatch, path, {1})
    idle = STAT.format(100, 100).replace("cpu1 100 0 0 100 50", "cpu1 100 0 0 100 90")
    monkeypatch.setattr(cores.time, "sleep", lambda _: path.write_text(idle))
    assert cores.busy_share() == 0.0


def test_a_system_that_does_not_tell_counts_as_busy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tell(monkeypatch, tmp_path / "stat", {0})
    monkeypatch.setattr(cores, "_STAT", tmp_path / "missing")
    assert cores.busy_share() == 1.0


def test_at_least_one_core_is_usable() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
