"""A batch on the host: what a pair is to be (`SampleInputs`), the sampler that draws it, and the `Pair` made of that.

device.py and tiled.py hold the other samplers, for a GPU and for other sizes.

Axes: B pairs of a batch, C channels and h w size of a latent, K classes, H W of a picture, T tokens, E text width.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.graphs import LATENT, Array, Plan, Sizes, Step, StepKind, walk
from wetgen.runtime.bundle.tokenizer import PromptTokenizer
from wetgen.runtime.engines.ort import Engine
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.prompts.text import mentioned_classes

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
T = TypeVar("T")


class SamplingParams(NamedTuple):
    """How a pair is drawn, whatever it shows; its row says so under these names."""

    plan: str
    guidance: float
    negative: str


@dataclass(frozen=True, eq=False)
class Known:
    """A picture that is to stay: its latent float32 (C, h, w), and where it is known, float32 (h, w) of 0 and 1."""

    latent: Floats
    where: Floats


@dataclass(frozen=True, eq=False)
class SampleInputs:
    """One pair that is to be drawn.

    The noise follows from `seed`, `number` and `attempt` alone. `layout` float32 (K, h, w) holds the share of each
    class under every latent cell; None leaves the mask free. `known` None leaves the picture free. `size` is (h, w) of
    the latent in cells; None is that of the bundle's graphs.
    """

    prompt: str
    seed: int
    number: int
    params: SamplingParams
    attempt: int = 0
    layout: Floats | None = None
    known: Known | None = None
    size: tuple[int, int] | None = None
    index: int = 0  # of the pair in its dataset

    def cells(self, sizes: Sizes) -> tuple[int, int]:
        """(h, w) of its latent."""
        return (sizes.latent_height, sizes.latent_width) if self.size is None else self.size

    def noise(self, sizes: Sizes) -> Floats:
        """The starting noise, float32 (C, h, w)."""
        return starting_noise(self.seed, self.number, (sizes.latent_channels, *self.cells(sizes)), self.attempt)

    def conditioning(self, sizes: Sizes) -> Floats:
        """The conditioning tensor float32 (K + C + 1, h, w): layout, known latent, known map; zeros mean "free"."""
        made: Floats = np.zeros((sizes.conditioning_channels, *self.cells(sizes)), np.float32)
        if self.layout is not None:
            made[: sizes.classes] = self.layout
        if self.known is not None:
            made[sizes.classes : -1] = self.known.latent * self.known.where
            made[-1] = self.known.where
        return made


def starting_noise(seed: int, index: int, shape: Sequence[int], attempt: int = 0) -> NDArray[np.float32]:
    """Standard normal noise of `shape`: a pure function of (seed, index, try), whatever the batch or the process.

    It is drawn from Philox (Salmon et al. 2011) keyed by (seed, index). `attempt` counts the tries of one pair. It is
    the highest word of Philox's 256-bit counter, so that the streams of two tries never meet.
    """
    key, counter = np.array([seed, index], dtype=np.uint64), np.array([0, 0, 0, attempt], dtype=np.uint64)
    bits = np.random.Philox(key=key, counter=counter)
    return np.random.Generator(bits).standard_normal(tuple(shape), dtype=np.float32)


def layout_of(mask: Bytes, sizes: Sizes) -> Floats:
    """The layout float32 (K, h, w) of a mask of class ids uint8 (H, W), whose sides are multiples of the latent stride.

    The share of each class under a latent cell, in 255ths: what the denoiser was trained with.
    """
    rows, columns = sizes.stride
    cells = mask.reshape(mask.shape[0] // rows, rows, mask.shape[1] // columns, columns)
    shares = [(cells == class_id).mean((1, 3)) for class_id in range(sizes.classes)]
    made: Floats = (np.round(np.stack(shares) * 255) / 255).astype(np.float32)
    return made


def undamaged(sizes: Sizes, cells: tuple[int, int] | None) -> Floats:
    """The layout float32 (K, h, w) that shows no damage; `cells` (h, w) None is the size of the bundle's graphs."""
    return layout_of(np.zeros(sizes.pixels(cells), np.uint8), sizes)


