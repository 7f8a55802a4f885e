"""The house keeps its limits (tests/guards/house.py), and the script that measures them sees what it should."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guards import house


@pytest.fixture(scope="module")
def figures() -> dict[str, house.Figure]:
    return {figure.name: figure for figure in house.measure()}


# Not reached yet. `strict` makes the first change that reaches one fail here, so that its line goes.
TO_REACH = ("moves between files, each function read once",)


def _limits() -> Iterator[object]:
    for name in house.LIMITS:
        marks = [pytest.mark.xfail(strict=True, reason="to reach")] if name in TO_REACH else []
        yield pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", list(_limits()))
def test_the_house_keeps_its_limit(figures: dict[str, house.Figure], name: str) -> None:
    figure = figures[name]
    assert figure.kept, f"{figure.value:,} {name}, at most {figure.limit:,}:\n" + "\n".join(figure.behind)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A house of a few modules with one of each fault."""
    files = {
        "runtime/__init__.py": "",
        "runtime/cli.py": "from wetgen.runtime.run import loop\n" + "\n" * 600,
        "runtime/files.py": "def read() -> None:\n    from wetgen.runtime.masks import ids\n",
        "runtime/masks/__init__.py": "",
        "runtime/masks/ids.py": "import wetgen.runtime.files\nPixels = list[int]\n_Own = list[int]\nWALL = list[int]\n",
        "runtime/run/__init__.py": "",
        "runtime/run/loop.py": "from wetgen.runtime.run import log\nclass Pair: ...\nclass Pixels: ...\n",
        "runtime/run/log.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
        "    from wetgen.runtime.run import loop\n    from wetgen.runtime.cli import cli\n",
        "training/synonyms.py": "from typing import TypeAlias\nPair: TypeAlias = 'tuple'\n" + "\n" * 499,
        "export/graph.py": "def write():\n    from wetgen.export import plan\n",
        "export/plan.py": "from wetgen.export.graph import write\nHOME = 'wetgen.runtime.files:read'\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_rooms_floors_and_arrows_are_those_of_the_imports(small: Path) -> None:
    found = {figure.name: figure for figure in house.room_figures(house.House(small))}
    assert found["floors inside runtime"].value == 2
    assert found["arrows that the table of rooms does not allow"].behind == [
        "(ground) > masks: runtime/files.py:2 imports wetgen.runtime.masks.ids"
    ]
    assert found["arrows of type checking that it does not allow"].behind == [
        "run > (door): runtime/run/log.py:4 imports wetgen.runtime.cli"
    ]
    assert found["circles between rooms"].behind == ["(ground) <> masks"]


def test_circles_of_modules_are_found_in_every_floor_and_inside_functions(small: Path) -> None:
    graph = house.module_graph(house.House(small))
    assert house.circles(graph) == [
        ["wetgen.export.graph", "wetgen.export.plan"],
        ["wetgen.runtime.files", "wetgen.runtime.masks.ids"],
    ]
    assert house.circles({"a": {"a", "b"}, "b": {"c"}, "c": set()}) == []


def test_a_chain_is_the_longest_and_a_circle_counts_all_its_members() -> None:
    assert house.longest_chain({"a": {"b", "d"}, "b": {"c"}, "c": {"d"}}) == ["a", "b", "c", "d"]
    assert house.longest_chain({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}}) == ["a", "b", "c", "d"]


def test_long_files_and_shared_names_are_found(small: Path) -> None:
    long, lines = house.size_figures(house.House(small))
    assert long.behind == ["501 training/synonyms.py"]
    assert lines.value == 614
    [names] = house.name_figures(house.House(small))
    assert names.behind == [
        "Pixels 2: runtime/masks/ids.py, runtime/run/loop.py",
        "Pair 2: runtime/run/loop.py, training/synonyms.py",
    ]


def test_files_that_are_opened_again_count_as_moves() -> None:
    files, moves = house.walk_figures([("a.py", "f"), ("a.py", "g"), ("b.py", "f"), ("a.py", "h")])
    assert (files.value, moves.value) == (2, 3)


def test_the_script_prints_every_figure_beside_its_limit(figures: dict[str, house.Figure]) -> None:
    done = subprocess.run([sys.executable, house.__file__], capture_output=True, text=True)
    assert done.returncode == int(not all(figure.kept for figure in figures.values())), done.stderr
    assert all(name in done.stdout for name in house.LIMITS)
