"""Whole trajectories of a checkpoint in a smaller type, by torch with every result rounded, before a file is written.

Trying a rung takes no tracing and no engine, so the ladder is climbed here; the files are held against the same
pictures afterwards. One network is in memory at a time, as everywhere in export.

Axes: B pairs, C latent channels, h w latent size, T tokens, E text width.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wetgen.export import verify, wrappers
from wetgen.export.ladder import Islands, Rung, islands_of
from wetgen.export.precision import Precision, lowered, shown
from wetgen.export.reference import SEED, Picture
from wetgen.export.watching import Ranges, measured, rounded
from wetgen.export.wrappers import Wrapper
from wetgen.runtime.faults import picture_faults
from wetgen.runtime.noise import starting_noise
from wetgen.runtime.schedule import Plan
from wetgen.training.checkpoint import Checkpoint

_Key = tuple[str | Precision, ...]
Latents = Mapping[str, Sequence[NDArray[np.float32]]]
PARTS = {"text": "text_encoder", "denoise": "unet", "decode": "vae", "encode": "vae"}


@dataclass(frozen=True)
class Trial:
    """How a rung's pictures compare, by plan, and where in each graph a value first overflowed, if one did."""

    rung: Rung
    figures: Mapping[str, verify.Figures]
    overflows: Mapping[str, str]

    @property
    def passes(self) -> bool:
        return not any(verify.far_off(found) for found in self.figures.values())

    def to_json(self) -> dict[str, Any]:
        overflows = {"overflows": dict(self.overflows)} if self.overflows else {}
        return {"rung": self.rung.name, "plans": dict(self.figures), **overflows}


