"""The worked examples of CONTRIBUTING.md: each diff applies to the tree as it is, and what stands below it works."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
FLOORS = ("runtime", "training", "export", "benchmarks")
LONGEST = 40  # lines of a diff
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = {part.split("\n")[0]: part for part in re.split(r"^## ", TEXT, flags=re.MULTILINE) if "```diff" in part}

OPENVINO = pytest.param("An engine", marks=pytest.mark.openvino)


def blocks(section: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", SECTIONS[section], re.DOTALL)


def test_every_way_to_add_something_has_an_example() -> None:
    assert list(SECTIONS) == ["A format", "A sampler", "An engine", "An option of `wetgen run`"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder `wetgen` with a copy of the four floors; the bundles are a link."""
    for floor in FLOORS:
        ignored = shutil.ignore_patterns("__pycache__", "bundles")
        shutil.copytree(ROOT / floor, tmp_path / "wetgen" / floor, ignore=ignored)
    (tmp_path / "wetgen" / "runtime" / "bundles").symlink_to(ROOT / "runtime" / "bundles")
    return tmp_path


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder to work in: a dataset folder `pairs` of two pairs, and a prompts file of one line."""
    folder = tmp_path / "work"
    for name in ("images", "masks"):
        (folder / "pairs" / name).mkdir(parents=True)
    (folder / "one.txt").write_text("mold on a wall\n")
    rows = []
    for i in range(2):
        picture, mask = np.full((8, 8, 3), 90 * i + 60, np.uint8), np.full((8, 8), i, np.uint8)
        Image.fromarray(picture).save(folder / "pairs" / "images" / f"{i}.png")
        Image.fromarray(mask).save(folder / "pairs" / "masks" / f"{i}.png")
        rows.append(f'{{"file_name": "images/{i}.png", "mask_file_name": "masks/{i}.png", "text": "a wall"}}\n')
    (folder / "pairs" / "metadata.jsonl").write_text("".join(rows))
    (folder / "pairs" / "classes.json").write_text('{"0": "background", "1": "crack"}')
    return folder


def run(command: list[str], folder: Path, tree: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("section", [section if section != "An engine" else OPENVINO for section in SECTIONS])
def test_the_example_applies_and_works(section: str, tree: Path, work: Path) -> None:
    (diff,) = blocks(section, "diff")
    assert diff.count("\n") <= LONGEST
    (tree / "change.diff").write_text(diff)
    run(["git", "apply", "--unidiff-zero", str(tree / "change.diff")], tree / "wetgen", tree)
    ran = 0
    for console in blocks(section, "console"):
        for line in console.split("\n"):
            if line.startswith("$ wetgen "):
                run([sys.executable, "-m", "wetgen.runtime", *shlex.split(line)[2:]], work, tree)
                ran += 1
    for example in blocks(section, "python"):
        run([sys.executable, "-c", example], work, tree)
        ran += 1
    assert ran, "the example shows nothing that works"


@pytest.mark.parametrize("section", SECTIONS)
def test_the_example_keeps_the_taste_of_the_house(section: str, tree: Path) -> None:
    (diff,) = blocks(section, "diff")
    (tree / "change.diff").write_text(diff)
    run(["git", "apply", "--unidiff-zero", str(tree / "change.diff")], tree / "wetgen", tree)
    shutil.copy(ROOT / "pyproject.toml", tree / "wetgen" / "pyproject.toml")
    changed = [name for name in re.findall(r"^\+\+\+ b/(.*)$", diff, re.MULTILINE) if name.endswith(".py")]
    for arguments in (["check"], ["format", "--check"]):
        run([sys.executable, "-m", "ruff", *arguments, "--no-cache", *changed], tree / "wetgen", tree)
