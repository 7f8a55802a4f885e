"""TensorRT 10.3 to 11: engine files that were verified, as graphs on device memory.

Only calls that both majors have. Precision is in the engine, so nothing here depends on it.

TensorRT versions that are known to compute wrong results for networks like ours, without an error.

Each row was read off the thread it names; a version leaves the list when its maintainers say in which release it works.
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


def require_tensorrt() -> str:
    """The version of the installed TensorRT; raises WetgenError when it cannot be used here."""
    try:
        import tensorrt as trt
    except (ImportError, OSError, RuntimeError) as error:  # the last two from libraries that it looks for itself
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


class Messages:
    """The last errors and warnings that TensorRT logged; its calls fail without saying why."""

    def __init__(self) -> None:
        self._kept: deque[str] = deque(maxlen=_KEPT_MESSAGES)

    def add(self, text: str) -> None:
        self._kept.append(text.strip())

    def text(self) -> str:
        return "; ".join(self._kept) or "it logged no reason"


def create_logger(messages: Messages) -> "trt.ILogger":
    """A logger that keeps errors; TensorRT's own prints to the terminal that a progress bar is drawn on."""
    import tensorrt as trt

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: "trt.ILogger.Severity", msg: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                messages.add(msg)

    return Logger()


class TrtGraph:
    """One engine with one execution context; capturable once it has run."""

    capturable, why_not = True, ""

    def __init__(self, graph: Graph, engine: memoryview, *, batch: int, name: str, host_code: bool) -> None:
        """`engine` must be verified: TensorRT does not survive damaged bytes. `host_code`: it brings code of its own,
        as version-compatible engines do."""
        import tensorrt as trt

        self.graph, self.batch, self._name = graph, batch, name
        self._messages = Messages()
        self._runtime: trt.Runtime | None = trt.Runtime(create_logger(self._messages))
        if host_code:
            self._runtime.engine_host_code_allowed = True
        loaded = self._runtime.deserialize_cuda_engine(engine)
        if loaded is None:
            raise WetgenError(
                f"TensorRT cannot load {name}.",
                why=f"{self._messages.text()}.",
                fix="free some memory, or build it again: wetgen build",
            )
        self._engine: trt.ICudaEngine | None = loaded
        _check_tensors(loaded, graph, batch, name)
        self.scratch_bytes = int(loaded.device_memory_size_v2)
        strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = loaded.create_execution_context(strategy)
        if context is None:
            raise WetgenError(
                f"TensorRT cannot prepare {name}.", why=f"{self._messages.text()}.", fix="free some memory."
            )
        self._context: trt.IExecutionContext | None = context
        self._bound: dict[str, int] = {}

    def lend(self, scratch: int) -> None:
        assert self._context is not None, "the graph is closed"
        self._context.set_device_memory(scratch, self.scratch_bytes)

    def enqueue(self, addresses: Mapping[str, int], stream: int) -> None:
        assert self._context is not None, "the graph is closed"
        for name, address in addresses.items():
            if self._bound.get(name) == address:
                continue
            if not self._context.set_tensor_address(name, address):
                raise self._refused(f"took no address for '{name}'")
            self._bound[name] = address
        if not self._context.execute_async_v3(stream):
            raise self._refused("did not run")

    def close(self) -> None:
        # In this order: a context needs its engine until it is gone, an engine its runtime.
        self._context = None
        self._engine = None
        self._runtime = None

    def _refused(self, what: str) -> WetgenError:
        return WetgenError(
            f"TensorRT {what}: {self._name}.",
            why=f"{self._messages.text()}.",
            fix="build the engine again with wetgen build; if it repeats, send this message.",
        )


def _check_tensors(engine: "trt.ICudaEngine", graph: Graph, batch: int, name: str) -> None:
    """Raise unless the engine takes and gives what its graph declares."""
    import tensorrt as trt

    types = {
        "float32": trt.DataType.FLOAT,
        "int32": trt.DataType.INT32,
        "uint8": trt.DataType.UINT8,
    }
    wanted = {
        tensor.name: (mode, types[tensor.dtype], list(tensor.sizes(batch)))
        for mode, tensors in ((trt.TensorIOMode.INPUT, graph.inputs), (trt.TensorIOMode.OUTPUT, graph.outputs))
        for tensor in tensors
    }
    found = {}
    for place in range(engine.num_io_tensors):
        tensor = engine.get_tensor_name(place)
        shape = engine.get_tensor_shape(tensor)
        sizes = [shape[axis] for axis in range(len(shape))]
        found[tensor] = (engine.get_tensor_mode(tensor), engine.get_tensor_dtype(tensor), sizes)
    if found != wanted:
        differ = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
        raise WetgenError(
            f"{name} does not have the tensors of the graph '{graph.name}'.",
            why=f"{', '.join(differ)} differ.",
            fix="build it again with wetgen build.",
        )


class KnownFault(NamedTuple):
    """Versions that begin with `version` do what `fault` says; `source` is where that is reported."""

    version: str
    fault: str
    source: str


KNOWN_FAULTS = (
    KnownFault(
        "11.1",
        "float32 transformers (a DETR) are off by hundreds of pixels, on several GPUs",
        "https://github.com/NVIDIA/TensorRT/issues/4813",
    ),
    KnownFault(
        "11.1",
        "batches above 1 of a transformer (SegFormer) are off by orders of magnitude",
        "https://github.com/NVIDIA/TensorRT/issues/4853",
    ),
    KnownFault(
        "10.11",
        "batches above 1 of a transformer (SegFormer) are off by orders of magnitude",
        "https://github.com/NVIDIA/TensorRT/issues/4853",
    ),
    KnownFault(
        "11.2",
        "a transposed network input is folded into fused float16 attention, with wrong results from head width 9 on",
        "https://github.com/NVIDIA/TensorRT/issues/4826",
    ),
    KnownFault(
        "11.2",
        "a convolution with activation and residual writes a strided concatenation wrongly",
        "https://github.com/NVIDIA/TensorRT/issues/4854",
    ),
)


def check_known_faults(version: str) -> None:
    """Raise WetgenError for a TensorRT version with known wrong results."""
    numbers = version_numbers(version)
    known = [row for row in KNOWN_FAULTS if numbers[:2] == version_numbers(row.version)]
    if known:
        raise WetgenError(
            f"TensorRT {version} is known to draw wrong pictures.",
            why="; ".join(f"{row.fault} ({row.source})" for row in known) + ".",
            fix="install another version, such as 10.16 or 11.4: pip install 'tensorrt>=11.4'",
        )
