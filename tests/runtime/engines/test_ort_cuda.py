"""ONNX Runtime's CUDA provider on our streams and buffers draws what its CPU provider draws from arrays."""

import sys

import pytest

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.engines import load
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.sampling.generator import Generator

PROMPTS = ("black mold in a corner", "a crack in a wet wall", "a brown water stain", "a crack", "mold")


@pytest.fixture
def gpu(monkeypatch, doubles):
    """An imaginary GPU with ONNX Runtime's CUDA provider, and without TensorRT."""
    cuda = doubles.CudaDouble(name="RTX", capability=(8, 9), multiprocessors=128, total=24 * 2**30, integrated=False)
    doubles.install(monkeypatch, cuda)
    ort = doubles.OnnxRuntimeDouble(cuda)
    monkeypatch.setitem(sys.modules, "onnxruntime", ort)
    yield ort
    cuda.finish()


def drawn(folder, device, said=None, **options):
    say = (lambda _: None) if said is None else said.append
    with Generator(Bundle.open(folder), device=device, batch=4, threads=1, say=say) as generator:
        pairs = generator.generate(PROMPTS, seed=5, count=2, **options)
        return [(p.index, p.image.tobytes(), p.mask.tobytes(), p.confidence.tobytes()) for p in pairs]


def test_the_pairs_are_those_of_the_cpu(exported_folder, gpu):
    said = []
    assert drawn(exported_folder, "cuda", said) == drawn(exported_folder, "cpu")
    assert said[0].startswith("ONNX Runtime on RTX (compute capability 8.9, 128 multiprocessors): target cpu")
    assert said[1:] == [
        "no CUDA graph of the whole trajectory: ONNX Runtime records each of its sessions by itself",
    ]
    text, denoise, decode = gpu.sessions
    assert all(session.recorded for session in gpu.sessions)
    assert (text.runs, denoise.runs, decode.runs) == (6, 4 * 3, 3)
    assert len({session.values["user_compute_stream"] for session in gpu.sessions}) == 2


def test_pairs_of_another_size_are_those_of_the_cpu(exported_folder, gpu):
    """Through sessions of their own, which are given back at the end like all else."""
    said = []
    sized = drawn(exported_folder, "cuda", said, size=(48, 40))
    assert sized == drawn(exported_folder, "cpu", size=(48, 40)) and len(gpu.sessions) == 6
    assert "pictures of other sizes and photographs are drawn through the host, step by step" in said


def test_the_judge_sees_what_it_sees_on_the_cpu(exported_folder, gpu):
    seen = {}
    for device in ("cpu", "cuda"):
        with Generator(Bundle.open(exported_folder), device=device, batch=4, threads=1) as generator:
            seen[device] = [pair.judged.tobytes() for pair in generator.generate(PROMPTS, judge=True)]
    assert seen["cpu"] == seen["cuda"]


def test_a_session_that_cannot_record_says_why_and_draws_the_same(exported_folder, gpu):
    gpu.refuse_graphs, said = True, []
    assert drawn(exported_folder, "cuda", said) == drawn(exported_folder, "cpu")
    reasons = [line for line in said if line.startswith("no CUDA graph of denoise.onnx: ")]
    assert len(reasons) == 1 and "nodes are left to the CPU" in reasons[0]
    assert not any(session.recorded for session in gpu.sessions)


def test_a_session_that_fails_is_told_and_everything_is_given_back(exported_folder, gpu):
    with (
        pytest.raises(WetgenError, match="could not run 'denoise' on cuda"),
        Generator(Bundle.open(exported_folder), device="cuda", batch=4) as generator,
    ):
        gpu.sessions[1].run_with_iobinding = lambda *_: 1 / 0
        list(generator.generate(PROMPTS))


def test_without_cuda_python_arrays_travel_through_the_host_and_that_is_said(exported_folder, monkeypatch):
    said = []
    monkeypatch.setattr(load, "has_cuda_python", lambda: False)
    monkeypatch.setattr(Generator, "_load", lambda *_: None)
    Generator(Bundle.open(exported_folder), device="cuda", say=said.append)
    assert len(said) == 1 and "pip install cuda-python" in said[0]
