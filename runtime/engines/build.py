"""Engine files from a bundle's graphs, with nothing but TensorRT: on a Jetson there is no torch and no onnx.

An engine holds for one GPU and one TensorRT, and its shapes are fixed: measured elsewhere, static shapes are a tenth
faster than dynamic ones at their best batch and more at others, so every batch of the ladder gets an engine.

What TensorRT measured while it built engines, kept for the next build: it makes a rebuild several times as fast.

A cache holds for one GPU, one CUDA and one TensorRT, so each has a file of its own. TensorRT refuses a cache of another
device; that it survives damaged bytes is not promised, so they are preceded by their sha256.
"""

import hashlib
import re
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from wetgen.runtime.bundle.archive import archive_of
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.graphs import JUDGE, Graph, denoises
from wetgen.runtime.bundle.manifest import ENGINES, TargetGraphs
from wetgen.runtime.bundle.targets import target_for
from wetgen.runtime.engines import cuda
from wetgen.runtime.engines.build_progress import BuildStatus, monitor
from wetgen.runtime.engines.check import NetworkLayers, check_engine_layers, check_network, network_layers
from wetgen.runtime.engines.cuda import Gpu
from wetgen.runtime.engines.key import (
    EngineKey,
    check_engine,
    engine_path,
    key_of,
    rebuild_command,
    verified_engine,
    write_engine,
)
from wetgen.runtime.engines.trt import Messages, create_logger, require_tensorrt
from wetgen.runtime.errors import Say, WetgenError
from wetgen.runtime.files import atomic_write, os_errors, read_bytes

if TYPE_CHECKING:
    import tensorrt as trt


LEAST_WORKSPACE = 64 * 2**20  # bytes; below it convolutions have no tactic left worth the name
_SMALL_BOARD = 16 * 2**30  # bytes of GPU memory up to which auxiliary streams cost more memory than they bring speed
_ATTEMPTS = 4


@dataclass(frozen=True)
class BuildOptions:
    """How engines are built: `batches` empty means the bundle's, `target` None the newest that TensorRT reads,
    `workspace` (the most scratch memory, in bytes) None a share of what is free. `check` compares each engine with
    ONNX Runtime."""

    batches: tuple[int, ...] = ()
    workspace: int | None = None
    version_compatible: bool = False
    target: str | None = None
    check: bool = False


def build_engines(bundle: Bundle, options: BuildOptions, status: BuildStatus, say: Say) -> list[Path]:
    """Build what a bundle lacks for this machine, and return every engine's path; those that fit are kept.

    Raises WetgenError, and KeyboardInterrupt at the next step after Ctrl-C; the engines that were finished stay in
    either case.
    """
    version = require_tensorrt()
    held = chosen_target(bundle, version, options.target)
    _check_unpacked(bundle, held.target.name, options.batches if options.batches else held.batches)
    gpu = cuda.current_gpu()
    batches = options.batches if options.batches else held.batches
    say(f"TensorRT {version} on {gpu}: target {held.target.name}, batches {', '.join(map(str, batches))}")
    done = []
    for name, batch in engines_wanted(bundle, batches):
        compatible = options.version_compatible
        key = key_of(bundle, held, name, batch, gpu=gpu, tensorrt=version, version_compatible=compatible)
        done.append(_build(bundle, held, key, options, gpu, status, say))
        if options.check:
            from wetgen.runtime.engines.check import compare_engine

            say(f"  compared: {compare_engine(bundle, held, name, batch, version)}")
    return done


def _build(
    bundle: Bundle,
    held: TargetGraphs,
    key: EngineKey,
    options: BuildOptions,
    gpu: cuda.Gpu,
    status: BuildStatus,
    say: Say,
) -> Path:
    """The file of one engine, built if it has to be."""
    path = engine_path(bundle, key)
    if _is_built(path, key, rebuild_command(bundle, held.target.name, [key.batch])):
        say(f"{path.name}: built already")
        return path
    began = time.monotonic()
    with _interruptible(status):
        built = _with_less_memory(bundle, held, key, options, gpu, status, say)
    seconds = time.monotonic() - began
    write_engine(path, built.engine, key, {**built.how, "seconds": round(seconds, 1)})
    say(f"{path.name}: {built.engine.nbytes / 2**20:.1f} MiB in {seconds:.0f} s")
    return path


