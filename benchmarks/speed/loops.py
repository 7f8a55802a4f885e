"""The same sampling as others write it: diffusers-style in torch, and call by call with the arithmetic on the host.

Both walk a bundle's plan, guided and unguided steps alike, from the runtime's noise.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wetgen.benchmarks.speed.cases import BatchArrays
from wetgen.runtime.bundle.graphs import AFTER, LATENT, Plan, Step, advance, walk
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.sampling.sampler import starting_noise
from wetgen.training.checkpoint import Checkpoint, scheduler_of
from wetgen.training.sample import free_conditioning
from wetgen.training.sheets import as_bytes
from wetgen.training.text_encoder import embed, token_ids

RunGraph = Callable[..., Sequence[NDArray[np.float32]]]


def check_walkable(plan: Plan) -> None:
    """Raise WetgenError for a plan with steps that no loop but the runtime's takes."""
    if any(step.cache != "none" for step in plan.steps):
        raise WetgenError(
            f"The baselines cannot walk the plan '{plan.name}'.",
            why="some of its steps reuse deep features, which these loops do not do.",
            fix="measure a plan without them, with --plan.",
        )


def noises(seed: int, count: int, shape: Sequence[int]) -> NDArray[np.float32]:
    """The runtime's noise of the first pairs of a seed, (B, C, h, w)."""
    return np.stack([starting_noise(seed, index, shape) for index in range(count)])


class TorchLoop:
    """Text encoder, UNet, DDIMScheduler and VAE of a checkpoint, called as a diffusers pipeline calls them.

    `change` is what is done to the UNet and to the decoder first: nothing, or torch.compile.
    """

    def __init__(self, checkpoint: Checkpoint, plan: Plan, guidance: float, change: Callable[[Any], Any]) -> None:
        check_walkable(plan)
        self._parts, self._plan, self._guidance = checkpoint, plan, guidance
        self._unet, self._decode = change(checkpoint.unet), change(checkpoint.vae.decode)
        self._scheduler = scheduler_of(checkpoint.schedule)
        self._scheduler.set_timesteps(len(plan.steps))
        # A scheduler of diffusers has its own spacing, and it is DDIM's; other plans are walked by their table.
        spaced = self._scheduler.timesteps.tolist() == [step.timestep for step in plan.steps]
        self._follows = spaced and not any(step.kind.kept for step in plan.steps)

    @torch.inference_mode()
    def generate(self, prompts: Sequence[str], seed: int) -> BatchArrays:
        parts = self._parts
        noise = torch.from_numpy(noises(seed, len(prompts), parts.sizes.latent))
        embedding = embed(parts.text_encoder, token_ids(parts.tokenizer, ["", *prompts]))
        uncond, cond = embedding[:1].expand(len(prompts), -1, -1), embedding[1:]
        both = torch.cat([uncond, cond])  # (2B, T, E)
        extra = free_conditioning(parts.unet, noise)
        self._scheduler.set_timesteps(len(self._plan.steps))

        def run(_: int, step: Step, given: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
            x = given[LATENT]
            seen = x if extra is None else torch.cat([x, extra], 1)
            time = torch.tensor(step.timestep)
            if step.guided:
                without, with_prompt = self._unet(torch.cat([seen, seen]), time, both).sample.chunk(2)
                prediction = without + self._guidance * (with_prompt - without)
            else:
                prediction = self._unet(seen, time, cond).sample
            if self._follows:
                return {LATENT + AFTER: self._scheduler.step(prediction, step.timestep, x).prev_sample}
            return advance(step, given, prediction)

        *_, latent = walk(self._plan.steps, noise, run)
        image, logits = self._decode(latent)
        return as_bytes(image), None if logits is None else logits.argmax(1).to(torch.uint8).numpy()


class HostLoop:
    """Three graphs in an engine, called one after the other; guidance and the update in numpy between the calls."""

    def __init__(
        self, text: RunGraph, unet: RunGraph, decode: RunGraph, checkpoint: Checkpoint, plan: Plan, guidance: float
    ) -> None:
        check_walkable(plan)
        self._text, self._unet, self._decode = text, unet, decode
        self._tokenizer, self._sizes = checkpoint.tokenizer, checkpoint.sizes
        self._plan, self._guidance = plan, np.float32(guidance)

    def generate(self, prompts: Sequence[str], seed: int) -> BatchArrays:
        sizes, count = self._sizes, len(prompts)
        ids = token_ids(self._tokenizer, ["", *prompts]).numpy().astype(np.int64)
        embedding = np.concatenate([self._text(row[None])[0] for row in ids])
        both = np.concatenate([np.repeat(embedding[:1], count, 0), embedding[1:]])  # (2B, T, E)
        extra = np.zeros((count, sizes.conditioning_channels, *sizes.latent[1:]), np.float32)

        def run(_: int, step: Step, given: Mapping[str, NDArray[np.float32]]) -> Mapping[str, NDArray[np.float32]]:
            seen, time = np.concatenate([given[LATENT], extra], 1), np.array([step.timestep], np.int64)
            if step.guided:
                without, with_prompt = np.split(self._unet(np.concatenate([seen, seen]), time, both)[0], 2)
                prediction = without + self._guidance * (with_prompt - without)
            else:
                prediction = self._unet(seen, time, embedding[1:])[0]
            return advance(step, given, prediction)

        *_, latent = walk(self._plan.steps, noises(seed, count, sizes.latent), run)
        image, *logits = self._decode(latent)
        levels = np.rint((image.clip(-1, 1) + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1)
        return levels, logits[0].argmax(1).astype(np.uint8) if logits else None
