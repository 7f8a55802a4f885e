"""The few calls of CUDA's runtime that sampling makes, each with its return code checked.

Handles (streams, events, graphs) and device addresses are plain ints, as the bindings take them. cuda-python is
imported inside the functions: only machines with an NVIDIA GPU have it.
"""

from collections.abc import Callable
from contextlib import ExitStack
from ctypes import c_uint8
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wetgen.runtime.bundle.graphs import Array
from wetgen.runtime.errors import WetgenError

ALIGNMENT = 256  # bytes; what TensorRT asks of every tensor's address, and what cudaMalloc gives

_STREAM_NON_BLOCKING, _EVENT_DISABLE_TIMING, _HOST_ALLOC_DEFAULT = 1, 2, 0  # CUDA's own flags
_FIXES = {
    "cudaErrorMemoryAllocation": "use a smaller --batch, or close what else uses the GPU.",
    "cudaErrorInsufficientDriver": "update the NVIDIA driver, or install the cuda-python of the driver's CUDA version.",
    "cudaErrorNoDevice": "run it on a machine with an NVIDIA GPU, or use --device cpu.",
}


@dataclass(frozen=True)
class Gpu:
    """The device that is in use. Memory is in bytes; on an integrated GPU (Jetson) it is the machine's own."""

    name: str
    capability: tuple[int, int]
    multiprocessors: int
    integrated: bool
    total_memory: int

    def __str__(self) -> str:
        major, minor = self.capability
        return f"{self.name} (compute capability {major}.{minor}, {self.multiprocessors} multiprocessors)"


def require_cuda() -> None:
    """Raise WetgenError unless cuda-python is installed and finds a driver and a GPU."""
    try:
        count = _call("cudaGetDeviceCount")
    except ImportError as error:
        raise WetgenError(
            "cuda-python is needed to work on an NVIDIA GPU.",
            why=f"it cannot be imported: {error}.",
            fix="pip install 'cuda-python>=12.6,<13' for CUDA 12, or 'cuda-python>=13,<14' for CUDA 13 (nvidia-smi "
            "shows which).",
        ) from error
    except RuntimeError as error:  # without a driver the bindings themselves fail
        raise WetgenError(
            "There is no NVIDIA driver here.",
            why=f"{error}.",
            fix="install the NVIDIA driver, or use --device cpu.",
        ) from error
    if count < 1:
        raise WetgenError("There is no NVIDIA GPU here.", why="CUDA counts none.", fix=_FIXES["cudaErrorNoDevice"])


def current_gpu() -> Gpu:
    """The GPU that this process works on; CUDA_VISIBLE_DEVICES chooses it."""
    found = _call("cudaGetDeviceProperties", _call("cudaGetDevice"))
    return Gpu(
        name=found.name.split(b"\0")[0].decode(),
        capability=(int(found.major), int(found.minor)),
        multiprocessors=int(found.multiProcessorCount),
        integrated=bool(found.integrated),
        total_memory=int(found.totalGlobalMem),
    )


def free_memory(gpu: Gpu) -> int:
    """Bytes that the device can give now.

    On an integrated GPU CUDA counts the kernel's file cache as taken, although the kernel gives it up when needed.
    """
    free, _ = _call("cudaMemGetInfo")
    return max(int(free), host_available()) if gpu.integrated else int(free)


