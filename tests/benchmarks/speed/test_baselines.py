"""Baselines draw what the reference sampler draws: a baseline that draws something else proves nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wetgen.benchmarks.metrics import psnr
from wetgen.benchmarks.speed import baselines
from wetgen.benchmarks.speed.cases import EAGER, OPENVINO, PLAIN
from wetgen.benchmarks.speed.loops import HostLoop, TorchLoop
from wetgen.benchmarks.speed.raw_graphs import raw_graphs
from wetgen.runtime.bundle.graphs import Plan, Step
from wetgen.runtime.errors import WetgenError
from wetgen.training.checkpoint import Checkpoint

GUIDANCE = 3.0


@pytest.fixture(scope="module")
def checkpoint(picture_checkpoint: Path) -> Checkpoint:
    return Checkpoint.load(picture_checkpoint)


@pytest.fixture(scope="module")
def plan(checkpoint: Checkpoint) -> Plan:
    return Plan("two", 0, checkpoint.schedule.steps(2))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where raw graphs are kept between tests."""
    return tmp_path_factory.mktemp("raw")


def least_psnr(got: Any, truth: Any) -> float:
    return min(psnr(a, b) for a, b in zip(got[0], truth[0], strict=True))


@pytest.mark.parametrize("batch", [1, 2])
def test_the_torch_loop_draws_the_reference_s_pictures(checkpoint: Checkpoint, plan: Plan, batch: int) -> None:
    truth = baselines.reference(checkpoint.folder, plan, GUIDANCE, batch)
    makers = baselines.makers(checkpoint.folder, Path(), plan, GUIDANCE, batch, 1)
    assert least_psnr(makers[EAGER]()(), truth) > 60  # bytes that rounded the other way


@pytest.mark.parametrize("name", [PLAIN, pytest.param(OPENVINO, marks=pytest.mark.openvino)])
def test_raw_graphs_call_by_call_draw_them_too(checkpoint: Checkpoint, plan: Plan, raw: Path, name: str) -> None:
    makers = baselines.makers(checkpoint.folder, raw, plan, GUIDANCE, 2, 1)
    assert least_psnr(makers[name]()(), baselines.reference(checkpoint.folder, plan, GUIDANCE, 2)) > 60


def test_raw_graphs_are_exported_once(checkpoint: Checkpoint, raw: Path) -> None:
    written = [{name: file.stat().st_mtime_ns for name, file in raw_graphs(checkpoint, raw).items()} for _ in "ab"]
    assert written[0] == written[1]


def test_an_unguided_step_asks_for_the_prompt_s_half_alone(checkpoint: Checkpoint, plan: Plan) -> None:
    """By the arithmetic of guidance a scale of 1 is the prompt's half, in either loop."""
    first, second = plan.steps
    mixed = Plan("mixed", 0, (first, Step(*second[:3], guided=False)))
    loops = [TorchLoop(checkpoint, each, 1.0, lambda part: part) for each in (plan, mixed)]
    drawn = [loop.generate(["a wet wall"], 3)[0] for loop in loops]
    np.testing.assert_allclose(drawn[0].astype(int), drawn[1], atol=1)
    other = TorchLoop(checkpoint, mixed, 9.0, lambda part: part).generate(["a wet wall"], 3)[0]
    assert np.abs(other.astype(int) - drawn[1]).max() > 1  # the first step is still guided


def test_timesteps_that_diffusers_would_not_choose_are_walked_by_the_table(checkpoint: Checkpoint) -> None:
    first, second = checkpoint.schedule.steps(2)
    plan = Plan("odd", 0, (Step(first.timestep - 7, first.keep, first.push), second))
    loop = TorchLoop(checkpoint, plan, GUIDANCE, lambda part: part)
    truth = baselines.reference(checkpoint.folder, plan, GUIDANCE, 1)
    got = loop.generate([baselines.PROMPTS[0]], baselines.SEED)
    assert least_psnr(got, truth) > 60


def test_another_solver_is_walked_by_the_table(checkpoint: Checkpoint) -> None:
    plan = Plan("multistep", 0, checkpoint.schedule.at(checkpoint.schedule.timesteps(3), "dpmpp"))
    truth = baselines.reference(checkpoint.folder, plan, GUIDANCE, 1)
    got = TorchLoop(checkpoint, plan, GUIDANCE, lambda part: part).generate([baselines.PROMPTS[0]], baselines.SEED)
    assert least_psnr(got, truth) > 60


def test_a_plan_that_reuses_features_is_refused(checkpoint: Checkpoint, plan: Plan) -> None:
    first, second = plan.steps
    reusing = Plan("reusing", 0, (Step(*first[:3], cache="store"), Step(*second[:3], cache="reuse")))
    for make in (TorchLoop, lambda *given: HostLoop(None, None, None, *given[:3])):
        with pytest.raises(WetgenError, match="cannot walk the plan 'reusing'"):
            make(checkpoint, reusing, GUIDANCE, lambda part: part)
