"""Every call of a graph while a block runs: which, at which row of the plans' tables, from when to when."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from wetgen.runtime.bundle.graphs import Array
from wetgen.runtime.engines.ort import OrtEngine


class Call(NamedTuple):
    """One call. Times are those of `time.perf_counter`; `row` is the value of the graph's `step` input, else None."""

    graph: str
    row: int | None
    began: float
    ended: float


@contextmanager
def watched() -> Iterator[list[Call]]:
    """A list that grows by one for every call of an ONNX Runtime engine fed from the host.

    Graphs on a GPU's own memory are not seen: they are put on a stream, or recorded as one CUDA graph, and the host
    does not know when one ends.
    """
    seen: list[Call] = []
    run = OrtEngine.run

    def timed(engine: OrtEngine, feed: Mapping[str, Array]) -> dict[str, Array]:
        began = time.perf_counter()
        outputs = run(engine, feed)
        ended = time.perf_counter()
        row = int(feed["step"].item()) if "step" in feed else None
        seen.append(Call(engine.graph.name, row, began, ended))
        return outputs

    OrtEngine.run = timed  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        OrtEngine.run = run  # type: ignore[method-assign]
