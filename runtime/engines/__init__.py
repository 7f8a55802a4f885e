"""What runs a graph. `open_engine` is the one way in; a device that cannot run it is never replaced by another."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.graphs import Array, Graph

DEVICES = ("cpu", "cuda", "tensorrt")


class Engine(Protocol):
    """A loaded graph at one batch size."""

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name; `feed` must match the graph's declaration."""


def open_engine(graph: Graph, path: Path, *, device: str, batch: int, threads: int | None = None) -> Engine:
    """Load a graph on a device, at a fixed batch. Raises WetgenError when that device cannot run it here."""
    if device == "tensorrt":
        raise WetgenError(
            "This bundle cannot run on tensorrt.",
            why="it holds ONNX graphs only; TensorRT runs engine files built for one GPU, and none are in it.",
            fix="use --device cuda on an NVIDIA GPU, or --device cpu.",
        )
    from wetgen.runtime.engines.ort import OrtEngine

    return OrtEngine(graph, path, device=device, batch=batch, threads=threads)
