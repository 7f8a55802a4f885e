"""The noise schedule, and the steps of a sampling plan that solvers compute from it.

Symbols: a = alphas_cumprod[t] (alpha-bar in DDPM, alpha in DDIM), a_prev the same one step later in sampling,
x the noisy latent, eps the noise in it, x0 the clean latent, v = sqrt(a) eps - sqrt(1 - a) x0.

With eta = 0 a DDIM step (Song et al. 2021, eq. 12) is affine in x and in whatever the network predicts, so a step is
two numbers: x_prev = keep * x + push * prediction.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.graphs import Step
from wetgen.runtime.errors import WetgenError

Prediction = Literal["v", "eps", "x0"]
Spacing = Literal["trailing", "leading"]
Curve = Literal["linear", "scaled_linear"]


def alphas_cumprod(
    curve: Curve = "scaled_linear",
    count: int = 1000,
    beta_start: float = 0.00085,
    beta_end: float = 0.012,
    zero_terminal_snr: bool = True,
) -> NDArray[np.float64]:
    """The (count,) float64 table of alpha-bar; "scaled_linear" is linear in sqrt(beta), as in Stable Diffusion."""
    if curve == "linear":
        betas: NDArray[np.float64] = np.linspace(beta_start, beta_end, count, dtype=np.float64)
    else:
        roots: NDArray[np.float64] = np.linspace(beta_start**0.5, beta_end**0.5, count, dtype=np.float64)
        betas = roots * roots
    table = np.cumprod(1.0 - betas, dtype=np.float64)
    return _to_zero_terminal_snr(table) if zero_terminal_snr else table


def _to_zero_terminal_snr(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift and stretch sqrt(alpha-bar) so that the last step is pure noise (Lin et al. 2024, algorithm 1)."""
    root = np.sqrt(table)
    stretched: NDArray[np.float64] = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return stretched**2


def timesteps(count: int, steps: int, spacing: Spacing = "trailing", offset: int = 0) -> list[int]:
    """`steps` of `count` training timesteps, noisiest first; "trailing" starts at the noisiest one there is."""
    if not 1 <= steps <= count:
        raise WetgenError(
            f"A plan of {steps} steps is not possible.",
            why=f"the schedule has {count} timesteps.",
            fix=f"use 1 to {count}.",
        )
    if spacing == "trailing":
        # For one in six step counts rounding gives `arange` an element too many, which would be timestep -1.
        return [int(t) - 1 for t in np.round(np.arange(count, 0, -count / steps))[:steps]]
    return [int(t) + offset for t in range((steps - 1) * (count // steps), -1, -(count // steps))]


def ddim_steps(
    table: NDArray[np.float64], chosen: Sequence[int], prediction: Prediction = "v", final: float = 1.0
) -> tuple[Step, ...]:
    """The coefficients of every step of a plan; `final` is alpha-bar after the last one (1: a clean latent)."""
    after = [float(table[t]) for t in chosen[1:]] + [final]
    return tuple(_step(t, float(table[t]), a_prev, prediction) for t, a_prev in zip(chosen, after, strict=True))


def _step(timestep: int, a: float, a_prev: float, prediction: Prediction) -> Step:
    signal, noise = a**0.5, (1 - a) ** 0.5
    signal_prev, noise_prev = a_prev**0.5, (1 - a_prev) ** 0.5
    if prediction == "v":
        return Step(timestep, signal_prev * signal + noise_prev * noise, noise_prev * signal - signal_prev * noise)
    if prediction == "x0":
        return Step(timestep, noise_prev / noise, signal_prev - noise_prev * signal / noise)
    if signal == 0:
        raise WetgenError(
            f"eps-prediction cannot take a step from timestep {timestep}.",
            why="its latent is pure noise there, and x0 = (x - sqrt(1 - a) eps) / sqrt(a) divides by zero.",
            fix="use v- or x0-prediction, or train with zero_terminal_snr = false.",
        )
    return Step(timestep, signal_prev / signal, noise_prev - signal_prev * noise / signal)


_SHORT = 15  # a plan with fewer steps ends with a step of first order
_LEAST_SIGNAL = 2.0**-24  # stands for alpha-bar 0, whose logarithm is infinite; diffusers takes the same number


def dpmpp_steps(
    table: NDArray[np.float64], chosen: Sequence[int], prediction: Prediction = "v", final: float = 1.0
) -> tuple[Step, ...]:
    """The steps of DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): those of DDIM with x0 extrapolated.

    With h the distance to the next step and h_before that from the last one, both in l = log(a / (1 - a)) / 2, x0 gives
    way to x0 + h / (2 h_before) * (x0 - x0_before). That is left out of the first step, and of the last one where the
    plan is short or ends clean (h is infinite there).
    """
    alphas = [*(float(table[t]) for t in chosen), final]
    logs = [0.5 * float(np.log(max(a, _LEAST_SIGNAL) / (1 - a))) for a in alphas[:-1]]
    logs.append(np.inf if final == 1 else 0.5 * float(np.log(final / (1 - final))))
    plain_end = len(chosen) - 1 if final == 1 or len(chosen) < _SHORT else len(chosen)
    steps = []
    for i, step in enumerate(ddim_steps(table, chosen, prediction, final)):
        signal, noise = alphas[i] ** 0.5, (1 - alphas[i]) ** 0.5
        weight = (logs[i + 1] - logs[i]) / (2 * (logs[i] - logs[i - 1])) if 0 < i < plain_end else 0.0
        share = weight * (alphas[i + 1] ** 0.5 - (1 - alphas[i + 1]) ** 0.5 * signal / noise)  # of x0 in the latent
        clean_keep, clean_push = _clean(signal, noise, prediction)
        keep, push = step.keep + share * clean_keep, step.push + share * clean_push
        numbers = {"keep": keep, "push": push, "pull": -share, "clean_keep": clean_keep, "clean_push": clean_push}
        steps.append(step._replace(multistep=True, **numbers))
    return tuple(steps)


def _clean(signal: float, noise: float, prediction: Prediction) -> tuple[float, float]:
    """x0 as parts of x and of the prediction."""
    if prediction == "v":
        return signal, -noise
    return (0.0, 1.0) if prediction == "x0" else (1 / signal, -noise / signal)


Solver = Callable[[NDArray[np.float64], Sequence[int], Prediction, float], tuple[Step, ...]]
"""The steps for a table of alpha-bar, the timesteps, what the network predicts, and alpha-bar after the last step."""
SOLVERS: dict[str, Solver] = {"ddim": ddim_steps, "dpmpp": dpmpp_steps}
