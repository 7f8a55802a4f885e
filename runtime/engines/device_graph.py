"""Graphs that run on device memory, each call on a CUDA stream; TensorRT and ONNX Runtime have a class each."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from wetgen.runtime.bundle.graphs import GUIDED, Array, Graph, StepKind, Tensor, denoise_name
from wetgen.runtime.engines import cuda
from wetgen.runtime.errors import WetgenError


class DeviceGraph(Protocol):
    """A loaded graph at one batch size.

    `scratch_bytes` is the scratch memory that it needs while it runs; graphs that never run at the same time share it.
    `capturable` says whether it can be part of a recorded sequence (a CUDA graph), and `why_not` the reason if not.
    """

    graph: Graph
    batch: int
    scratch_bytes: int
    capturable: bool
    why_not: str

    def lend(self, scratch: int) -> None:
        """Set the address of its scratch memory, once, before the first call."""

    def enqueue(self, addresses: Mapping[str, int], stream: int) -> None:
        """Put one run on a stream. `addresses` has the aligned device address of every input and output."""

    def close(self) -> None:
        """Free its memory; it must not be running."""


class DeviceGraphs:
    """The graphs that draw pairs, with their streams and their scratch memory.

    The stream `feed` encodes prompts, the stream `compute` does the rest. The denoisers (one for each kind of step) and
    the decoder never run at the same time, so they share their scratch memory.
    """

    text: DeviceGraph
    denoise: dict[StepKind, DeviceGraph]
    decode: DeviceGraph

    def __init__(self, load: Callable[[str, int], DeviceGraph], kinds: Sequence[StepKind] = (GUIDED,)) -> None:
        """`load` loads the graph of a name for a stream; `kinds` are the kinds of steps in the bundle."""
        self._own = cuda.Resources()
        self._loaded: list[DeviceGraph] = []
        try:
            self.feed, self.compute = self._own.stream(), self._own.stream()
            self.text = self._keep(load("text", self.feed))
            self.denoise = {kind: self._keep(load(denoise_name(kind), self.compute)) for kind in kinds}
            self.decode = self._keep(load("decode", self.compute))
            self.text.lend(self._own.device(self.text.scratch_bytes))
            taking_turns = (*self.denoise.values(), self.decode)
            shared = self._own.device(max(graph.scratch_bytes for graph in taking_turns))
            for graph in taking_turns:
                graph.lend(shared)
        except BaseException:
            with suppress(WetgenError):  # report the original error, not the one from cleanup
                self.close()
            raise

    def _keep(self, graph: DeviceGraph) -> DeviceGraph:
        self._loaded.append(graph)
        return graph

    def close(self) -> None:
        """Free everything; no graph may be running."""
        while self._loaded:
            self._loaded.pop().close()
        self._own.close()


def nbytes(tensor: Tensor, batch: int) -> int:
    """The size of a tensor at a batch."""
    return tensor.nbytes(batch)


def aligned(size: int) -> int:
    """The size, rounded up to the alignment of tensors."""
    return -(-size // cuda.ALIGNMENT) * cuda.ALIGNMENT


class HostFed:
    """A device graph as an `Engine`, which takes and returns arrays of the host."""

    def __init__(self, load: Callable[[int], DeviceGraph]) -> None:
        """`load` loads the graph for a stream."""
        self._own = cuda.Resources()
        self._loaded: DeviceGraph | None = None
        try:
            self._stream = self._own.stream()
            self._graph = self._loaded = load(self._stream)
            self._graph.lend(self._own.device(self._graph.scratch_bytes))
            declared, batch = self._graph.graph, self._graph.batch
            tensors = (*declared.inputs, *declared.outputs)
            self._addresses = {tensor.name: self._own.device(nbytes(tensor, batch)) for tensor in tensors}
            self._pinned = {tensor.name: self._own.pinned(tensor.sizes(batch), tensor.dtype) for tensor in tensors}
        except BaseException:
            with suppress(WetgenError):  # report the original error, not the one from cleanup
                self.close()
            raise

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name, as new arrays; `feed` must match the graph's declaration at this engine's batch."""
        declared, batch = self._graph.graph, self._graph.batch
        declared.check(feed, batch)
        for tensor in declared.inputs:
            address, array = self._pinned[tensor.name]
            array[...] = feed[tensor.name]
            cuda.to_device(self._addresses[tensor.name], address, nbytes(tensor, batch), self._stream)
        self._graph.enqueue(self._addresses, self._stream)
        for tensor in declared.outputs:
            address, _ = self._pinned[tensor.name]
            cuda.to_host(address, self._addresses[tensor.name], nbytes(tensor, batch), self._stream)
        cuda.wait_for_stream(self._stream)
        return {tensor.name: self._pinned[tensor.name][1].copy() for tensor in declared.outputs}

    def close(self) -> None:
        """Free the graph, the buffers and the stream."""
        if self._loaded is not None:
            self._loaded.close()
            self._loaded = None
        self._own.close()
