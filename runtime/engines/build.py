"""Builds engine files from a bundle's graphs, with TensorRT only: a Jetson has neither torch nor onnx.

An engine is for one GPU and one TensorRT, and its shapes are fixed: static shapes were measured elsewhere to be a tenth
faster than dynamic ones at their best batch and more at others. So each batch size gets an engine.

What TensorRT measures during a build goes into a timing cache, which makes the next build several times as fast. A
cache is for one GPU, one CUDA and one TensorRT, so each has a file of its own.
"""

import hashlib
import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wetgen.runtime.bundle.archive import ENGINES, archive_of
from wetgen.runtime.bundle.bundle import Bundle, TargetGraphs
from wetgen.runtime.bundle.graphs import JUDGE, Graph, denoises
from wetgen.runtime.bundle.targets import target_for
from wetgen.runtime.engines import cuda
from wetgen.runtime.engines.build_progress import BuildStatus, monitor
from wetgen.runtime.engines.check import NetworkLayers, check_engine_layers, check_network, network_layers
from wetgen.runtime.engines.key import EngineFile, engine_file, rebuild_command
from wetgen.runtime.engines.load import mib
from wetgen.runtime.engines.trt import Messages, create_logger, require_tensorrt
from wetgen.runtime.errors import Say, WetgenError
from wetgen.runtime.files import atomic_write, os_errors, read_bytes

if TYPE_CHECKING:
    import tensorrt as trt

_LEAST_WORKSPACE = 64 * 2**20  # bytes; with less there is hardly a tactic for convolutions
_SMALL_BOARD = 16 * 2**30  # bytes of GPU memory up to which auxiliary streams cost more memory than they bring speed
_ATTEMPTS = 4
_DIGEST = 32  # bytes of a sha256


@dataclass(frozen=True)
class BuildOptions:
    """How engines are built.

    `batches` empty means the bundle's, `target` None the newest that TensorRT reads. `workspace` is the most scratch
    memory in bytes, None a share of what is free. `check` compares each engine with ONNX Runtime.
    """

    batches: tuple[int, ...] = ()
    workspace: int | None = None
    version_compatible: bool = False
    target: str | None = None
    check: bool = False


def build_engines(bundle: Bundle, options: BuildOptions, status: BuildStatus, say: Say) -> list[Path]:
    """Build the engines that a bundle lacks for this machine, keep those that fit, and return the paths of all.

    Raises WetgenError, and KeyboardInterrupt at TensorRT's next step after Ctrl-C; finished engines stay in both cases.
    """
    builder = _EngineBuilder(bundle, options, status, say)
    return [builder.build(name, batch) for name, batch in needed_engines(bundle, builder.batches)]


def needed_engines(bundle: Bundle, batches: Sequence[int]) -> list[tuple[str, int]]:
    """The graphs and batches that a run loads: prompts are encoded one at a time, photographs not at all."""
    batched = [name for name in bundle.graphs if denoises(name) or name in ("decode", JUDGE)]
    return [("text", 1), *((name, batch) for batch in batches for name in batched)]


class _NotBuilt(Exception):
    """TensorRT gave no engine; the message is what it logged."""


