"""The device check: its figures, its limits, and the whole script, run against the doubles of a device's packages."""

import importlib.util
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from wetgen.benchmarks.experiments.device_check import check, compare, report
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.images import encode_png

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "benchmarks" / "experiments" / "device_check.sh"
SETTINGS = {
    "bundle_sha256": "b",
    "prompts": 2,
    "prompts_sha256": "p",
    "seed": 20,
    "plan": "four",
    "guidance": 3.0,
    "negative": "",
}


def write_run(folder: Path, images: list[np.ndarray], masks: list[np.ndarray], **record: object) -> Path:
    """A run folder with these pictures."""
    for kind, pictures in (("images", images), ("masks", masks)):
        (folder / kind).mkdir(parents=True)
        for index, picture in enumerate(pictures):
            (folder / kind / f"{index:06d}.png").write_bytes(encode_png(picture))
    said = {"format": 1, "settings": SETTINGS, "device": "cpu", "target": "cpu", "batch": 1, **record}
    (folder / "run.json").write_text(json.dumps(said))
    return folder


@pytest.fixture
def pictures() -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 250, (2, 16, 16, 3), np.uint8)), list(rng.integers(0, 3, (2, 16, 16), np.uint8))


def test_equal_runs_are_equal(tmp_path, pictures):
    found = compare(*(write_run(tmp_path / name, *pictures) for name in "ab"))
    assert (found["pairs"], found["missing"], found["least_psnr_db"], found["least_mask_agreement"]) == (2, 0, 100, 1)
    check(found)


def test_the_worst_pair_counts(tmp_path, pictures):
    images, masks = pictures
    other = [images[0] + 1, images[1] + 2]
    changed = [masks[0], masks[1].copy()]
    changed[1][0, :8] += 1
    found = compare(
        write_run(tmp_path / "a", images, masks), write_run(tmp_path / "b", other, changed, device="tensorrt")
    )
    assert found["least_psnr_db"] == pytest.approx(10 * np.log10(255**2 / 4))
    assert found["median_psnr_db"] == pytest.approx(10 * np.log10(255**2 / 2))  # of squared errors 1 and 4
    assert found["least_mask_agreement"] == pytest.approx(1 - 8 / 256)


@pytest.mark.parametrize("fault", ["image", "mask", "missing", "none"])
def test_other_pictures_fail_the_check(tmp_path, pictures, fault):
    images, masks = pictures
    after = {
        "image": ([images[0], 255 - images[1]], masks),
        "mask": (images, [masks[0], 2 - masks[1]]),
        "missing": (images[:1], masks[:1]),
        "none": ([], []),
    }[fault]
    with pytest.raises(WetgenError, match="does not draw what the CPU draws"):
        check(compare(write_run(tmp_path / "a", images, masks), write_run(tmp_path / "b", *after)))


def test_runs_of_other_settings_are_not_compared(tmp_path, pictures):
    folders = write_run(tmp_path / "a", *pictures), write_run(tmp_path / "b", *pictures)
    record = json.loads((folders[1] / "run.json").read_text())
    record["settings"]["seed"] = 21
    (folders[1] / "run.json").write_text(json.dumps(record))
    with pytest.raises(WetgenError, match="are different runs"):
        compare(*folders)


def test_a_report_says_what_is_missing(tmp_path):
    assert "(doctor.txt is missing)" in report(tmp_path) and "(build.txt is missing)" in report(tmp_path)


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def device(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that finds the doubles where a device has TensorRT and CUDA."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT / 'tests')!r})\n"
        "import doubles\n"
        "class Put:\n"
        "    setitem = staticmethod(dict.__setitem__)\n"
        "cuda = doubles.CudaDouble()\n"
        "doubles.install(Put, cuda, doubles.TensorRTDouble(cuda, '10.3'))\n"
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": str(site), "PATH": path, "BATCHES": "2", "PAIRS": "3", "SKIP_CPU_SPEED": "1"}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A tiny bundle whose graphs TensorRT may have as they are."""
    tiny = load(ROOT / "tests" / "runtime" / "tiny_bundle.py", "tiny_bundle")
    folder = Path(tiny.write_bundle(tmp_path / "bundle"))
    info = json.loads((folder / "bundle.json").read_text())
    info["targets"]["jp6"] = {**info["targets"]["cpu"], "batches": [1, 2]}
    (folder / "bundle.json").write_text(json.dumps(info))
    return folder


def test_the_script_builds_verifies_measures_and_packs_a_report(bundle, device, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("black mold in a corner\na crack in a wet wall\n# no prompt\n\na brown water stain\n")
    out = tmp_path / "report"
    command, device = ["bash", str(SCRIPT), str(bundle)], {**device, "OUT": str(out), "PROMPTS": str(prompts)}
    result = subprocess.run(command, env=device, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    text = (out / "report.md").read_text()
    assert "verified-b2: pairs 3, least_psnr_db 100, median_psnr_db 100, least_mask_agreement 1, missing 0" in text
    assert "| speed-tensorrt-b2 | tensorrt | jp6 | 2 | 3 |" in text
    assert "TensorRT 10.3.0 on Orin" in text and "compared: denoise, batch 2: relative error 0" in text
    with tarfile.open(f"{out}.tar.gz") as packed:
        names = packed.getnames()
    assert "report/verified-b2.json" in names and "report/speed-tensorrt-b2/run.json" in names
    assert not any("speed-tensorrt-b2/images" in name for name in names)
    again = subprocess.run(command, env=device, capture_output=True, text=True, timeout=60)
    assert again.returncode == 1 and "is there already" in again.stderr


def test_the_script_is_clean():
    subprocess.run([str(Path(sys.executable).with_name("shellcheck")), str(SCRIPT)], check=True)
