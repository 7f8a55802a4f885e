"""What a run will take of the device's memory, known before any of it is taken."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wetgen.runtime.engines.device_graph import aligned, nbytes
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.graphs import DEEP, Graph, Tensor, denoises

SETS = 2  # of buffers: one is computed with while the other is filled and read
EMBEDDING_BYTES = 16 * 2**20  # kept on the device for prompts that come again
_SPARE = 64 * 2**20  # CUDA's own: modules, the recorded sequence's nodes


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes by what they are for. On an integrated GPU pinned memory comes out of the device's, elsewhere it does not.

    What a batch adds is in `buffers`, `scratch` and `pinned`; weights stay the same.
    """

    weights: int
    scratch: int
    buffers: int
    pinned: int
    integrated: bool

    @property
    def needed(self) -> int:
        """What must be free on the device."""
        return self.weights + self.scratch + self.buffers + _SPARE + (self.pinned if self.integrated else 0)

    def text(self, free: int) -> str:
        """The plan in one line."""
        parts = {"weights": self.weights, "activations": self.scratch, "buffers": self.buffers, "pinned": self.pinned}
        listed = ", ".join(f"{name} {_mib(size)}" for name, size in parts.items())
        return f"memory: {listed}; {_mib(self.needed)} of the {_mib(free)} that are free"

    def check(self, free: int, batch: int) -> None:
        """Raise WetgenError unless it fits into `free` bytes."""
        if self.needed <= free:
            return
        smaller = f"use a --batch smaller than {batch}, or " if batch > 1 else ""
        shared = " (on this board the GPU shares the machine's memory)" if self.integrated else ""
        raise WetgenError(
            f"A batch of {batch} does not fit into the GPU's memory.",
            why=f"{self.text(free)}{shared}.",
            fix=f"{smaller}close what else uses the memory"
            f"{': stop the desktop with `sudo init 3`' if self.integrated else ''}.",
        )


def plan_memory(
    graphs: Mapping[str, Graph],
    batch: int,
    steps: int,
    *,
    weights: Mapping[str, int],
    scratch: Mapping[str, int],
    integrated: bool,
) -> MemoryPlan:
    """The plan for a batch and a number of sampling steps; `weights` and `scratch` are bytes by graph.

    The denoisers and the decoder work one after the other and share scratch memory; any other graph has its own. What
    holds embeddings and deep features is counted for a plan with every kind of step that there is a graph for.
    """
    turns = [name for name in scratch if name == "decode" or denoises(name)]
    shared = max(scratch[name] for name in turns)
    own = sum(size for name, size in scratch.items() if name not in turns)
    denoise, decode = [graph for name, graph in graphs.items() if denoises(name)], graphs["decode"]
    latent = aligned(nbytes(decode.inputs[0], batch))
    tokens, embedding = graphs["text"].inputs[0], graphs["text"].outputs[0]
    outputs = _sum(decode.outputs, batch)
    fed = SETS * (2 * latent + _sum(_named(denoise, "embedding"), batch) + outputs)
    fed += SETS * 2 * batch * aligned(nbytes(tokens, 1))
    told = _named(denoise, "conditioning") | _named(denoise, "guidance")
    fed += SETS * _sum(told, batch)
    constant = steps * aligned(4)
    deep = max((aligned(nbytes(tensor, batch)) for tensor in _named(denoise, DEEP)), default=0)
    cache = embedding_slots(embedding) * aligned(nbytes(embedding, 1))
    pinned = SETS * (2 * latent + outputs + _sum(told, batch) + 2 * batch * nbytes(tokens, 1))
    return MemoryPlan(sum(weights.values()), shared + own, fed + constant + deep + cache, pinned, integrated)


def embedding_slots(embedding: Tensor) -> int:
    """How many prompts' embeddings are kept on the device: two at least, the negative's and one more."""
    return max(2, EMBEDDING_BYTES // aligned(nbytes(embedding, 1)))


def _named(graphs: Iterable[Graph], name: str) -> set[Tensor]:
    """The tensors of that name that these graphs take, equal ones once."""
    return {tensor for graph in graphs for tensor in graph.inputs if tensor.name == name}


def _sum(tensors: Iterable[Tensor], batch: int) -> int:
    return sum(aligned(nbytes(tensor, batch)) for tensor in tensors)


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
