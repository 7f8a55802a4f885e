"""TensorRT of a chosen version over ONNX Runtime's CPU provider and the memory of a `CudaDouble`; see README.md."""

import hashlib
import itertools
import json

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from .cuda_double import ALIGNMENT, Misuse
from .stubs import StubbedModule, enums_of, held_to, trt_stub

MAGIC = b"TRTDOUBLE"
VERSIONS = {"10.3": "10.3.0", "11.4": "11.4.0.106"}


class Crash(BaseException):
    """Where TensorRT would end the process, or hang; not an Exception, so that nothing may catch and hide it."""


class TensorRTDouble:
    """`module` goes into sys.modules.

    What tests may change: `stop_at` (interrupt after that many build steps, by calling it), `workspace_needed` (bytes
    below which no engine is found), `as_float32` (name parts of layers that the engine runs in float32 whatever the
    graph says), `scratch` (bytes an engine wants), `damage` (changes outputs by tensor name before they are written).
    """

    def __init__(self, cuda, version="10.3"):
        self.cuda, self.version = cuda, VERSIONS[version]
        self.stub, self.label = trt_stub(version), f"TensorRT {version}"
        self.on_step = None
        self.workspace_needed, self.as_float32, self.scratch = 0, (), 4096
        self.damage, self.no_types = {}, False
        self.builds, self.caches, self.loads = [], [], []
        self.module = StubbedModule("tensorrt", self.stub, self._contents())

    def _contents(self):
        contents = {"__version__": self.version, **enums_of(self.stub)}
        for name in ("LayerType", "DataType", "TensorIOMode"):
            setattr(self, name, contents[name])
        self.enums = contents
        for make in (_dims, _logging, _monitoring, _parsing, _building, _running):
            contents.update(make(self))
        return contents

    def hold(self, name):
        """The decorator that holds a class to the stub."""
        return held_to(self.stub, name, f"{self.label}'s {name}")


def _dims(double):
    @double.hold("Dims")
    class Dims:
        def __init__(self, shape=()):
            object.__setattr__(self, "_sizes", list(shape))

        def __len__(self):
            return len(self._sizes)

        def __getitem__(self, place):
            return self._sizes[place]

        def __eq__(self, other):
            return self._sizes == list(other)

    double.Dims = Dims
    return {"Dims": Dims}


def _logging(double):
    severity = enums_of_nested(double.stub, "ILogger", "Severity")

    @double.hold("ILogger")
    class ILogger:
        def __init__(self):
            self._ready = True

        def log(self, severity, msg):
            raise NotImplementedError

    ILogger.Severity = severity
    for name in severity.__members__:
        setattr(ILogger, name, severity[name])
    double.ILogger = ILogger
    return {"ILogger": ILogger}


def enums_of_nested(stub, outer, inner):
    """An enumeration that stands inside of a class of the stub."""
    import ast
    from enum import IntEnum

    node = next(n for n in stub.classes[outer].body if isinstance(n, ast.ClassDef) and n.name == inner)
    names = [ast.unparse(m.target) for m in node.body if isinstance(m, ast.AnnAssign)]
    return IntEnum(inner, [name for name in names if not name.startswith("_")], start=0)


def _monitoring(double):
    @double.hold("IProgressMonitor")
    class IProgressMonitor:
        def __init__(self):
            self._ready = True

    double.IProgressMonitor = IProgressMonitor
    return {"IProgressMonitor": IProgressMonitor}


