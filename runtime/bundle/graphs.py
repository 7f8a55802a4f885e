"""The contract of every graph, written once: torch wrappers, ONNX export, engines and tests derive from it.

Axes: B pairs, C latent channels, h w latent size, H W image size, T tokens, E text width (all
that the denoiser's attentions see of a prompt, side by side), Cc conditioning channels.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.schedule import AFTER, CLEAN, DEEP, GUIDED, KINDS, LATENT, StepKind
from wetgen.runtime.errors import WetgenError

Array = NDArray[np.generic]

DENOISE = "denoise"  # what the names of all graphs that run sampling steps begin with
JUDGE = "judge"  # the one graph that a bundle may lack


@dataclass(frozen=True)
class Tensor:
    """A named array of fixed dtype; an axis is a number, "B" (the batch) or "2B" (uncond and cond halves)."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"

    def sizes(self, batch: int) -> tuple[int, ...]:
        """The shape at a given batch."""
        return tuple({"B": batch, "2B": 2 * batch}[axis] if isinstance(axis, str) else axis for axis in self.shape)

    def nbytes(self, batch: int) -> int:
        """The size in bytes at a given batch."""
        return int(np.prod(self.sizes(batch))) * np.dtype(self.dtype).itemsize

    def check(self, array: Array, batch: int) -> None:
        """Raise unless the array has exactly this shape and dtype."""
        if array.shape != self.sizes(batch) or array.dtype != np.dtype(self.dtype):
            raise WetgenError(
                f"'{self.name}' has shape {array.shape} and dtype {array.dtype}.",
                why=f"the graph takes {self.sizes(batch)} and {self.dtype}.",
                fix="use a bundle and an engine of the same export.",
            )


@dataclass(frozen=True)
class Graph:
    """A graph's inputs and outputs, in the order of its torch wrapper's `forward`."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def check(self, feed: Mapping[str, Array], batch: int) -> None:
        """Raise unless `feed` is exactly what the graph takes."""
        names = [tensor.name for tensor in self.inputs]
        if sorted(feed) != sorted(names):
            raise WetgenError(
                f"Graph '{self.name}' was given {', '.join(sorted(feed))}.",
                why=f"it takes {', '.join(names)}.",
                fix="use a bundle and an engine of the same export.",
            )
        for tensor in self.inputs:
            tensor.check(feed[tensor.name], batch)

    def to_json(self) -> dict[str, object]:
        """The declaration as stored in bundle.json."""
        return {"inputs": [asdict(t) for t in self.inputs], "outputs": [asdict(t) for t in self.outputs]}


@dataclass(frozen=True)
class Sizes:
    """Every size the graphs share. `classes` is 0 for a generator that draws images without masks."""

    height: int
    width: int
    latent_channels: int
    latent_height: int
    latent_width: int
    tokens: int
    text_width: int
    classes: int
    conditioning_channels: int  # class layout + known latent + known map, or 0
    deep_channels: int = 0  # of the denoiser's deep features, which have the latent's size; 0: it has none to reuse

    @property
    def latent(self) -> tuple[int, int, int]:
        """(C, h, w) of one pair."""
        return (self.latent_channels, self.latent_height, self.latent_width)

    @property
    def stride(self) -> tuple[int, int]:
        """Rows and columns of a picture to one cell of its latent."""
        return self.height // self.latent_height, self.width // self.latent_width

    def pixels(self, cells: tuple[int, int] | None) -> tuple[int, int]:
        """(H, W) of the picture of a latent of (h, w) cells, None for that of the graphs."""
        rows, columns = self.stride
        return (self.height, self.width) if cells is None else (cells[0] * rows, cells[1] * columns)


def text_graph(sizes: Sizes) -> Graph:
    """Token ids to all that a denoiser's steps need of a prompt: the keys and values of its attentions to the text."""
    return Graph(
        "text",
        (Tensor("token_ids", ("B", sizes.tokens), "int32"),),
        (Tensor("embedding", ("B", sizes.tokens, sizes.text_width)),),
    )


def denoise_name(kind: StepKind) -> str:
    """The name of the graph that runs the steps of a kind."""
    return DENOISE if kind == GUIDED else f"{DENOISE}_{kind.name}"