def _check_unpacked(bundle: Bundle, target: str, batches: Sequence[int]) -> None:
    """TensorRT reads graphs and their weights from files, and engines need a place to stand."""
    if archive_of(bundle.folder) is not None:
        raise WetgenError(
            f"Engines cannot be built into {bundle.folder}.",
            why="a packed bundle is one file; TensorRT reads graphs from a folder.",
            fix=rebuild_command(bundle, target, batches),
        )


def chosen_target(bundle: Bundle, version: str, target: str | None) -> TargetGraphs:
    """The graphs of a target, or of the newest that this TensorRT reads; raises WetgenError when there are none."""
    offered = list(bundle.targets) if target is None else [name for name in bundle.targets if name == target]
    return bundle.targets[target_for("tensorrt", offered, version).name]


def engines_wanted(bundle: Bundle, batches: Sequence[int]) -> list[tuple[str, int]]:
    """The graphs and batches that a run loads: prompts are encoded one at a time, photographs not at all."""
    batched = [name for name in bundle.graphs if denoises(name) or name in ("decode", JUDGE)]
    return [("text", 1), *((name, batch) for batch in batches for name in batched)]


def _is_built(path: Path, key: EngineKey, rebuild: str) -> bool:
    """Whether an engine stands there, whole, that this build would make again; any other is built anew."""
    try:
        with verified_engine(path, key, rebuild):
            stated = check_engine(path, key, rebuild)["key"]
    except WetgenError:
        return False
    return (stated["version_compatible"], stated["tensorrt"]) == (key.version_compatible, key.tensorrt)


@dataclass(frozen=True)
class Built:
    """A built engine: its bytes, and what its key says about how it was made."""

    engine: memoryview
    how: Mapping[str, object]


class _NotBuilt(Exception):
    """TensorRT gave no engine; the message is what it logged."""


def _with_less_memory(
    bundle: Bundle,
    held: TargetGraphs,
    key: EngineKey,
    options: BuildOptions,
    gpu: cuda.Gpu,
    status: BuildStatus,
    say: Say,
) -> Built:
    """Build with a cap on scratch memory; where that fails, with half of it, some times over."""
    cap = default_workspace(gpu) if options.workspace is None else options.workspace
    for attempt in range(_ATTEMPTS):
        try:
            return build_engine(bundle, held, key, workspace=cap, gpu=gpu, status=status, say=say)
        except _NotBuilt as error:
            if attempt + 1 == _ATTEMPTS or cap // 2 < LEAST_WORKSPACE:
                raise _out_of_options(held.files[key.graph].name, key.batch, cap, gpu, str(error)) from error
            say(f"{key.graph}, batch {key.batch}: no engine within {_mib(cap)}; trying {_mib(cap // 2)}")
            cap //= 2
    raise AssertionError("the last attempt returns or raises")