def _parsing(double):
    kinds = {
        "Conv": "CONVOLUTION",
        "ConvTranspose": "DECONVOLUTION",
        "MatMul": "MATRIX_MULTIPLY",
        "Gemm": "MATRIX_MULTIPLY",
        "Cast": "CAST",
    }
    types = {
        TensorProto.FLOAT: "FLOAT",
        TensorProto.FLOAT16: "HALF",
        TensorProto.BFLOAT16: "BF16",
        TensorProto.INT32: "INT32",
        TensorProto.INT64: "INT64",
        TensorProto.UINT8: "UINT8",
        TensorProto.BOOL: "BOOL",
    }

    @double.hold("ITensor")
    class ITensor:
        def __init__(self, network, value):
            self._network, self._value = network, value

        @property
        def name(self):
            return self._value.name

        @property
        def dtype(self):
            return double.DataType[types[self._value.type.tensor_type.elem_type]]

        @property
        def shape(self):
            self._network._infer()
            return double.Dims(_sizes(self._network._found[self.name]))

        @shape.setter
        def shape(self, dims):
            if not isinstance(dims, double.Dims):
                raise TypeError("a shape is a Dims")
            if self.name not in {value.name for value in self._network._model.graph.input}:
                raise Misuse("only a network's inputs take a shape")
            for place, size in enumerate(dims._sizes):
                self._value.type.tensor_type.shape.dim[place].dim_value = size
            self._network._stale = True

    @double.hold("ILayer")
    class ILayer:
        def __init__(self, network, node):
            self._network, self._node = network, node

        @property
        def name(self):
            return self._node.name

        @property
        def type(self):
            return double.LayerType[kinds.get(self._node.op_type, "ELEMENTWISE")]

        def get_output(self, index):
            self._network._infer()
            return ITensor(self._network, self._network._found[self._node.output[index]])

    @double.hold("INetworkDefinition")
    class INetworkDefinition:
        def __init__(self, flags):
            strongly = 1 << int(double.enums["NetworkDefinitionCreationFlag"].STRONGLY_TYPED)
            if flags != strongly:
                raise Misuse("a network that is not strongly typed: its precision would be TensorRT's to choose")
            self._model, self._stale, self._found = None, True, {}

        def _infer(self):
            if self._stale:
                model = onnx.ModelProto()
                model.CopyFrom(self._model)
                del model.graph.value_info[:]
                for value in model.graph.output:
                    for dim in value.type.tensor_type.shape.dim:
                        dim.Clear()
                known = _inferred(model)
                self._found = {v.name: v for v in (*known.input, *known.value_info, *known.output)}
                self._stale = False

        @property
        def num_inputs(self):
            return len(self._model.graph.input)

        @property
        def num_outputs(self):
            return len(self._model.graph.output)

        @property
        def num_layers(self):
            return len(self._model.graph.node)

        def get_input(self, index):
            return ITensor(self, self._model.graph.input[index])

        def get_output(self, index):
            return ITensor(self, self._model.graph.output[index])

        def get_layer(self, index):
            return ILayer(self, self._model.graph.node[index])

    @double.hold("ParserError")
    class ParserError:
        def __init__(self, text):
            self._text = text

        def desc(self):
            return self._text

        def node_name(self):
            return "node"

        def node_operator(self):
            return "Operator"

    @double.hold("OnnxParser")
    class OnnxParser:
        def __init__(self, network, logger):
            if not isinstance(logger, double.ILogger):
                raise TypeError("the logger is no ILogger")
            self._network, self._errors = network, []

        def parse_from_file(self, model):
            try:
                onnx.checker.check_model(model)  # on the path, so that weights outside are looked at too
                parsed = onnx.load(model)
            except Exception as error:
                self._errors.append(str(error).split("\n")[0])
                return False
            for place, node in enumerate(parsed.graph.node):
                node.name = node.name or f"node{place}"
            self._network._model = parsed
            return True

        @property
        def num_errors(self):
            return len(self._errors)

        def get_error(self, index):
            return ParserError(self._errors[index])

    double.Network = INetworkDefinition
    return {"OnnxParser": OnnxParser, "INetworkDefinition": INetworkDefinition}


def _sizes(value):
    shape = value.type.tensor_type.shape
    return [dim.dim_value if dim.HasField("dim_value") else -1 for dim in shape.dim]