class _EngineBuilder:
    """Builds the engines of a bundle for one target, on the GPU of this process."""

    def __init__(self, bundle: Bundle, options: BuildOptions, status: BuildStatus, say: Say) -> None:
        self._bundle, self._options, self._status, self._say = bundle, options, status, say
        self._version = require_tensorrt()
        offered = [name for name in bundle.targets if options.target in (None, name)]
        self._graphs: TargetGraphs = bundle.targets[target_for("tensorrt", offered, self._version).name]
        self.batches = options.batches if options.batches else self._graphs.batches
        if archive_of(bundle.folder) is not None:
            raise WetgenError(
                f"Engines cannot be built into {bundle.folder}.",
                why="a packed bundle is one file; TensorRT reads graphs from a folder.",
                fix=rebuild_command(bundle, self._graphs.target.name, self.batches),
            )
        self._gpu = cuda.current_gpu()
        batches = ", ".join(map(str, self.batches))
        say(f"TensorRT {self._version} on {self._gpu}: target {self._graphs.target.name}, batches {batches}")

    def build(self, name: str, batch: int) -> Path:
        """The path of one engine, which is built if it has to be."""
        file = engine_file(
            self._bundle, self._graphs, name, batch, self._gpu, self._version, self._options.version_compatible
        )
        if _is_built(file):
            self._say(f"{file.path.name}: built already")
        else:
            began = time.monotonic()
            with _interruptible(self._status):
                engine, built = self._build_with_less_memory(file)
            seconds = time.monotonic() - began
            file.write(engine, {**built, "seconds": round(seconds, 1)})
            self._say(f"{file.path.name}: {engine.nbytes / 2**20:.1f} MiB in {seconds:.0f} s")
        if self._options.check:
            from wetgen.runtime.engines.check import compare_engine

            self._say(f"  compared: {compare_engine(self._bundle, self._graphs, file)}")
        return file.path

    def _build_with_less_memory(self, file: EngineFile) -> tuple[memoryview, dict[str, object]]:
        """Build with a limit on scratch memory; if that fails, try again with half of it."""
        limit = self._options.workspace
        if limit is None:  # on a board that shares its memory with the host, leave more to the host
            limit = max(_LEAST_WORKSPACE, cuda.free_memory(self._gpu) // (4 if self._gpu.integrated else 2))
        for attempt in range(_ATTEMPTS):
            try:
                return self._build(file, limit)
            except _NotBuilt as error:
                if attempt + 1 == _ATTEMPTS or limit // 2 < _LEAST_WORKSPACE:
                    raise self._too_little_memory(file, limit, str(error)) from error
                half = limit // 2
                self._say(f"{file.key}: no engine within {mib(limit)}; trying {mib(half)}")
                limit = half
        raise AssertionError("the last attempt returns or raises")

    def _build(self, file: EngineFile, workspace: int) -> tuple[memoryview, dict[str, object]]:
        """One engine, and what its key file says about how it was built. Raises _NotBuilt if TensorRT gives none."""
        # The builder is gone when the engine is loaded to be inspected: both at once may not fit into a small board.
        engine, layers, reused = self._serialize(file, workspace)
        inspected = _inspect(engine, layers, file)
        if layers.half and not inspected["layers_checked"]:
            self._say(f"{file.key}: the inspector shows no types, so precision is held by the graph alone")
        return engine, {"workspace": workspace, "timing_cache_reused": reused, **inspected}

    def _serialize(self, file: EngineFile, workspace: int) -> tuple[memoryview, NetworkLayers, bool]:
        """The engine, the layers of its network, and whether a timing cache was used."""
        import tensorrt as trt

        onnx = self._graphs.files[file.key.graph]
        messages = Messages()
        logger = create_logger(messages)
        builder = trt.Builder(logger)
        # From 11 on every network is strongly typed and the flag means nothing; on 10 it makes the same of it.
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = _parse(network, logger, onnx)
        _fix_shapes(network, self._bundle.graphs[file.key.graph], file.key.batch, onnx)
        layers = network_layers(network)
        check_network(layers, self._graphs.precision[file.key.graph], onnx.name)
        config = _configure(builder, workspace, self._gpu, file.key.version_compatible)
        self._status.begin(str(file.key))
        watcher = monitor(self._status)
        config.progress_monitor = watcher
        cache = cache_path(self._bundle.folder / ENGINES, self._gpu, self._version)
        reused = attach(config, cache)
        try:
            serialized = builder.build_serialized_network(network, config)
        finally:
            self._status.end()
        del parser  # it owns the weights that the network refers to, so it lives until here
        if self._status.cancelled:
            raise KeyboardInterrupt
        if serialized is None:
            raise _NotBuilt(messages.text())
        store(config, cache)
        return memoryview(serialized), layers, reused

    def _too_little_memory(self, file: EngineFile, limit: int, logged: str) -> WetgenError:
        batch, name = file.key.batch, self._graphs.files[file.key.graph].name
        smaller = f"build smaller batches than {batch}, or " if batch > 1 else ""
        board = (
            " On this board: close the desktop (sudo init 3), and add swap (sudo fallocate -l 8G /swap; sudo chmod 600 "
            "/swap; sudo mkswap /swap; sudo swapon /swap)."
        )
        return WetgenError(
            f"TensorRT built no engine of {name} at batch {batch}, not even within {mib(limit)} of scratch memory.",
            why=f"{logged}.",
            fix=f"{smaller}free memory on the GPU and try again; finished engines are kept."
            f"{board if self._gpu.integrated else ''}",
        )


def _is_built(file: EngineFile) -> bool:
    """Whether the file holds the engine that a build would make again."""
    try:
        with file.verified():
            found = file.check()["key"]
    except WetgenError:
        return False
    return (found["version_compatible"], found["tensorrt"]) == (file.key.version_compatible, file.key.tensorrt)


def _parse(network: "trt.INetworkDefinition", logger: "trt.ILogger", file: Path) -> "trt.OnnxParser":
    import tensorrt as trt

    parser = trt.OnnxParser(network, logger)
    # From the file, not from bytes: weights may be in other files beside it, and models may be larger than 2 GB.
    if parser.parse_from_file(str(file)):
        return parser
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    raise WetgenError(
        f"TensorRT {trt.__version__} cannot read {file.name}.",
        why="; ".join(f"{error.node_operator()} {error.node_name()}: {error.desc()}" for error in errors) + ".",
        fix="export the bundle for this TensorRT: wetgen-export CHECKPOINT BUNDLE --target TARGET",
    )


def _fix_shapes(network: "trt.INetworkDefinition", graph: Graph, batch: int, file: Path) -> None:
    """Set the shape of every input for the batch, and check that every output gets its declared shape."""
    import tensorrt as trt

    declared = {tensor.name: list(tensor.sizes(batch)) for tensor in (*graph.inputs, *graph.outputs)}
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        tensor.shape = trt.Dims(declared[tensor.name])
    for i in range(network.num_outputs):
        tensor = network.get_output(i)
        sizes = [tensor.shape[axis] for axis in range(len(tensor.shape))]
        if sizes != declared[tensor.name]:
            raise WetgenError(
                f"'{tensor.name}' of {file.name} has the shape {sizes} at batch {batch}.",
                why=f"the graph declares {declared[tensor.name]}; an engine needs every size to be known.",
                fix="export the bundle again with the installed wetgen-export.",
            )


def _configure(builder: "trt.Builder", workspace: int, gpu: cuda.Gpu, version_compatible: bool) -> "trt.IBuilderConfig":
    import tensorrt as trt

    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for the inspector; it costs no speed
    config.clear_flag(trt.BuilderFlag.TF32)  # what the bundle keeps in float32 needs that precision
    if gpu.total_memory <= _SMALL_BOARD:
        config.max_aux_streams = 0
    if version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    return config


def _inspect(engine: memoryview, layers: NetworkLayers, file: EngineFile) -> dict[str, object]:
    """Load the engine and check its layers. Returns what its key file states, the scratch memory of a run included."""
    import tensorrt as trt

    name = file.path.name
    messages = Messages()
    runtime = trt.Runtime(create_logger(messages))
    if file.key.version_compatible:
        runtime.engine_host_code_allowed = True
    loaded = runtime.deserialize_cuda_engine(engine)
    if loaded is None:
        raise _NotBuilt(f"{name} was built and cannot be loaded: {messages.text()}")
    information = loaded.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    return {
        "scratch_bytes": int(loaded.device_memory_size_v2),
        "layers": int(loaded.num_layers),
        "layers_checked": check_engine_layers(information, layers, name),
    }


@contextmanager
def _interruptible(status: BuildStatus) -> Iterator[None]:
    """Turn Ctrl-C into a request that TensorRT sees at its next step: an exception in a callback would abort."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def cancel(*_: object) -> None:
        status.cancelled = True

    before = signal.signal(signal.SIGINT, cancel)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def cache_path(engines: Path, gpu: cuda.Gpu, tensorrt: str) -> Path:
    """The timing cache for a GPU and a TensorRT version inside a bundle's engines folder."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", gpu.name).strip("-").lower()
    major, minor = gpu.capability
    return engines / f"timing.{name}.sm{major}{minor}x{gpu.multiprocessors}.trt{tensorrt}.cache"


def attach(config: "trt.IBuilderConfig", path: Path) -> bool:
    """Let a build use and extend the stored cache, or an empty one. Returns whether the stored one was used."""
    stored = _read_cache(path)
    if stored and config.set_timing_cache(config.create_timing_cache(stored), ignore_mismatch=False):
        return True
    config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    return False


def store(config: "trt.IBuilderConfig", path: Path) -> None:
    """Write what a build measured, together with what another process may have stored meanwhile."""
    cache = config.get_timing_cache()
    stored = _read_cache(path)
    if stored:
        cache.combine(config.create_timing_cache(stored), ignore_mismatch=False)
    data = bytes(memoryview(cache.serialize()))
    with os_errors(path.parent, "created"):
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, hashlib.sha256(data).digest() + data)


def _read_cache(path: Path) -> bytes:
    """The stored cache, empty if there is none or its sha256 is wrong: TensorRT may not survive damaged bytes."""
    stored = read_bytes(path) if path.is_file() else b""
    data = stored[_DIGEST:]
    return data if hashlib.sha256(data).digest() == stored[:_DIGEST] else b""
