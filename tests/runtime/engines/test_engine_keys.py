"""Every way in which an engine file can be the wrong one has words of its own, and none of them reaches TensorRT."""

import json
import shutil
from pathlib import Path

import pytest

from wetgen.runtime.bundle.archive import file_sha256
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.targets import version_numbers
from wetgen.runtime.engines import key as module
from wetgen.runtime.engines.build import BuildOptions, build_engines
from wetgen.runtime.engines.build_progress import BuildStatus
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.sampling.generator import Generator


def engine(bundle: Bundle, name: str = "denoise", batch: int = 4) -> Path:
    return bundle.folder / "engines" / f"{name}.jp6.b{batch}.engine"


def rewrite_key(path: Path, **changed: object) -> None:
    """Change values in the key of an engine."""
    file = path.with_name(f"{path.name}.json")
    stated = json.loads(file.read_text())
    stated["key"].update(changed)
    file.write_text(json.dumps(stated))


def rewrite_info(bundle: Bundle, change) -> Bundle:
    """Change bundle.json and open the bundle again."""
    path = bundle.folder / "bundle.json"
    info = json.loads(path.read_text())
    change(info)
    path.write_text(json.dumps(info))
    return Bundle.open(bundle.folder)


def rebuild(bundle: Bundle, exported_again) -> Bundle:
    """Change files of a bundle, and state their true hashes."""
    for name in exported_again:
        (bundle.folder / name).write_bytes((bundle.folder / name).read_bytes() + b"\x72\x00")  # an empty metadata entry

    def restate(info):
        for name in exported_again:
            path = bundle.folder / name
            info["files"][name] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}

    return rewrite_info(bundle, restate)


def missing(bundle, gpu, monkeypatch):
    engine(bundle, "decode").unlink()


def truncated(bundle, gpu, monkeypatch):
    engine(bundle).write_bytes(engine(bundle).read_bytes()[:-100])


