"""Whole trajectories of a checkpoint in a smaller type, by torch with every result rounded, before a file is written.

Trying a rung takes no tracing and no engine, so the ladder is climbed here; the files are held against the same
pictures afterwards. One network is in memory at a time, as everywhere in export.

Axes: B pairs, C latent channels, h w latent size, T tokens, E width of all keys and values.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from wetgen.export import verify
from wetgen.export.graphs import wrappers
from wetgen.export.graphs.cross_attention import keys_and_values
from wetgen.export.graphs.denoisers import Denoise, denoise
from wetgen.export.graphs.wrappers import Wrapper, shown
from wetgen.export.precision.calibrate import Ranges, measured, rounded
from wetgen.export.precision.keep_in_fp32 import KeptInFloat32, PrecisionSet, kept_in_float32
from wetgen.export.precision.precision import Precision, lowered
from wetgen.export.reference import SEED, Picture
from wetgen.runtime.bundle.graphs import GUIDED, Plan, Step, StepKind, walk
from wetgen.runtime.sampling.sampler import picture_faults, starting_noise
from wetgen.training.checkpoint import Checkpoint

_Key = tuple[str | Precision, ...]
LatentsByPlan = Mapping[str, Sequence[NDArray[np.float32]]]
PARTS = {"text": "text_encoder", "denoise": "unet", "decode": "vae", "encode": "vae"}


@dataclass(frozen=True)
class Trial:
    """How a rung's pictures compare, by plan, and where in each graph a value first overflowed, if one did."""

    rung: PrecisionSet
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
    def islands(self, last: LatentsByPlan) -> tuple[dict[str, KeptInFloat32], dict[str, Ranges]]:
        """What the checkpoint's ranges rule out, graph by graph, and the ranges.

        `last` are the float32 reference's last latents by plan; the denoiser is
        measured over all steps of the first plan.
        """
        texts = self._once("text", (Precision(),), self._embed)
        latents = [latent for plan in last.values() for latent in plan]
        works: dict[str, Callable[[Any], object]] = {
            "text": self._embed,
            "denoise": lambda unet: self._walk(unet, self._plans[0], texts),
            "decode": lambda vae: [vae(torch.from_numpy(latent[None])) for latent in latents],
            "encode": lambda vae: [vae(*_given(picture)) for picture in self._expected],
        }
        ranges = {name: self._ranges(name, work) for name, work in works.items()}
        return {name: kept_in_float32(found) for name, found in ranges.items()}, ranges

    def _ranges(self, name: str, work: Callable[[Wrapper], object]) -> Ranges:
        with self._wrapper(name, Precision()) as wrapper, measured(wrapper) as ranges:
            work(wrapper)
        return ranges

    @torch.no_grad()
    def run(self, rung: PrecisionSet) -> Trial:
        """Draw the gate's pictures on a rung."""
        text, denoise, decode = (rung.precision[name] for name in ("text", "denoise", "decode"))
        texts = self._once("text", (text,), self._embed)
        last = self._once("denoise", (text, denoise), lambda unet: self._latents(cast(Denoise, unet), texts))
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

    def _latents(self, denoise: Denoise, texts: NDArray[np.float32]) -> dict[str, list[NDArray[np.float32]]]:
        return {plan.name: self._walk(denoise, plan, texts) for plan in self._plans}

    def _walk(self, denoise: Denoise, plan: Plan, texts: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The last latent (C, h, w) of every prompt of a plan."""
        return [self._last(denoise, plan, index, texts[[0, index + 1]]) for index in range(len(texts) - 1)]

    def _last(self, denoise: Denoise, plan: Plan, index: int, texts: NDArray[np.float32]) -> NDArray[np.float32]:
        """The last latent of one prompt; `texts` (2, T, E) are uncond and cond."""
        sizes = self._checkpoint.sizes
        free = torch.zeros(1, sizes.conditioning_channels, *sizes.latent[1:])
        scale = torch.tensor([self._guidance], dtype=torch.float32)
        noise = torch.from_numpy(starting_noise(SEED, index, sizes.latent)[None])

        def run(i: int, step: Step, given: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
            denoise.turn_to(step.kind)
            embedding = torch.from_numpy(texts if step.guided else texts[1:])
            row = torch.tensor([plan.rows[i]], dtype=torch.int32)
            return denoise.step({**given, "embedding": embedding, "conditioning": free, "step": row, "guidance": scale})

        *_, latent = walk(plan.steps, noise, run)
        return np.asarray(latent[0].numpy(), np.float32)

    def _pictures(self, decode: Wrapper, last: LatentsByPlan) -> dict[str, list[tuple[Any, ...]]]:
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


def wrapper_of(name: str, checkpoint: Checkpoint, plans: Sequence[Plan], kind: StepKind = GUIDED) -> Wrapper:
    """The float32 wrapper of a network, which is loaded from the checkpoint; of the denoiser for a kind of step."""
    if name == "text":
        projection = keys_and_values(checkpoint.unet)
        checkpoint.release(PARTS["denoise"])
        return wrappers.text(checkpoint.text_encoder, projection)
    if name == "denoise":
        return denoise(checkpoint.unet, [step for plan in plans for step in plan.steps], checkpoint.sizes, kind)
    return {"decode": wrappers.decode, "encode": wrappers.encode}[name](checkpoint.vae, checkpoint.sizes)
