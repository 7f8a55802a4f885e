"""The few calls of CUDA's runtime that sampling makes, each with its return code checked.

Handles (streams, events, graphs) and device addresses are plain ints, as the bindings take them. cuda-python is
imported inside the functions: only machines with an NVIDIA GPU have it.
"""

from collections.abc import Callable
from ctypes import c_uint8
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from wetgen.runtime.bundle.graphs import Array
from wetgen.runtime.errors import WetgenError

if TYPE_CHECKING:
    from cuda.bindings import runtime as cudart

T = TypeVar("T")

ALIGNMENT = 256  # bytes; what TensorRT asks of every tensor's address, and what cudaMalloc gives

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
        from cuda.bindings import runtime as cudart
    except ImportError as error:
        raise WetgenError(
            "cuda-python is needed to work on an NVIDIA GPU.",
            why=f"it cannot be imported: {error}.",
            fix="pip install 'cuda-python>=12.6,<13' for CUDA 12, or 'cuda-python>=13,<14' for CUDA 13 (nvidia-smi "
            "shows which).",
        ) from error
    try:
        count = _value("cudaGetDeviceCount", cudart.cudaGetDeviceCount())
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
    from cuda.bindings import runtime as cudart

    device = _value("cudaGetDevice", cudart.cudaGetDevice())
    found = _value("cudaGetDeviceProperties", cudart.cudaGetDeviceProperties(device))
    return Gpu(
        name=found.name.split(b"\0")[0].decode(),
        capability=(int(found.major), int(found.minor)),
        multiprocessors=int(found.multiProcessorCount),
        integrated=bool(found.integrated),
        total_memory=int(found.totalGlobalMem),
    )


def free_memory(gpu: Gpu) -> int:
    """Bytes that the device can give now.

    On an integrated GPU CUDA counts what the kernel holds as file cache as taken, though it is given up when needed.
    """
    from cuda.bindings import runtime as cudart

    error, free, _ = cudart.cudaMemGetInfo()
    _check("cudaMemGetInfo", error)
    return max(free, host_available()) if gpu.integrated else free


