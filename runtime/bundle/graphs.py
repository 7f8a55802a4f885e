"""The contract of every graph, written once: torch wrappers, ONNX export, engines and tests derive from it.

Also the sampling plans, which say in what order the denoise graphs run. A step of a plan is affine in the latent, in
the network's prediction and in what the step before kept, so it is a few numbers. `advance` is that formula, and `walk`
is the loop over a plan's steps; whatever walks a plan does it with these two.

Axes: B pairs, C latent channels, h w latent size, H W image size, T tokens, E text width (all
that the denoiser's attentions see of a prompt, side by side), Cc conditioning channels.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, cast, get_args

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.errors import WetgenError

Array = NDArray[np.generic]

DENOISE = "denoise"  # what the names of all graphs that run sampling steps begin with
JUDGE = "judge"  # the one graph that a bundle may lack

LATENT = "latent"
CLEAN = "clean"  # x0 as the step before predicted it
DEEP = "deep_features"
AFTER = "_after"  # an output NAME_after of a step's graph is the input NAME of the next step's

Cache = Literal["none", "store", "reuse"]
"""What a step does with deep features, which enter the last up block of the UNet (DeepCache, Ma et al. 2024).

A step that stores gives its own; one that reuses takes those of an earlier step and runs only the blocks around them.
"""


class StepKind(NamedTuple):
    """How a step is computed. Steps of one kind run on the same graph.

    A guided step runs both halves of classifier-free guidance, an unguided one the prompt's half alone. One of a
    multistep solver also looks at the x0 that the step before it predicted.
    """

    guided: bool = True
    cache: Cache = "none"
    multistep: bool = False

    @property
    def takes(self) -> tuple[str, ...]:
        """What a step takes from the steps before it, as its graph's inputs are named."""
        return (LATENT, *((CLEAN,) if self.multistep else ()), *((DEEP,) if self.cache == "reuse" else ()))

    @property
    def gives(self) -> tuple[str, ...]:
        """What a step gives to the steps after it, as its graph's outputs are named."""
        clean = (CLEAN + AFTER,) if self.multistep else ()
        return (LATENT + AFTER, *clean, *((DEEP,) if self.cache == "store" else ()))

    @property
    def kept(self) -> tuple[str, ...]:
        """The tensors that are kept between steps beside the latent, as the graph's inputs and outputs are named."""
        return (*self.takes[1:], *self.gives[1:])

    @property
    def name(self) -> str:
        """The name in bundle.json, which is also a part of the graph's name."""
        cached = {"none": "", "store": "_keep", "reuse": "_reuse"}[self.cache]
        return f"{'guided' if self.guided else 'unguided'}{'_multistep' if self.multistep else ''}{cached}"

    @classmethod
    def named(cls, name: str) -> "StepKind":
        """The kind of a name; raises ValueError for a name that no kind has."""
        for kind in KINDS:
            if kind.name == name:
                return kind
        raise ValueError(f"a step is of the kind '{name}'; there are {', '.join(kind.name for kind in KINDS)}")


GUIDED = StepKind()
KINDS = tuple(
    StepKind(guided, cache, multistep)
    for multistep, guided, cache in product((False, True), (True, False), get_args(Cache))
)


COEFFICIENTS = ("keep", "push", "pull", "clean_keep", "clean_push")  # the numbers of a step that `advance` needs


class Step(NamedTuple):
    """One call of the denoiser, and the coefficients of the update behind it."""

    timestep: int
    keep: float
    push: float
    guided: bool = True
    cache: Cache = "none"
    multistep: bool = False
    pull: float = 0.0  # of the x0 predicted before
    clean_keep: float = 0.0  # x0 = clean_keep * x + clean_push * prediction
    clean_push: float = 0.0

    @property
    def kind(self) -> StepKind:
        return StepKind(self.guided, self.cache, self.multistep)

    def to_json(self) -> dict[str, object]:
        """The step as stored in bundle.json."""
        names = COEFFICIENTS if self.multistep else COEFFICIENTS[:2]
        return {"timestep": self.timestep, **{name: getattr(self, name) for name in names}, "kind": self.kind.name}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Step":
        """Read a step of bundle.json; raises KeyError, TypeError or ValueError for something else."""
        numbers = {name: value for name, value in data.items() if name != "kind"}
        return cls(**numbers, **StepKind.named(data.get("kind", "guided"))._asdict())


