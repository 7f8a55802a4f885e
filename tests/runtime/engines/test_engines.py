"""Engines: graphs run as declared, and a device that cannot run is an error, never another device."""

import builtins
import sys
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

from wetgen.runtime.engines import ort
from wetgen.runtime.engines.ort import open_engine
from wetgen.runtime.errors import WetgenError

BOTH = ["onnxruntime", "onnxruntime-gpu"]


def feed(graph, batch, seed=0):
    rng = np.random.default_rng(seed)
    made = {t.name: rng.standard_normal(t.sizes(batch)).astype(np.float32) for t in graph.inputs}
    for tensor in graph.inputs:
        if tensor.dtype != "float32":
            made[tensor.name] = rng.integers(0, 4, tensor.sizes(batch)).astype(tensor.dtype)
    return made


@pytest.mark.parametrize("name", ["text", "denoise", "decode", "encode"])
@pytest.mark.parametrize("batch", [1, 3])
def test_every_graph_runs_as_onnx_defines_it(bundle, name, batch):
    graph, path = bundle.graphs[name], bundle.targets["cpu"].files[name]
    given = feed(graph, batch)
    got = open_engine(graph, path, device="cpu", batch=batch, threads=1).run(given)
    assert list(got) == [tensor.name for tensor in graph.outputs]
    expected = ReferenceEvaluator(onnx.load(path)).run(list(got), given)
    for tensor, reference in zip(graph.outputs, expected, strict=True):
        tensor.check(got[tensor.name], batch)
        # uint8 levels may round the other way; everything else is float32 sums of at most some hundred terms
        tolerance = 1 if tensor.dtype == "uint8" else 1e-4
        np.testing.assert_allclose(got[tensor.name].astype(float), reference.astype(float), rtol=0, atol=tolerance)


def test_the_batch_is_fixed_inside_the_session(bundle):
    engine = open_engine(
        bundle.graphs["denoise"], bundle.targets["cpu"].files["denoise"], device="cpu", batch=3, threads=1
    )
    shapes = {tensor.name: tensor.shape for tensor in engine._session.get_inputs()}
    assert shapes["latent"][0] == 3 and shapes["embedding"][0] == 6
    with pytest.raises(WetgenError, match="'latent' has shape"):
        engine.run(feed(bundle.graphs["denoise"], 2))


def test_outputs_are_not_overwritten_by_the_next_run(bundle):
    engine = open_engine(
        bundle.graphs["denoise"], bundle.targets["cpu"].files["denoise"], device="cpu", batch=1, threads=1
    )
    first = engine.run(feed(bundle.graphs["denoise"], 1, seed=0))["latent_after"]
    kept = first.copy()
    engine.run(feed(bundle.graphs["denoise"], 1, seed=1))
    np.testing.assert_array_equal(first, kept)


def test_another_graph_in_the_file_is_refused(bundle):
    with pytest.raises(WetgenError, match=r"decode.onnx takes latent tensor\(float\)") as caught:
        open_engine(bundle.graphs["text"], bundle.targets["cpu"].files["decode"], device="cpu", batch=1)
    assert caught.value.why == "the graph 'text' takes token_ids tensor(int32)."


def test_a_file_that_is_no_graph_is_refused(bundle, tmp_path):
    (tmp_path / "text.onnx").write_bytes(b"no graph")
    with pytest.raises(WetgenError, match=r"cannot load text.onnx on cpu"):
        open_engine(bundle.graphs["text"], tmp_path / "text.onnx", device="cpu", batch=1)


def test_tensorrt_needs_engine_files(bundle):
    with pytest.raises(WetgenError, match="cannot run on tensorrt as it is"):
        open_engine(bundle.graphs["text"], bundle.targets["cpu"].files["text"], device="tensorrt", batch=1)


def offering(*providers, opened="CPUExecutionProvider"):
    """A stand-in for the onnxruntime module with these providers, whose sessions open on `opened`."""
    session = SimpleNamespace(get_providers=lambda: [opened])
    return SimpleNamespace(
        __version__="1.0",
        get_available_providers=lambda: list(providers),
        InferenceSession=lambda *_, **__: session,
        SessionOptions=onnxruntime.SessionOptions,
        GraphOptimizationLevel=onnxruntime.GraphOptimizationLevel,
    )


def refusal(bundle, device="cuda") -> WetgenError:
    with pytest.raises(WetgenError) as caught:
        open_engine(bundle.graphs["text"], bundle.targets["cpu"].files["text"], device=device, batch=1)
    return caught.value


def test_a_provider_that_is_not_in_the_build_is_said_before(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", offering("CPUExecutionProvider"))
    monkeypatch.setattr(ort, "installed_wheels", lambda: ["onnxruntime"])
    error = refusal(bundle)
    assert error.what == "ONNX Runtime cannot run on cuda here."
    assert error.why == "this build (onnxruntime 1.0) offers CPUExecutionProvider."
    assert "pip install onnxruntime-gpu" in error.fix and "--device cpu" in error.fix


def test_two_packages_in_each_others_way_are_named(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", offering("CPUExecutionProvider"))
    monkeypatch.setattr(ort, "installed_wheels", lambda: BOTH)
    error = refusal(bundle)
    assert "onnxruntime and onnxruntime-gpu are both installed" in error.why
    assert error.fix == "pip uninstall onnxruntime onnxruntime-gpu; pip install onnxruntime-gpu"


def test_a_provider_that_does_not_load_is_said_after(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", offering("CUDAExecutionProvider", "CPUExecutionProvider"))
    error = refusal(bundle)
    assert error.what == "ONNX Runtime opened text.onnx on CPUExecutionProvider instead of CUDAExecutionProvider."


@pytest.mark.parametrize("wheels, why", [([], "it is not installed."), (["onnxruntime"], "onnxruntime does not load")])
def test_an_absent_package_and_one_that_does_not_load_are_told_apart(bundle, monkeypatch, wheels, why):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "onnxruntime":
            raise ImportError("libcudart.so.12: cannot open shared object file")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(ort, "installed_wheels", lambda: wheels)
    error = refusal(bundle, "cpu")
    assert error.what == "ONNX Runtime is needed to run the graphs." and why in error.why


def test_installed_packages_are_asked_by_distribution_name(monkeypatch):
    def version(package):
        if package == "onnxruntime":
            raise ort.PackageNotFoundError
        return "1.0"

    monkeypatch.setattr(ort, "version", version)
    assert ort.installed_wheels() == ["onnxruntime-gpu"]


def test_a_device_can_be_tried_without_a_bundle():
    ort.try_device("cpu")


@pytest.mark.gpu
def test_cuda_gives_what_the_cpu_gives(bundle):
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("gpu: this onnxruntime has no CUDA provider")
    graph, path = bundle.graphs["denoise"], bundle.targets["cpu"].files["denoise"]
    given = feed(graph, 2)
    cuda, cpu = (open_engine(graph, path, device=device, batch=2).run(given) for device in ("cuda", "cpu"))
    np.testing.assert_allclose(cuda["latent_after"], cpu["latent_after"], atol=1e-4)
