"""The `wetgen` command."""

import json
import subprocess
import sys
import time
from dataclasses import fields
from importlib.metadata import EntryPoint, version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from wetgen.runtime import cli as module
from wetgen.runtime.cli import cli
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.cleanup import MaskCleanup
from wetgen.runtime.run.filters import Filter
from wetgen.runtime.run.options import ComposeOptions, PaintOptions, RunOptions

HEAVY = ("numpy", "PIL", "onnxruntime", "tokenizers", "torch", "onnx", "wetgen.runtime.sampling.generator")


def call(*words):
    return CliRunner().invoke(cli, list(map(str, words)))


def test_help_names_every_command_and_loads_nothing_heavy():
    code = (
        "import sys\nfrom wetgen.runtime.cli import cli\ncli(['--help'], standalone_mode=False)\n"
        f"assert not [name for name in {HEAVY} if name in sys.modules], sorted(sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert all(f"  {name} " in said for name in ("run", "inspect", "doctor"))


def test_help_answers_at_once():
    began = time.perf_counter()
    call("--help")
    assert time.perf_counter() - began < 0.2


@pytest.mark.parametrize("name", ["run", "inspect", "doctor"])
def test_every_command_and_option_has_help(name):
    command = cli.commands[name]
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))
    assert call(name, "--help").exit_code == 0


def test_the_version_is_the_packages():
    assert call("--version").output == f"wetgen, version {version('wetgen')}\n"


def test_the_package_imports_without_numpy_and_gives_its_names_lazily():
    code = (
        "import sys, wetgen.runtime as runtime\nassert 'numpy' not in sys.modules\n"
        "assert {'Generator', 'Pair', 'WetgenError'} <= set(dir(runtime))\n"
        "from wetgen.runtime import Generator, Pair, WetgenError\nassert 'onnxruntime' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    import wetgen.runtime

    with pytest.raises(AttributeError, match="no attribute 'generator_of_everything'"):
        _ = wetgen.runtime.generator_of_everything


def test_no_module_of_the_runtime_needs_torch_or_onnx():
    code = (
        "import sys\nfor name in ('torch', 'onnx', 'diffusers', 'transformers', 'scipy'): sys.modules[name] = None\n"
        "import importlib, pkgutil, wetgen.runtime as package\n"
        "for module in pkgutil.walk_packages(package.__path__, 'wetgen.runtime.'): importlib.import_module(module.name)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["run", "--out", "x"], 1, "There is nothing to draw"),
        (["run", "--prompts", "p.txt", "--out", "x", "--size", "12"], 2, "width x height"),
        (["run", "--prompts", "p.txt", "--out", "x", "--size", "130x128"], 1, "130 x 128 pixels are not possible"),
        (["run", "--prompts", "p.txt", "--out", "x", "--size", "128x64"], 1, "at least 128x128"),
        (["run", "--prompts", "p.txt", "--out", "x", "--size", "8000x8000"], 1, "at most 16,777,216 pixels"),
        (["run", "--prompts", "p.txt", "--out", "x", "--quota", "mould=3"], 1, "mold"),
        (["run", "--layouts", "none", "--out", "x"], 1, "none could not be read"),
        (["run", "--prompts", "none.txt", "--out", "x"], 1, "none.txt does not exist"),
        (["run", "--prompts", "p.txt", "--out", "x", "--count", "0"], 1, "The count is 0."),
        (["run", "--prompts", "p.txt", "--out", "x", "--seed", "-1"], 1, "The seed is -1."),
        (["run", "--prompts", "p.txt", "--out", "x", "--guidance", "inf"], 1, "The guidance is inf."),
        (["run", "--prompts", "p.txt", "--out", "x", "--batch", "0"], 2, "--batch"),
        (["run", "--prompts", "p.txt", "--out", "x", "--device", "gpu"], 2, "--device"),
        (["run", "--prompts", "p.txt", "--out", "x", "--tries", "0"], 2, "--tries"),
        (["run", "--prompts", "p.txt", "--out", "x", "--keep-agreement", "60"], 1, "--keep-agreement is 60.0."),
        (["run", "--prompts", "p.txt", "--out", "x", "--least-area", "-1"], 1, "--least-area is -1.0."),
        (
            ["run", "--prompts", "p.txt", "--out", "x", "--least-area", "0.5", "--most-area", "0.1"],
            1,
            "--least-area is 0.5 and --most-area 0.1.",
        ),
        (["run", "--prompts", "p.txt", "--out", "x", "--bundle", "none"], 1, "none is not a bundle"),
        (["inspect", "none"], 1, "none"),
        (["inspect", "."], 1, "is not a dataset folder"),
    ],
)
def test_mistakes_are_said_without_a_traceback(words, code, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.txt").write_text("mold\n")
    result = call(*words)
    assert result.exit_code == code and said in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "x").exists()
    if code == 1:
        assert "why: " in result.stderr and "fix: " in result.stderr


