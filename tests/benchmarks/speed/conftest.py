"""Rows as `wetgen bench` writes them, and a tiny bundle."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from wetgen.benchmarks.speed import rows

ROOT = Path(__file__).parents[3]
MACHINE = {"processor": "a CPU", "cores": 2, "memory_gib": 8.0, "system": "Linux x86_64"}

Make = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """tests/runtime/tiny_bundle.py, which writes a bundle without torch."""
    name = "tiny_bundle"
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / "runtime" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def bundle_folder(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tiny.write_bundle(tmp_path_factory.mktemp("bundle")))


@pytest.fixture
def row() -> Make:
    """A row of a kind of case; what it observed is given."""

    def make(kind: str, observed: Any, *, number: int = 0, batch: int = 1, **more: Any) -> dict[str, Any]:
        case = {"kind": kind, "round": number, "device": "cpu", "threads": 2, "plan": "two", "batch": batch}
        return {
            "format": rows.FORMAT,
            "key": rows.key_of(case=case),
            "case": case,
            "status": rows.DONE,
            "observed": observed,
            "bundle": {"hash": "b" * 12, "name": "tiny"},
            "machine": MACHINE,
            "versions": {"python": "3.11.7", "numpy": "2.4.6"},
            "commit": "0123456789ab",
            "date": "2026-01-01",
            **more,
        }

    return make
