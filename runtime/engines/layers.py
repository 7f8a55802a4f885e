"""Whether an engine computes in the precision that the bundle states, layer by layer.

Strongly typed networks take precision from the graph, so a layer in float32 means that the graph was exported wrongly
or that a TensorRT changed it behind our back; both have happened elsewhere, without a word and at half the speed.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wetgen.runtime.errors import WetgenError

if TYPE_CHECKING:
    import tensorrt as trt

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
