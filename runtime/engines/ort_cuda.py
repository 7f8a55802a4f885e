"""ONNX Runtime's CUDA provider as a graph on device memory.

A session runs on our stream, on buffers of its own that are bound once, because ONNX Runtime records a CUDA graph only
at fixed addresses. So inputs are copied to those buffers and outputs from them, on the device. ONNX Runtime also
records only its own work, so each session repeats its own recording, not a part of a larger one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wetgen.runtime.bundle.graphs import Graph
from wetgen.runtime.engines import cuda, ort
from wetgen.runtime.engines.device_graph import nbytes
from wetgen.runtime.errors import WetgenError

_ASYNCHRONOUS = ("disable_synchronize_execution_providers", "1")


class OrtCudaGraph:
    """One graph in one session; `note` says why it does not use a CUDA graph, and is empty if it does."""

    scratch_bytes = 0  # the provider has an arena of its own
    capturable, why_not = False, "ONNX Runtime records each of its sessions by itself"

    def __init__(self, graph: Graph, path: Path, *, batch: int, stream: int) -> None:
        self.graph, self.batch, self._stream = graph, batch, stream
        self._session, self.note = _open_session(path, batch, stream)
        ort.check_tensors(self._session, graph, path)
        self._resources = cuda.Resources()
        try:
            self._bind()
        except BaseException:
            self.close()
            raise

    def _bind(self) -> None:
        from onnxruntime import RunOptions

        tensors = (*self.graph.inputs, *self.graph.outputs)
        self._sizes = {tensor.name: nbytes(tensor, self.batch) for tensor in tensors}
        self._own = {name: self._resources.device(size) for name, size in self._sizes.items()}
        self._binding = self._session.io_binding()
        for tensor in tensors:
            bind = self._binding.bind_input if tensor in self.graph.inputs else self._binding.bind_output
            kind, sizes = np.dtype(tensor.dtype).type, tensor.sizes(self.batch)
            bind(tensor.name, "cuda", 0, kind, sizes, self._own[tensor.name])
        self._options = RunOptions()
        self._options.add_run_config_entry(*_ASYNCHRONOUS)

    def lend(self, scratch: int) -> None: ...

    def enqueue(self, addresses: Mapping[str, int], stream: int) -> None:
        assert stream == self._stream, "the session was opened on another stream"
        for tensor in self.graph.inputs:
            cuda.on_device(self._own[tensor.name], addresses[tensor.name], self._sizes[tensor.name], stream)
        try:
            self._session.run_with_iobinding(self._binding, self._options)
        except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
            raise WetgenError(
                f"ONNX Runtime could not run '{self.graph.name}' on cuda.",
                why=f"{str(error).strip()}.",
                fix="use a smaller --batch; if it repeats, send this message.",
            ) from error
        for tensor in self.graph.outputs:
            cuda.on_device(addresses[tensor.name], self._own[tensor.name], self._sizes[tensor.name], stream)

    def close(self) -> None:
        self._binding = None
        self._session = None
        self._resources.close()


def _open_session(path: Path, batch: int, stream: int) -> tuple[Any, str]:
    """A session on our stream, and why it does not use a CUDA graph ("" if it does).

    If nodes are left to the CPU, the provider cannot record, and says so when the session is opened.
    """

    def opened(recorded: str) -> Any:
        options = ort.session_options(batch, threads=1)
        provider = {"user_compute_stream": str(stream), "enable_cuda_graph": recorded}
        with ort.model_at(path, options) as model:
            return ort.open_session(model, path.name, "cuda", options, provider)

    try:
        return opened("1"), ""
    except WetgenError as error:
        return opened("0"), f"no CUDA graph of {path.name}: {error.why}"
