"""How a batch of pairs is drawn: the inputs of its pairs in, arrays out. This sampler keeps arrays on the host.

Axes: B pairs of a batch, C h w of a latent, H W of a picture, T tokens, E text width.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np

from wetgen.runtime.bundle.graphs import Array, Plan, Sizes, Step, StepKind, walk
from wetgen.runtime.engines import Engine
from wetgen.runtime.sampling.conditioning import SampleInputs

T = TypeVar("T")


class Sampler(Protocol):
    """Draws batches of one plan, at a fixed batch size.

    `depth` is how many batches may be under way: with more than one the next is handed over before the last is taken.
    """

    depth: int

    def submit(self, batch: Sequence[SampleInputs]) -> None:
        """Begin a batch of B pairs."""

    def collect(self) -> dict[str, Array]:
        """The oldest batch under way: `latent`, and the decoder's outputs by name."""

    def close(self) -> None:
        """Give back what drawing took; batches under way are dropped."""


class HostSampler:
    """Runs engine after engine, each fed with arrays; a batch is drawn when it is collected."""

    depth = 1

    def __init__(
        self,
        denoise: Mapping[StepKind, Engine],
        decode: Engine,
        embed: Callable[[str], Array],
        plan: Plan,
        sizes: Sizes,
    ) -> None:
        """`denoise` holds an engine for every kind of step of the plan, `embed` gives a prompt's embedding (T, E)."""
        self._denoise, self._decode, self._embed, self._plan, self._sizes = denoise, decode, embed, plan, sizes
        self._waiting: deque[Sequence[SampleInputs]] = deque()

    def submit(self, batch: Sequence[SampleInputs]) -> None:
        self._waiting.append(batch)

    def collect(self) -> dict[str, Array]:
        batch = self._waiting.popleft()
        noise = np.stack([each.noise(self._sizes) for each in batch])
        embedding = embedded(batch, self._plan.guided, self._embed)
        guidance = np.array([each.guidance for each in batch], np.float32)
        *_, latent = sample(
            self._denoise, self._plan, noise, embedding, guidance, conditioning_input(batch, self._sizes)
        )
        return {"latent": latent, **self._decode.run({"latent": latent})}

    def close(self) -> None:
        self._waiting.clear()


def embedded(batch: Sequence[SampleInputs], guided: bool, embed: Callable[[str], Array]) -> Array:
    """The embeddings (2B, T, E) of a batch, the uncond half first, or (B, T, E) for a plan without guided steps."""
    negative = [each.negative for each in batch] if guided else []
    return np.stack([embed(text) for text in (*negative, *(each.prompt for each in batch))])


def conditioning_input(batch: Sequence[SampleInputs], sizes: Sizes) -> dict[str, Array]:
    """The conditioning input (B, Cc, h, w) by its name, or nothing where the graphs have none."""
    if not sizes.conditioning_channels:
        return {}
    return {"conditioning": np.stack([each.conditioning(sizes) for each in batch])}


def sample(
    denoise: Mapping[StepKind, Engine],
    plan: Plan,
    noise: Array,
    embedding: Array,
    guidance: float | Array,
    conditioning: Mapping[str, Array],
) -> Iterator[Array]:
    """Walk the plan from noise (B, C, h, w), yielding the latent after each step.

    `embedding` is (2B, T, E), the uncond half first, or (B, T, E) for a plan without guided steps; `guidance` is a
    number or (B,); `conditioning` holds that input, or nothing if the graphs have none.
    """
    scale = np.broadcast_to(np.asarray(guidance, np.float32), (len(noise),)).copy()  # (B,)
    constant = {**conditioning, "guidance": scale}

    def run(i: int, step: Step, given: Mapping[str, Array]) -> Mapping[str, Array]:
        seen = embedding if step.guided else embedding[-len(noise) :]
        row = np.array([plan.rows[i]], np.int32)
        return denoise[step.kind].run({**given, "embedding": seen, "step": row, **constant})

    return walk(plan.steps, noise, run)


def pad_batch(part: Sequence[T], batch: int) -> list[T]:
    """The items, and the first one again until the batch is full, so that every batch runs the same arithmetic."""
    return [*part, *[part[0]] * (batch - len(part))]