class Sampler(Protocol):
    """Draws batches of one plan, at a fixed batch size.

    `depth` is how many batches may be under way: with more than one the next is handed over before the last is taken.
    """

    depth: int

    def submit(self, batch: Sequence[SampleInputs]) -> None:
        """Begin a batch of B pairs."""

    def collect(self) -> dict[str, Array]:
        """The oldest batch under way: `latent`, and the decoder's outputs by name."""


@dataclass(frozen=True)
class HostEngines:
    """Engines that are fed with arrays, all of one batch, and `embed`, which gives the embedding (T, E) of a prompt."""

    denoise: Mapping[StepKind, Engine]
    decode: Engine
    encode: Callable[[], Engine]  # loads it at the first call: only photographs need it
    embed: Callable[[str], Array]
    sizes: Sizes
    batch: int


class HostSampler:
    """Runs engine after engine, each fed with arrays; a batch is drawn when it is collected."""

    depth = 1

    def __init__(self, engines: HostEngines, plan: Plan) -> None:
        self._engines, self._plan = engines, plan
        self._waiting: deque[Sequence[SampleInputs]] = deque()

    def submit(self, batch: Sequence[SampleInputs]) -> None:
        self._waiting.append(batch)

    def collect(self) -> dict[str, Array]:
        batch, engines, sizes = self._waiting.popleft(), self._engines, self._engines.sizes
        noise = np.stack([each.noise(sizes) for each in batch])
        embedding = embedded(batch, self._plan.guided, engines.embed)
        constant = {"guidance": np.array([each.params.guidance for each in batch], np.float32)}
        if sizes.conditioning_channels:
            constant["conditioning"] = np.stack([each.conditioning(sizes) for each in batch])
        *_, latent = sample(engines.denoise, self._plan, noise, embedding, constant)
        return {LATENT: latent, **engines.decode.run({LATENT: latent})}


def embedded(batch: Sequence[SampleInputs], guided: bool, embed: Callable[[str], Array]) -> Array:
    """The embeddings (2B, T, E) of a batch, the uncond half first, or (B, T, E) for a plan without guided steps."""
    negative = [each.params.negative for each in batch] if guided else []
    return np.stack([embed(text) for text in (*negative, *(each.prompt for each in batch))])


def sample(
    denoise: Mapping[StepKind, Engine], plan: Plan, noise: Array, embedding: Array, constant: Mapping[str, Array]
) -> Iterator[Array]:
    """Walk the plan from noise (B, C, h, w), yielding the latent after each step.

    `embedding` is (2B, T, E), the uncond half first, or (B, T, E) for a plan without guided steps; `constant` holds the
    inputs that no step changes: guidance (B,), and conditioning (B, Cc, h, w) where the graphs have it.
    """
    rows = plan.rows

    def run(i: int, step: Step, given: Mapping[str, Array]) -> Mapping[str, Array]:
        seen = embedding if step.guided else embedding[-len(noise) :]
        row = np.array([rows[i]], np.int32)
        return denoise[step.kind].run({**given, "embedding": seen, "step": row, **constant})

    return walk(plan.steps, noise, run)


def pad_batch(part: Sequence[T], batch: int) -> list[T]:
    """The items, and the first one again until the batch is full, so that every batch runs the same arithmetic."""
    return [*part, *[part[0]] * (batch - len(part))]


_EMBEDDING_BYTES = 64 * 2**20  # kept for prompts that come again; making one anew costs far less than a picture