class Trials:
    """What is tried: `token_ids` (1 + N, T) of the empty prompt and the gate's, and the pictures they must give."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        plans: Sequence[Plan],
        token_ids: NDArray[np.int32],
        guidance: float,
        expected: Sequence[Picture],
    ) -> None:
        self._checkpoint, self._plans, self._ids = checkpoint, plans, token_ids
        self._guidance, self._expected = guidance, expected
        self._done: dict[_Key, Any] = {}  # rungs share what they have in common
        self._overflows: dict[_Key, str] = {}

    @torch.no_grad()
    def islands(self, texts: NDArray[np.float32], last: Latents) -> tuple[dict[str, Islands], dict[str, Ranges]]:
        """What the checkpoint's ranges rule out, graph by graph, and the ranges.

        `texts` (1 + N, T, E) and `last`, the last latents by plan, are the float32 reference's; the denoiser is
        measured over all steps of the first plan.
        """
        latents = [latent for plan in last.values() for latent in plan]
        works: dict[str, Callable[[Wrapper], object]] = {
            "text": self._embed,
            "denoise": lambda unet: self._walk(unet, self._plans[0], texts),
            "decode": lambda vae: [vae(torch.from_numpy(latent[None])) for latent in latents],
            "encode": lambda vae: [vae(*_given(picture)) for picture in self._expected],
        }
        ranges = {name: self._ranges(name, work) for name, work in works.items()}
        return {name: islands_of(found) for name, found in ranges.items()}, ranges

    def _ranges(self, name: str, work: Callable[[Wrapper], object]) -> Ranges:
        with self._wrapper(name, Precision()) as wrapper, measured(wrapper) as ranges:
            work(wrapper)
        return ranges

    @torch.no_grad()
    def run(self, rung: Rung) -> Trial:
        """Draw the gate's pictures on a rung."""
        text, denoise, decode = (rung.precision[name] for name in ("text", "denoise", "decode"))
        texts = self._once("text", (text,), self._embed)
        last = self._once("denoise", (text, denoise), lambda unet: self._latents(unet, texts))
        pictures = self._once("decode", (text, denoise, decode), lambda vae: self._pictures(vae, last))
        found = {plan.name: self._figures(plan.name, pictures[plan.name], last[plan.name]) for plan in self._plans}
        keys: tuple[_Key, ...] = (("text", text), ("denoise", text, denoise), ("decode", text, denoise, decode))
        overflows = {str(key[0]): self._overflows[key] for key in keys if key in self._overflows}
        return Trial(rung, found, overflows)

    def _once(self, name: str, precisions: tuple[Precision, ...], work: Callable[[Wrapper], Any]) -> Any:
        """What `work` makes of a graph at the last of `precisions`; the others are those of the graphs before it."""
        key: _Key = (name, *precisions)
        if key not in self._done:
            with self._wrapper(name, precisions[-1]) as wrapper, _watched(wrapper, precisions[-1]) as first:
                self._done[key] = work(wrapper)
            if first:
                self._overflows[key] = shown(first[0]) or "its own code"
        return self._done[key]

    @contextmanager
    def _wrapper(self, name: str, precision: Precision) -> Iterator[Wrapper]:
        """A graph's wrapper at a precision, its network loaded for as long as the block lasts."""
        wrapper = wrapper_of(name, self._checkpoint, self._plans)
        lowered(wrapper, precision)
        try:
            yield wrapper
        finally:
            self._checkpoint.release(PARTS[name])

    def _embed(self, text: Wrapper) -> NDArray[np.float32]:
        return np.concatenate([text(torch.from_numpy(row[None])).numpy() for row in self._ids])

    def _latents(self, denoise: Wrapper, texts: NDArray[np.float32]) -> dict[str, list[NDArray[np.float32]]]:
        return {plan.name: self._walk(denoise, plan, texts) for plan in self._plans}

    def _walk(self, denoise: Wrapper, plan: Plan, texts: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The last latent (C, h, w) of every prompt of a plan."""
        sizes = self._checkpoint.sizes
        free = torch.zeros(1, sizes.conditioning_channels, *sizes.latent[1:])
        scale = torch.tensor([self._guidance], dtype=torch.float32)
        last = []
        for index in range(len(texts) - 1):
            latent = torch.from_numpy(starting_noise(SEED, index, sizes.latent)[None])
            both = torch.from_numpy(texts[[0, index + 1]])  # uncond, cond
            conditioning = (free,) if sizes.conditioning_channels else ()
            for row in plan.rows:
                latent = denoise(latent, both, *conditioning, torch.tensor([row], dtype=torch.int32), scale)
            last.append(latent[0].numpy())
        return last

    def _pictures(self, decode: Wrapper, last: Latents) -> dict[str, list[tuple[Any, ...]]]:
        return {plan: [self._picture(decode, latent) for latent in latents] for plan, latents in last.items()}

    def _picture(self, decode: Wrapper, latent: NDArray[np.float32]) -> tuple[Any, ...]:
        made = decode(torch.from_numpy(latent[None]))
        image, mask, _ = made if isinstance(made, tuple) else (made, None, None)
        return image[0].numpy(), None if mask is None else mask[0].numpy()

    def _figures(
        self, plan: str, pictures: Sequence[tuple[Any, ...]], last: Sequence[NDArray[np.float32]]
    ) -> verify.Figures:
        wanted = [picture for picture in self._expected if picture.plan == plan]
        compared = [
            verify.compared(image, mask, picture_faults(latent, image), expected)
            for (image, mask), latent, expected in zip(pictures, last, wanted, strict=True)
        ]
        return verify.summed(compared)


def _given(picture: Picture) -> tuple[torch.Tensor, ...]:
    """What the encode graph takes of a picture: image (1, H, W, 3) and, if there is one, mask (1, H, W)."""
    mask = () if picture.mask is None else (torch.from_numpy(picture.mask[None]),)
    return (torch.from_numpy(picture.image[None]), *mask)


@contextmanager
def _watched(wrapper: Wrapper, precision: Precision) -> Iterator[list[str]]:
    """Rounds what a small type would round; a float32 network has nothing to round, and runs faster unwatched."""
    if precision.compute == "float32":
        yield []
        return
    with rounded(wrapper) as first:
        yield first


def wrapper_of(name: str, checkpoint: Checkpoint, plans: Sequence[Plan]) -> Wrapper:
    """The float32 wrapper of a graph, its network loaded from the checkpoint."""
    if name == "text":
        return wrappers.text(checkpoint.text_encoder)
    if name == "denoise":
        return wrappers.denoise(checkpoint.unet, [step for plan in plans for step in plan.steps], checkpoint.sizes)
    return {"decode": wrappers.decode, "encode": wrappers.encode}[name](checkpoint.vae, checkpoint.sizes)