def host_available() -> int:
    """Bytes that the kernel says a program can have without swapping; 0 where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").split("\n")
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), 0)


def wait_for_stream(stream: int) -> None:
    """Block until everything on the stream is done."""
    _call("cudaStreamSynchronize", stream)


def wait_for_event(event: int) -> None:
    """Block until everything that the event was recorded after is done."""
    _call("cudaEventSynchronize", event)


def record(event: int, stream: int) -> None:
    """Let the event stand for everything that is on the stream so far."""
    _call("cudaEventRecord", event, stream)


def let_wait(stream: int, event: int) -> None:
    """Let later work on the stream wait for the event; the host does not wait."""
    _call("cudaStreamWaitEvent", stream, event, 0)


def to_device(target: int, source: int, nbytes: int, stream: int) -> None:
    """Copy from pinned host memory, which must not change until the copy is done."""
    _copy("cudaMemcpyHostToDevice", target, source, nbytes, stream)


def to_host(target: int, source: int, nbytes: int, stream: int) -> None:
    """Copy to pinned host memory, which must not be read until the copy is done."""
    _copy("cudaMemcpyDeviceToHost", target, source, nbytes, stream)


def on_device(target: int, source: int, nbytes: int, stream: int) -> None:
    """Copy from device memory to device memory."""
    _copy("cudaMemcpyDeviceToDevice", target, source, nbytes, stream)


def _copy(kind: str, target: int, source: int, nbytes: int, stream: int) -> None:
    from cuda.bindings import runtime as cudart

    _call("cudaMemcpyAsync", target, source, nbytes, cudart.cudaMemcpyKind[kind], stream)


class Resources:
    """Memory, streams and events of one owner, given back together by `close`."""

    def __init__(self) -> None:
        self._streams: list[int] = []
        self._owned = ExitStack()

    def device(self, nbytes: int) -> int:
        """The address of `nbytes` of new device memory, aligned; its content is undefined."""
        address = int(_call("cudaMalloc", max(nbytes, ALIGNMENT)))
        self._owned.callback(_call, "cudaFree", address)
        return address

    def pinned(self, shape: tuple[int, ...], dtype: str) -> tuple[int, Array]:
        """New page-locked host memory, which asynchronous copies need: its address, and the array over it.

        The array must not be touched after `close`.
        """
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        address = int(_call("cudaHostAlloc", nbytes, _HOST_ALLOC_DEFAULT))
        self._owned.callback(_call, "cudaFreeHost", address)
        octets = np.ctypeslib.as_array((c_uint8 * nbytes).from_address(address))
        return address, octets.view(dtype).reshape(shape)

    def stream(self) -> int:
        """A new stream that does not wait for the default stream, as capture needs."""
        stream = int(_call("cudaStreamCreateWithFlags", _STREAM_NON_BLOCKING))
        self._owned.callback(_call, "cudaStreamDestroy", stream)
        self._streams.append(stream)
        return stream

    def event(self) -> int:
        """A new event without a clock, which is the cheaper kind."""
        event = int(_call("cudaEventCreateWithFlags", _EVENT_DISABLE_TIMING))
        self._owned.callback(_call, "cudaEventDestroy", event)
        return event

    def close(self) -> None:
        """Wait for the streams, then free everything; no other stream may use it any more."""
        for stream in self._streams:
            wait_for_stream(stream)
        self._streams.clear()
        self._owned.close()


class RecordedGraph:
    """A recorded sequence of work on one stream that one call repeats."""

    def __init__(self, executable: int) -> None:
        self._executable = executable

    def launch(self, stream: int) -> None:
        _call("cudaGraphLaunch", self._executable, stream)

    def close(self) -> None:
        _call("cudaGraphExecDestroy", self._executable)


def capture(stream: int, work: Callable[[], None]) -> RecordedGraph:
    """Record what `work` puts on the stream, without running it.

    Capture is local to this thread: in the global mode an allocation by any other thread would spoil it.
    """
    from cuda.bindings import runtime as cudart

    _call("cudaStreamBeginCapture", stream, cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)
    try:
        work()
    except BaseException:
        error, unfinished = cudart.cudaStreamEndCapture(stream)  # or else the stream stays unusable
        if error == cudart.cudaError_t.cudaSuccess:
            cudart.cudaGraphDestroy(unfinished)
        raise
    recorded = _call("cudaStreamEndCapture", stream)
    try:
        return RecordedGraph(int(_call("cudaGraphInstantiate", recorded, 0)))
    finally:
        _call("cudaGraphDestroy", recorded)


def _call(name: str, *arguments: Any) -> Any:
    """Call a function of CUDA's runtime. Returns its value, or a list if it has none or several."""
    from cuda.bindings import runtime as cudart

    error, *values = getattr(cudart, name)(*arguments)
    if error != cudart.cudaError_t.cudaSuccess:
        raise WetgenError(
            f"CUDA could not do {name}: {error.name}.",
            why=f"{cudart.cudaGetErrorString(error)[1].decode()}.",
            fix=_FIXES.get(
                error.name, "see what `wetgen doctor` says; if it repeats, send its output and this message."
            ),
        )
    return values[0] if len(values) == 1 else values