def host_available() -> int:
    """Bytes that the kernel says a program can have without swapping; 0 where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").split("\n")
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), 0)


def wait_for_stream(stream: int) -> None:
    """Block until everything on the stream is done."""
    from cuda.bindings import runtime as cudart

    _done("cudaStreamSynchronize", cudart.cudaStreamSynchronize(stream))


def record(event: int, stream: int) -> None:
    """Let the event stand for everything that is on the stream so far."""
    from cuda.bindings import runtime as cudart

    _done("cudaEventRecord", cudart.cudaEventRecord(event, stream))


def let_wait(stream: int, event: int) -> None:
    """Let what comes next on the stream wait for the event; the host goes on."""
    from cuda.bindings import runtime as cudart

    _done("cudaStreamWaitEvent", cudart.cudaStreamWaitEvent(stream, event, 0))


def wait_for_event(event: int) -> None:
    """Block until the event has come."""
    from cuda.bindings import runtime as cudart

    _done("cudaEventSynchronize", cudart.cudaEventSynchronize(event))


def to_device(target: int, source: int, nbytes: int, stream: int) -> None:
    """Copy from pinned host memory; it must not change before the stream has come by."""
    from cuda.bindings import runtime as cudart

    kind = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
    _done("cudaMemcpyAsync", cudart.cudaMemcpyAsync(target, source, nbytes, kind, stream))


def to_host(target: int, source: int, nbytes: int, stream: int) -> None:
    """Copy to pinned host memory; it must not be read before the stream has come by."""
    from cuda.bindings import runtime as cudart

    kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
    _done("cudaMemcpyAsync", cudart.cudaMemcpyAsync(target, source, nbytes, kind, stream))


def on_device(target: int, source: int, nbytes: int, stream: int) -> None:
    """Copy from device memory to device memory."""
    from cuda.bindings import runtime as cudart

    kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToDevice
    _done("cudaMemcpyAsync", cudart.cudaMemcpyAsync(target, source, nbytes, kind, stream))


class Resources:
    """Memory, streams and events of one owner, given back together by `close`."""

    def __init__(self) -> None:
        self._device: list[int] = []
        self._pinned: list[int] = []
        self._streams: list[int] = []
        self._events: list[int] = []

    def device(self, nbytes: int) -> int:
        """The address of `nbytes` of new device memory, aligned; its content is undefined."""
        from cuda.bindings import runtime as cudart

        address = _value("cudaMalloc", cudart.cudaMalloc(max(nbytes, ALIGNMENT)))
        self._device.append(address)
        return address

    def pinned(self, shape: tuple[int, ...], dtype: str) -> tuple[int, Array]:
        """New page-locked host memory, which copies need to be asynchronous: its address, and the array over it.

        The array must not be touched after `close`.
        """
        from cuda.bindings import runtime as cudart

        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        address = _value("cudaHostAlloc", cudart.cudaHostAlloc(nbytes, int(cudart.cudaHostAllocDefault)))
        self._pinned.append(address)
        octets = np.ctypeslib.as_array((c_uint8 * nbytes).from_address(address))
        array: Array = octets.view(dtype).reshape(shape)
        return address, array

    def stream(self) -> int:
        """A new stream that does not wait for the default stream, as capture needs."""
        from cuda.bindings import runtime as cudart

        flags = int(cudart.cudaStreamNonBlocking)
        stream = int(_value("cudaStreamCreateWithFlags", cudart.cudaStreamCreateWithFlags(flags)))
        self._streams.append(stream)
        return stream

    def event(self) -> int:
        """A new event without a clock, which is the cheaper kind."""
        from cuda.bindings import runtime as cudart

        flags = int(cudart.cudaEventDisableTiming)
        event = int(_value("cudaEventCreateWithFlags", cudart.cudaEventCreateWithFlags(flags)))
        self._events.append(event)
        return event

    def close(self) -> None:
        """Wait for the streams, then free everything; no other stream may use it any more."""
        from cuda.bindings import runtime as cudart

        for stream in self._streams:
            wait_for_stream(stream)
        while self._events:
            _done("cudaEventDestroy", cudart.cudaEventDestroy(self._events.pop()))
        while self._streams:
            _done("cudaStreamDestroy", cudart.cudaStreamDestroy(self._streams.pop()))
        while self._device:
            _done("cudaFree", cudart.cudaFree(self._device.pop()))
        while self._pinned:
            _done("cudaFreeHost", cudart.cudaFreeHost(self._pinned.pop()))


class RecordedGraph:
    """A recorded sequence of work on one stream that one call repeats."""

    def __init__(self, executable: int) -> None:
        self._executable = executable

    def launch(self, stream: int) -> None:
        from cuda.bindings import runtime as cudart

        _done("cudaGraphLaunch", cudart.cudaGraphLaunch(self._executable, stream))

    def close(self) -> None:
        from cuda.bindings import runtime as cudart

        _done("cudaGraphExecDestroy", cudart.cudaGraphExecDestroy(self._executable))


def capture(stream: int, work: Callable[[], None]) -> RecordedGraph:
    """Record what `work` puts on the stream, without running it.

    Capture is local to this thread: in the global mode an allocation by any other thread would spoil it.
    """
    from cuda.bindings import runtime as cudart

    mode = cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
    _done("cudaStreamBeginCapture", cudart.cudaStreamBeginCapture(stream, mode))
    try:
        work()
    except BaseException:
        error, unfinished = cudart.cudaStreamEndCapture(stream)  # else the stream stays unusable
        if error == cudart.cudaError_t.cudaSuccess:
            cudart.cudaGraphDestroy(unfinished)
        raise
    recorded = _value("cudaStreamEndCapture", cudart.cudaStreamEndCapture(stream))
    try:
        executable = _value("cudaGraphInstantiate", cudart.cudaGraphInstantiate(recorded, 0))
    finally:
        _done("cudaGraphDestroy", cudart.cudaGraphDestroy(recorded))
    return RecordedGraph(int(executable))


def _value(call: str, result: "tuple[cudart.cudaError_t, T]") -> T:
    _check(call, result[0])
    return result[1]


def _done(call: str, result: "tuple[cudart.cudaError_t]") -> None:
    _check(call, result[0])


def _check(call: str, error: "cudart.cudaError_t") -> None:
    from cuda.bindings import runtime as cudart

    if error == cudart.cudaError_t.cudaSuccess:
        return
    _, text = cudart.cudaGetErrorString(error)
    raise WetgenError(
        f"CUDA could not do {call}: {error.name}.",
        why=f"{_text(text)}.",
        fix=_FIXES.get(error.name, "see what `wetgen doctor` says; if it repeats, send its output and this message."),
    )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
