"""What the wheel holds: every module of the four floors, the shipped bundle and the configs, and no test or data."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The files in a wheel built from what git tracks, so that no stray file of the checkout counts."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(source)], input=archive, check=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    with zipfile.ZipFile(next(out.glob("*.whl"))) as wheel:
        return wheel.namelist()


def test_every_module_is_in_the_wheel(names: list[str]) -> None:
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    modules = [n for n in tracked.split("\n") if n.split("/")[0] in ("runtime", "training", "export", "benchmarks")]
    assert modules and set(names) >= {f"wetgen/{name}" for name in modules}


def test_the_shipped_bundle_and_the_configs_are_in_the_wheel(names: list[str]) -> None:
    assert "wetgen/runtime/bundles/default/bundle.json" in names
    assert {"tiny", "cpu-128", "gpu-256", "gpu-512"} <= {Path(n).stem for n in names if "training/configs/" in n}


def test_nothing_else_is_in_the_wheel(names: list[str]) -> None:
    for name in names:
        assert name.startswith(("wetgen/", "wetgen-")), name
        assert not name.startswith(("wetgen/tests", "wetgen/runs", "wetgen/docs")), name


def test_the_shipped_bundle_stays_small() -> None:
    bundle = ROOT / "runtime" / "bundles" / "default"
    assert sum(path.stat().st_size for path in bundle.iterdir()) <= 40 * 1024**2