@dataclass(frozen=True)
class Plan:
    """A named, static list of sampling steps; `first_row` is where its steps begin in the denoise graphs' tables.

    Raises WetgenError for a list that no sampler can walk: one without steps, or with a step that reuses features which
    no step before it stored.
    """

    name: str
    first_row: int
    steps: tuple[Step, ...]

    @classmethod
    def from_json(cls, name: str, data: Mapping[str, Any]) -> "Plan":
        """Read a plan of bundle.json; raises KeyError, TypeError or ValueError for something else."""
        return cls(name, int(data["first_row"]), tuple(map(Step.from_json, data["steps"])))

    def __post_init__(self) -> None:
        if not self.steps:
            raise self._bad("it has no steps")
        stored = "none"
        for i, step in enumerate(self.steps):
            half = StepKind(step.guided).name
            if step.cache == "reuse" and stored != half:
                raise self._bad(f"step {i} is {half} and reuses deep features; those stored last are {stored}")
            stored = half if step.cache == "store" else stored

    def _bad(self, why: str) -> WetgenError:
        return WetgenError(
            f"The plan '{self.name}' cannot be walked.", why=f"{why}.", fix="export the bundle again with another plan."
        )

    @property
    def kinds(self) -> tuple[StepKind, ...]:
        """The kinds of its steps, once each, in the order of KINDS."""
        found = {step.kind for step in self.steps}
        return tuple(kind for kind in KINDS if kind in found)

    @property
    def guided(self) -> bool:
        """Whether any step is: without one, neither the negative prompt nor its embedding has a part in it."""
        return any(step.guided for step in self.steps)

    @property
    def rows(self) -> range:
        """The value of the graph's `step` input, step by step."""
        return range(self.first_row, self.first_row + len(self.steps))


X = TypeVar("X")


def advance(step: Step, given: Mapping[str, X], prediction: X) -> dict[str, X]:
    """The update behind a step's prediction, for numpy arrays and torch tensors alike.

    `given` holds what the step takes. Returns what it gives, deep features aside.
    """
    x, predicted = cast(Any, given[LATENT]), cast(Any, prediction)
    after = step.keep * x + step.push * predicted
    if not step.multistep:
        return {LATENT + AFTER: after}
    before = cast(Any, given[CLEAN])
    return {
        LATENT + AFTER: after + step.pull * before,
        CLEAN + AFTER: step.clean_keep * x + step.clean_push * predicted,
    }


def walk(steps: Sequence[Step], noise: X, run: Callable[[int, Step, dict[str, X]], Mapping[str, X]]) -> Iterator[X]:
    """Take the steps of a plan one after the other, from noise; yields the latent after each.

    `run` computes a step: its number in the plan and what it takes go in, what it gives comes out. A latent may be
    anything that `run` knows how to handle: an array, a list of them, an address on a device.
    """
    state = {LATENT: noise, CLEAN: noise}  # there is no x0 before the first step, which gives it no weight
    for i, step in enumerate(steps):
        made = run(i, step, {name: state[name] for name in step.kind.takes})
        state |= {name.removesuffix(AFTER): made[name] for name in step.kind.gives}
        yield state[LATENT]


def kinds_of(plans: Iterable[Plan]) -> tuple[StepKind, ...]:
    """The kinds of steps of all these plans, once each, in the order of KINDS."""
    found = {kind for plan in plans for kind in plan.kinds}
    return tuple(kind for kind in KINDS if kind in found)


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
        return {
            end: [{**asdict(tensor), "shape": list(tensor.shape)} for tensor in tensors]
            for end, tensors in (("inputs", self.inputs), ("outputs", self.outputs))
        }


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


CHANGED = "bundle.json was changed, or another version of wetgen wrote it."


def check_declared(graphs: Mapping[str, Graph], stated: Mapping[str, object], folder: Path) -> None:
    """Raise unless the "graphs" of the bundle.json in a folder are those that this runtime feeds."""
    for name, graph in graphs.items():
        if stated.get(name) != graph.to_json():
            raise WetgenError(
                f"Graph '{name}' of {folder} does not have the tensors its sizes call for.",
                why=CHANGED,
                fix="export the bundle again with the installed wetgen-export.",
            )
