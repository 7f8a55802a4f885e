"""The reference sampler against diffusers' own scheduler, step by step."""

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from wetgen.training.checkpoint import schedule_from, scheduler_of
from wetgen.training.diffusion import NoiseSchedule
from wetgen.training.sample import free_conditioning, guided, sample
from wetgen.training.schedule import dpmpp_steps


class Wobble:
    """A stand-in network: smooth in its input, its timestep and its text, so that every mix-up shows."""

    config = SimpleNamespace(in_channels=4, time_cond_proj_dim=None)

    def __call__(self, x: Tensor, timestep: int, embedding: Tensor) -> SimpleNamespace:
        text = embedding.mean((1, 2)).view(-1, 1, 1, 1)
        return SimpleNamespace(sample=torch.tanh(x * (1 + timestep / 1000) + text))


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 4, 3, 3, generator=generator)
    return noise, torch.full((2, 5, 6), -0.4), torch.full((2, 5, 6), 0.9)


def by_diffusers(schedule: NoiseSchedule, count: int, scale: float) -> Iterator[Tensor]:
    scheduler: DDIMScheduler = scheduler_of(schedule)
    scheduler.set_timesteps(count)
    x, uncond, cond = inputs()
    for timestep in scheduler.timesteps:
        without, with_prompt = (Wobble()(x, int(timestep), e).sample for e in (uncond, cond))
        x = scheduler.step(without + scale * (with_prompt - without), timestep, x).prev_sample
        yield x


@pytest.mark.parametrize("count", [1, 4, 20, 50])
@pytest.mark.parametrize(
    "schedule",
    [
        NoiseSchedule(),
        NoiseSchedule(prediction="x0"),
        NoiseSchedule(prediction="eps", zero_terminal_snr=False),
        NoiseSchedule("linear", 1000, 1e-4, 0.02, False, "v", "trailing"),
        NoiseSchedule("scaled_linear", 1000, 0.00085, 0.012, False, "eps", "leading", 1, False),
    ],
    ids=["ours", "x0", "eps", "linear", "stable-diffusion"],
)
def test_every_step_is_the_one_diffusers_takes(schedule: NoiseSchedule, count: int) -> None:
    noise, uncond, cond = inputs()
    ours = list(sample(Wobble(), noise, uncond, cond, schedule.steps(count), 3.0))
    for step, (got, expected) in enumerate(zip(ours, by_diffusers(schedule, count, 3.0), strict=True)):
        # diffusers keeps alpha-bar in float32; near alpha-bar 0 its rounding reaches 1e-4 of the latent.
        torch.testing.assert_close(got.float(), expected, rtol=1e-3, atol=2e-4, msg=lambda m, s=step: f"step {s}: {m}")


@pytest.mark.parametrize(("scale", "expected"), [(0.0, 1.0), (1.0, 3.0), (7.5, 16.0)])
def test_guidance_moves_from_uncond_through_cond(scale: float, expected: float) -> None:
    def network(x: Tensor, timestep: int, embedding: Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=embedding.mean((1, 2)).view(-1, 1, 1, 1).expand_as(x))

    x = torch.zeros(1, 4, 2, 2)
    got = guided(network, x, 0, torch.full((1, 2, 2), 1.0), torch.full((1, 2, 2), 3.0), scale, None)
    np.testing.assert_allclose(got.numpy(), expected)


def test_free_conditioning_is_zeros_for_the_channels_the_network_adds() -> None:
    noise = torch.ones(2, 4, 3, 3)
    network = SimpleNamespace(config=SimpleNamespace(in_channels=11))
    extra = free_conditioning(network, noise)
    assert extra is not None and extra.shape == (2, 7, 3, 3) and not extra.any()
    assert free_conditioning(Wobble(), noise) is None


def test_a_schedule_survives_diffusers_own_config() -> None:
    schedule = NoiseSchedule("linear", 500, 1e-4, 0.02, False, "eps", "leading", 1, False)
    assert schedule_from(scheduler_of(schedule).config) == schedule


def dpmpp_by_diffusers(schedule: NoiseSchedule, count: int, scale: float) -> Iterator[Tensor]:
    scheduler = DPMSolverMultistepScheduler(
        num_train_timesteps=schedule.count,
        beta_start=schedule.beta_start,
        beta_end=schedule.beta_end,
        beta_schedule=schedule.curve,
        solver_order=2,
        algorithm_type="dpmsolver++",
        prediction_type={"v": "v_prediction", "eps": "epsilon", "x0": "sample"}[schedule.prediction],
        timestep_spacing=schedule.spacing,
        final_sigmas_type="zero" if schedule.ends_clean else "sigma_min",
        rescale_betas_zero_snr=schedule.zero_terminal_snr,
    )
    scheduler.set_timesteps(count)
    x, uncond, cond = inputs()
    for timestep in scheduler.timesteps:
        without, with_prompt = (Wobble()(x, int(timestep), e).sample for e in (uncond, cond))
        x = scheduler.step(without + scale * (with_prompt - without), timestep, x).prev_sample
        yield x


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers with numpy 2
@pytest.mark.parametrize("count", [1, 2, 3, 8, 14, 15, 20, 50])
@pytest.mark.parametrize(
    "schedule, most",
    [
        # diffusers has alpha-bar 2^-24 in place of 0, so a signal of 2^-12 of x and x0 where ours has none.
        (NoiseSchedule(), 1e-3),
        (NoiseSchedule(prediction="x0"), 1e-3),
        (NoiseSchedule(zero_terminal_snr=False), 1e-5),
        (NoiseSchedule(zero_terminal_snr=False, ends_clean=False), 1e-5),
        (NoiseSchedule(prediction="eps", zero_terminal_snr=False), 1e-5),
    ],
    ids=["ours", "x0", "no-zero-snr", "not-clean", "eps"],
)
def test_every_step_of_dpm_solver_is_the_one_diffusers_takes(schedule: NoiseSchedule, most: float, count: int) -> None:
    noise, uncond, cond = inputs()
    steps = schedule.at(schedule.timesteps(count), "dpmpp")
    ours = list(sample(Wobble(), noise, uncond, cond, steps, 3.0))
    for step, (got, expected) in enumerate(zip(ours, dpmpp_by_diffusers(schedule, count, 3.0), strict=True)):
        assert float((got - expected).abs().max() / expected.abs().max()) <= most, f"step {step}"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("count", [2, 8, 20])
def test_dpm_solver_from_the_noise_that_diffusers_starts_at(count: int) -> None:
    """With alpha-bar 2^-24 in our table too, nothing but rounding is left of the difference."""
    schedule = NoiseSchedule()
    table = schedule.table()
    table[-1] = 2.0**-24
    noise, uncond, cond = inputs()
    steps = dpmpp_steps(table, schedule.timesteps(count))
    ours = sample(Wobble(), noise, uncond, cond, steps, 3.0)
    for got, expected in zip(ours, dpmpp_by_diffusers(schedule, count, 3.0), strict=True):
        assert float((got - expected).abs().max() / expected.abs().max()) <= 1e-4
