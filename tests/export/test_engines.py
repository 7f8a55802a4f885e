"""`wetgen-export engines`: the runtime's build, a comparison, and Polygraphy where it is wanted."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from wetgen.export import engines as module
from wetgen.export.cli import cli
from wetgen.runtime.engines import build, build_progress
from wetgen.runtime.errors import WetgenError


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[build.BuildOptions]:
    """What the build was asked for; it finds two engines."""
    seen: list[build.BuildOptions] = []

    def build_engines(bundle: object, options: build.BuildOptions, status: object, say: object) -> list[Path]:
        assert isinstance(status, build_progress.BuildStatus)
        seen.append(options)
        return [tmp_path / "text.jp6.b1.engine", tmp_path / "denoise.jp6.b2.engine"]

    monkeypatch.setattr(build, "build_engines", build_engines)
    return seen


@pytest.fixture
def bundle(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("wetgen.runtime.bundle.bundle.Bundle.open", lambda folder: SimpleNamespace(folder=folder))
    return "a-bundle"


def test_engines_are_built_as_the_runtime_builds_them_and_compared(asked, bundle):
    result = CliRunner().invoke(cli, ["engines", bundle, "--batches", "2,1", "--target", "jp6"])
    assert result.exit_code == 0, result.output
    assert asked == [build.BuildOptions((1, 2), None, False, "jp6", check=True)]


def test_the_export_of_a_checkpoint_keeps_its_call():
    result = CliRunner().invoke(cli, ["no-such-checkpoint", "bundle"])
    assert result.exit_code == 1 and "no-such-checkpoint" in result.output
    assert "CHECKPOINT BUNDLE" in CliRunner().invoke(cli, ["--help"]).output


def test_help_and_errors_are_those_of_commands(bundle, monkeypatch):
    assert "Usage: cli engines [OPTIONS] BUNDLE" in CliRunner().invoke(cli, ["engines", "--help"]).output
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    result = CliRunner().invoke(cli, ["engines", bundle])
    assert result.exit_code == 1 and "TensorRT is needed" in result.output and "fix: " in result.output


def test_without_polygraphy_inspecting_is_refused_before_anything_is_built(asked, bundle, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    result = CliRunner().invoke(cli, ["engines", bundle, "--inspect", str(tmp_path / "layers")])
    assert result.exit_code == 1 and "pip install 'polygraphy" in result.output and not asked


def test_the_layers_of_every_engine_are_written(asked, bundle, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "require_polygraphy", lambda: None)
    monkeypatch.setattr(module, "layers_of", lambda engine: f"layers of {engine.stem}")
    result = CliRunner().invoke(cli, ["engines", bundle, "--inspect", str(tmp_path / "layers")])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "layers").iterdir()) == [
        "denoise.jp6.b2.engine.txt",
        "text.jp6.b1.engine.txt",
    ]


def test_what_polygraphy_says_is_told(monkeypatch, tmp_path):
    """A stand-in for the package: it prints what it was called with, or fails."""
    tools = tmp_path / "polygraphy" / "tools"
    tools.mkdir(parents=True)
    (tmp_path / "polygraphy" / "__init__.py").touch()
    (tools / "__init__.py").write_text("import sys\ndef main():\n    print(*sys.argv[1:])\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert module.layers_of(Path("a.engine")) == "inspect model a.engine --model-type engine --show layers attrs\n"
    (tools / "__init__.py").write_text("def main():\n    raise SystemExit('no TensorRT here')\n")
    with pytest.raises(WetgenError, match=r"cannot inspect a\.engine") as caught:
        module.layers_of(Path("a.engine"))
    assert "no TensorRT here" in caught.value.why
