"""The documents name what there is: options, commands, files, headings and Python names."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from wetgen.runtime.cli import cli, run

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
REFERENCE = (DOCS / "reference.md").read_text(encoding="utf-8")
READERS = ("field-engineer", "ml-engineer", "data-scientist")


def section(text: str, heading: str) -> str:
    """What stands below a heading of the second level, up to the next one."""
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def options(command: click.Command) -> set[str]:
    return {name for option in command.params for name in (*option.opts, *option.secondary_opts) if name[:2] == "--"}


def test_the_reference_has_every_option_of_run_and_no_other() -> None:
    rows = [line for line in section(REFERENCE, "`wetgen run`").split("\n") if line.startswith("| `--")]
    listed = {name for line in rows for name in re.findall(r"`(--[a-z-]+)", line.split("|")[1])}
    assert listed == options(run)


def test_the_reference_has_every_command() -> None:
    context = click.Context(cli)
    for name in cli.list_commands(context):
        assert f"`wetgen {name}" in REFERENCE, name


@pytest.mark.parametrize("reader", READERS)
def test_a_readers_page_is_short(reader: str) -> None:
    assert len((DOCS / f"{reader}.md").read_text(encoding="utf-8").split("\n")) < 150


@pytest.mark.parametrize("reader", READERS)
def test_the_readme_sends_every_reader_to_a_page(reader: str) -> None:
    assert f"docs/{reader}.md" in (ROOT / "README.md").read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        goal = page.parent / path if path else page
        assert goal.exists(), target
        assert not anchor or anchor in anchors(goal), target


def python_imports() -> Iterator[tuple[str, str, str]]:
    """(page, module, name) of every import of ours in a block of Python."""
    for page in PAGES:
        for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("wetgen."):
                    yield from ((page.name, str(node.module), alias.name) for alias in node.names)


@pytest.mark.parametrize(("page", "module", "name"), sorted(set(python_imports())))
def test_python_examples_import_what_there_is(page: str, module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name), f"{page}: {module} has no {name}"


def test_files_named_in_the_design_exist() -> None:
    text = (DOCS / "design.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:runtime|training|export|benchmarks|tests)/[\w./]+\.\w+)", text))
    assert named and not [name for name in named if not (ROOT / name).is_file()]


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "wetgen.runtime", "--help"]
    assert "Usage: " in subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_bash_completes_commands_options_and_choices() -> None:
    """As documented: load what the program writes, then ask for completions as bash does."""
    program = Path(sys.executable).with_name("wetgen")
    script = f"""
        eval "$(_WETGEN_COMPLETE=bash_source {program})"
        complete_words() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _wetgen_completion {program}; }}
        complete_words wetgen rep; echo "${{COMPREPLY[@]}}"
        complete_words wetgen run --pl; echo "${{COMPREPLY[@]}}"
        complete_words wetgen run --device t; echo "${{COMPREPLY[@]}}"
    """
    said = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True).stdout
    assert said.split("\n")[:3] == ["reproduce", "--plan", "tensorrt"]