def kind_of(name: str) -> StepKind:
    """The kind of the steps that the graph of a name runs."""
    return next(kind for kind in KINDS if denoise_name(kind) == name)


def denoises(name: str) -> bool:
    """Whether a graph of that name runs sampling steps."""
    return name in {denoise_name(kind) for kind in KINDS}


def denoise_graph(sizes: Sizes, kind: StepKind = GUIDED) -> Graph:
    """One sampling step: guidance, the network and the DDIM update. `step` is the row of the plans' tables.

    An unguided step takes the prompts' embeddings only, and `guidance`, which is an input of the network where guidance
    was distilled into it and without effect elsewhere. `deep_features` go out of a step that stores them and into one
    that reuses them.
    """
    conditioning = (sizes.conditioning_channels, sizes.latent_height, sizes.latent_width)
    rows = "2B" if kind.guided else "B"
    latent = ("B", *sizes.latent)
    between = {
        **{name: Tensor(name, latent) for name in (LATENT, LATENT + AFTER, CLEAN, CLEAN + AFTER)},
        DEEP: Tensor(DEEP, (rows, sizes.deep_channels, sizes.latent_height, sizes.latent_width)),
    }
    return Graph(
        denoise_name(kind),
        (
            between[LATENT],
            Tensor("embedding", (rows, sizes.tokens, sizes.text_width)),
            *([Tensor("conditioning", ("B", *conditioning))] if sizes.conditioning_channels else []),
            *(between[name] for name in kind.takes if name != LATENT),
            Tensor("step", (1,), "int32"),
            Tensor("guidance", ("B",)),
        ),
        tuple(between[name] for name in kind.gives),
    )


def kept_tensors(graphs: Iterable[Graph], batch: int) -> dict[str, int]:
    """By name the tensors that denoise graphs keep between steps beside the latent, each at its largest, in bytes."""
    sizes: dict[str, int] = {}
    for graph in graphs:
        for tensor in (*graph.inputs, *graph.outputs):
            if tensor.name in kind_of(graph.name).kept:
                sizes[tensor.name] = max(sizes.get(tensor.name, 0), tensor.nbytes(batch))
    return sizes


def decode_graph(sizes: Sizes) -> Graph:
    """Latent to bytes: picture, mask of class ids, and the probability of the chosen class in 255ths."""
    image = Tensor("image", ("B", sizes.height, sizes.width, 3), "uint8")
    labels = [Tensor(name, ("B", sizes.height, sizes.width), "uint8") for name in ("mask", "confidence")]
    return Graph("decode", (Tensor("latent", ("B", *sizes.latent)),), (image, *(labels if sizes.classes else [])))


def encode_graph(sizes: Sizes) -> Graph:
    """A photograph and its mask to the latent that the denoiser knows them by."""
    image = Tensor("image", ("B", sizes.height, sizes.width, 3), "uint8")
    mask = [Tensor("mask", ("B", sizes.height, sizes.width), "uint8")] if sizes.classes else []
    return Graph("encode", (image, *mask), (Tensor("latent", ("B", *sizes.latent)),))


def judge_graph(sizes: Sizes) -> Graph:
    """A picture to the class ids that a segmenter of real photographs sees in it, and how sure it is in 255ths."""
    seen = [Tensor(name, ("B", sizes.height, sizes.width), "uint8") for name in ("mask", "confidence")]
    return Graph(JUDGE, (Tensor("image", ("B", sizes.height, sizes.width, 3), "uint8"),), tuple(seen))


def graphs_of(sizes: Sizes, *, kinds: Sequence[StepKind] = (GUIDED,), judge: bool = False) -> dict[str, Graph]:
    """The graphs of a bundle whose plans have steps of these kinds, by name, and the judge where it has one."""
    denoise = [denoise_graph(sizes, kind) for kind in kinds]
    graphs = (text_graph(sizes), *denoise, decode_graph(sizes), encode_graph(sizes))
    return {graph.name: graph for graph in (*graphs, *([judge_graph(sizes)] if judge else []))}
