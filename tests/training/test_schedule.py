"""The schedule against the textbook, against what it must achieve, and against a stored table."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wetgen.runtime.bundle.graphs import Plan
from wetgen.runtime.errors import WetgenError
from wetgen.training.schedule import alphas_cumprod, ddim_steps, timesteps

GOLDEN = Path(__file__).parents[1] / "golden" / "schedule.json"
PREDICTIONS = ("v", "eps", "x0")


def clean_and_noise(x, prediction, kind, a):
    """x0 and eps as each kind of prediction states them."""
    if kind == "eps":
        return (x - np.sqrt(1 - a) * prediction) / np.sqrt(a), prediction
    if kind == "x0":
        return prediction, (x - np.sqrt(a) * prediction) / np.sqrt(1 - a)
    return np.sqrt(a) * x - np.sqrt(1 - a) * prediction, np.sqrt(1 - a) * x + np.sqrt(a) * prediction


def predicted(x0, eps, kind, a):
    """What a perfect network says."""
    return {"eps": eps, "x0": x0, "v": np.sqrt(a) * eps - np.sqrt(1 - a) * x0}[kind]


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_a_step_is_equation_12_of_ddim_with_eta_zero(kind):
    table = alphas_cumprod(zero_terminal_snr=False)
    chosen = timesteps(1000, 5)
    rng = np.random.default_rng(0)
    for t, after, step in zip(chosen, [*chosen[1:], None], ddim_steps(table, chosen, kind), strict=True):
        a, a_prev = table[t], 1.0 if after is None else table[after]
        x, prediction = rng.standard_normal((2, 7))
        x0, eps = clean_and_noise(x, prediction, kind, a)
        textbook = np.sqrt(a_prev) * x0 + np.sqrt(1 - a_prev) * eps
        np.testing.assert_allclose(step.keep * x + step.push * prediction, textbook, rtol=1e-9, atol=1e-12)
        assert step.timestep == t


@given(
    steps=st.integers(1, 40),
    kind=st.sampled_from(PREDICTIONS),
    spacing=st.sampled_from(["trailing", "leading"]),
    curve=st.sampled_from(["linear", "scaled_linear"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_perfect_denoiser_recovers_the_clean_latent(steps, kind, spacing, curve, seed):
    table = alphas_cumprod(curve, zero_terminal_snr=kind != "eps")
    x0, eps = np.random.default_rng(seed).standard_normal((2, 5))
    chosen = timesteps(1000, steps, spacing)
    x = np.sqrt(table[chosen[0]]) * x0 + np.sqrt(1 - table[chosen[0]]) * eps
    for step in ddim_steps(table, chosen, kind):
        x = step.keep * x + step.push * predicted(x0, eps, kind, table[step.timestep])
    np.testing.assert_allclose(x, x0, rtol=0, atol=1e-9)  # float64, and at most 40 steps


@given(count=st.integers(1, 1200), data=st.data())
def test_trailing_timesteps_start_at_the_noisiest_and_fall(count, data):
    steps = data.draw(st.integers(1, count))
    chosen = timesteps(count, steps)
    assert len(chosen) == steps
    assert chosen[0] == count - 1
    assert chosen[-1] >= 0
    assert all(later < earlier for earlier, later in pairwise(chosen))


def test_every_number_of_steps_gives_that_many_timesteps():
    assert [steps for steps in range(1, 1001) if len(timesteps(1000, steps)) != steps] == []
    assert min(timesteps(1000, steps)[-1] for steps in range(1, 1001)) == 0


def test_leading_timesteps_end_at_the_offset():
    assert timesteps(1000, 4, "leading", 1) == [751, 501, 251, 1]
    assert timesteps(10, 3, "leading") == [6, 3, 0]


def test_the_last_timestep_is_pure_noise_and_the_first_keeps_its_alpha():
    zero, plain = alphas_cumprod(), alphas_cumprod(zero_terminal_snr=False)
    assert zero[-1] == 0.0
    assert zero[0] == pytest.approx(plain[0], rel=1e-12)
    assert (np.diff(zero) < 0).all() and (np.diff(plain) < 0).all()


def test_eps_prediction_cannot_start_from_pure_noise():
    with pytest.raises(WetgenError, match="eps-prediction cannot take a step from timestep 999"):
        ddim_steps(alphas_cumprod(), timesteps(1000, 4), "eps")


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_an_impossible_number_of_steps_is_refused(steps):
    with pytest.raises(WetgenError, match=f"A plan of {steps} steps is not possible"):
        timesteps(1000, steps)


def test_rows_of_a_plan_follow_its_first_row():
    steps = ddim_steps(alphas_cumprod(), timesteps(1000, 3))
    assert list(Plan("b", 4, steps).rows) == [4, 5, 6]


@given(
    steps=st.integers(1, 40),
    kind=st.sampled_from(PREDICTIONS),
    spacing=st.sampled_from(["trailing", "leading"]),
    ends_clean=st.booleans(),
)
def test_a_steps_numbers_follow_from_alpha_bar_before_and_after_it(steps, kind, spacing, ends_clean):
    """DDIM's coefficients as functions of a and a_prev, for each kind of prediction.

    Noise and signal differ by 1e-6 where two steps are neighbours, and dividing costs the digits that they share.
    """
    table = alphas_cumprod(zero_terminal_snr=kind != "eps")
    chosen = timesteps(1000, steps, spacing)
    final = 1.0 if ends_clean else float(table[0])
    steps_made = ddim_steps(table, chosen, kind, final)
    for step, a_prev in zip(steps_made, [*table[chosen[1:]], final], strict=True):
        a = table[step.timestep]
        keep, push = {
            "v": (
                np.sqrt(a_prev * a) + np.sqrt((1 - a_prev) * (1 - a)),
                np.sqrt((1 - a_prev) * a) - np.sqrt(a_prev * (1 - a)),
            ),
            "eps": (np.sqrt(a_prev / a), np.sqrt(1 - a_prev) - np.sqrt(a_prev * (1 - a) / a)) if a else (),
            "x0": (np.sqrt((1 - a_prev) / (1 - a)), np.sqrt(a_prev) - np.sqrt(a * (1 - a_prev) / (1 - a))),
        }[kind]
        np.testing.assert_allclose([step.keep, step.push], [keep, push], rtol=1e-9, atol=1e-9)


def test_golden_tables(request):
    got = {
        "alphas_cumprod": {
            f"{curve} {zero}": [float(alphas_cumprod(curve, zero_terminal_snr=zero)[t]) for t in (0, 1, 499, 998, 999)]
            for curve in ("linear", "scaled_linear")
            for zero in (False, True)
        },
        "timesteps": {
            spacing: {str(steps): timesteps(1000, steps, spacing) for steps in (1, 2, 4, 8, 20, 61)}
            for spacing in ("trailing", "leading")
        },
        "ddim": {
            kind: [
                list(step.to_json().values())
                for step in ddim_steps(alphas_cumprod(zero_terminal_snr=False), timesteps(1000, 4), kind)
            ]
            for kind in PREDICTIONS
        },
    }
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(json.dumps(got, indent=1) + "\n")
    kept = json.loads(GOLDEN.read_text())
    assert got["timesteps"] == kept["timesteps"]
    for name, values in got["alphas_cumprod"].items():
        np.testing.assert_allclose(values, kept["alphas_cumprod"][name], rtol=1e-12)
    for kind, steps in got["ddim"].items():
        assert [step[3] for step in steps] == [step[3] for step in kept["ddim"][kind]]
        np.testing.assert_allclose([step[:3] for step in steps], [step[:3] for step in kept["ddim"][kind]], rtol=1e-12)
