"""A denoiser that takes the guidance scale as an input: guidance is distilled into it, and a step costs half.

Meng et al. 2023, "On Distillation of Guided Diffusion Models", stage one. The scale enters as in latent consistency
models (Luo et al. 2023): sinusoids, projected and added to the timestep's before the two layers of its embedding. It is
diffusers' `time_cond_proj_dim`, so that diffusers' own pipelines draw with these networks too.

Axes: B pairs, C latent channels, Cc conditioning channels, h w latent size, T tokens, E text width, S sinusoids.
"""

import math
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from wetgen.runtime.errors import WetgenError

SINUSOIDS = 256  # as many as in latent consistency models


def guidance_embedding(scale: Tensor, sinusoids: int) -> Tensor:
    """Guidance scales (B,) to (B, S): sines and cosines of scale - 1 at S / 2 frequencies.

    The numbers that diffusers' pipelines feed to a network with `time_cond_proj_dim`.
    """
    angles = (scale - 1.0).unsqueeze(1) * angular_frequencies(sinusoids).to(scale.device)  # (B, S / 2)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def angular_frequencies(sinusoids: int) -> Tensor:
    """(S / 2,) radians per unit of guidance: 1000 down to 0.1, evenly spaced on a logarithmic scale."""
    half = sinusoids // 2
    return 1000.0 * torch.exp(-math.log(10000.0) * torch.arange(half) / (half - 1))


def sinusoids_of(unet: Any) -> int | None:
    """How many sinusoids of the guidance scale a UNet2DConditionModel takes; None where guidance stays outside."""
    taken: int | None = unet.config.time_cond_proj_dim
    return taken


def student_of(teacher: UNet2DConditionModel) -> UNet2DConditionModel:
    """A student that has learnt nothing yet: whatever the scale, it says what the teacher says with the prompt."""
    if sinusoids_of(teacher) is not None:
        raise WetgenError(
            "This denoiser is a student already.",
            why="it takes the guidance scale as an input, and there is no guidance left to distill.",
            fix="give the checkpoint that it was distilled from as --teacher.",
        )
    shape = {name: value for name, value in teacher.config.items() if not name.startswith("_")}
    student = UNet2DConditionModel(**{**shape, "time_cond_proj_dim": SINUSOIDS})
    projection = "time_embedding.cond_proj.weight"
    untaught = torch.zeros_like(student.state_dict()[projection])
    student.load_state_dict({**teacher.state_dict(), projection: untaught})
    return student


def distilled(unet: Any, x: Tensor, timestep: int, cond: Tensor, scale: float, extra: Tensor | None) -> Tensor:
    """What a student says at this guidance scale, in one call: x (B, C, h, w) and prompts (B, T, E) to (B, C, h, w)."""
    given = x if extra is None else torch.cat([x, extra], 1)  # (B, C + Cc, h, w)
    scales = guidance_embedding(x.new_full((len(x),), scale), unet.config.time_cond_proj_dim)
    said: Tensor = unet(given, timestep, cond, timestep_cond=scales).sample
    return said
