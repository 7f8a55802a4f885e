"""A wrapper to an ONNX file that holds nothing but standard operators, and the check that it does."""

import ast
import inspect
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx_ir as ir
import torch
from torch import nn

import onnx
from wetgen.export.graphs.wrappers import shown
from wetgen.export.onnx.types import mistyped, types_of
from wetgen.export.onnx.weights import WeightStore
from wetgen.export.onnx.weights import size as weight_bytes
from wetgen.runtime.bundle.graphs import Graph, Tensor
from wetgen.runtime.errors import WetgenError

Weights = Literal["float32", "float16"]

# Of graphs for any ONNX engine: the first opset with Gelu, which opset 18 spells in four operators. From opset 21 on
# normalisation is exported as GroupNormalization, which ONNX Runtime's CPU provider has no kernel for and takes apart.
OPSET = 20

LARGEST_FILE = 1_900_000_000  # a protobuf file ends at 2 GiB; beyond this the weights stand in files of their own

_BATCH = 2  # of the traced example; a batch of 1 would be taken for a constant
_SMALLEST_HALVED = 256  # smaller tensors (biases, scales, shapes) save nothing as float16

_Axes = list[int | str]


@dataclass(frozen=True)
class Written:
    """A graph on disk: its file, and the names of the files beside it in which weights of it stand."""

    path: Path
    weights: tuple[str, ...] = ()


def export(
    module: nn.Module,
    graph: Graph,
    path: Path,
    weights: Weights = "float32",
    *,
    opset: int = OPSET,
    store: WeightStore | None = None,
    scopes: bool = False,
) -> Written:
    """Write the graph of a wrapper to `path` and check it.

    Weights go into `store`, and where a graph is too large for one file into a store of its folder without being asked.
    With `scopes` nodes are named after the torch modules they come from. Raises WetgenError when the file would need
    more than standard ONNX, or does not have the declared tensors.
    """
    names = list(inspect.signature(module.forward).parameters)
    if _takes_any_number(module):
        assert module.graph == graph, f"{type(module).__name__} is of another graph than '{graph.name}'"
    else:
        assert names == [tensor.name for tensor in graph.inputs], f"{type(module).__name__}.forward takes {names}"
    model = _trace(module, graph, opset)
    _name_axes(model, graph)
    _drop_notes(model, scopes)
    if weights == "float16":
        _halve(model, keep=frozenset(name for name, _ in module.named_buffers()))
    if store is None and weight_bytes(model) > LARGEST_FILE:
        store = WeightStore(path.parent)
    shared = () if store is None else tuple(store.move_out(model))
    ir.save(model, path)
    _let_go(model)
    check_file(path, graph)
    return Written(path, shared)


def _trace(module: nn.Module, graph: Graph, opset: int) -> ir.Model:
    batch = torch.export.Dim("B", min=1, max=31)  # only of the trace: the file takes any batch
    axis = {"B": batch, "2B": 2 * batch}
    example = tuple(_example(tensor) for tensor in graph.inputs)
    shapes = tuple({0: axis[t.shape[0]]} if isinstance(t.shape[0], str) else None for t in graph.inputs)
    with _quiet(), torch.no_grad():
        dynamic = (shapes,) if _takes_any_number(module) else shapes  # those of `*tensors` stand together
        program = torch.export.export(module, example, dynamic_shapes=dynamic, strict=False)
        exported = torch.onnx.export(
            program,
            (),
            input_names=[tensor.name for tensor in graph.inputs],
            output_names=[tensor.name for tensor in graph.outputs],
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    assert exported is not None
    return exported.model


def _takes_any_number(module: nn.Module) -> bool:
    """Whether it is called with the inputs of its `graph`, however many these are."""
    parameters = inspect.signature(module.forward).parameters.values()
    return any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)


def _example(tensor: Tensor) -> torch.Tensor:
    return torch.zeros(tensor.sizes(_BATCH), dtype=getattr(torch, tensor.dtype))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says about itself: deprecations inside torch, and operators of packages not used."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for category in (DeprecationWarning, FutureWarning):
                warnings.filterwarnings("ignore", category=category, module=r"(torch|onnxscript|copyreg|diffusers)\b")
            yield
    finally:
        registration.setLevel(level)


def _name_axes(model: ir.Model, graph: Graph) -> None:
    """Give the batch axes their declared names; the exporter calls them s3 and 2*s3, or something else tomorrow."""
    for values, tensors in ((model.graph.inputs, graph.inputs), (model.graph.outputs, graph.outputs)):
        for value, tensor in zip(values, tensors, strict=True):
            axes = zip(_axes(value), tensor.shape, strict=True)
            value.shape = ir.Shape([_named(found, declared) for found, declared in axes])