class TextEncoder:
    """Gives the embedding float32 (T, E) of a prompt, and remembers as many as fit into a fixed memory."""

    def __init__(self, tokenizer: PromptTokenizer, engine: Callable[[], Engine], sizes: Sizes) -> None:
        """`engine` gives the text graph when it is first needed."""
        self._tokenizer, self._engine = tokenizer, engine
        self.embed = lru_cache(maxsize=max(2, _EMBEDDING_BYTES // (4 * sizes.tokens * sizes.text_width)))(self._embed)

    def _embed(self, prompt: str) -> Array:
        """One prompt at a time, so that an embedding never depends on other prompts; what is too long is cut."""
        token_ids = self._tokenizer.encode([prompt], truncate=True)
        embedding: Array = self._engine().run({"token_ids": token_ids})["embedding"][0]
        return embedding


@dataclass(frozen=True, eq=False)
class Pair:
    """A generated image and its mask. `mask` and `confidence` are None for a bundle that draws images only.

    `judged` and `judge_confidence` are None unless the bundle's judge was asked.
    """

    index: int
    prompt: str
    seed: int
    image: Bytes  # (H, W, 3) RGB
    mask: Bytes | None  # (H, W) class ids
    confidence: Bytes | None  # (H, W) probability of the chosen class in 255ths
    faults: tuple[str, ...] = ()
    attempt: int = 0  # which try of this pair: each starts from noise of its own
    judged: Bytes | None = None  # (H, W) class ids that the judge sees in the image
    judge_confidence: Bytes | None = None  # (H, W) probability of that class in 255ths
    params: SamplingParams | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)  # what else its row says

    @property
    def broken(self) -> bool:
        """Whether it is no picture at all (not finite, or one colour) and must not be used."""
        return any(fault in _BROKEN for fault in self.faults)


def make_pair(inputs: SampleInputs, outputs: Mapping[str, Array], bundle: Bundle) -> Pair:
    """The pair of these inputs, with its faults; `outputs` is what a sampler and the judge give for it, by name."""
    # Copies, because a pair that is kept must not keep its whole batch in memory.
    layers = {name: array.astype(np.uint8, copy=True) for name, array in outputs.items() if name != LATENT}
    image, mask = layers["image"], layers.get("mask")
    faults = picture_faults(outputs[LATENT], image)
    if mask is not None and bundle.classes is not None:
        faults += class_faults(mentioned_classes(inputs.prompt, bundle.words), mask, bundle.classes)
    return Pair(
        inputs.index,
        inputs.prompt,
        inputs.seed,
        image,
        mask,
        layers.get("confidence"),
        faults,
        inputs.attempt,
        layers.get("judged"),
        layers.get("judge_confidence"),
        inputs.params,
    )


NOT_FINITE = "the latent is not finite"
CONSTANT = "the picture is one colour"
DAMAGED = "the surface to be painted shows damage already"
_BROKEN = (NOT_FINITE, CONSTANT, DAMAGED)  # no picture at all, where the other faults are pictures of something else

_FLAT = 3  # levels of 255; a decoder's rounding may leave that much in a picture of one colour


def picture_faults(latent: Array, image: Bytes) -> tuple[str, ...]:
    """The faults of a latent (C, h, w) and the image uint8 (H, W, 3) decoded from it."""
    not_finite = () if np.isfinite(latent).all() else (NOT_FINITE,)
    # Levels by channel, axis by axis: over both at once numpy takes 40 times as long.
    spread = image.max(0).max(0) - image.min(0).min(0)
    # A black picture is constant too: every channel stays within a few levels.
    return (*not_finite, CONSTANT) if (spread <= _FLAT).all() else not_finite


def class_faults(names: Sequence[str], mask: Bytes, classes: ClassTable) -> tuple[str, ...]:
    """A fault for each of the classes of these names that the mask uint8 (H, W) lacks."""
    lacking = [name for name in names if name not in classes.names or not (mask == classes.names.index(name)).any()]
    return tuple(map(missing_class, lacking))


def missing_class(name: str) -> str:
    """The fault of a mask that lacks a class it was asked for."""
    return f"asked for {name}, none in the mask"
