"""The reference sampler: DDIM (Song et al. 2021, eq. 12, eta = 0) with classifier-free guidance, in float32.

A student of guidance is asked once a step, with the guidance scale; it never sees the embedding without a prompt.

Export compares every bundle with this; keep it plain.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from wetgen.runtime.bundle.graphs import LATENT, Step, advance, walk
from wetgen.training.student import distilled, sinusoids_of


def guided(
    unet: UNet2DConditionModel,
    x: Tensor,
    timestep: int,
    uncond: Tensor,
    cond: Tensor,
    scale: float,
    extra: Tensor | None,
) -> Tensor:
    """Classifier-free guidance (Ho and Salimans 2022): one batched call, then uncond + scale * (cond - uncond)."""
    given = x if extra is None else torch.cat([x, extra], 1)  # (B, C + Cc, h, w)
    both = unet(torch.cat([given, given]), timestep, torch.cat([uncond, cond])).sample  # (2B, C, h, w)
    without, with_prompt = both.chunk(2)
    return without + scale * (with_prompt - without)


@torch.no_grad()
def sample(
    unet: UNet2DConditionModel,
    noise: Tensor,
    uncond: Tensor,
    cond: Tensor,
    steps: Sequence[Step],
    scale: float,
    conditioning: Tensor | None = None,
) -> Iterator[Tensor]:
    """Yield the latent (B, C, h, w) after every step; the last one is clean.

    `uncond` and `cond` are embeddings (B, T, E); `conditioning` (B, Cc, h, w), None where the network takes none.
    """

    def run(_: int, step: Step, given: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        x = given[LATENT]
        if sinusoids_of(unet) is None:
            prediction = guided(unet, x, step.timestep, uncond, cond, scale, conditioning)
        else:
            prediction = distilled(unet, x, step.timestep, cond, scale, conditioning)
        return advance(step, given, prediction)

    yield from walk(steps, noise, run)


def free_conditioning(unet: UNet2DConditionModel, noise: Tensor) -> Tensor | None:
    """The zeros that mean "free", (B, Cc, h, w), or None for a network without a conditioning tensor."""
    channels = unet.config.in_channels - noise.shape[1]
    return noise.new_zeros(noise.shape[0], channels, *noise.shape[2:]) if channels else None
