"""A bundle as one file: opened, verified and run where it lies."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.pack import pack
from wetgen.runtime.cli import cli
from wetgen.runtime.engines.build import BuildOptions, build_engines
from wetgen.runtime.engines.build_progress import BuildStatus
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.sampling.generator import Generator


def ask(*arguments: object) -> Any:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def flipped(path: Path, needle: bytes, out: Path) -> Path:
    """A copy with one bit of the first place that holds `needle` changed."""
    data = bytearray(path.read_bytes())
    data[data.index(needle)] ^= 1
    out.write_bytes(data)
    return out


def test_a_packed_bundle_draws_what_the_folder_draws(bundle: Bundle, tmp_path: Path) -> None:
    packed = Bundle.open(pack(bundle, tmp_path / "site.wetgen.zip"))
    assert packed.hash == bundle.hash and packed.plans == bundle.plans
    prompts = ["a stain on a wall", "mold"]
    for mine, other in zip(
        Generator(packed, batch=2, threads=1).generate(prompts, seed=3),
        Generator(bundle, batch=2, threads=1).generate(prompts, seed=3),
        strict=True,
    ):
        np.testing.assert_array_equal(mine.image, other.image)
        np.testing.assert_array_equal(mine.mask, other.mask)


def test_the_same_bundle_packs_to_the_same_bytes_and_unpacks_to_itself(bundle: Bundle, tmp_path: Path) -> None:
    one, two = pack(bundle, tmp_path / "one.zip"), pack(bundle, tmp_path / "two.zip")
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as archive:
        archive.extractall(tmp_path / "again")
    assert Bundle.open(tmp_path / "again").hash == bundle.hash
    assert pack(Bundle.open(one), tmp_path / "three.zip").read_bytes() == one.read_bytes()  # from the file itself


def test_a_changed_byte_in_any_file_is_found(bundle: Bundle, tmp_path: Path) -> None:
    packed = pack(bundle, tmp_path / "site.zip")
    for name in bundle.info["files"]:
        start = (bundle.folder / name).read_bytes()[:64]
        with pytest.raises(WetgenError, match="was changed after export"):
            Bundle.open(flipped(packed, start, tmp_path / "bad.zip"))


def test_what_does_not_belong_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    packed = pack(bundle, tmp_path / "site.zip")
    for name in ("extra.bin", "../outside", "/etc/outside"):
        other = Path(shutil.copy(packed, tmp_path / "other.zip"))
        with zipfile.ZipFile(other, "a") as archive:
            archive.writestr(name, b"x")
        with pytest.raises(WetgenError, match="not part of the bundle"):
            Bundle.open(other)
    (tmp_path / "half.zip").write_bytes(packed.read_bytes()[:-40])
    with pytest.raises(WetgenError):
        Bundle.open(tmp_path / "half.zip")


def test_targets_that_are_not_needed_stay_at_home(exported: Bundle, tmp_path: Path) -> None:
    told = ask("pack", exported.folder, "--target", "cpu", "--out", tmp_path / "cpu.zip")
    assert told.exit_code == 0, told.output
    packed = Bundle.open(tmp_path / "cpu.zip")
    assert list(packed.targets) == ["cpu"] and packed.info["packed_from"] == exported.hash
    assert packed.has_judge and set(packed.info["files"]) == set(exported.info["files"])  # both targets share them
    wrong = ask("pack", exported.folder, "--target", "jp9", "--out", tmp_path / "no.zip")
    assert wrong.exit_code == 1 and "has no target jp9" in wrong.output
    assert not (tmp_path / "no.zip").exists()


def test_a_packed_bundle_is_inspected_like_its_folder(bundle: Bundle, tmp_path: Path) -> None:
    packed = pack(bundle, tmp_path / "site.zip")
    folder, file = (ask("inspect", place) for place in (bundle.folder, packed))
    assert folder.exit_code == file.exit_code == 0
    assert file.output.replace(str(packed), "") == folder.output.replace(str(bundle.folder), "")


def test_files_of_a_dropped_target_alone_are_left_out(exported: Bundle, tmp_path: Path) -> None:
    path = exported.folder / "bundle.json"
    info = json.loads(path.read_text())
    shutil.copy(exported.folder / info["targets"]["jp6"]["graphs"]["decode"]["file"], exported.folder / "jp6.onnx")
    old = info["targets"]["jp6"]["graphs"]["decode"]["file"]
    info["targets"]["jp6"]["graphs"]["decode"] = {**info["targets"]["jp6"]["graphs"]["decode"], "file": "jp6.onnx"}
    info["files"]["jp6.onnx"] = info["files"][old]
    path.write_text(json.dumps(info))
    packed = Bundle.open(pack(Bundle.open(exported.folder), tmp_path / "cpu.zip", targets=["cpu"]))
    assert "jp6.onnx" not in packed.info["files"] and old in packed.info["files"]


def test_a_full_disk_leaves_nothing(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "site.zip"
    out.write_bytes(b"what stood there")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wetgen.runtime.bundle.pack._copy", full)
    with pytest.raises(WetgenError, match="disk is full"):
        pack(bundle, out)
    assert out.read_bytes() == b"what stood there" and [path.name for path in tmp_path.iterdir()] == ["site.zip"]


def test_engines_travel_and_run_from_the_file(built: Bundle, tmp_path: Path) -> None:
    packed, bare = tmp_path / "with.zip", tmp_path / "without.zip"
    assert ask("pack", built.folder, "--out", packed).exit_code == 0
    assert ask("pack", built.folder, "--no-engines", "--out", bare).exit_code == 0
    assert len(packed.read_bytes()) > len(bare.read_bytes())
    (tmp_path / "p.txt").write_text("a stain on a wall\nmold\n")
    for name, place in (("folder", built.folder), ("file", packed)):
        told = ask("run", "--prompts", tmp_path / "p.txt", "--bundle", place, "--device", "tensorrt", "--batch", 4,
                   "--out", tmp_path / name, "--keep-copies")  # fmt: skip
        assert told.exit_code == 0, told.output
    for image in sorted((tmp_path / "folder" / "images").iterdir()):
        assert image.read_bytes() == (tmp_path / "file" / "images" / image.name).read_bytes()
    none = ask(
        "run", "--prompts", tmp_path / "p.txt", "--bundle", bare, "--device", "tensorrt", "--out", tmp_path / "x"
    )
    assert none.exit_code == 1 and "unzip" in none.output


def test_a_changed_engine_in_the_file_never_reaches_tensorrt(built: Bundle, tmp_path: Path) -> None:
    packed = pack(built, tmp_path / "site.zip")
    engine = next((built.folder / "engines").glob("denoise.*.b4.engine")).read_bytes()
    bad = flipped(packed, engine[:64], tmp_path / "bad.zip")
    with pytest.raises(WetgenError, match="was changed after it was built"):
        Generator(Bundle.open(bad), device="tensorrt", batch=4)


def test_engines_cannot_be_built_into_the_file(exported: Bundle, gpu: Any, tmp_path: Path) -> None:
    packed = Bundle.open(pack(exported, tmp_path / "site.zip"))
    with pytest.raises(WetgenError, match="unzip"):
        build_engines(packed, BuildOptions((1,)), BuildStatus(None), lambda _: None)
