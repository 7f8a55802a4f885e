"""ONNX Runtime's CUDA provider on a `CudaDouble`: its CPU provider, executed in the order of its stream."""

import numpy as np
import onnxruntime

from .cuda_double import Misuse

_TYPES = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(uint8)": np.uint8}


class OnnxRuntimeDouble:
    """A module that offers the CUDA provider. `sessions` are those that were opened on it.

    With `refuse_graphs` its sessions cannot record a CUDA graph, and say so as ONNX Runtime does.
    """

    def __init__(self, cuda):
        self._cuda, self.sessions, self.refuse_graphs = cuda, [], False

    def __getattr__(self, name):
        return getattr(onnxruntime, name)

    def get_available_providers(self):
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def preload_dlls(self):
        pass

    def InferenceSession(self, model, options, providers):
        if providers == ["CPUExecutionProvider"]:
            return onnxruntime.InferenceSession(model, options, providers=providers)
        ((name, values),) = providers
        assert name == "CUDAExecutionProvider"
        if self.refuse_graphs and values.get("enable_cuda_graph") == "1":
            raise RuntimeError("this session cannot use the graph capture feature: nodes are left to the CPU")
        session = Session(self._cuda, onnxruntime.InferenceSession(model, options), values)
        self.sessions.append(session)
        return session


class Session:
    """A session on a stream of ours; with a recording its binding may not change any more."""

    def __init__(self, cuda, session, values):
        self._cuda, self._session, self.values = cuda, session, values
        self.recorded = values.get("enable_cuda_graph") == "1"
        self.runs, self._first = 0, None

    def get_providers(self):
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def get_inputs(self):
        return self._session.get_inputs()

    def get_outputs(self):
        return self._session.get_outputs()

    def io_binding(self):
        return Binding(self._cuda, self._session)

    def run_with_iobinding(self, binding, options):
        if options.get_run_config_entry("disable_synchronize_execution_providers") != "1":
            raise Misuse("the session waits for the GPU after every run")
        if self.recorded and self._first not in (None, dict(binding.places)):
            raise Misuse("a recorded session is run at other addresses")
        self._first = dict(binding.places)
        self.runs += 1
        places = binding.complete()
        inputs = {tensor.name for tensor in self._session.get_inputs()}

        def array(name):
            address, kind, shape = places[name]
            size = int(np.prod(shape)) * np.dtype(kind).itemsize
            return self._cuda.view(address, size).view(kind).reshape(shape)

        def run():
            outputs = [tensor.name for tensor in self._session.get_outputs()]
            made = self._session.run(outputs, {name: array(name).copy() for name in inputs})
            for name, result in zip(outputs, made, strict=True):
                array(name)[...] = result

        sizes = {name: (place[0], array(name).nbytes) for name, place in places.items()}
        reads = [sizes[name] for name in sizes if name in inputs]
        writes = [sizes[name] for name in sizes if name not in inputs]
        self._cuda.put(int(self.values["user_compute_stream"]), "a session", run, reads, writes)


class Binding:
    """Where a session's tensors are."""

    def __init__(self, cuda, session):
        self._cuda, self.places = cuda, {}
        self._types = {t.name: _TYPES[t.type] for t in (*session.get_inputs(), *session.get_outputs())}

    def bind_input(self, name, device_type, device_id, element_type, shape, buffer_ptr):
        assert (device_type, device_id) == ("cuda", 0) and element_type is self._types[name]
        self.places[name] = (buffer_ptr, element_type, tuple(shape))

    bind_output = bind_input

    def complete(self):
        unset = set(self._types) - set(self.places)
        if unset:
            raise Misuse(f"{unset} are not bound")
        return dict(self.places)