def one_bit_flipped(bundle, gpu, monkeypatch):
    data = bytearray(engine(bundle).read_bytes())
    data[len(data) // 2] ^= 16
    engine(bundle).write_bytes(data)


def wrong_gpu(bundle, gpu, monkeypatch):
    gpu.cuda.properties.name, gpu.cuda.properties.major, gpu.cuda.properties.minor = b"Thor\0", 11, 0


def wrong_sm_count(bundle, gpu, monkeypatch):
    gpu.cuda.properties.multiProcessorCount = 8


def older_tensorrt(bundle, gpu, monkeypatch):
    monkeypatch.setitem(vars(gpu.trt.module), "__version__", "11.9.0")


def newer_tensorrt(bundle, gpu, monkeypatch):
    rewrite_key(engine(bundle), tensorrt="11.9.0")


def other_graph(bundle, gpu, monkeypatch):
    rebuild(bundle, ["denoise.onnx"])


def other_batch(bundle, gpu, monkeypatch):
    for suffix in ("", ".json"):
        shutil.copy(f"{engine(bundle, batch=1)}{suffix}", f"{engine(bundle)}{suffix}")


def other_plan(bundle, gpu, monkeypatch):
    def replan(info):
        info["plans"]["four"]["steps"][0]["timestep"] = 998

    rebuild(rewrite_info(bundle, replan), ["denoise.onnx"])


def other_bundle(bundle, gpu, monkeypatch):
    rebuild(bundle, ["text.onnx", "denoise.onnx", "decode.onnx"])


def no_permission(bundle, gpu, monkeypatch):
    monkeypatch.setattr(module.os, "access", lambda path, mode: path != engine(bundle))  # root may read everything


FAULTS = {
    missing: "decode.jp6.b4.engine is missing",
    truncated: "denoise.jp6.b4.engine is truncated",
    one_bit_flipped: "denoise.jp6.b4.engine was changed after it was built",
    wrong_gpu: "was built on another GPU, Orin (compute capability 8.7)",
    wrong_sm_count: "was built on a GPU of another size: Orin, 16 multiprocessors",
    older_tensorrt: "was built by an older TensorRT",
    newer_tensorrt: "was built by a newer TensorRT, 11.9.0",
    other_graph: "was built from another graph",
    other_batch: "is for batches of 1",
    other_plan: "is for other sampling plans",
    other_bundle: "is from another bundle",
    no_permission: "denoise.jp6.b4.engine may not be read",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_wrong_engine_is_told_in_its_own_words_and_never_loaded(built, gpu, monkeypatch, fault):
    fault(built, gpu, monkeypatch)
    bundle = Bundle.open(built.folder)
    gpu.trt.loads.clear()
    with pytest.raises(WetgenError) as caught:
        Generator(bundle, device="tensorrt", batch=4)
    assert FAULTS[fault] in caught.value.what
    assert f"wetgen build {built.folder} --target jp6 --batches 4" in caught.value.fix
    assert "denoise" not in gpu.trt.loads


def test_the_twelve_messages_differ():
    assert len(set(FAULTS.values())) == len(FAULTS) == 12


@pytest.mark.parametrize(
    "fault", [f for f in FAULTS if f not in (no_permission, older_tensorrt)], ids=lambda fault: fault.__name__
)
def test_the_command_in_the_message_mends_it(built, gpu, monkeypatch, fault):
    fault(built, gpu, monkeypatch)
    bundle = Bundle.open(built.folder)
    build_engines(bundle, BuildOptions((4,)), BuildStatus(None), lambda _: None)
    with Generator(bundle, device="tensorrt", batch=4) as generator:
        assert len(list(generator.generate(["mold"]))) == 1


def test_without_any_engine_the_build_command_is_named(exported, gpu):
    with pytest.raises(WetgenError, match="no engines for batches of 3") as caught:
        Generator(exported, device="tensorrt", batch=3)
    assert caught.value.fix == f"wetgen build {exported.folder} --target jp6 --batches 4"


def test_a_batch_beyond_the_built_ones_is_refused(built):
    with pytest.raises(WetgenError, match="no engines for batches of 5") as caught:
        Generator(built, device="tensorrt", batch=5)
    assert "batches of 1, 4" in caught.value.why and "--batches 5" in caught.value.fix


def test_an_engine_beside_another_graphs_name_is_refused(built):
    for suffix in ("", ".json"):
        shutil.copy(f"{engine(built, 'decode')}{suffix}", f"{engine(built)}{suffix}")
    with pytest.raises(WetgenError, match="is of the graph 'decode'"):
        Generator(built, device="tensorrt", batch=4)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2}', '{"format": 1, "key": {}, "file": {}}'])
def test_a_key_that_cannot_be_read_is_refused(built, text):
    engine(built).with_name("denoise.jp6.b4.engine.json").write_text(text)
    with pytest.raises(WetgenError, match=r"key of the engine .* cannot be read"):
        Generator(built, device="tensorrt", batch=4)


def test_a_bundle_exported_again_with_the_same_graphs_keeps_its_engines(built, gpu):
    """Adding a description changes bundle.json, not what an engine computes."""
    bundle = rewrite_info(built, lambda info: info.update(name="described better"))
    with Generator(bundle, device="tensorrt", batch=4) as generator:
        assert len(list(generator.generate(["mold"]))) == 1


def test_a_version_compatible_engine_runs_on_later_versions_and_not_on_earlier_ones(exported, gpu):
    options = BuildOptions((1,), version_compatible=True)
    build_engines(exported, options, BuildStatus(None), lambda _: None)
    gpu.trt.version = "11.9.0"
    vars(gpu.trt.module)["__version__"] = "11.9.0"
    with Generator(exported, device="tensorrt", batch=1) as generator:
        assert len(list(generator.generate(["mold"]))) == 1
    for name in ("text", "denoise", "decode"):
        rewrite_key(engine(exported, name, 1), tensorrt="11.9.1")
    with pytest.raises(WetgenError, match=r"newer TensorRT, 11\.9\.1"):
        Generator(exported, device="tensorrt", batch=1)


@pytest.mark.parametrize("died_at", [1, 2, 3])
def test_a_kill_at_any_write_leaves_no_engine_that_passes(built, gpu, monkeypatch, died_at):
    """An old pair stands there, and the process dies before or after each of the writes of the new one."""
    path = engine(built)
    stated = json.loads(path.with_name(f"{path.name}.json").read_text())
    key = module.EngineKey(**{**stated["key"], "capability": tuple(stated["key"]["capability"])})
    file = module.EngineFile(path, key, "rebuild")
    writes = []
    real = module.atomic_write

    def dying(target, data):
        writes.append(target)
        if len(writes) == died_at:
            raise SystemExit
        real(target, data)

    monkeypatch.setattr(module, "atomic_write", dying)
    try:
        file.write(memoryview(b"another engine"), {})
    except SystemExit:
        with pytest.raises(WetgenError, match="is missing"), file.verified():
            pass
    else:
        with file.verified() as read:
            assert bytes(read) == b"another engine"


def test_versions_are_compared_by_number():
    assert version_numbers("10.16.1.11") > version_numbers("10.3.0")
    assert version_numbers("11.4.0.post1") == (11, 4, 0)
