"""The rooms of benchmarks: the ground uses no room, speed and quality use the ground, experiments may use all."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "benchmarks"
MAY_USE = {"speed": {"speed"}, "quality": {"quality"}, "experiments": {"experiments", "speed", "quality"}}
GROUND = {path.stem for path in ROOT.glob("*.py")} - {"__init__"}


def imports(path: Path) -> set[str]:
    """Modules of benchmarks that a file imports, wherever in it, such as "speed.rows"."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wetgen.benchmarks"):
            found |= {f"{node.module}.{alias.name}".removeprefix("wetgen.benchmarks.") for alias in node.names}
    return found


@pytest.mark.parametrize("room", ["", *MAY_USE])
def test_no_room_uses_one_above_it(room: str) -> None:
    for path in (ROOT / room).rglob("*.py") if room else ROOT.glob("*.py"):
        others = {name.split(".")[0] for name in imports(path)} - GROUND
        assert others <= MAY_USE.get(room, set()), path


def test_no_module_imports_itself_over_others() -> None:
    files = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")}
    uses = {
        name: {next((m for m in (i, i.rpartition(".")[0]) if m in files), "") for i in imports(path)} - {""}
        for name, path in files.items()
    }
    while free := {name for name, used in uses.items() if not used & uses.keys()}:
        uses = {name: used for name, used in uses.items() if name not in free}
    assert not uses


def test_no_file_is_longer_than_500_lines_and_every_room_says_what_it_is() -> None:
    for path in ROOT.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 500, path
        assert path.name != "__init__.py" or "tart with" in text, path