def _axes(value: ir.Value) -> _Axes:
    return [] if value.shape is None else [d if isinstance(d, int) else str(d.value) for d in value.shape]


def _named(found: int | str, declared: int | str) -> int | str:
    return declared if isinstance(found, str) and isinstance(declared, str) else found


def _drop_notes(model: ir.Model, scopes: bool) -> None:
    """Remove what only the exporter's authors read: module names, traces of source lines, inferred shapes.

    They are a quarter of a small graph, and name paths of the machine that exported it.
    """
    declared = {id(value) for value in (*model.graph.inputs, *model.graph.outputs)}
    for number, node in enumerate(model.graph):
        scope = _scope(node) if scopes else ""
        node.name = f"{scope}/{node.op_type}_{number}" if scope else f"{node.op_type}_{number}"
    for thing in (model, model.graph, *model.graph):
        thing.metadata_props.clear()
        thing.doc_string = None
    for number, node in enumerate(model.graph):
        for place, value in enumerate(node.outputs):
            value.metadata_props.clear()
            if id(value) not in declared:
                # Numbered names: the exporter's can be the same as a declared output's.
                value.name, value.shape, value.type = f"v{number}.{place}", None, None
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()


def _scope(node: ir.Node) -> str:
    """The torch path of the module whose code made the node, as in the checkpoint."""
    written = node.metadata_props.get("pkg.torch.onnx.name_scopes", "[]")
    paths = [path for path in ast.literal_eval(written)[:-1] if path]  # the last is the operator itself
    return shown(paths[-1]) if paths else ""


def _halve(model: ir.Model, keep: frozenset[str]) -> None:
    """Store large weights as float16 with a Cast to float32 behind them, which engines fold when they load.

    Tables (the wrapper's buffers, in `keep`) and values beyond float16's range stay as they are.
    """
    for name, weight in list(model.graph.initializers.items()):
        tensor = weight.const_value
        if name in keep or tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.size < _SMALLEST_HALVED:
            continue
        values = tensor.numpy()
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue
        small = ir.Value(
            name=f"{name}.float16",
            shape=weight.shape,
            type=ir.TensorType(ir.DataType.FLOAT16),
            const_value=ir.tensor(values.astype(np.float16), name=f"{name}.float16"),
        )
        cast = ir.node("Cast", [small], {"to": ir.DataType.FLOAT}, name=f"{name}.float32")
        model.graph.insert_before(model.graph[0], cast)
        weight.replace_all_uses_with(cast.outputs[0])
        del model.graph.initializers[name]
        cast.outputs[0].name = name
        model.graph.initializers.add(small)


def _let_go(model: ir.Model) -> None:
    """Drop the weights: the exporter's rewrite rules remember the last graph they saw, for as long as the process."""
    for weight in model.graph.initializers.values():
        weight.const_value = None
    model.graph.initializers.clear()


def check_file(path: Path, graph: Graph) -> None:
    """Raise WetgenError unless the file is valid, standard ONNX with exactly the declared tensors."""
    try:
        onnx.checker.check_model(str(path))  # by path: a model beyond 2 GiB cannot be checked in memory
    except onnx.checker.ValidationError as error:
        raise _not_fit(graph, f"ONNX's checker says: {error}") from error
    model = onnx.load(str(path), load_external_data=False)
    foreign = sorted({f"{n.domain}.{n.op_type}" for n in nodes_of(model.graph.node) if n.domain not in ("", "ai.onnx")})
    if foreign or model.functions:
        raise _not_fit(graph, f"it holds operators outside standard ONNX: {', '.join(foreign)}")
    (opset,) = (entry.version for entry in model.opset_import)
    wrong = list(mistyped(nodes_of(list(model.graph.node)), types_of(path), opset))
    if wrong:
        raise _not_fit(graph, "; ".join(wrong[:3]))
    for found, declared in ((model.graph.input, graph.inputs), (model.graph.output, graph.outputs)):
        has, wants = [_tensor(value) for value in found], list(declared)
        if has != wants:
            raise _not_fit(graph, f"it has {has} where {wants} are declared")


def nodes_of(nodes: "Iterator[onnx.NodeProto] | list[onnx.NodeProto]") -> Iterator[onnx.NodeProto]:
    """All nodes, those in the branches of control flow included."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from nodes_of(list(inner.node))


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    shape = tuple(axis.dim_param if axis.dim_param else int(axis.dim_value) for axis in kind.shape.dim)
    return Tensor(value.name, shape, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name)


def _not_fit(graph: Graph, why: str) -> WetgenError:
    return WetgenError(
        f"The graph '{graph.name}' was not exported as declared.",
        why=f"{why}.",
        fix="use the package versions that wetgen[export] names; if they are in use, report it with this message.",
    )
