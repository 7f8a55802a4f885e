"""Loads a bundle's graphs on an NVIDIA GPU: engine files for TensorRT, ONNX files for ONNX Runtime's CUDA provider.

For TensorRT it first computes how much device memory a run takes.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from wetgen.runtime.bundle.archive import ENGINES, names_in
from wetgen.runtime.bundle.bundle import Bundle, TargetGraphs
from wetgen.runtime.bundle.graphs import JUDGE, Graph, Tensor, denoises, kept_tensors
from wetgen.runtime.bundle.targets import Target, target_for
from wetgen.runtime.engines import cuda
from wetgen.runtime.engines.device_graph import DeviceGraph, DeviceGraphs, HostFed, aligned, nbytes
from wetgen.runtime.engines.key import EngineFile, engine_file, rebuild_command
from wetgen.runtime.engines.ort_cuda import OrtCudaGraph
from wetgen.runtime.engines.trt import TrtGraph, require_tensorrt
from wetgen.runtime.errors import WetgenError

SETS = 2  # of buffers: one is computed with while the other is filled and read
EMBEDDING_BYTES = 16 * 2**20  # of embeddings kept on the device, for prompts that come again
_SPARE = 64 * 2**20  # for CUDA itself: modules, the nodes of the recorded sequence
_DENOISER = re.compile(r"denoise\w*\.(\w+)\.b(\d+)\.engine")  # target, batch


def load_on_device(
    bundle: Bundle, device: str, batch: int, say: Callable[[str], None]
) -> "tuple[Target, LoadedGraphs | None]":
    """The target of the bundle that a device runs, and its graphs on the GPU; None where the host feeds the engines.

    Raises WetgenError if the device cannot run here, or cannot run this bundle.
    """
    if device == "tensorrt":
        version = require_tensorrt()
        built = {name for name, _ in _built(bundle)}
        target = target_for(device, [name for name in bundle.targets if name in built] or bundle.targets, version)
        return target, TensorRTGraphs(bundle, bundle.targets[target.name], batch, version, say)
    target = target_for(device, bundle.targets)
    if device != "cuda":
        return target, None
    if not has_cuda_python():
        say("arrays travel through the host at every step; `pip install cuda-python` keeps them on the GPU")
        return target, None
    return target, OrtCudaGraphs(bundle, bundle.targets[target.name], batch, say)


def has_cuda_python() -> bool:
    """Whether cuda-python is installed, even if it does not load."""
    return find_spec("cuda") is not None and find_spec("cuda.bindings") is not None


class LoadedGraphs:
    """The graphs of a bundle on a GPU, for batches of `batch`; subclasses say how one graph is loaded."""

    graphs: DeviceGraphs

    def __init__(self, bundle: Bundle, exported: TargetGraphs, batch: int, say: Callable[[str], None]) -> None:
        self.bundle, self.exported, self.batch, self.say = bundle, exported, batch, say

    def load(self, name: str, stream: int) -> DeviceGraph:
        """Load the graph called `name`, to work on a stream."""
        raise NotImplementedError

    def fed(self, name: str) -> HostFed:
        """Load a graph once more, to be fed with arrays from the host."""
        return HostFed(lambda stream: self.load(name, stream))


class TensorRTGraphs(LoadedGraphs):
    """Engines for the smallest batch built that is large enough; all keys are checked before an engine is read.

    Raises WetgenError for an engine that is missing or does not fit this machine, and if there is too little memory.
    """

    def __init__(
        self, bundle: Bundle, exported: TargetGraphs, batch: int, version: str, say: Callable[[str], None]
    ) -> None:
        super().__init__(bundle, exported, _built_batch(bundle, exported, batch), say)
        self._version, self._gpu = version, cuda.current_gpu()
        self._check_memory()
        say(f"TensorRT {version} on {self._gpu}: target {exported.target.name}, batches of {self.batch}")
        self.graphs = DeviceGraphs(self.load, bundle.kinds)

    def load(self, name: str, stream: int) -> TrtGraph:
        return load_engine(self.bundle.graphs[name], self._file(name))

    def fed(self, name: str) -> HostFed:
        if name == JUDGE:  # beside all that the run was planned with
            self._check_judge()
        return super().fed(name)

    def _check_judge(self) -> None:
        stated, free = self._file(JUDGE).check(), cuda.free_memory(self._gpu)
        needed = int(stated["file"]["bytes"]) + int(stated["built"]["scratch_bytes"])
        if needed > free:
            raise WetgenError(
                "The judge does not fit into the GPU's memory.",
                why=f"it needs {mib(needed)} at batches of {self.batch}, and {mib(free)} are free.",
                fix="use a smaller --batch, or do without --keep-agreement.",
            )

    def _file(self, name: str) -> EngineFile:
        return engine_file(self.bundle, self.exported, name, self.batch, self._gpu, self._version)

    def _check_memory(self) -> None:
        """Say how much of the GPU's memory the run will take; raises WetgenError if it is not free."""
        names = [name for name in self.bundle.graphs if name in ("text", "decode") or denoises(name)]
        stated = {name: self._file(name).check() for name in names}
        plan = plan_memory(
            self.bundle.graphs,
            self.batch,
            max(len(plan.steps) for plan in self.bundle.plans.values()),
            weights={name: int(entry["file"]["bytes"]) for name, entry in stated.items()},
            scratch={name: int(entry["built"]["scratch_bytes"]) for name, entry in stated.items()},
            integrated=self._gpu.integrated,
        )
        free = cuda.free_memory(self._gpu)
        self.say(plan.text(free))
        plan.check(free, self.batch)


