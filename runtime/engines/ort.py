"""ONNX Runtime, on the CPU or on an NVIDIA GPU. A provider that cannot run here is an error, never replaced.

When a provider is missing or fails to load, ONNX Runtime itself only warns and runs on the CPU. So the provider is
checked before a session is opened, for a message that says what to install, and again afterwards.

On a CPU a batch is split into micro-batches, one per core. With intra-op threads every operator ends in a barrier,
hundreds of times per step. One thread per micro-batch has none, and as a pair is computed on one core, its bytes do not
depend on the number of cores.
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.archive import archive_of, mapped, names_in, read_stored, size_of
from wetgen.runtime.bundle.graphs import Array, Graph
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import usable_cores

if TYPE_CHECKING:
    import onnxruntime

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
WHEELS = ("onnxruntime", "onnxruntime-gpu")

# TF32 would round float32 factors to 10 bits of mantissa, which nobody asked for. If every process searched for its
# fastest convolution, the same seed could give different bytes.
_CUDA_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}

_ORT_TYPES = {"float32": "tensor(float)", "int32": "tensor(int32)", "uint8": "tensor(uint8)"}

# The smallest ONNX model there is: y = Identity(x), one float.
_IDENTITY = (
    b'\x08\x08:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)

_IDLE = 0.2  # share of the cores' time in use: above an idle desktop, below a second program at work
_LARGE = 10**9  # bytes of weights
_QUIET = 3  # errors only: warnings about nodes on the CPU or unused initialisers do not help at run time


class Engine(Protocol):
    """A loaded graph at one batch size."""

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name; `feed` must match the graph's declaration."""


def open_engine(graph: Graph, path: Path, *, device: str, batch: int, threads: int | None = None) -> Engine:
    """Load a graph on a device, at a fixed batch. Raises WetgenError when that device cannot run it here."""
    if device == "tensorrt":
        raise WetgenError(
            f"{path.name} cannot run on tensorrt as it is.",
            why="TensorRT runs engines, which are built for one GPU and one batch.",
            fix="build them with `wetgen build`, then: wetgen run --device tensorrt",
        )
    return OrtEngine(graph, path, device=device, batch=batch, threads=threads)


