"""An import never points upward: runtime < training < export < benchmarks, and the ground floor stays lean."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = ("runtime", "training", "export", "benchmarks")
RUNTIME_MAY = {"PIL", "click", "cuda", "numpy", "onnxruntime", "tensorrt", "tokenizers", "wetgen"} | set(
    sys.stdlib_module_names
)


def imports_of(path: Path) -> set[str]:
    """Every module named by an import statement, wherever in the file it stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the floor"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files_of(floor: str) -> list[Path]:
    files = sorted((ROOT / floor).rglob("*.py"))
    assert files, f"{floor} has no files: the guard would hold nothing"
    return files


@pytest.mark.parametrize("floor", FLOORS)
def test_no_import_points_upward(floor: str) -> None:
    above = FLOORS[FLOORS.index(floor) + 1 :]
    for path in files_of(floor):
        for name in imports_of(path):
            parts = name.split(".")
            assert not (parts[0] == "wetgen" and parts[1] in above), f"{path} imports {name}"
            assert parts[0] not in FLOORS, f"{path} imports the bare folder {name}"


def test_the_runtime_imports_nothing_but_what_the_lean_install_has() -> None:
    for path in files_of("runtime"):
        for name in imports_of(path):
            assert name.split(".")[0] in RUNTIME_MAY, f"{path} imports {name}"


def test_every_runtime_module_imports_with_torch_and_the_upper_floors_blocked() -> None:
    blocked = ["torch", "diffusers", "transformers", "onnx", *(f"wetgen.{floor}" for floor in FLOORS[1:])]
    code = (
        "import sys\n"
        f"for name in {blocked}: sys.modules[name] = None\n"
        "import importlib, pkgutil, wetgen.runtime as package\n"
        "for module in pkgutil.walk_packages(package.__path__, 'wetgen.runtime.'):\n"
        "    importlib.import_module(module.name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("command", ["runtime", "training", "export"])
def test_help_needs_no_heavy_package(command: str) -> None:
    """`--help` must answer at once, and also where an extra is missing."""
    heavy = ("torch", "diffusers", "transformers", "onnx", "onnxruntime", "numpy", "PIL", "tokenizers", "safetensors")
    code = (
        "import sys\n"
        f"for name in {heavy}: sys.modules[name] = None\n"
        f"from wetgen.{command}.cli import cli\n"
        "cli(['--help'])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "Usage:" in result.stdout
