"""What runs a graph. A device that cannot run it is never replaced by another.

It imports bundle and the ground files. Start with `open_engine`, which gives an engine that is fed with arrays; load.py
puts a bundle's graphs on a GPU's own memory.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from wetgen.runtime.bundle.graphs import Array, Graph
from wetgen.runtime.errors import WetgenError


class Engine(Protocol):
    """A loaded graph at one batch size."""

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name; `feed` must match the graph's declaration."""


def open_engine(graph: Graph, path: Path, *, device: str, batch: int, threads: int | None = None) -> Engine:
    """Load a graph on a device, at a fixed batch. Raises WetgenError when that device cannot run it here."""
    if device == "tensorrt":
        raise WetgenError(
            f"{path.name} cannot run on tensorrt as it is.",
            why="TensorRT runs engines, which are built for one GPU and one batch.",
            fix="build them with `wetgen build`, then: wetgen run --device tensorrt",
        )
    from wetgen.runtime.engines.ort import OrtEngine

    return OrtEngine(graph, path, device=device, batch=batch, threads=threads)
