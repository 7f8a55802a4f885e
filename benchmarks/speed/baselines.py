"""Baselines of the runtime, in one process: torch eager and compiled, plain ONNX Runtime, plain OpenVINO."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from wetgen.benchmarks.speed.cases import COMPILED, EAGER, OPENVINO, PLAIN, PROMPTS, SEED, BatchArrays, DrawBatch
from wetgen.benchmarks.speed.loops import HostLoop, RunGraph, TorchLoop, noises
from wetgen.benchmarks.speed.raw_graphs import raw_graphs
from wetgen.runtime.bundle.graphs import Plan
from wetgen.runtime.files import usable_cores
from wetgen.training.checkpoint import Checkpoint
from wetgen.training.sample import free_conditioning, sample
from wetgen.training.sheets import as_bytes
from wetgen.training.text_encoder import embed, token_ids


def makers(
    folder: Path, cache: Path, plan: Plan, guidance: float, batch: int, threads: int | None
) -> Mapping[str, Callable[[], DrawBatch]]:
    """By name, a function that loads a baseline and returns a function that draws a batch."""
    checkpoint, prompts = Checkpoint.load(folder), _cycled(batch)
    count = usable_cores() if threads is None else threads
    torch.set_num_threads(count)

    def in_torch(change: Callable[[object], object]) -> DrawBatch:
        loop = TorchLoop(checkpoint, plan, guidance, change)
        return lambda: loop.generate(prompts, SEED)

    def plain(load: Callable[[Path, int], RunGraph]) -> DrawBatch:
        files = raw_graphs(checkpoint, cache)
        text, unet, decode = (load(files[name], count) for name in ("text", "unet", "decode"))
        loop = HostLoop(text, unet, decode, checkpoint, plan, guidance)
        return lambda: loop.generate(prompts, SEED)

    found: dict[str, Callable[[], DrawBatch]] = {
        EAGER: lambda: in_torch(lambda part: part),
        COMPILED: lambda: in_torch(torch.compile),
        PLAIN: lambda: plain(_onnxruntime),
    }
    if find_spec("openvino") is not None:
        found[OPENVINO] = lambda: plain(_openvino)
    return found


def _cycled(batch: int) -> list[str]:
    return [PROMPTS[index % len(PROMPTS)] for index in range(batch)]


def _onnxruntime(path: Path, threads: int) -> RunGraph:
    """As a first example does it: default options, arrays in and out."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in session.get_inputs()]
    return lambda *given: session.run(None, dict(zip(names, given, strict=True)))


def _openvino(path: Path, threads: int) -> RunGraph:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(str(path), "CPU", settings).create_infer_request()

    def call(*given: np.ndarray) -> list[np.ndarray]:
        found = request.infer(list(given), share_inputs=True)
        return [np.array(value) for value in found.values()]

    return call


@torch.inference_mode()
def reference(folder: Path, plan: Plan, guidance: float, batch: int) -> BatchArrays:
    """The same batch by the float32 reference sampler."""
    checkpoint = Checkpoint.load(folder)
    noise = torch.from_numpy(noises(SEED, batch, checkpoint.sizes.latent))
    embedding = embed(checkpoint.text_encoder, token_ids(checkpoint.tokenizer, ["", *_cycled(batch)]))
    uncond, cond = embedding[:1].expand(batch, -1, -1), embedding[1:]
    extra = free_conditioning(checkpoint.unet, noise)
    *_, latent = sample(checkpoint.unet, noise, uncond, cond, plan.steps, guidance, extra)
    image, logits = checkpoint.vae.decode(latent)
    return as_bytes(image), None if logits is None else logits.argmax(1).to(torch.uint8).numpy()