def _building(double):
    class IHostMemory(bytes):
        """Bytes do for the buffer protocol, which classes of Python before 3.12 cannot offer."""

    @double.hold("ITimingCache")
    class ITimingCache:
        def __init__(self, entries):
            self._entries = set(entries)

        def combine(self, input_cache, ignore_mismatch):
            self._entries |= input_cache._entries
            return True

        def serialize(self):
            return IHostMemory(json.dumps(sorted(self._entries)).encode())

    @double.hold("IBuilderConfig")
    class IBuilderConfig:
        def __init__(self):
            self._flags = {double.enums["BuilderFlag"].TF32}
            self._limits, self._cache = {}, None
            self.progress_monitor = None

        def set_memory_pool_limit(self, pool, pool_size):
            self._limits[pool] = pool_size

        def set_flag(self, flag):
            self._flags.add(flag)

        def clear_flag(self, flag):
            self._flags.discard(flag)

        def create_timing_cache(self, serialized_timing_cache):
            try:
                entries = json.loads(bytes(serialized_timing_cache) or b"[]")
            except ValueError:
                raise Crash("TensorRT was given a damaged timing cache") from None
            return ITimingCache(entries)

        def set_timing_cache(self, cache, ignore_mismatch):
            if ignore_mismatch:
                raise Misuse("a timing cache of another device is taken for this one's")
            self._cache = cache
            return True

        def get_timing_cache(self):
            return self._cache

    @double.hold("Builder")
    class Builder:
        def __init__(self, logger):
            if not isinstance(logger, double.ILogger) or not getattr(logger, "_ready", False):
                raise TypeError("the logger is no ILogger, or its base class was not initialised")
            self._logger = logger

        def create_network(self, flags=0):
            return double.Network(flags)

        def create_builder_config(self):
            return IBuilderConfig()

        def build_serialized_network(self, network, config):
            return _build(double, self._logger, network, config, IHostMemory)

    return {"Builder": Builder, "IBuilderConfig": IBuilderConfig}


def _build(double, logger, network, config, wrap):
    """An engine's bytes, or None with the reason in the log, as TensorRT does."""
    graph = network._model.graph
    loose = [value.name for value in graph.input if -1 in _sizes(value)]
    if loose:
        logger.log(double.ILogger.ERROR, f"{loose} are dynamic and there is no optimization profile")
        return None
    limit = config._limits.get(double.enums["MemoryPoolType"].WORKSPACE, double.cuda.total)
    monitor = config.progress_monitor
    double.builds.append({"workspace": limit, "flags": set(config._flags), "aux": vars(config).get("max_aux_streams")})
    if not _walk_phases(double, monitor):
        return None
    if limit < double.workspace_needed:
        logger.log(double.ILogger.ERROR, "no tactic fits into the workspace")
        return None
    entry = hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()[:16]
    double.caches.append(entry in config._cache._entries)
    config._cache._entries.add(entry)
    network._infer()
    header = {
        "version": double.version,
        "compatible": double.enums["BuilderFlag"].VERSION_COMPATIBLE in config._flags,
        "capability": [double.cuda.properties.major, double.cuda.properties.minor],
        "multiprocessors": double.cuda.properties.multiProcessorCount,
        "scratch": double.scratch,
        "detailed": vars(config).get("profiling_verbosity") == double.enums["ProfilingVerbosity"].DETAILED,
        "layers": _layers(double, network),
    }
    model = onnx.ModelProto()
    model.CopyFrom(network._model)
    for value in model.graph.output:  # with every size known, as in an engine
        value.CopyFrom(network._found[value.name])
    head, body = json.dumps(header).encode(), model.SerializeToString()
    data = len(head).to_bytes(8, "little") + head + body
    return wrap(MAGIC + hashlib.sha256(data).digest() + data)


def _walk_phases(double, monitor):
    """Report phases as TensorRT does, one inside of another; false when the monitor asks to stop."""
    if monitor is None:
        return True
    assert monitor._ready, "the base class of the monitor was not initialised"
    monitor.phase_start("Building engine", None, 2)
    for step in range(2):
        monitor.phase_start("Tactic selection", "Building engine", 3)
        for inner in range(3):
            if double.on_step is not None:
                double.on_step()
            if not monitor.step_complete("Tactic selection", inner):
                return False
        monitor.phase_finish("Tactic selection")
        if not monitor.step_complete("Building engine", step):
            return False
    monitor.phase_finish("Building engine")
    return True


def _layers(double, network):
    """What the inspector tells of each layer: its name, and the types of what goes in and out."""
    told = []
    for place in range(network.num_layers):
        layer = network.get_layer(place)
        node = network._model.graph.node[place]
        kind = "Row major linear FP32"
        if layer.get_output(0).dtype == double.DataType.HALF and not any(p in layer.name for p in double.as_float32):
            kind = "Row major linear FP16 format"
        tensors = [{"Name": name, **({} if double.no_types else {"Format/Datatype": kind})} for name in node.output]
        told.append({"Name": f"{layer.name} + fused{place}", "LayerType": node.op_type, "Outputs": tensors})
    return told


