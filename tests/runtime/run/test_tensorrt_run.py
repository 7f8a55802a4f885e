"""`wetgen run --device tensorrt`, from prompts to a dataset folder, equals `--device cpu` byte for byte."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from wetgen.runtime.cli import cli
from wetgen.runtime.run.check import examine

PROMPTS = "black mold in a corner\na crack in a wet wall\na brown water stain\na crack\nmold\n"


def wetgen(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def run(folder: Path, out: Path, device: str, *more: object) -> Result:
    prompts = out.with_name("prompts.txt")
    prompts.write_text(PROMPTS)
    common = ("--prompts", prompts, "--bundle", folder, "--out", out, "--device", device, "--threads", 1)
    return wetgen("run", *common, "--batch", 4, "--count", 3, "--quiet", *more)


def pairs(out: Path) -> dict[str, bytes]:
    """Every picture of a dataset folder."""
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("0*.png"))}


def rows(out: Path) -> dict[int, dict[str, object]]:
    found = [json.loads(line) for line in (out / "metadata.jsonl").read_text().split("\n") if line]
    return {int(row["index"]): row for row in found}


@pytest.mark.parametrize("more", [(), ("--keep-agreement", 0.15, "--tries", 3)], ids=["all", "filtered"])
def test_a_run_equals_the_cpus(built, gpu, tmp_path, more):
    """With a filter, too: which tries are kept depends on the pictures and on nothing else."""
    for device in ("cpu", "tensorrt"):
        result = run(built.folder, tmp_path / device, device, *more)
        assert result.exit_code == 0, result.output
    assert pairs(tmp_path / "cpu") == pairs(tmp_path / "tensorrt") and pairs(tmp_path / "cpu")
    assert rows(tmp_path / "cpu") == rows(tmp_path / "tensorrt")


def test_run_json_says_what_drew(built, gpu, tmp_path):
    assert run(built.folder, tmp_path / "out", "tensorrt").exit_code == 0
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (record["device"], record["target"], record["batch"]) == ("tensorrt", "jp6", 4)
    assert any(note.startswith("memory: ") for note in record["notes"])
    assert any(note.startswith(f"TensorRT {gpu.trt.version} on Orin") for note in record["notes"])


def test_an_interrupted_run_goes_on_to_the_same_bytes(built, gpu, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(built.folder, whole, "tensorrt").exit_code == 0
    gpu.cuda.failures["cudaEventSynchronize"] = [None, gpu.cuda.Error.cudaErrorLaunchFailure]
    broken = run(built.folder, parts, "tensorrt")
    assert broken.exit_code == 1 and "cudaErrorLaunchFailure" in broken.output
    assert 0 < len(rows(parts)) < 15
    assert run(built.folder, parts, "tensorrt", "--resume").exit_code == 0
    assert pairs(whole) == pairs(parts)


def test_built_by_command_and_run_by_command(exported, gpu, tmp_path):
    refused = run(exported.folder, tmp_path / "out", "tensorrt")
    assert refused.exit_code == 1 and f"wetgen build {exported.folder} --target jp6 --batches 4" in refused.output
    assert wetgen("build", exported.folder, "--target", "jp6", "--batches", 4).exit_code == 0
    assert run(exported.folder, tmp_path / "out", "tensorrt").exit_code == 0
    assert len(rows(tmp_path / "out")) == 15


def test_a_bundle_without_such_a_target_names_the_export_command(bundle_folder, gpu, tmp_path):
    result = run(bundle_folder, tmp_path / "out", "tensorrt")
    assert result.exit_code == 1 and "wetgen-export CHECKPOINT BUNDLE --target" in result.output


def test_the_doctor_knows_the_gpu_and_tensorrt(gpu):
    found = {finding.subject: finding for finding in examine()}
    assert found["cuda-python"].good
    assert found["cuda-python"].text == (
        "Orin (compute capability 8.7, 16 multiprocessors), 8.0 GiB, shared with the host, 4.0 GiB of it free"
    )
    assert found["tensorrt"].good and found["tensorrt"].text.startswith(gpu.trt.version)


def test_without_them_the_doctor_says_how_to_get_them(monkeypatch):
    import sys

    for name in ("tensorrt", "cuda", "cuda.bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    found = {finding.subject: finding for finding in examine()}
    assert not found["cuda-python"].good and "pip install 'cuda-python" in found["cuda-python"].text
    assert not found["tensorrt"].good and "--system-site-packages" in found["tensorrt"].text


def test_without_a_driver_that_is_said(gpu, monkeypatch, tmp_path, built):
    def no_driver():
        raise RuntimeError("Failed to dlopen libcuda.so.1")

    monkeypatch.setitem(vars(gpu.cuda.module), "cudaGetDeviceCount", no_driver)
    result = run(built.folder, tmp_path / "out", "tensorrt")
    assert result.exit_code == 1 and "There is no NVIDIA driver here." in result.output