class OrtEngine:
    """One graph in one session, at one batch size; on a CPU, each core runs a micro-batch where there are enough."""

    def __init__(self, graph: Graph, path: Path, *, device: str, batch: int, threads: int | None = None) -> None:
        self.graph, self.batch = graph, batch
        threads = usable_cores() if threads is None else threads
        self._part = part_size(batch, threads) if device == "cpu" else batch
        self._pool = ThreadPoolExecutor(threads) if self._part < batch else None
        options = session_options(self._part, threads if self._pool is None else 1)
        # The arena grows by doubling: with gigabytes of weights it would waste gigabytes.
        options.enable_cpu_mem_arena = sum(map(size_of, (path, *_weight_files(path)))) < _LARGE
        with model_at(path, options) as model:
            self._session = open_session(model, path.name, device, options)
        check_tensors(self._session, graph, path)
        self._outputs = [tensor.name for tensor in graph.outputs]

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name, as new arrays; `feed` must match the graph's declaration at this engine's batch.

        Binding buffers once for all calls would save 10 microseconds; a step takes milliseconds.
        """
        self.graph.check(feed, self.batch)
        if self._pool is None:
            return self._run(feed)
        parts = self._pool.map(self._run, split_batch(self.graph, feed, self.batch, self._part))
        return merge_batch(self.graph, list(parts), self.batch)

    def _run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(feed)), strict=True))


def _weight_files(path: Path) -> list[Path]:
    """The files of weights beside a graph, in its folder or packed bundle."""
    return [path.parent / name for name in names_in(path.parent) if "/" not in name and name.endswith(".data")]


@contextmanager
def model_at(path: Path, options: "onnxruntime.SessionOptions") -> Iterator[str | bytes]:
    """What to open a session from: the path of a file, or the bytes of a graph in a packed bundle.

    Weights of a packed graph are mapped from the bundle, not copied; the mapping lasts until the session is open.
    """
    if archive_of(path) is None:
        yield str(path)
        return
    weights = _weight_files(path)
    if weights and not hasattr(options, "add_external_initializers_from_files_in_memory"):
        raise WetgenError(
            f"This version of ONNX Runtime cannot read {path} in a packed bundle.",
            why="the weights of the graph are in another file of the bundle.",
            fix=f"unzip {path.parent} and use the folder, or update onnxruntime.",
        )
    with ExitStack() as stack:
        views = [stack.enter_context(mapped(file)) for file in weights]
        if weights:
            names, sizes = [file.name for file in weights], [len(view) for view in views]
            options.add_external_initializers_from_files_in_memory(names, views, sizes)
        yield read_stored(path)


def import_onnxruntime() -> Any:
    """The onnxruntime module; raises WetgenError, which says whether the package is missing or does not load."""
    try:
        import onnxruntime
    except ImportError as error:
        installed = installed_wheels()
        raise WetgenError(
            "ONNX Runtime is needed to run the graphs.",
            why=f"{' and '.join(installed)} does not load: {error}." if installed else "it is not installed.",
            fix="pip install onnxruntime (for a CPU), or onnxruntime-gpu (for an NVIDIA GPU)",
        ) from error
    return onnxruntime


def installed_wheels() -> list[str]:
    """The installed packages of ONNX Runtime; they share one module, so more than one is a conflict."""
    found = []
    for wheel in WHEELS:
        with suppress(PackageNotFoundError):
            version(wheel)
            found.append(wheel)
    return found


def try_device(device: str) -> None:
    """Raise WetgenError unless a session opens on the device; for `wetgen doctor`, which has no graph to try."""
    open_session(_IDENTITY, "a graph of one node", device, session_options(batch=1, threads=1))


def session_options(batch: int, threads: int | None) -> "onnxruntime.SessionOptions":
    """The options of a session on any device; `threads` None means every usable core."""
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = usable_cores() if threads is None else threads
    options.log_severity_level = _QUIET
    # Threads that spin while they wait answer sooner, but take the cores from other programs. Measured (UNet of 11 M
    # parameters, 2 threads on 2 cores): spinning takes a step from 24 to 16 ms on idle cores, and doubles it on busy
    # ones.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if _cores_are_idle() else "0")
    options.add_session_config_entry("session.force_spinning_stop", "1")  # other graphs need the cores then
    # Keep weights out of the arena, which grows by doubling and would reserve as much again.
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    # With a known batch, ONNX Runtime plans memory once and removes every shape computation.
    for name, size in (("B", batch), ("2B", 2 * batch), ("2*B", 2 * batch)):
        options.add_free_dimension_override_by_name(name, size)
    return options


@cache
def _cores_are_idle() -> bool:
    """Whether the usable cores were idle when this process first asked."""
    return busy_share() < _IDLE


def open_session(
    model: str | bytes,
    name: str,
    device: str,
    options: "onnxruntime.SessionOptions",
    more: Mapping[str, str] | None = None,
) -> "onnxruntime.InferenceSession":
    """A session on the device's provider and no other; `more` are options for the CUDA provider."""
    ort, expected = import_onnxruntime(), PROVIDERS[device]
    _check_provider(ort, device)
    provider: Any = expected
    if device == "cuda":
        provider = (expected, {**_CUDA_OPTIONS, **({} if more is None else more)})
        if hasattr(ort, "preload_dlls"):
            # Finds CUDA and cuDNN from pip where the system has none; what it prints must not reach stdout.
            with redirect_stdout(sys.stderr):
                ort.preload_dlls()
    try:
        session = ort.InferenceSession(model, options, providers=[provider])
    except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
        raise WetgenError(
            f"ONNX Runtime {ort.__version__} cannot load {name} on {device}.",
            why=f"{str(error).strip()}",
            fix="update onnxruntime, or export the bundle again for this version.",
        ) from error
    opened = session.get_providers()[0]
    if opened != expected:  # ONNX Runtime continues without a provider that failed to load
        raise WetgenError(
            f"ONNX Runtime opened {name} on {opened} instead of {expected}.",
            why=f"{expected} is in this build but did not load; its CUDA or cuDNN libraries are missing or do not fit.",
            fix="install the CUDA and cuDNN that this onnxruntime-gpu asks for, or use --device cpu.",
        )
    return session


