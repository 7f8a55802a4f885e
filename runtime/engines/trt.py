"""TensorRT 10.3 to 11: verified engine files as graphs on device memory, with calls that both major versions have.

Some versions are known to compute wrong results for networks like ours, without an error; they are refused.
"""

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from wetgen.runtime.bundle.graphs import Graph
from wetgen.runtime.bundle.targets import version_numbers
from wetgen.runtime.engines.cuda import require_cuda
from wetgen.runtime.errors import WetgenError

if TYPE_CHECKING:
    import tensorrt as trt

OLDEST = (10, 3)
_KEPT_MESSAGES = 8


class KnownFault(NamedTuple):
    """A fault of the versions that begin with `version`; a row goes when `issue` says which release repairs it."""

    version: str
    issue: int  # of github.com/NVIDIA/TensorRT
    fault: str


KNOWN_FAULTS = (
    KnownFault("11.1", 4813, "float32 transformers (a DETR) are off by hundreds of pixels, on several GPUs"),
    KnownFault("11.1", 4853, "batches above 1 of a transformer (SegFormer) are off by orders of magnitude"),
    KnownFault("10.11", 4853, "batches above 1 of a transformer (SegFormer) are off by orders of magnitude"),
    KnownFault("11.2", 4826, "fused float16 attention is wrong for a transposed network input, from head width 9 on"),
    KnownFault("11.2", 4854, "a convolution with activation and residual writes a strided concatenation wrongly"),
)


def require_tensorrt() -> str:
    """The version of the installed TensorRT; raises WetgenError if it cannot be used here."""
    try:
        import tensorrt as trt
    except (ImportError, OSError, RuntimeError) as error:  # the last two come from the libraries that it loads
        raise WetgenError(
            "TensorRT is needed to run engines.",
            why=f"it cannot be imported: {error}.",
            fix="on a Jetson it comes with JetPack: make the virtual environment with --system-site-packages; "
            "elsewhere: pip install 'wetgen[tensorrt]'",
        ) from error
    version = trt.__version__
    if version_numbers(version)[:2] < OLDEST:
        raise WetgenError(
            f"TensorRT {version} is too old.",
            why=f"engines need {'.'.join(map(str, OLDEST))} or later.",
            fix="update JetPack to 6.1 or later, or: pip install 'wetgen[tensorrt]'",
        )
    check_known_faults(version)
    require_cuda()
    return version


def check_known_faults(version: str) -> None:
    """Raise WetgenError for a TensorRT version with known wrong results."""
    known = [row for row in KNOWN_FAULTS if version_numbers(version)[:2] == version_numbers(row.version)]
    if known:
        issues = "https://github.com/NVIDIA/TensorRT/issues"
        raise WetgenError(
            f"TensorRT {version} is known to draw wrong pictures.",
            why="; ".join(f"{row.fault} ({issues}/{row.issue})" for row in known) + ".",
            fix="install another version, such as 10.16 or 11.4: pip install 'tensorrt>=11.4'",
        )


class Messages(deque[str]):
    """The last errors that TensorRT logged: its calls fail without saying why."""

    def __init__(self) -> None:
        super().__init__(maxlen=_KEPT_MESSAGES)

    def text(self) -> str:
        return "; ".join(self) or "it logged no reason"


def create_logger(messages: Messages) -> "trt.ILogger":
    """A logger that keeps errors. TensorRT's own logger would print over the progress bar."""
    import tensorrt as trt

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: "trt.ILogger.Severity", msg: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                messages.append(msg.strip())

    return Logger()


class TrtGraph:
    """One engine with one execution context; it can be captured once it has run."""

    capturable, why_not = True, ""

    def __init__(self, graph: Graph, engine: memoryview, *, batch: int, name: str, host_code: bool) -> None:
        """`engine` must be verified: TensorRT does not survive damaged bytes. `host_code`: the engine brings code of
        its own, as version-compatible ones do."""
        import tensorrt as trt

        self.graph, self.batch, self._name = graph, batch, name
        self._messages = Messages()
        self._runtime = trt.Runtime(create_logger(self._messages))
        if host_code:
            self._runtime.engine_host_code_allowed = True
        loaded = self._runtime.deserialize_cuda_engine(engine)
        if loaded is None:
            raise self._error("cannot load", "free some memory, or build it again: wetgen build")
        self._engine = loaded
        self.scratch_bytes = int(loaded.device_memory_size_v2)
        context = loaded.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if context is None:
            raise self._error("cannot prepare", "free some memory.")
        self._context = context
        self._bound: dict[str, int] = {}

    def lend(self, scratch: int) -> None:
        self._context.set_device_memory(scratch, self.scratch_bytes)

    def enqueue(self, addresses: Mapping[str, int], stream: int) -> None:
        again = "build the engine again with wetgen build; if it repeats, send this message."
        for name, address in addresses.items():
            if self._bound.get(name) != address and not self._context.set_tensor_address(name, address):
                raise self._error(f"took no address for '{name}':", again)
            self._bound[name] = address
        if not self._context.execute_async_v3(stream):
            raise self._error("did not run", again)

    def close(self) -> None:
        # In this order: a context needs its engine until it is gone, an engine its runtime.
        del self._context
        del self._engine
        del self._runtime

    def _error(self, what: str, fix: str) -> WetgenError:
        return WetgenError(f"TensorRT {what} {self._name}.", why=f"{self._messages.text()}.", fix=fix)
