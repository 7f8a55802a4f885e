"""The whole of `wetgen bench` where only the runtime's packages are installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wetgen.benchmarks.speed import rows
from wetgen.benchmarks.speed.summary import HOST, BenchSummary

ABSENT = ("torch", "onnx", "matplotlib", "scipy", "diffusers", "transformers", "safetensors")


@pytest.fixture(scope="module")
def measured(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command wrote; its processes find none of the packages of the extras."""
    site, out = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("bench") / "out"
    block = f"import sys\nfor name in {ABSENT}: sys.modules[name] = None\n"
    (site / "sitecustomize.py").write_text(block)
    command = [str(Path(sys.executable).parent / "wetgen"), "bench", str(bundle_folder), "--out", str(out)]
    options = ["--quick", "--seconds", "0.05", "--batches", "1,2", "--threads", "1"]
    result = subprocess.run(
        [*command, *options],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert str(out / "report.html") in result.stdout and f"wetgen bench render {out}" in result.stderr
    rendered = subprocess.run(
        [*command[:2], "render", str(out)], env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True
    )
    assert rendered.returncode == 1 and "wetgen[bench]" in rendered.stderr
    return out


def test_every_case_is_measured_and_work_that_nobody_counted_is_said(measured: Path) -> None:
    found = BenchSummary(rows.read(measured))
    assert not found.failed and found.batches == [1, 2]
    assert "onnx is missing" in found.about["work_is"] and found.roofline(1) == []
    assert {stage.name for stage in found.stages(2)} >= {"denoise", "decode", HOST}
    assert [kind for kind, _ in found.steps(1)] == ["guided"] * 4
    (storing,) = found.storing()
    assert storing[1]["pairs"] == 8 and found.matrix is not None and found.matrix > 0


def test_raw_observations_are_kept_and_name_no_path(measured: Path) -> None:
    text = (measured / rows.FILE_NAME).read_text()
    assert str(measured) not in text and "/tmp" not in text
    for line in text.split("\n")[:-1]:
        row = json.loads(line)
        assert row["commit"] and row["versions"]["onnxruntime"] and row["machine"]["cores"] >= 1
        if row["case"]["kind"] == "sampling":
            observed = row["observed"]
            assert len(observed["warm_ms"]) >= 4 and len(observed["calls"]) == len(observed["warm_ms"])
            assert len(observed["pace_gflops"]) == len(observed["warm_ms"]) + 1
            assert observed["to_loaded_ms"] < observed["to_first_batch_ms"]
            assert isinstance(observed["memory"]["host_mib"], float) and observed["power"] == "not measured here"


def test_a_shorter_plan_stands_beside_the_longer_with_its_distance(measured: Path) -> None:
    ((_, candidates),) = BenchSummary(rows.read(measured)).candidates()
    assert [one["plan"] for one in candidates] == ["four", "two"]
    assert "error" not in candidates[0] and candidates[1]["error"]["against"] == "wetgen with plan four"


@pytest.mark.parametrize("command", [[], ["measure"], ["compare"], ["render"]])
def test_help_needs_no_package_but_click(command: list[str]) -> None:
    heavy = (*ABSENT, "numpy", "onnxruntime", "PIL", "tokenizers")
    code = (
        f"import sys\nfor name in {heavy}: sys.modules[name] = None\n"
        f"from wetgen.benchmarks.speed.cli import bench\nbench({[*command, '--help']})\n"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "Usage:" in result.stdout
