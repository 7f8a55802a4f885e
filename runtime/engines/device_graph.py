"""A graph that works on device memory, put on a stream call by call; TensorRT and ONNX Runtime have one each."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from wetgen.runtime.bundle.graphs import GUIDED, Array, Graph, StepKind, Tensor, denoise_name
from wetgen.runtime.engines import cuda
from wetgen.runtime.errors import WetgenError


class DeviceGraph(Protocol):
    """A loaded graph at one batch size.

    `scratch_bytes` is the memory it wants lent while it works; graphs that never work at the same time share it.
    `capturable` is whether its work can be a part of a recorded sequence (a CUDA graph), `why_not` why it cannot.
    """

    graph: Graph
    batch: int
    scratch_bytes: int
    capturable: bool
    why_not: str

    def lend(self, scratch: int) -> None:
        """Give the address of `scratch_bytes` of device memory; once, before the first call."""

    def enqueue(self, addresses: Mapping[str, int], stream: int) -> None:
        """Put one run on a stream. `addresses` are those of every input and output, on the device and aligned."""

    def close(self) -> None:
        """Give back what it holds; its work must be done."""


class DeviceGraphs:
    """The graphs that draw pairs, the streams they work on, and the memory they work in.

    Prompts are encoded on the stream `feed`, all else works on `compute`; the denoisers (one for every kind of step)
    and the decoder, which never work at the same time, share their scratch memory.
    """

    text: DeviceGraph
    denoise: dict[StepKind, DeviceGraph]
    decode: DeviceGraph

    def __init__(self, load: Callable[[str, int], DeviceGraph], kinds: Sequence[StepKind] = (GUIDED,)) -> None:
        """`load` gives the graph of that name, to work on that stream; `kinds` are those of the bundle's steps."""
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
        """Give everything back; no work may be under way."""
        while self._loaded:
            self._loaded.pop().close()
        self._own.close()


def nbytes(tensor: Tensor, batch: int) -> int:
    """The size of a tensor at a batch."""
    return tensor.nbytes(batch)


def aligned(size: int) -> int:
    """The size with the room up to the next address that a tensor may have."""
    return -(-size // cuda.ALIGNMENT) * cuda.ALIGNMENT


class HostFed:
    """A device graph as an `Engine`: arrays go in and come out, call by call, one at a time."""

    def __init__(self, load: Callable[[int], DeviceGraph]) -> None:
        """`load` gives the graph, to work on that stream."""
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
        """Outputs by name, as fresh arrays; `feed` must match the graph's declaration at this engine's batch."""
        declared, batch = self._graph.graph, self._graph.batch
        declared.check(feed, batch)
        for tensor in declared.inputs:
            address, array = self._pinned[tensor.name]
            array[...] = feed[tensor.name]
            cuda.to_device(self._addresses[tensor.name], address, nbytes(tensor, batch), self._stream)
        self._graph.enqueue(self._addresses, self._stream)
        for tensor in declared.outputs:
            cuda.to_host(
                self._pinned[tensor.name][0], self._addresses[tensor.name], nbytes(tensor, batch), self._stream
            )
        cuda.wait_for_stream(self._stream)
        return {tensor.name: self._pinned[tensor.name][1].copy() for tensor in declared.outputs}

    def close(self) -> None:
        """Give back the graph, the buffers and the stream."""
        if self._loaded is not None:
            self._loaded.close()
            self._loaded = None
        self._own.close()
