"""What the wheel holds: every module of the four floors, the shipped bundle and the configs, and no test or data.

It installs by itself, without torch, and draws.
"""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEAN_MIB = 250  # most that the lean runtime with all it needs may take, without byte code (docs/field-engineer.md)
NOT_OURS = ("pip", "setuptools", "pkg_resources", "_distutils_hack")  # of every virtual environment


pytestmark = pytest.mark.wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from what git tracks, so that no stray file of the checkout counts."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(source)], input=archive, check=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    """The files in it."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_every_module_is_in_the_wheel(names: list[str]) -> None:
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    modules = [n for n in tracked.split("\n") if n.split("/")[0] in ("runtime", "training", "export", "benchmarks")]
    assert modules and set(names) >= {f"wetgen/{name}" for name in modules}


def test_the_shipped_bundle_and_the_configs_are_in_the_wheel(names: list[str]) -> None:
    assert "wetgen/runtime/bundles/default/bundle.json" in names
    assert {"tiny", "cpu-256", "gpu-256", "gpu-512"} <= {Path(n).stem for n in names if "training/configs/" in n}


def test_nothing_else_is_in_the_wheel(names: list[str]) -> None:
    for name in names:
        assert name.startswith(("wetgen/", "wetgen-")), name
        assert not name.startswith(("wetgen/tests", "wetgen/runs", "wetgen/docs")), name


def test_the_wheel_installs_by_itself_and_draws(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "lean", with_pip=True)
    programs = tmp_path / "lean" / ("Scripts" if sys.platform == "win32" else "bin")
    subprocess.run([str(programs / "python"), "-m", "pip", "install", "--quiet", str(wheel)], check=True)
    (tmp_path / "prompts.txt").write_text("mold on a wall\n")
    command = [str(programs / "wetgen"), "run", "--prompts", "prompts.txt", "--plan", "fast", "--out", "pairs"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert len(list((tmp_path / "pairs" / "images").glob("*.png"))) == 1
    (packages,) = (tmp_path / "lean").rglob("site-packages")
    counted = [path for path in packages.iterdir() if not path.name.startswith(NOT_OURS)]
    files = [file for path in counted for file in (path, *path.rglob("*")) if file.is_file() and file.suffix != ".pyc"]
    assert sum(file.stat().st_size for file in files) <= LEAN_MIB * 2**20
    assert subprocess.run([str(programs / "python"), "-c", "import torch"], capture_output=True).returncode == 1


def test_the_shipped_bundle_stays_small() -> None:
    bundle = ROOT / "runtime" / "bundles" / "default"
    assert sum(path.stat().st_size for path in bundle.iterdir()) <= 40 * 1024**2
