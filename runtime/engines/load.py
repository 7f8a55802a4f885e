"""A bundle's graphs on an NVIDIA GPU: engine files for TensorRT, ONNX files for ONNX Runtime's CUDA provider.

What a run will take of the device's memory, known before any of it is taken.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from wetgen.runtime.bundle.archive import names_in
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.graphs import JUDGE, Graph, Tensor, denoises, kept_tensors
from wetgen.runtime.bundle.manifest import ENGINES, TargetGraphs
from wetgen.runtime.bundle.targets import Target, target_for
from wetgen.runtime.engines import cuda
from wetgen.runtime.engines.device_graph import DeviceGraph, DeviceGraphs, HostFed, aligned, nbytes
from wetgen.runtime.engines.key import EngineKey, check_engine, engine_path, key_of, rebuild_command, verified_engine
from wetgen.runtime.engines.ort_cuda import OrtCudaGraph
from wetgen.runtime.engines.trt import TrtGraph, require_tensorrt
from wetgen.runtime.errors import WetgenError

SETS = 2  # of buffers: one is computed with while the other is filled and read
EMBEDDING_BYTES = 16 * 2**20  # kept on the device for prompts that come again
_SPARE = 64 * 2**20  # CUDA's own: modules, the recorded sequence's nodes


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes by what they are for. On an integrated GPU pinned memory comes out of the device's, elsewhere it does not.

    What a batch adds is in `buffers`, `scratch` and `pinned`; weights stay the same.
    """

    weights: int
    scratch: int
    buffers: int
    pinned: int
    integrated: bool

    @property
    def needed(self) -> int:
        """What must be free on the device."""
        return self.weights + self.scratch + self.buffers + _SPARE + (self.pinned if self.integrated else 0)

    def text(self, free: int) -> str:
        """The plan in one line."""
        parts = {"weights": self.weights, "activations": self.scratch, "buffers": self.buffers, "pinned": self.pinned}
        listed = ", ".join(f"{name} {_mib(size)}" for name, size in parts.items())
        return f"memory: {listed}; {_mib(self.needed)} of the {_mib(free)} that are free"

    def check(self, free: int, batch: int) -> None:
        """Raise WetgenError unless it fits into `free` bytes."""
        if self.needed <= free:
            return
        smaller = f"use a --batch smaller than {batch}, or " if batch > 1 else ""
        shared = " (on this board the GPU shares the machine's memory)" if self.integrated else ""
        raise WetgenError(
            f"A batch of {batch} does not fit into the GPU's memory.",
            why=f"{self.text(free)}{shared}.",
            fix=f"{smaller}close what else uses the memory"
            f"{': stop the desktop with `sudo init 3`' if self.integrated else ''}.",
        )


def plan_memory(
    graphs: Mapping[str, Graph],
    batch: int,
    steps: int,
    *,
    weights: Mapping[str, int],
    scratch: Mapping[str, int],
    integrated: bool,
) -> MemoryPlan:
    """The plan for a batch and a number of sampling steps; `weights` and `scratch` are bytes by graph.

    The denoisers and the decoder work one after the other and share scratch memory; any other graph has its own. What
    holds embeddings and deep features is counted for a plan with every kind of step that there is a graph for.
    """
    turns = [name for name in scratch if name == "decode" or denoises(name)]
    shared = max(scratch[name] for name in turns)
    own = sum(size for name, size in scratch.items() if name not in turns)
    denoise, decode = [graph for name, graph in graphs.items() if denoises(name)], graphs["decode"]
    latent = aligned(nbytes(decode.inputs[0], batch))
    tokens, embedding = graphs["text"].inputs[0], graphs["text"].outputs[0]
    outputs = _sum(decode.outputs, batch)
    fed = SETS * (2 * latent + _sum(_named(denoise, "embedding"), batch) + outputs)
    fed += SETS * 2 * batch * aligned(nbytes(tokens, 1))
    told = _named(denoise, "conditioning") | _named(denoise, "guidance")
    fed += SETS * _sum(told, batch)
    constant = steps * aligned(4)
    kept = sum(map(aligned, kept_tensors(denoise, batch).values()))
    cache = embedding_slots(embedding) * aligned(nbytes(embedding, 1))
    pinned = SETS * (2 * latent + outputs + _sum(told, batch) + 2 * batch * nbytes(tokens, 1))
    return MemoryPlan(sum(weights.values()), shared + own, fed + constant + kept + cache, pinned, integrated)