class OrtCudaGraphs(LoadedGraphs):
    """ONNX graphs in ONNX Runtime's CUDA provider, working on our streams and buffers."""

    def __init__(self, bundle: Bundle, exported: TargetGraphs, batch: int, say: Callable[[str], None]) -> None:
        super().__init__(bundle, exported, batch, say)
        say(f"ONNX Runtime on {cuda.current_gpu()}: target {exported.target.name}, batches of {batch}")
        self.graphs = DeviceGraphs(self.load, bundle.kinds)

    def load(self, name: str, stream: int) -> OrtCudaGraph:
        batch = 1 if name == "text" else self.batch
        graph = OrtCudaGraph(self.bundle.graphs[name], self.exported.files[name], batch=batch, stream=stream)
        if graph.note:
            self.say(graph.note)
        return graph


def load_engine(graph: Graph, file: EngineFile) -> TrtGraph:
    """Load an engine. Raises WetgenError, before TensorRT reads it, if it is missing, damaged or does not fit."""
    host_code = bool(file.check()["key"]["version_compatible"])
    with file.verified() as engine:
        return TrtGraph(graph, engine, batch=file.key.batch, name=file.path.name, host_code=host_code)


def _built(bundle: Bundle) -> list[tuple[str, int]]:
    """The target and batch of every denoiser engine in the bundle."""
    matches = map(_DENOISER.fullmatch, names_in(bundle.folder / ENGINES))
    return [(match[1], int(match[2])) for match in matches if match is not None]


def _built_batch(bundle: Bundle, exported: TargetGraphs, batch: int) -> int:
    """The smallest batch with engines that is large enough; the last batch of a run is padded to it.

    A smaller engine for the last batch would sum in another order: the bytes of a pair would depend on its batch.
    """
    name = exported.target.name
    built = sorted(size for of, size in _built(bundle) if of == name)
    large_enough = [size for size in built if size >= batch]
    if large_enough:
        return large_enough[0]
    needed = [size for size in exported.batches if size >= batch][:1] or [batch]
    have = f"engines for batches of {', '.join(map(str, built))}" if built else "no engines for this target"
    raise WetgenError(
        f"The bundle has no engines for batches of {batch}.",
        why=f"{bundle.folder / ENGINES} holds {have}.",
        fix=("use a smaller --batch, or build them: " if built else "") + rebuild_command(bundle, name, needed),
    )


@dataclass(frozen=True)
class MemoryPlan:
    """The bytes a run takes; pinned memory counts only on an integrated GPU, where it is the device's own."""

    weights: int
    scratch: int
    buffers: int
    pinned: int
    integrated: bool

    @property
    def needed(self) -> int:
        """How much must be free on the device."""
        return self.weights + self.scratch + self.buffers + _SPARE + (self.pinned if self.integrated else 0)

    def text(self, free: int) -> str:
        """The plan in one line."""
        parts = {"weights": self.weights, "activations": self.scratch, "buffers": self.buffers, "pinned": self.pinned}
        sizes = ", ".join(f"{name} {mib(size)}" for name, size in parts.items())
        return f"memory: {sizes}; {mib(self.needed)} of the {mib(free)} that are free"

    def check(self, free: int, batch: int) -> None:
        """Raise WetgenError unless it fits into `free` bytes."""
        if self.needed <= free:
            return
        smaller = f"use a --batch smaller than {batch}, or " if batch > 1 else ""
        shared = " (on this board the GPU shares the machine's memory)" if self.integrated else ""
        desktop = ": stop the desktop with `sudo init 3`" if self.integrated else ""
        raise WetgenError(
            f"A batch of {batch} does not fit into the GPU's memory.",
            why=f"{self.text(free)}{shared}.",
            fix=f"{smaller}close other programs that use the memory{desktop}.",
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
    """The memory for a batch and a number of sampling steps; `weights` and `scratch` are bytes by graph.

    The denoisers and the decoder run one after the other and share their scratch memory. Buffers are counted for a
    plan with every kind of step that there is a graph for.
    """
    denoisers = [graph for name, graph in graphs.items() if denoises(name)]
    inputs = {tensor for graph in denoisers for tensor in graph.inputs}

    def size(*names: str) -> int:
        return sum(aligned(nbytes(tensor, batch)) for tensor in inputs if tensor.name in names)

    token_ids, embedding, decode = graphs["text"].inputs[0], graphs["text"].outputs[0], graphs["decode"]
    copied = 2 * aligned(nbytes(decode.inputs[0], batch))  # between the host and the device
    copied += sum(aligned(nbytes(tensor, batch)) for tensor in decode.outputs) + size("conditioning", "guidance")
    buffers = SETS * (copied + size("embedding") + 2 * batch * aligned(nbytes(token_ids, 1)))
    buffers += steps * aligned(4) + embedding_slots(embedding) * aligned(nbytes(embedding, 1))
    buffers += sum(map(aligned, kept_tensors(denoisers, batch).values()))
    pinned = SETS * (copied + 2 * batch * nbytes(token_ids, 1))
    shared = max(size for name, size in scratch.items() if name != "text")
    return MemoryPlan(sum(weights.values()), shared + scratch["text"], buffers, pinned, integrated)


def embedding_slots(embedding: Tensor) -> int:
    """How many prompts' embeddings are kept on the device: at least two, the negative prompt's and one more."""
    return max(2, EMBEDDING_BYTES // aligned(nbytes(embedding, 1)))


def mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
