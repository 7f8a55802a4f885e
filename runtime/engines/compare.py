"""Whether an engine computes what its graph says: TensorRT against ONNX Runtime on the CPU, same graph, same inputs.

This finds engines that are wrong (a transposed attention, a lost residual), not rounding: that is measured at export,
over whole trajectories. Needs no torch, so it runs on a Jetson too.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle import Bundle
from wetgen.runtime.engines import cuda, open_engine
from wetgen.runtime.engines.device_graph import HostFed
from wetgen.runtime.engines.load import load_engine
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.graphs import Array, Graph
from wetgen.runtime.target_graphs import TargetGraphs
from wetgen.runtime.tokenizer import PromptTokenizer

# Both round to float16 between a hundred layers, each time by 2^-11 at most, and sum in different orders: 0.02 at worst
# if all of it added up. An engine that computes something else is off by the size of the result itself.
LARGEST_ERROR = 0.05
LARGEST_DISAGREEMENT = 0.05  # share of class ids: random latents have many pixels between two classes

_PROMPT = "a dark stain on a wet wall"


@dataclass(frozen=True)
class Comparison:
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


def compare_engine(bundle: Bundle, held: TargetGraphs, name: str, batch: int, version: str) -> Comparison:
    """Run an engine and ONNX Runtime once. Raises WetgenError when they do not compute the same."""
    graph = bundle.graphs[name]
    feed = example_feed(bundle, graph, batch)
    expected = open_engine(graph, held.files[name], device="cpu", batch=batch).run(feed)
    gpu = cuda.current_gpu()
    engine = HostFed(lambda _: load_engine(bundle, held, name, batch, version, gpu))
    try:
        made = engine.run(feed)
    finally:
        engine.close()
    found = Comparison(name, batch, *_differences(made, expected))
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