def embedding_slots(embedding: Tensor) -> int:
    """How many prompts' embeddings are kept on the device: two at least, the negative's and one more."""
    return max(2, EMBEDDING_BYTES // aligned(nbytes(embedding, 1)))


def _named(graphs: Iterable[Graph], name: str) -> set[Tensor]:
    """The tensors of that name that these graphs take, equal ones once."""
    return {tensor for graph in graphs for tensor in graph.inputs if tensor.name == name}


def _sum(tensors: Iterable[Tensor], batch: int) -> int:
    return sum(aligned(nbytes(tensor, batch)) for tensor in tensors)


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


Say = Callable[[str], None]

_DENOISER = re.compile(r"denoise\w*\.(\w+)\.b(\d+)\.engine")  # target, batch


@dataclass(frozen=True)
class OnDevice:
    """A bundle's graphs, loaded: `batch` is theirs, `judge` loads the judge, `fed` a graph once more, for arrays."""

    graphs: DeviceGraphs
    batch: int
    judge: Callable[[], HostFed]
    fed: Callable[[str], HostFed]


def load_on_device(bundle: Bundle, device: str, batch: int, say: Say) -> tuple[Target, OnDevice | None]:
    """Which of a bundle's targets a device runs, and its graphs on the GPU; None where engines are fed from the host.

    Raises WetgenError when the device cannot run here, or not this bundle.
    """
    if device == "tensorrt":
        version = require_tensorrt()
        target = target_for(device, targets_built(bundle), version)
        return target, load_tensorrt(bundle, bundle.targets[target.name], batch, version, say)
    target = target_for(device, bundle.targets)
    if device != "cuda":
        return target, None
    if not has_cuda_python():
        say("arrays travel through the host at every step; `pip install cuda-python` keeps them on the GPU")
        return target, None
    return target, load_cuda(bundle, bundle.targets[target.name], batch, say)


def has_cuda_python() -> bool:
    """Whether cuda-python is installed, loadable or not."""
    return find_spec("cuda") is not None and find_spec("cuda.bindings") is not None


def load_tensorrt(bundle: Bundle, held: TargetGraphs, batch: int, version: str, say: Say) -> OnDevice:
    """Load the engines of the smallest batch that `batch` fits into; every key is checked before any engine is read.

    Raises WetgenError for an engine that is missing or does not fit this machine, and when memory does not suffice.
    """
    gpu = cuda.current_gpu()
    chosen = _built_batch(bundle, held, batch)

    def stated(name: str) -> Mapping[str, Any]:
        wanted = _wanted(bundle, held, name, chosen, version, gpu)
        return check_engine(wanted.path, wanted.key, wanted.rebuild)

    _check_memory(bundle, chosen, {name: stated(name) for name in drawing(bundle)}, gpu, say)

    def load(name: str, stream: int) -> DeviceGraph:
        return load_engine(bundle, held, name, chosen, version, gpu)

    def judge() -> HostFed:
        found = stated(JUDGE)
        _check_judge(int(found["file"]["bytes"]) + int(found["built"]["scratch_bytes"]), chosen, gpu)
        return HostFed(lambda stream: load(JUDGE, stream))

    say(f"TensorRT {version} on {gpu}: target {held.target.name}, batches of {chosen}")

    def fed(name: str) -> HostFed:
        return HostFed(lambda stream: load(name, stream))

    return OnDevice(DeviceGraphs(load, bundle.kinds), chosen, judge, fed)


def drawing(bundle: Bundle) -> list[str]:
    """The graphs that every run loads."""
    return [name for name in bundle.graphs if name in ("text", "decode") or denoises(name)]


@dataclass(frozen=True)
class _Wanted:
    """An engine that is to be loaded: its key on this machine, its file, and the command that builds it."""

    key: EngineKey
    path: Path
    rebuild: str


def _wanted(bundle: Bundle, held: TargetGraphs, name: str, batch: int, version: str, gpu: cuda.Gpu) -> _Wanted:
    at = 1 if name == "text" else batch  # prompts are encoded one at a time, whatever is drawn
    key = key_of(bundle, held, name, at, gpu=gpu, tensorrt=version, version_compatible=False)
    return _Wanted(key, engine_path(bundle, key), rebuild_command(bundle, held.target.name, [batch]))


def load_engine(bundle: Bundle, held: TargetGraphs, name: str, batch: int, version: str, gpu: cuda.Gpu) -> TrtGraph:
    """Load the engine file of a graph, to draw `batch` pairs at a time.

    Raises WetgenError, before TensorRT sees it, for one that is missing or does not fit.
    """
    wanted = _wanted(bundle, held, name, batch, version, gpu)
    stated = check_engine(wanted.path, wanted.key, wanted.rebuild)
    with verified_engine(wanted.path, wanted.key, wanted.rebuild) as engine:
        host_code = bool(stated["key"]["version_compatible"])
        return TrtGraph(bundle.graphs[name], engine, batch=wanted.key.batch, name=wanted.path.name, host_code=host_code)


def load_cuda(bundle: Bundle, held: TargetGraphs, batch: int, say: Say) -> OnDevice:
    """Load the ONNX graphs with ONNX Runtime's CUDA provider, to work on our streams and buffers."""

    def load(name: str, stream: int) -> DeviceGraph:
        at = 1 if name == "text" else batch
        graph = OrtCudaGraph(bundle.graphs[name], held.files[name], batch=at, stream=stream)
        if graph.note:
            say(graph.note)
        return graph

    say(f"ONNX Runtime on {cuda.current_gpu()}: target {held.target.name}, batches of {batch}")

    def fed(name: str) -> HostFed:
        return HostFed(lambda stream: load(name, stream))

    return OnDevice(DeviceGraphs(load, bundle.kinds), batch, lambda: fed(JUDGE), fed)


def targets_built(bundle: Bundle) -> list[str]:
    """The targets that a run may choose from: those with engines, or all of them where none has any."""
    built = {match[1] for match in map(_DENOISER.fullmatch, names_in(bundle.folder / ENGINES)) if match is not None}
    return [name for name in bundle.targets if name in built] or list(bundle.targets)


def _built_batch(bundle: Bundle, held: TargetGraphs, batch: int) -> int:
    """The smallest batch that engines were built for and that is large enough; tails are padded to it.

    One batch for all of a run, not a smaller engine for its tail: another engine sums in another order, and a pair
    would come to depend on the company it was drawn in.
    """
    folder = bundle.folder / ENGINES
    found = [match for match in map(_DENOISER.fullmatch, names_in(folder)) if match is not None]
    built = sorted(int(match[2]) for match in found if match[1] == held.target.name)
    fitting = [size for size in built if size >= batch]
    if fitting:
        return fitting[0]
    ladder = [size for size in held.batches if size >= batch][:1] or [batch]
    have = f"engines for batches of {', '.join(map(str, built))}" if built else "no engines for this target"
    raise WetgenError(
        f"The bundle has no engines for batches of {batch}.",
        why=f"{folder} holds {have}.",
        fix=("use a smaller --batch, or build them: " if built else "")
        + rebuild_command(bundle, held.target.name, ladder),
    )


def _check_judge(needed: int, batch: int, gpu: cuda.Gpu) -> None:
    """The judge is loaded when it is first asked, beside all the rest."""
    free = cuda.free_memory(gpu)
    if needed > free:
        raise WetgenError(
            "The judge does not fit into the GPU's memory.",
            why=f"it needs {needed >> 20} MiB at batches of {batch}, and {free >> 20} MiB are free.",
            fix="use a smaller --batch, or do without --keep-agreement.",
        )


def _check_memory(
    bundle: Bundle, batch: int, stated: Mapping[str, Mapping[str, Any]], gpu: cuda.Gpu, say: Say
) -> MemoryPlan:
    """Say what a run will take of the GPU's memory; raises WetgenError when it is not free."""
    plan = plan_memory(
        bundle.graphs,
        batch,
        max(len(plan.steps) for plan in bundle.plans.values()),
        weights={name: int(entry["file"]["bytes"]) for name, entry in stated.items()},
        scratch={name: int(entry["built"]["scratch_bytes"]) for name, entry in stated.items()},
        integrated=gpu.integrated,
    )
    free = cuda.free_memory(gpu)
    say(plan.text(free))
    plan.check(free, batch)
    return plan
