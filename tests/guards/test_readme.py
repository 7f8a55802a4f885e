"""The README's commands run, in their order, as they stand there; only the sizes are made small."""

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
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALLER = {
    "cpu-128": "tiny",
    "--count 200 --size 160": "--count 4 --size 48",
    # What a network of six steps draws fails the checks, as it should; other rendered scenes stand in for it.
    "wetgen eval blind-pairs": "wetgen eval more-photos",
    "bench my-bundle": "bench my-bundle --quick --seconds 0.1 --threads 1",
    "--count 4 --out composed": "--count 1 --plan fast --out composed",
    "--out painted": "--plan fast --out painted",
}


def commands() -> list[str]:
    """The lines after "$ " of the console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    return [line[2:] for block in blocks for line in block.split("\n") if line.startswith("$ ")]


def run(command: str, folder: Path) -> str:
    for large, small in SMALLER.items():
        command = command.replace(large, small)
    program, *arguments = shlex.split(command)
    path = Path(sys.executable).parent / program
    result = subprocess.run([str(path), *arguments], cwd=folder, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the examples and a dataset folder where the README says yours would be."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "examples", folder / "examples")
    run("wetgen-train scenes --count 60 --size 48 --seed 3 --out my-photos", folder)
    run("wetgen-train scenes --count 40 --size 48 --seed 5 --out more-photos", folder)
    (folder / "clean-photos").mkdir()
    grain = np.random.default_rng(0).normal(190, 6, (150, 200, 3))
    Image.fromarray(grain.clip(0, 255).astype(np.uint8)).save(folder / "clean-photos" / "wall.jpg")
    return folder


def test_every_command_runs_in_its_order(folder: Path) -> None:
    listed = commands()
    assert {line.split()[0] for line in listed} == {"pip", "wetgen", "wetgen-train", "wetgen-export"}
    for command in listed:
        if not command.startswith("pip "):
            run(command, folder)
    assert (folder / "speed" / "report.html").is_file()
    assert (folder / "pairs" / "contact-sheet.png").is_file()
    assert len(list((folder / "from-masks" / "masks").glob("*.png"))) == 6
    assert (folder / "painted" / "boxes.csv").is_file() and (folder / "composed" / "boxes.csv").is_file()
    assert len(list((folder / "my-pairs" / "images").glob("*.png"))) > 0
    assert (folder / "report" / "worth.html").is_file() and (folder / "judged-bundle" / "judge.onnx").is_file()


def test_the_python_example_runs(folder: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    result = subprocess.run([sys.executable, "-c", example], cwd=folder, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.strip().split("\n")) == 2


def test_every_file_the_readme_links_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_make_knows_the_two_commands() -> None:
    for target in ("demo", "test"):
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_the_speed_tables_and_drawings_show_the_newest_rows() -> None:
    subprocess.run([sys.executable, "-m", "wetgen.benchmarks.speed.published", "--check"], cwd=ROOT, check=True)