def _check_provider(ort: Any, device: str) -> None:
    """Raise WetgenError unless this build of ONNX Runtime offers the device's provider."""
    offered = ort.get_available_providers()
    if PROVIDERS[device] in offered:
        return
    why = f"this build (onnxruntime {ort.__version__}) offers {', '.join(offered)}."
    fix = "choose --device cpu, or: pip uninstall onnxruntime; pip install onnxruntime-gpu"
    if len(installed_wheels()) > 1:
        why = f"{' and '.join(WHEELS)} are both installed, and one overwrote the other's files; {why}"
        fix = f"pip uninstall {' '.join(WHEELS)}; pip install onnxruntime-gpu"
    raise WetgenError(f"ONNX Runtime cannot run on {device} here.", why=why, fix=fix)


def check_tensors(session: Any, graph: Graph, path: Path) -> None:
    """Raise unless the file's inputs and outputs have the names and types that its graph declares."""
    for verb, found, declared in (
        ("takes", session.get_inputs(), graph.inputs),
        ("gives", session.get_outputs(), graph.outputs),
    ):
        have = sorted(f"{tensor.name} {tensor.type}" for tensor in found)
        expected = sorted(f"{tensor.name} {_ORT_TYPES[tensor.dtype]}" for tensor in declared)
        if have != expected:
            raise WetgenError(
                f"{path.name} {verb} {', '.join(have)}.",
                why=f"the graph '{graph.name}' {verb} {', '.join(expected)}.",
                fix="export the bundle again with the installed wetgen-export.",
            )


def part_size(batch: int, threads: int) -> int:
    """The size of a micro-batch; the whole batch, on all cores together, if it has fewer pairs than cores."""
    return -(-batch // threads) if 1 < threads <= batch else batch


def split_batch(graph: Graph, feed: Mapping[str, Array], batch: int, size: int) -> list[dict[str, Array]]:
    """The feed of every micro-batch of `size` pairs; the last one repeats the last pair until it is full."""
    parts = []
    for start in range(0, batch, size):
        rows: NDArray[np.intp] = np.minimum(np.arange(start, start + size), batch - 1)
        of = {"B": rows, "2B": np.concatenate([rows, batch + rows])}  # an input without either serves the whole batch
        parts.append({t.name: feed[t.name][of[t.shape[0]]] if t.shape[0] in of else feed[t.name] for t in graph.inputs})
    return parts


def merge_batch(graph: Graph, parts: Sequence[Mapping[str, Array]], batch: int) -> dict[str, Array]:
    """The outputs of a batch, from those of its micro-batches in order."""
    merged = {}
    for tensor in graph.outputs:
        halves = 2 if tensor.shape[0] == "2B" else 1  # of uncond and cond
        arrays = [part[tensor.name].reshape(halves, -1, *part[tensor.name].shape[1:]) for part in parts]
        whole = np.concatenate(arrays, axis=1)[:, :batch]
        merged[tensor.name] = whole.reshape(halves * batch, *whole.shape[2:])
    return merged


_STAT = Path("/proc/stat")  # ticks of every core since boot, by activity


def busy_share(seconds: float = 0.05) -> float:
    """The share of the usable cores' time in use over the next `seconds`; 1.0 where the system does not say.

    The work of this process counts, too.
    """
    before = _ticks()
    time.sleep(seconds)
    busy, idle = (after - earlier for after, earlier in zip(_ticks(), before, strict=True))
    return busy / (busy + idle) if busy + idle else 1.0


def _ticks() -> tuple[int, int]:
    """Ticks (busy, idle) of all usable cores; zeros where the system does not say."""
    try:
        rows = [line.split() for line in _STAT.read_text().split("\n") if line.startswith("cpu")]
    except OSError:
        return 0, 0
    usable = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    counts = [[int(value) for value in row[1:9]] for row in rows if row[0] in usable]
    idle = sum(row[3] + row[4] for row in counts)  # idle, and waiting for a disk
    return sum(map(sum, counts)) - idle, idle
