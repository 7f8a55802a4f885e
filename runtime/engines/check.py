"""Checks an engine: whether it computes what its graph says, and in the precision that the bundle states.

The first compares TensorRT with ONNX Runtime on the CPU, with the same graph and inputs. This finds engines that are
wrong (a transposed attention, a lost residual), not rounding: that is measured at export, over whole trajectories.

The second looks at layers. Strongly typed networks take their precision from the graph, so a layer in float32 means
that the graph was exported wrongly or that TensorRT changed it. Both have happened elsewhere, without a message and at
half the speed.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wetgen.runtime.bundle.bundle import Bundle, TargetGraphs
from wetgen.runtime.bundle.graphs import Array, Graph
from wetgen.runtime.bundle.tokenizer import PromptTokenizer
from wetgen.runtime.engines.device_graph import HostFed
from wetgen.runtime.engines.key import EngineFile
from wetgen.runtime.engines.load import load_engine
from wetgen.runtime.engines.ort import open_engine
from wetgen.runtime.errors import WetgenError

if TYPE_CHECKING:
    import tensorrt as trt

# Both round to float16 between a hundred layers, each time by 2^-11 at most, and sum in different orders: 0.02 at worst
# if all of it added up. An engine that computes something else is off by the size of the result itself.
LARGEST_ERROR = 0.05
LARGEST_DISAGREEMENT = 0.05  # share of class ids: random latents have many pixels between two classes

_PROMPT = "a dark stain on a wet wall"


def compare_engine(bundle: Bundle, exported: TargetGraphs, file: EngineFile) -> str:
    """Run an engine and ONNX Runtime once, and return the differences as text.

    Raises WetgenError if the largest relative error of an output (root of summed squares), or the largest share of
    class ids that differ, is too large.
    """
    name, batch = file.key.graph, file.key.batch
    graph = bundle.graphs[name]
    feed = _example_feed(bundle, graph, batch)
    expected = open_engine(graph, exported.files[name], device="cpu", batch=batch).run(feed)
    engine = HostFed(lambda _: load_engine(graph, file))
    try:
        outputs = engine.run(feed)
    finally:
        engine.close()
    masks = [output for output in expected if output == "mask"]
    error = max((_relative_error(outputs[o], expected[o]) for o in expected if o not in masks), default=0.0)
    disagreement = max((float((outputs[o] != expected[o]).mean()) for o in masks), default=0.0)
    found = f"{file.key}: relative error {error:.2g}, class ids {disagreement:.2%}"
    if error > LARGEST_ERROR or disagreement > LARGEST_DISAGREEMENT:
        raise WetgenError(
            f"The engine of {found}.",
            why=f"ONNX Runtime computes something else from the same graph and inputs; {LARGEST_ERROR} and "
            f"{LARGEST_DISAGREEMENT:.0%} are allowed.",
            fix="do not use it: build with another TensorRT version, and report this with what `wetgen doctor` says.",
        )
    return found


def _example_feed(bundle: Bundle, graph: Graph, batch: int) -> dict[str, Array]:
    """Typical inputs of the graph: noise, a prompt, the first step of the plans."""
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


def _relative_error(output: Array, expected: Array) -> float:
    """The norm of the difference by that of `expected`; infinite if the output is not finite."""
    difference = float(np.linalg.norm(output.astype(np.float64) - expected.astype(np.float64)))
    size = float(np.linalg.norm(expected.astype(np.float64)))
    return (difference / size if size else difference) if np.isfinite(difference) else float("inf")


_ONNX_LAYER = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
_HALF = re.compile(r"FP16|Half|BF16|BFloat16", re.IGNORECASE)
_FLOAT = re.compile(r"FP32|\bFloat\b", re.IGNORECASE)
_SHOWN = 5


@dataclass(frozen=True)
class NetworkLayers:
    """The layers of a parsed network that do the computing (convolutions, matrix products), by their type.

    `casts` change the type on purpose; an engine layer that holds one may have both types at its border.
    """

    half: set[str]
    single: set[str]
    casts: set[str]


def network_layers(network: "trt.INetworkDefinition") -> NetworkLayers:
    """The computing layers of a network after parsing."""
    import tensorrt as trt

    kinds = (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION, trt.LayerType.MATRIX_MULTIPLY)
    layers = NetworkLayers(set(), set(), set())
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        if layer.type == trt.LayerType.CAST:
            layers.casts.add(layer.name)
        if layer.type in kinds:
            narrow = layer.get_output(0).dtype in (trt.DataType.HALF, trt.DataType.BF16)
            (layers.half if narrow else layers.single).add(layer.name)
    return layers


def check_network(layers: NetworkLayers, precision: Mapping[str, Any], name: str) -> None:
    """Raise WetgenError if the graph is not of the precision that its bundle states."""
    stated = precision.get("compute")
    if stated not in ("float16", "bfloat16"):
        return
    # Some graphs keep modules in float32 on purpose ("islands"), but never all of them.
    if layers.single and not (precision.get("islands") and layers.half):
        raise WetgenError(
            f"{name} computes in float32 where the bundle states {stated}: {_first_few(layers.single)}.",
            why="the graph's own types say so, and TensorRT takes them as they are.",
            fix="export the bundle again with the installed wetgen-export.",
        )


def check_engine_layers(information: str, layers: NetworkLayers, name: str) -> int:
    """Check an engine inspector's JSON. Returns how many computing layers it showed the types of.

    Raises WetgenError for a layer that the network has in float16 and that the engine runs in float32.
    """
    checked, wrong = 0, []
    for layer in json.loads(information)["Layers"]:
        if isinstance(layer, str):
            continue  # a layer without details
        # The network's layers that this engine layer was fused from.
        inside = {*str(layer.get("Name", "")).split(" + "), *_ONNX_LAYER.findall(str(layer.get("Metadata", "")))}
        halves = inside & layers.half
        if not halves or inside & layers.casts or "ForeignNode" in str(layer.get("Name")):
            continue
        # The key for the type of a tensor changed between versions.
        keys = ("Format/Datatype", "Format", "Datatype")
        tensors = (*layer.get("Inputs", []), *layer.get("Outputs", []))
        types = [str(tensor[key]) for tensor in tensors for key in keys if key in tensor]
        checked += bool(types)
        if types and not any(_HALF.search(type) for type in types) and any(_FLOAT.search(type) for type in types):
            wrong += sorted(halves)
    if wrong:
        raise WetgenError(
            f"TensorRT built {name} with layers in float32 that are float16 in the graph: {_first_few(wrong)}.",
            why="this TensorRT does not keep the graph's types; the engine would be slow without saying so.",
            fix="use another TensorRT version, and report this with the output of `wetgen doctor`.",
        )
    return checked


def _first_few(names: Collection[str]) -> str:
    shown = sorted(names)[:_SHOWN]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")
