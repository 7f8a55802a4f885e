"""Whether an engine computes what its graph says: TensorRT against ONNX Runtime on the CPU, same graph, same inputs.

This finds engines that are wrong (a transposed attention, a lost residual), not rounding: that is measured at export,
over whole trajectories. Needs no torch, so it runs on a Jetson too.

Whether an engine computes in the precision that the bundle states, layer by layer.

Strongly typed networks take precision from the graph, so a layer in float32 means that the graph was exported wrongly
or that a TensorRT changed it behind our back; both have happened elsewhere, without a word and at half the speed.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.graphs import Array, Graph
from wetgen.runtime.bundle.manifest import TargetGraphs
from wetgen.runtime.bundle.tokenizer import PromptTokenizer
from wetgen.runtime.engines import cuda, open_engine
from wetgen.runtime.engines.device_graph import HostFed
from wetgen.runtime.engines.load import EngineFile
from wetgen.runtime.errors import WetgenError

if TYPE_CHECKING:
    import tensorrt as trt

# Both round to float16 between a hundred layers, each time by 2^-11 at most, and sum in different orders: 0.02 at worst
# if all of it added up. An engine that computes something else is off by the size of the result itself.
LARGEST_ERROR = 0.05
LARGEST_DISAGREEMENT = 0.05  # share of class ids: random latents have many pixels between two classes

_PROMPT = "a dark stain on a wet wall"


@dataclass(frozen=True)
class EngineComparison:
    """The largest relative error (root of summed squares) over outputs of numbers and of levels, and the largest share
    of class ids that differ."""

    graph: str
    batch: int
    error: float
    disagreement: float

    @property
    def good(self) -> bool:
        return self.error <= LARGEST_ERROR and self.disagreement <= LARGEST_DISAGREEMENT

    def __str__(self) -> str:
        return f"{self.graph}, batch {self.batch}: relative error {self.error:.2g}, class ids {self.disagreement:.2%}"


def compare_engine(bundle: Bundle, held: TargetGraphs, name: str, batch: int, version: str) -> EngineComparison:
    """Run an engine and ONNX Runtime once. Raises WetgenError when they do not compute the same."""
    graph = bundle.graphs[name]
    feed = example_feed(bundle, graph, batch)
    expected = open_engine(graph, held.files[name], device="cpu", batch=batch).run(feed)
    gpu = cuda.current_gpu()
    engine = HostFed(lambda _: EngineFile.of(bundle, held, name, batch, version, gpu).load())
    try:
        made = engine.run(feed)
    finally:
        engine.close()
    found = EngineComparison(name, batch, *_differences(made, expected))
    if not found.good:
        raise WetgenError(
            f"The engine of {found}.",
            why=f"ONNX Runtime computes something else from the same graph and inputs; {LARGEST_ERROR} and "
            f"{LARGEST_DISAGREEMENT:.0%} are allowed.",
            fix="do not use it: build with another TensorRT version, and report this with what `wetgen doctor` says.",
        )
    return found


def example_feed(bundle: Bundle, graph: Graph, batch: int) -> dict[str, Array]:
    """Inputs that the graph may meet: noise, a prompt, the first step of the plans."""
    rng = np.random.default_rng(0)
    tokenizer = PromptTokenizer(bundle.tokenizer_file, bundle.sizes.tokens)

    def example(name: str, sizes: tuple[int, ...], dtype: str) -> Array:
        if name == "token_ids":
            return np.repeat(tokenizer.encode([_PROMPT], truncate=True), sizes[0], axis=0)
        if name == "guidance":
            return np.full(sizes, bundle.default_guidance, np.float32)
        if dtype == "float32":
            return rng.standard_normal(sizes).astype(np.float32)
        return rng.integers(0, 256, sizes).astype(dtype) if dtype == "uint8" else np.zeros(sizes, dtype)

    return {tensor.name: example(tensor.name, tensor.sizes(batch), tensor.dtype) for tensor in graph.inputs}


def _differences(made: dict[str, Array], expected: dict[str, Array]) -> tuple[float, float]:
    """The largest relative error, and the largest share of class ids that differ; not finite counts as infinite."""
    errors, shares = [0.0], [0.0]
    for name, wanted in expected.items():
        if name == "mask":
            shares.append(float((made[name] != wanted).mean()))
        else:
            errors.append(_relative(made[name].astype(np.float64), wanted.astype(np.float64)))
    return max(errors), max(shares)


def _relative(made: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    if not np.isfinite(made).all():
        return float("inf")
    size = float(np.sqrt((wanted**2).sum()))
    difference = float(np.sqrt(((made - wanted) ** 2).sum()))
    return difference / size if size else difference


_ONNX_LAYER = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
_HALF = re.compile(r"FP16|Half|BF16|BFloat16", re.IGNORECASE)
_FLOAT = re.compile(r"FP32|\bFloat\b", re.IGNORECASE)
_SHOWN = 5


@dataclass(frozen=True)
class NetworkLayers:
    """The layers of a parsed network that do the computing (convolutions, matrix products), by their type.

    `casts` change the type on purpose; an engine layer that holds one may have both types at its border.
    """

    half: frozenset[str]
    single: frozenset[str]
    casts: frozenset[str]


def network_layers(network: "trt.INetworkDefinition") -> NetworkLayers:
    """The computing layers of a network after parsing."""
    import tensorrt as trt

    kinds = (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION, trt.LayerType.MATRIX_MULTIPLY)
    half: set[str] = set()
    single: set[str] = set()
    casts: set[str] = set()
    for place in range(network.num_layers):
        layer = network.get_layer(place)
        if layer.type == trt.LayerType.CAST:
            casts.add(layer.name)
        if layer.type in kinds:
            narrow = layer.get_output(0).dtype in (trt.DataType.HALF, trt.DataType.BF16)
            (half if narrow else single).add(layer.name)
    return NetworkLayers(frozenset(half), frozenset(single), frozenset(casts))


def check_network(layers: NetworkLayers, precision: Mapping[str, Any], name: str) -> None:
    """Raise WetgenError when the graph is not of the precision that its bundle states."""
    stated = precision.get("compute")
    if stated not in ("float16", "bfloat16"):
        return
    islands = precision.get("islands", {})
    if layers.single and not (islands and layers.half):
        raise WetgenError(
            f"{name} computes in float32 where the bundle states {stated}: {_listed(layers.single)}.",
            why="the graph's own types say so, and TensorRT takes them as they are.",
            fix="export the bundle again with the installed wetgen-export.",
        )


def check_engine_layers(information: str, layers: NetworkLayers, name: str) -> int:
    """Check an engine inspector's JSON; gives how many computing layers it showed the types of.

    Raises WetgenError for a layer that the network has in float16 and that the engine runs in float32.
    """
    checked, wrong = 0, []
    for layer in _inspected(information):
        inside = _names_in(layer)
        halves = inside & layers.half
        if not halves or inside & layers.casts or "ForeignNode" in str(layer.get("Name")):
            continue
        types = list(_types(layer))
        checked += bool(types)
        if types and not any(_HALF.search(type) for type in types) and any(_FLOAT.search(type) for type in types):
            wrong += sorted(halves)
    if wrong:
        raise WetgenError(
            f"TensorRT built {name} with layers in float32 that are float16 in the graph: {_listed(wrong)}.",
            why="this TensorRT does not keep the graph's types; the engine would be slow without saying so.",
            fix="use another TensorRT version, and report this with the output of `wetgen doctor`.",
        )
    return checked


def _inspected(information: str) -> Iterator[Mapping[str, Any]]:
    """The layers of the inspector's JSON that come with details."""
    try:
        stated = json.loads(information)
    except ValueError:
        return
    for layer in stated.get("Layers", []) if isinstance(stated, dict) else []:
        if isinstance(layer, dict):
            yield layer


def _names_in(layer: Mapping[str, Any]) -> set[str]:
    """The network's layers that an engine layer was fused from."""
    return {*str(layer.get("Name", "")).split(" + "), *_ONNX_LAYER.findall(str(layer.get("Metadata", "")))}


def _types(layer: Mapping[str, Any]) -> Iterator[str]:
    """The formats of what goes in and out; the key's name changed between versions."""
    for tensor in (*layer.get("Inputs", []), *layer.get("Outputs", [])):
        if isinstance(tensor, dict):
            for key in ("Format/Datatype", "Format", "Datatype"):
                if key in tensor:
                    yield str(tensor[key])


def _listed(names: "list[str] | frozenset[str]") -> str:
    shown = sorted(names)[:_SHOWN]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")
