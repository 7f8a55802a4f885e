"""How a batch of pairs is drawn: noise and prompts in, arrays out. One sampler keeps arrays on the host.

Axes: B pairs of a batch, C h w of a latent, H W of a picture, T tokens, E text width.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from wetgen.runtime.engines import Engine
from wetgen.runtime.graphs import DEEP, Array
from wetgen.runtime.schedule import Kind, Plan


class Sampler(Protocol):
    """Draws batches of one plan, guidance and negative prompt, at a fixed batch size.

    `depth` is how many batches may be under way: with more than one the next is handed over before the last is taken.
    """

    depth: int

    def submit(self, prompts: Sequence[str], noise: Array) -> None:
        """Begin a batch: B prompts, and their starting noise float32 (B, C, h, w)."""

    def collect(self) -> dict[str, Array]:
        """The oldest batch under way: `latent`, and the decoder's outputs by name."""

    def close(self) -> None:
        """Give back what drawing took; batches under way are dropped."""


class HostSampler:
    """Runs engine after engine, each fed with arrays; a batch is drawn when it is collected."""

    depth = 1

    def __init__(
        self,
        denoise: Mapping[Kind, Engine],
        decode: Engine,
        embed: Callable[[str], Array],
        plan: Plan,
        guidance: float,
        negative: str,
        conditioning: Mapping[str, Array],
    ) -> None:
        """`denoise` holds an engine for every kind of step of the plan. `embed` gives a prompt's embedding (T, E);
        `conditioning` is that input, or nothing where there is none."""
        self._denoise, self._decode, self._embed = denoise, decode, embed
        self._plan, self._guidance, self._negative, self._conditioning = plan, guidance, negative, conditioning
        self._waiting: deque[tuple[Sequence[str], Array]] = deque()

    def submit(self, prompts: Sequence[str], noise: Array) -> None:
        self._waiting.append((prompts, noise))

    def collect(self) -> dict[str, Array]:
        prompts, noise = self._waiting.popleft()
        uncond = [self._embed(self._negative)] * len(prompts) if self._plan.guided else []
        embedding = np.stack([*uncond, *map(self._embed, prompts)])
        *_, latent = sample(self._denoise, self._plan, noise, embedding, self._guidance, self._conditioning)
        return {"latent": latent, **self._decode.run({"latent": latent})}

    def close(self) -> None:
        self._waiting.clear()


def sample(
    denoise: Mapping[Kind, Engine],
    plan: Plan,
    noise: Array,
    embedding: Array,
    guidance: float,
    conditioning: Mapping[str, Array],
) -> Iterator[Array]:
    """Walk the plan from noise (B, C, h, w), yielding the latent after each step.

    `embedding` is (2B, T, E), the uncond half first, or (B, T, E) for a plan without guided steps; `conditioning` holds
    that input, or nothing if the graphs have none.
    """
    scale = np.full(len(noise), guidance, np.float32)  # (B,)
    constant = {**conditioning, "guidance": scale}
    made: dict[str, Array] = {"latent_after": noise}
    deep: dict[str, Array] = {}
    for row, step in zip(plan.rows, plan.steps, strict=True):
        seen = embedding if step.guided else embedding[-len(noise) :]
        feed = {"latent": made["latent_after"], "embedding": seen, "step": np.array([row], np.int32), **constant}
        made = denoise[step.kind].run({**feed, **deep} if step.reuses else feed)
        deep = {DEEP: made[DEEP]} if step.keeps else deep
        yield made["latent_after"]
