"""The README's commands run, in their order, as they stand there; only sizes and plans are made small."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALLER = {
    "cpu-256": "tiny",
    "--count 200 --size 256": "--count 4 --size 48",
    # What a network of six steps draws fails the checks, as it should; other rendered scenes stand in for it.
    "wetgen eval blind-pairs": "wetgen eval more-photos",
    "bench my-bundle": "bench my-bundle --quick --seconds 0.1 --threads 1",
    "--count 4 --out composed": "--count 1 --plan fast --out composed",
    "--out painted": "--plan fast --out painted",
    "--count 6 --classes": "--count 2 --classes",
    "--quota stain=3,mold=3": "--plan fast --quota stain=1,mold=1",
    "--layouts layouts": "--plan fast --layouts layouts",
    "prompts.txt --out pairs": "prompts.txt --plan fast --out pairs",
}
PROGRAMS = {entry.name: entry for entry in entry_points(group="console_scripts") if entry.name.startswith("wetgen")}


def commands() -> list[str]:
    """The lines after "$ " of the console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    return [line[2:] for block in blocks for line in block.split("\n") if line.startswith("$ ")]


def run(command: str) -> str:
    """Run a command as its program would, in this process: each of their own would take seconds to import torch."""
    for large, small in SMALLER.items():
        command = command.replace(large, small)
    program, *arguments = shlex.split(command)
    result = CliRunner().invoke(PROGRAMS[program].load(), arguments, prog_name=program)
    assert result.exit_code == 0, f"{command}\n{result.output}\n{result.exception!r}"
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder, to be in, with the examples and a dataset folder where the README says yours would be."""
    before, folder = Path.cwd(), tmp_path_factory.mktemp("readme")
    os.chdir(folder)
    shutil.copytree(ROOT / "examples", folder / "examples")
    run("wetgen-train scenes --count 60 --size 48 --seed 3 --out my-photos")
    run("wetgen-train scenes --count 40 --size 48 --seed 5 --out more-photos")
    (folder / "clean-photos").mkdir()
    grain = np.random.default_rng(0).normal(190, 6, (150, 200, 3))
    Image.fromarray(grain.clip(0, 255).astype(np.uint8)).save(folder / "clean-photos" / "wall.jpg")
    yield folder
    os.chdir(before)


@pytest.mark.slow
def test_every_command_runs_in_its_order(folder: Path) -> None:
    listed = commands()
    assert {line.split()[0] for line in listed} == {"pip", "wetgen", "wetgen-train", "wetgen-export"}
    for command in listed:
        if not command.startswith("pip "):
            run(command)
    assert (folder / "speed" / "report.html").is_file()
    assert (folder / "pairs" / "contact-sheet.png").is_file()
    assert len(list((folder / "from-masks" / "masks").glob("*.png"))) == 2
    assert (folder / "painted" / "boxes.csv").is_file() and (folder / "composed" / "boxes.csv").is_file()
    assert len(list((folder / "my-pairs" / "images").glob("*.png"))) > 0
    assert (folder / "report" / "worth.html").is_file() and (folder / "judged-bundle" / "judge.onnx").is_file()


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_is_installed(program: str) -> None:
    path = Path(sys.executable).with_name(program)
    said = subprocess.run([str(path), "--help"], check=True, capture_output=True, text=True).stdout
    assert said.startswith(f"Usage: {program} ")


@pytest.mark.slow
def test_the_python_example_runs(folder: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    result = subprocess.run([sys.executable, "-c", example], cwd=folder, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.strip().split("\n")) == 2


def test_every_file_the_readme_links_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_make_knows_its_commands() -> None:
    for target in ("demo", "quick", "test", "test-all"):
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_the_speed_tables_and_drawings_show_the_newest_rows() -> None:
    subprocess.run([sys.executable, "-m", "wetgen.benchmarks.speed.published", "--check"], cwd=ROOT, check=True)
