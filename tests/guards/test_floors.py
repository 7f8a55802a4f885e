"""An import never points upward: runtime < training < export < benchmarks, and the ground floor stays lean."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = ("runtime", "training", "export", "benchmarks")
# What each room of the runtime may import; every room may import the ground, which imports nothing above it.
ROOMS = {
    "ground": set[str](),
    "masks": set[str](),
    "prompts": set[str](),
    "bundle": {"masks"},
    "dataset": {"masks"},
    "engines": {"bundle"},
    "layouts": {"dataset", "masks"},
    "sampling": {"bundle", "engines", "masks", "prompts"},
    "inpaint": {"bundle", "layouts", "masks", "prompts", "sampling"},
    "run": {"bundle", "dataset", "engines", "inpaint", "layouts", "masks", "prompts", "sampling"},
    "door": {"bundle", "dataset", "engines", "inpaint", "layouts", "masks", "prompts", "run", "sampling"},
}
DOOR = {"wetgen.runtime", "wetgen.runtime.__main__", "wetgen.runtime.cli"}  # the package gives its users' names
EXPORT_ROOMS = {
    "ground": set[str](),
    "graphs": set[str](),
    "onnx": {"graphs"},
    "precision": {"graphs", "onnx"},
    "search": {"graphs"},
    "door": {"graphs", "onnx", "precision", "search"},
}
EXPORT_DOOR = {f"wetgen.export.{name}" for name in ("bundle", "cli", "engines", "judge")}
HOUSES = {"runtime": (ROOMS, DOOR), "export": (EXPORT_ROOMS, EXPORT_DOOR)}
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


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("wetgen", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def module_imports(floor: str) -> dict[str, set[str]]:
    """The modules of a floor that each of them imports, those inside functions too."""
    files = {module_of(path): path for path in files_of(floor)}
    return {
        module: {name if name in files else name.rpartition(".")[0] for name in imports_of(path)} & files.keys()
        for module, path in files.items()
    }


def room_of(module: str) -> str:
    _, floor, *rest = module.split(".")
    if module in HOUSES[floor][1]:
        return "door"
    return rest[0] if rest and (ROOT / floor / rest[0]).is_dir() else "ground"


def circles(graph: dict[str, set[str]]) -> set[str]:
    """What is left when everything that imports nothing that is left is taken away, again and again."""
    left = set(graph)
    while free := {name for name in left if not (graph[name] - {name}) & left}:
        left -= free
    return left


@pytest.mark.parametrize("floor", HOUSES)
def test_every_room_is_known(floor: str) -> None:
    assert {room_of(module) for module in module_imports(floor)} == HOUSES[floor][0].keys()


@pytest.mark.parametrize("floor", HOUSES)
def test_a_room_imports_the_rooms_below_it_only(floor: str) -> None:
    rooms = HOUSES[floor][0]
    for module, names in module_imports(floor).items():
        room = room_of(module)
        for name in names:
            assert room_of(name) in rooms[room] | {room, "ground"}, f"{module} ({room}) imports {name}"


@pytest.mark.parametrize("floor", HOUSES)
def test_no_circle_of_rooms_and_none_of_files(floor: str) -> None:
    assert not circles(HOUSES[floor][0])
    assert not circles(module_imports(floor))


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}}) == {"a", "b", "c"}


def test_no_file_of_a_room_is_long() -> None:
    for path in files_of("runtime"):
        assert module_of(path) in DOOR or len(path.read_text(encoding="utf-8").splitlines()) <= 500, path


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