def _running(double):
    numbers = itertools.count()

    @double.hold("EngineInspector")
    class EngineInspector:
        def __init__(self, header):
            self._header = header

        def get_engine_information(self, format):
            assert format == double.enums["LayerInformationFormat"].JSON
            layers = self._header["layers"] if self._header["detailed"] else [x["Name"] for x in self._header["layers"]]
            return json.dumps({"Layers": layers, "Bindings": []})

    @double.hold("ICudaEngine")
    class ICudaEngine:
        def __init__(self, runtime, header, model):
            self._runtime, self._header, self._model = runtime, header, model
            self._values = [*model.graph.input, *model.graph.output]
            self._by_name = {value.name: value for value in self._values}
            self._inputs = {value.name for value in model.graph.input}

        @property
        def num_io_tensors(self):
            return len(self._values)

        @property
        def num_layers(self):
            return len(self._model.graph.node)

        @property
        def device_memory_size_v2(self):
            return self._header["scratch"]

        def get_tensor_name(self, index):
            return self._values[index].name

        def get_tensor_mode(self, name):
            return double.TensorIOMode["INPUT" if name in self._inputs else "OUTPUT"]

        def get_tensor_shape(self, name):
            return double.Dims(_sizes(self._by_name[name]))

        def get_tensor_dtype(self, name):
            kind = self._by_name[name].type.tensor_type.elem_type
            return double.DataType[
                {TensorProto.FLOAT: "FLOAT", TensorProto.INT32: "INT32", TensorProto.UINT8: "UINT8"}[kind]
            ]

        def create_engine_inspector(self):
            return EngineInspector(self._header)

        def create_execution_context(self, strategy=None):
            managed = strategy == double.enums["ExecutionContextAllocationStrategy"].USER_MANAGED
            return IExecutionContext(self, managed)

    @double.hold("IExecutionContext")
    class IExecutionContext:
        def __init__(self, engine, managed):
            self._engine, self._managed = engine, managed
            self._addresses, self._memory, self._ran = {}, None, False
            self._session = _session(engine._model)

        def set_device_memory(self, memory, size):
            if size < self._engine._header["scratch"]:
                raise Misuse("less scratch memory than the engine wants")
            if memory % ALIGNMENT:
                raise Misuse("scratch memory that is not aligned")
            double.cuda.view(memory, size, "scratch memory")
            self._memory = memory

        def set_tensor_address(self, name, memory):
            if name not in self._engine._by_name:
                raise Misuse(f"the engine has no tensor '{name}'")
            if memory % ALIGNMENT:
                raise Misuse(f"the address of '{name}' is not aligned to {ALIGNMENT} bytes")
            if double.cuda.is_pinned(memory):
                raise Misuse(f"'{name}' is bound to host memory")
            double.cuda.view(memory, _bytes(self._engine._by_name[name]), f"'{name}'")
            self._addresses[name] = memory
            return True

        def execute_async_v3(self, stream_handle):
            return _enqueue(double, self, stream_handle, numbers)

    @double.hold("Runtime")
    class Runtime:
        def __init__(self, logger):
            if not isinstance(logger, double.ILogger):
                raise TypeError("the logger is no ILogger")
            self._logger = logger
            self.engine_host_code_allowed = False

        def deserialize_cuda_engine(self, serialized_engine):
            header, model = _unpack(double, bytes(serialized_engine))
            if header["compatible"] and not self.engine_host_code_allowed:
                self._logger.log(double.ILogger.ERROR, "the engine holds host code, which is not allowed")
                return None
            double.loads.append(model.graph.name)
            return ICudaEngine(self, header, model)

    return {"Runtime": Runtime, "ICudaEngine": ICudaEngine, "IExecutionContext": IExecutionContext}


def _unpack(double, data):
    """The header and the graph of an engine; anything that does not belong here ends the test."""
    start = len(MAGIC) + 32
    digest, body = data[len(MAGIC) : start], data[start:]
    if not data.startswith(MAGIC) or hashlib.sha256(body).digest() != digest:
        raise Crash("TensorRT was given a damaged engine")
    size = int.from_bytes(body[:8], "little")
    header = json.loads(body[8 : 8 + size])
    here = double.cuda.properties
    if header["capability"] != [here.major, here.minor] or header["multiprocessors"] != here.multiProcessorCount:
        raise Crash("TensorRT was given an engine of another GPU")
    if header["version"] != double.version and not header["compatible"]:
        raise Crash("TensorRT was given an engine of another version")
    return header, onnx.load_from_string(body[8 + size :])