def default_workspace(gpu: cuda.Gpu) -> int:
    """The cap on scratch memory: half of what is free, on a board that shares its memory with the host a quarter."""
    return max(LEAST_WORKSPACE, cuda.free_memory(gpu) // (4 if gpu.integrated else 2))


def build_engine(
    bundle: Bundle,
    held: TargetGraphs,
    key: EngineKey,
    *,
    workspace: int,
    gpu: cuda.Gpu,
    status: BuildStatus,
    say: Say,
) -> Built:
    """Build and inspect one engine. Raises _NotBuilt when TensorRT gives none, KeyboardInterrupt when it was asked."""
    name = held.files[key.graph].name
    # The builder is gone when the engine is loaded to be inspected: both at once may not fit into a small board.
    engine, layers, reused = _serialize(bundle, held, key, workspace, gpu, status)
    how = _inspect(engine, layers, name, key.version_compatible)
    if layers.half and not how["layers_checked"]:
        say(f"{key.graph}, batch {key.batch}: the inspector shows no types, so precision is held by the graph alone")
    return Built(engine, {"workspace": workspace, "timing_cache_reused": reused, **how})


def _serialize(
    bundle: Bundle, held: TargetGraphs, key: EngineKey, workspace: int, gpu: cuda.Gpu, status: BuildStatus
) -> tuple[memoryview, NetworkLayers, bool]:
    """The engine, the layers of its network, and whether a timing cache helped."""
    import tensorrt as trt

    file = held.files[key.graph]
    messages = Messages()
    logger = create_logger(messages)
    builder = trt.Builder(logger)
    # From 11 on every network is strongly typed and the flag means nothing; on 10 it makes the same of it.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = _parse(network, logger, file)
    _fix_shapes(network, bundle.graphs[key.graph], key.batch, file)
    layers = network_layers(network)
    check_network(layers, held.precision[key.graph], file.name)
    config = _configure(builder, workspace, gpu, key.version_compatible)
    status.begin(f"{key.graph}, batch {key.batch}")
    watcher = monitor(status)
    config.progress_monitor = watcher
    cache = cache_path(bundle.folder / ENGINES, gpu, key.tensorrt)
    reused = attach(config, cache)
    try:
        serialized = builder.build_serialized_network(network, config)
    finally:
        status.end()
    del parser  # it owns the weights that the network refers to, so it lives until here
    if status.cancelled:
        raise KeyboardInterrupt
    if serialized is None:
        raise _NotBuilt(messages.text())
    store(config, cache)
    return memoryview(serialized), layers, reused


def _parse(network: "trt.INetworkDefinition", logger: "trt.ILogger", file: Path) -> "trt.OnnxParser":
    import tensorrt as trt

    parser = trt.OnnxParser(network, logger)
    # From the file, not from bytes: weights may stand in other files beside it, and models may pass 2 GB.
    if parser.parse_from_file(str(file)):
        return parser
    errors = [parser.get_error(place) for place in range(parser.num_errors)]
    raise WetgenError(
        f"TensorRT {trt.__version__} cannot read {file.name}.",
        why="; ".join(f"{error.node_operator()} {error.node_name()}: {error.desc()}" for error in errors) + ".",
        fix="export the bundle for this TensorRT: wetgen-export CHECKPOINT BUNDLE --target TARGET",
    )


def _fix_shapes(network: "trt.INetworkDefinition", graph: Graph, batch: int, file: Path) -> None:
    """Give every input its shape at the batch, and hold the outputs against the declaration."""
    import tensorrt as trt

    declared = {tensor.name: list(tensor.sizes(batch)) for tensor in (*graph.inputs, *graph.outputs)}
    inputs = [network.get_input(place) for place in range(network.num_inputs)]
    outputs = [network.get_output(place) for place in range(network.num_outputs)]
    if sorted(tensor.name for tensor in (*inputs, *outputs)) != sorted(declared):
        raise _other_tensors(file, graph, [tensor.name for tensor in (*inputs, *outputs)])
    for tensor in inputs:
        tensor.shape = trt.Dims(declared[tensor.name])
    for tensor in outputs:
        sizes = [tensor.shape[axis] for axis in range(len(tensor.shape))]
        if sizes != declared[tensor.name]:
            raise WetgenError(
                f"'{tensor.name}' of {file.name} has the shape {sizes} at batch {batch}.",
                why=f"the graph declares {declared[tensor.name]}; an engine needs every size to be known.",
                fix="export the bundle again with the installed wetgen-export.",
            )


def _other_tensors(file: Path, graph: Graph, found: Sequence[str]) -> WetgenError:
    names = [tensor.name for tensor in (*graph.inputs, *graph.outputs)]
    return WetgenError(
        f"{file.name} has the tensors {', '.join(found)}.",
        why=f"the graph '{graph.name}' has {', '.join(names)}.",
        fix="export the bundle again with the installed wetgen-export.",
    )


def _configure(builder: "trt.Builder", workspace: int, gpu: cuda.Gpu, version_compatible: bool) -> "trt.IBuilderConfig":
    import tensorrt as trt

    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for the inspector; it costs no speed
    config.clear_flag(trt.BuilderFlag.TF32)  # what the bundle keeps in float32, it keeps there for its precision
    if gpu.total_memory <= _SMALL_BOARD:
        config.max_aux_streams = 0
    if version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    return config


def _inspect(engine: memoryview, layers: NetworkLayers, name: str, version_compatible: bool) -> dict[str, int]:
    """Load the engine and read its layers; gives what the memory plan of a run wants to know, too."""
    import tensorrt as trt

    messages = Messages()
    runtime = trt.Runtime(create_logger(messages))
    if version_compatible:
        runtime.engine_host_code_allowed = True
    loaded = runtime.deserialize_cuda_engine(engine)
    if loaded is None:
        raise _NotBuilt(f"{name} was built and cannot be loaded: {messages.text()}")
    information = loaded.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    checked = check_engine_layers(information, layers, name)
    return {
        "scratch_bytes": int(loaded.device_memory_size_v2),
        "layers": int(loaded.num_layers),
        "layers_checked": checked,
    }


@contextmanager
def _interruptible(status: BuildStatus) -> Iterator[None]:
    """Turn Ctrl-C into a request that TensorRT sees at its next step: an exception in a callback would abort."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(signum: int, frame: FrameType | None) -> None:
        status.cancelled = True

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _out_of_options(name: str, batch: int, cap: int, gpu: cuda.Gpu, logged: str) -> WetgenError:
    board = (
        " On this board: close the desktop (sudo init 3), and add swap (sudo fallocate -l 8G /swap; sudo chmod 600 "
        "/swap; sudo mkswap /swap; sudo swapon /swap)."
        if gpu.integrated
        else ""
    )
    smaller = f"build smaller batches than {batch}, or " if batch > 1 else ""
    return WetgenError(
        f"TensorRT built no engine of {name} at batch {batch}, also not within {_mib(cap)} of scratch memory.",
        why=f"{logged}.",
        fix=f"{smaller}free memory on the GPU and try again; finished engines are kept.{board}",
    )


def _mib(size: int) -> str:
    return f"{size // 2**20} MiB"


_DIGEST = 32  # bytes of a sha256


def cache_path(engines: Path, gpu: Gpu, tensorrt: str) -> Path:
    """The cache file for a GPU and a TensorRT version inside a bundle's engines folder."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", gpu.name).strip("-").lower()
    major, minor = gpu.capability
    return engines / f"timing.{name}.sm{major}{minor}x{gpu.multiprocessors}.trt{tensorrt}.cache"


def attach(config: "trt.IBuilderConfig", path: Path) -> bool:
    """Let a build use and extend the stored cache, or an empty one; gives whether the stored one was used."""
    stored = _read(path)
    if stored and config.set_timing_cache(config.create_timing_cache(stored), ignore_mismatch=False):
        return True
    config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    return False


def store(config: "trt.IBuilderConfig", path: Path) -> None:
    """Write what a build measured, together with what another process may have stored meanwhile."""
    cache = config.get_timing_cache()
    stored = _read(path)
    if stored:
        cache.combine(config.create_timing_cache(stored), ignore_mismatch=False)
    data = bytes(memoryview(cache.serialize()))
    with os_errors(path.parent, "created"):
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, hashlib.sha256(data).digest() + data)


def _read(path: Path) -> bytes:
    """The stored cache, or nothing where there is none or it was damaged: it only costs time."""
    if not path.is_file():
        return b""
    stored = read_bytes(path)
    data = stored[_DIGEST:]
    return data if hashlib.sha256(data).digest() == stored[:_DIGEST] else b""