def test_ctrl_c_exits_with_130(monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("wetgen.runtime.run.options.read_prompt_file", interrupt)
    assert call("run", "--prompts", "-", "--out", "x").exit_code == 130


def test_inspect_tells_a_bundle_from_a_dataset(bundle_folder, tmp_path):
    assert "every" not in call("inspect", bundle_folder).stderr
    assert "four: 4 steps, the default" in call("inspect", bundle_folder).output
    (tmp_path / "p.txt").write_text("mold\n")
    call("run", "--prompts", tmp_path / "p.txt", "--out", tmp_path / "out", "--bundle", bundle_folder)
    result = call("inspect", tmp_path / "out")
    assert result.exit_code == 0 and "mold" in result.output
    (tmp_path / "out" / "masks" / "000000.png").write_bytes(b"")
    assert call("inspect", tmp_path / "out").exit_code == 1


def test_every_limit_of_the_filter_is_an_option_and_reaches_the_run(tiny, tmp_path):
    """Filter and options are two lists of the same names; one that is missing in either would be silently no limit."""
    folder = tiny.write_bundle(tmp_path / "bundle", judge=True)
    (tmp_path / "p.txt").write_text("mold\n")
    values = {
        "keep_agreement": 0.0,
        "keep_layout": 0.5,
        "least_area": 0.01,
        "most_area": 0.99,
        "least_confidence": 0.02,
    }
    words = [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", value)]
    words += ["--require-asked", "--keep-copies", "--bundle", folder, "--out", tmp_path / "out"]
    assert call("run", "--prompts", tmp_path / "p.txt", *words).exit_code == 0
    said = json.loads((tmp_path / "out" / "run.json").read_text())["settings"]["filter"]
    assert said == {**values, "require_asked": True, "refuse_copies": False}
    assert set(said) == {field.name for field in fields(Filter)} <= {field.name for field in fields(RunOptions)}


def test_every_way_of_tidying_is_an_option_and_reaches_the_run(bundle_folder, tmp_path):
    (tmp_path / "p.txt").write_text("mold\n")
    values = {"least_region": 2, "fill_holes": 3, "ignore_below": 0.5, "ignore_band": 1}
    words = [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", value)]
    out = tmp_path / "out"
    assert call("run", "--prompts", tmp_path / "p.txt", *words, "--bundle", bundle_folder, "--out", out).exit_code == 0
    assert json.loads((out / "run.json").read_text())["settings"]["tidy"] == values
    assert set(values) == {field.name for field in fields(MaskCleanup)} <= {field.name for field in fields(RunOptions)}
    row = json.loads((out / "metadata.jsonl").read_text())
    assert row["ignore_id"] == 255 and set(values) < set(row["tidy"]) and row["tidy"]["changed"]["ignored"] > 0
    assert call("inspect", out).exit_code == 0


@pytest.mark.parametrize(
    "name, words, options",
    [
        ("run", [], RunOptions()),
        ("paint", ["--photos", "x"], PaintOptions(photos=Path("x"))),
        (
            "compose",
            ["--backgrounds", "b", "--classes", "c", "--count", "3"],
            ComposeOptions(backgrounds=Path("b"), classes=Path("c"), count=3),
        ),
    ],
)
def test_the_options_of_a_command_are_the_fields_of_its_dataclass_with_the_same_defaults(name, words, options):
    values = cli.commands[name].make_context(name, words).params
    assert set(values) == {each.name for each in fields(options)}
    assert type(options)(**values) == options


def test_inspect_shows_a_judge(tiny, tmp_path):
    said = call("inspect", tiny.write_bundle(tmp_path, judge=True)).output
    assert "judge: judge.onnx" in said and "    - crack" in said and "  suggested: 0.25" in said


def test_inspect_finds_a_damaged_bundle(tiny, tmp_path):
    folder = tiny.write_bundle(tmp_path / "bundle")
    (folder / "text.onnx").write_bytes(b"")
    result = call("inspect", folder)
    assert result.exit_code == 1 and "text.onnx has 0 bytes" in result.stderr


def test_doctor_reports_and_succeeds(monkeypatch, bundle_folder):
    monkeypatch.setattr("wetgen.runtime.bundle.bundle.SHIPPED", bundle_folder)
    result = call("doctor")
    assert result.exit_code == 0, result.output
    lines = {line[4:].split()[0]: line for line in result.output.splitlines()}
    assert {"python", "numpy", "tokenizers", "cores", "memory", "onnxruntime", "cpu", "cuda", "tensorrt"} <= set(lines)
    assert lines["cpu"].startswith("ok") and lines["bundle"].startswith("ok")
    assert "verified" in lines["bundle"]


def test_doctor_says_why_something_cannot_be_used(monkeypatch, tmp_path):
    monkeypatch.setattr("wetgen.runtime.bundle.bundle.SHIPPED", tmp_path / "none")
    monkeypatch.setattr("wetgen.runtime.engines.ort.installed_wheels", lambda: ["onnxruntime", "onnxruntime-gpu"])
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    result = call("doctor")
    assert result.exit_code == 0
    lines = {line[4:].split()[0]: line for line in result.output.splitlines()}
    assert lines["onnxruntime"].startswith("--") and "onnxruntime and onnxruntime-gpu" in lines["onnxruntime"]
    assert lines["cuda"].startswith("--") and "both installed" in lines["cuda"]
    assert lines["bundle"].startswith("--") and "has no bundle" in lines["bundle"]


# Commands of the upper floors


@click.command("bench")
def bench() -> None:
    """Measure."""
    click.echo("measured")


def added(monkeypatch, **values):
    entries = [EntryPoint(name, value, "wetgen.commands") for name, value in values.items()]
    monkeypatch.setattr(module, "entry_points", lambda group: entries)


def test_commands_are_found_by_entry_point(monkeypatch):
    added(monkeypatch, bench="bench_commands:bench")
    monkeypatch.setitem(sys.modules, "bench_commands", sys.modules[__name__])
    assert "  bench      Measure." in call("--help").output
    assert call("bench").output == "measured\n"


@pytest.mark.parametrize("value, extra", [("no_such_module:bench", "eval"), ("no_such_module:bench [bench]", "bench")])
def test_a_command_whose_extra_is_missing_says_what_to_install(monkeypatch, value, extra):
    added(monkeypatch, eval=value)
    result = call("--help")
    assert result.exit_code == 0 and f"(not installed: pip install 'wetgen[{extra}]')" in result.output
    assert f"pip install 'wetgen[{extra}]'" in call("eval", "--help").output
    result = call("eval", "anything", "--at", "all")
    assert result.exit_code == 1 and f"pip install 'wetgen[{extra}]'" in result.stderr
    assert "No module named 'no_such_module'" in result.stderr


def test_an_added_command_never_replaces_ours(monkeypatch):
    added(monkeypatch, run="no_such_module:run")
    assert call("run", "--help").output.count("--prompts") == 1


def test_an_error_of_ours_has_its_three_parts():
    error = WetgenError("What.", why="why.", fix="fix.")
    assert str(error) == "What.\n  why: why.\n  fix: fix."