def _session(model):
    """ONNX Runtime as wetgen opens it, so that results are equal to the last bit."""
    import onnxruntime

    from wetgen.runtime.engines.ort import session_options

    options = session_options(batch=1, threads=1)
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _inferred(model):
    """The graph with every shape that follows from those of the inputs.

    As TensorRT does it: arithmetic on sizes is computed, not only followed as far as ONNX's inference does. `model` is
    used up.
    """
    done = []
    while True:
        known = shape_inference.infer_shapes(model, data_prop=True).graph
        sizes = {v.name: _sizes(v) for v in (*known.input, *known.value_info, *known.output)}
        fixed = {t.name: t for t in model.graph.initializer if t.data_type in _WHOLE and t.data_location == 0}
        folded = [node for node in model.graph.node if _foldable(node, sizes, fixed)]
        normal = _normalised(model, known)
        if not folded and not normal:
            known.value_info.extend(done)
            return known
        model.graph.value_info.extend(normal)
        for node in folded:
            value = _folded(node, sizes, fixed)
            model.graph.initializer.append(value)
            done.append(onnx.helper.make_tensor_value_info(value.name, value.data_type, value.dims))
            model.graph.node.remove(node)


def _normalised(model, known):
    """The outputs of group norms, whose shape ONNX's inference leaves open: that of their input."""
    values = (*known.input, *known.value_info)
    shown = {v.name: v for v in values if v.type.tensor_type.HasField("shape") and min(_sizes(v), default=0) >= 0}
    found = []
    for node in model.graph.node:
        if node.op_type == "GroupNormalization" and node.input[0] in shown and node.output[0] not in shown:
            found.append(onnx.ValueInfoProto())
            found[-1].CopyFrom(shown[node.input[0]])
            found[-1].name = node.output[0]
    return found


_WHOLE = (TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL)  # what sizes are computed in


def _foldable(node, sizes, fixed):
    if len(node.output) != 1:
        return False
    if node.op_type == "Shape":
        return node.input[0] in sizes and bool(sizes[node.input[0]]) and min(sizes[node.input[0]]) >= 0
    return bool(node.input) and all(not name or name in fixed for name in node.input)


def _folded(node, sizes, fixed):
    if node.op_type == "Shape":
        start = next((a.i for a in node.attribute if a.name == "start"), 0)
        end = next((a.i for a in node.attribute if a.name == "end"), None)
        value = np.array(sizes[node.input[0]][start:end], np.int64)
    else:
        feed = {name: numpy_helper.to_array(fixed[name]) for name in node.input if name}
        (value,) = ReferenceEvaluator(node).run(None, feed)
    return numpy_helper.from_array(np.asarray(value), node.output[0])


def _bytes(value):
    return int(np.prod(_sizes(value))) * _dtype(value).itemsize


def _dtype(value):
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))


def _enqueue(double, context, stream, numbers):
    engine, cuda = context._engine, double.cuda
    unset = sorted(set(engine._by_name) - set(context._addresses))
    if unset:
        raise Misuse(f"no address was set for {unset}")
    if context._managed and context._memory is None:
        raise Misuse("no scratch memory was set")
    capturing = cuda._stream(stream).capturing is not None
    if capturing and not context._ran:
        raise Misuse("an engine is captured before its first run")
    context._ran = True
    addresses, scratch = dict(context._addresses), context._memory
    place = {name: (address, _bytes(engine._by_name[name])) for name, address in addresses.items()}
    reads = [place[name] for name in addresses if name in engine._inputs]
    writes = [place[name] for name in addresses if name not in engine._inputs]
    if context._managed:
        writes.append((scratch, engine._header["scratch"]))

    def array(name):
        value = engine._by_name[name]
        return cuda.view(*place[name], name).view(_dtype(value)).reshape(_sizes(value))

    def run():
        outputs = [value.name for value in engine._model.graph.output]
        feed = {name: array(name).copy() for name in engine._inputs}
        for name, result in zip(outputs, context._session.run(outputs, feed), strict=True):
            array(name)[...] = double.damage.get(name, lambda made: made)(result)
        if context._managed:
            cuda.view(scratch, engine._header["scratch"])[:] = next(numbers) % 251  # nobody else keeps anything there

    cuda.put(stream, f"the engine of '{engine._model.graph.name}'", run, reads, writes)
    return True
