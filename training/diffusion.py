"""The forward process and what the denoiser predicts.

Names as in the papers: a = alphas_cumprod[t], x0 clean latent, eps noise, x = sqrt(a) x0 + sqrt(1 - a) eps,
v = sqrt(a) eps - sqrt(1 - a) x0 (Salimans and Ho 2022).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wetgen.runtime.bundle.graphs import Step
from wetgen.training.schedule import SOLVERS, Curve, Prediction, Spacing, alphas_cumprod, timesteps


@dataclass(frozen=True)
class NoiseSchedule:
    """What training and sampling share. The defaults are ours; a Stable-Diffusion folder states others."""

    curve: Curve = "scaled_linear"
    count: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    zero_terminal_snr: bool = True
    prediction: Prediction = "v"
    spacing: Spacing = "trailing"
    offset: int = 0
    ends_clean: bool = True
    """Whether the last step lands on alpha-bar 1 (diffusers' set_alpha_to_one) or on that of timestep 0."""

    def table(self) -> NDArray[np.float64]:
        """alpha-bar of every training timestep, (count,)."""
        return alphas_cumprod(self.curve, self.count, self.beta_start, self.beta_end, self.zero_terminal_snr)

    def timesteps(self, steps: int) -> list[int]:
        """Evenly spaced timesteps of a plan, noisiest first."""
        return timesteps(self.count, steps, self.spacing, self.offset)

    def steps(self, count: int) -> tuple[Step, ...]:
        """The static DDIM plan of `count` evenly spaced steps."""
        return self.at(self.timesteps(count))

    def at(self, chosen: Sequence[int], solver: str = "ddim") -> tuple[Step, ...]:
        """The static plan with these timesteps, noisiest first."""
        table = self.table()
        final = 1.0 if self.ends_clean else float(table[0])
        return SOLVERS[solver](table, chosen, self.prediction, final)


def add_noise(x0: Tensor, eps: Tensor, a: Tensor) -> Tensor:
    """x at noise level a (B,)."""
    a = a.view(-1, 1, 1, 1)
    return a.sqrt() * x0 + (1 - a).sqrt() * eps


def target(x0: Tensor, eps: Tensor, a: Tensor, prediction: Prediction) -> Tensor:
    """What the denoiser should say for x at noise level a (B,)."""
    if prediction == "x0":
        return x0
    if prediction == "eps":
        return eps
    a = a.view(-1, 1, 1, 1)
    return a.sqrt() * eps - (1 - a).sqrt() * x0


def stratified_timesteps(batch: int, count: int, generator: torch.Generator) -> Tensor:
    """(batch,) int64 timesteps, one from each of `batch` equal slices: the same mean as uniform, less variance."""
    return ((torch.arange(batch) + torch.rand(batch, generator=generator)) / batch * count).long()
