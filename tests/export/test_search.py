"""The search for plans: what it walks is what a bundle walks, its proposals are optimal, its choice is as described."""

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from wetgen.export import reference
from wetgen.export.search.measure import Loss, quality
from wetgen.export.search.plans import Form, Network, parsed
from wetgen.export.search.search import Candidate, PlanSearch, chosen, quality_asked, search
from wetgen.export.search.spacing import UNITS, Errors, Proposals, Trajectory, errors_of
from wetgen.export.search.trajectories import Distance, Walks
from wetgen.runtime.bundle.graphs import KINDS, StepKind
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.sampling.sampler import starting_noise
from wetgen.training.checkpoint import Checkpoint
from wetgen.training.diffusion import NoiseSchedule
from wetgen.training.sample import free_conditioning

COSTS = dict(zip(KINDS[:6], (1.0, 1.0, 0.35, 0.5, 0.5, 0.2), strict=True))
GUIDED, UNGUIDED = StepKind(True), StepKind(False)


def walks_of(networks: Checkpoint, steps: int) -> tuple[Walks, Any]:
    texts = np.random.default_rng(0).standard_normal((3, 16, 32)).astype(np.float32)
    grid = networks.schedule.timesteps(steps)
    return Walks(networks.unet, networks.sizes, networks.schedule, Network(), grid, texts, 3.0), texts


@pytest.mark.parametrize(
    "spec", ["ddim:4", "ddim:4,guided=1-2,reuse=2", "ddim:3,t=999;499;249,guided=none,keep=0", "dpmpp:4,reuse=2"]
)
def test_a_search_walks_what_the_reference_walks(networks: Checkpoint, spec: str):
    walks, texts = walks_of(networks, 4)
    form = parsed(spec, 1000, Network()).form
    found = walks.walk(form, [1, 4])
    for row, pair in enumerate((1, 4)):
        noise = torch.from_numpy(starting_noise(0, pair, networks.sizes.latent)[None])
        uncond, cond = (torch.from_numpy(texts[place][None]) for place in (0, 1 + pair % 2))
        free = free_conditioning(networks.unet, noise)
        steps = form.on(networks.schedule, Network())
        *_, wanted = reference.trajectory(networks.unet, noise, uncond, cond, steps, 3.0, free)
        torch.testing.assert_close(found[row : row + 1], wanted, rtol=1e-3, atol=1e-4)  # sums in another order


def test_what_walks_begin_with_is_computed_once(networks: Checkpoint, monkeypatch: pytest.MonkeyPatch):
    walks, _ = walks_of(networks, 4)
    asked, predicted = [], walks.predicted
    monkeypatch.setattr(walks, "predicted", lambda *given: asked.append(given[2]) or predicted(*given))
    walks.walk(Form(4), [0])
    walks.walk(Form(4, guided=range(3)), [0])  # differs in the last step
    walks.walk(Form(4), [1])  # begins elsewhere
    assert asked == [GUIDED] * 4 + [UNGUIDED] + [GUIDED] * 4
    assert 0.4 < walks.costs[UNGUIDED] < 0.7 and walks.costs[StepKind(True, "reuse")] < 0.8
    assert walks.cost(Form(4, guided=range(3))) == pytest.approx(3 + walks.costs[UNGUIDED])


def test_a_step_as_long_as_the_trajectorys_own_has_no_error(networks: Checkpoint):
    walks, _ = walks_of(networks, 5)
    trajectory = Trajectory.of(walks, [0, 1])
    errors = errors_of(trajectory)
    np.testing.assert_allclose(np.diag(errors.whole[True], k=1), 0, atol=1e-6)
    assert (np.diag(errors.whole[False], k=1) > 1e-4).all() and errors.whole[True][0, 2] > 1e-4
    assert np.isinf(errors.whole[True][np.tril_indices(5)]).all()
    # With features so old that there are none yet, nothing can be reused.
    assert np.isinf(errors.reused[True][2][:2]).all() and np.isfinite(errors.reused[True][2][2, 3])
    np.testing.assert_allclose(
        errors.reused[True][1][3, 4], (errors.whole[True][3, 4] + errors.reused[True][2][3, 4]) / 2
    )
    whole = Form(5, tuple(walks.grid))
    assert Distance.between(walks.walk(whole, [0, 1]), trajectory.last).relative < 1e-5


def _made_up(places: int, seed: int) -> tuple[Any, Errors]:
    """Walks without a network, and random errors."""
    rng = np.random.default_rng(seed)
    walks = SimpleNamespace(costs=COSTS, grid=NoiseSchedule().timesteps(places), network=Network())

    spans = np.arange(places + 1) - np.arange(places)[:, None]  # long steps err more, or one would be the best plan

    def table(most: float) -> np.ndarray:
        return np.where(spans > 0, rng.uniform(0.1, most, spans.shape) * spans.clip(0) ** 2.0, np.inf)

    reused = {guided: {lag: table(0.3) for lag in (1, 2, 3)} for guided in (True, False)}
    return walks, Errors({True: table(0.5), False: table(1.0)}, reused)


def _sum(form: Form, walks: Any, errors: Errors) -> float:
    """The errors of a plan's steps, added up without the programme."""
    assert form.timesteps is not None
    places = [walks.grid.index(timestep) for timestep in form.timesteps] + [len(walks.grid)]
    total, kept = 0.0, 0
    for number, kind in enumerate(form.kinds(Network())):
        guided, (here, there) = kind.guided, places[number : number + 2]
        if kind.cache == "reuse":
            total += errors.reused[guided].get(here - kept, np.full((99, 99), np.inf))[here, there]
        else:
            total, kept = total + errors.whole[guided][here, there], here
    return total


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("cost", [1.0, 1.9, 3.0])
def test_no_plan_of_the_same_cost_has_less_error(seed: int, cost: float):
    places = 5
    walks, errors = _made_up(places, seed)
    found = Proposals(walks, errors, 3.0).at(cost)
    assert found is not None
    every = []
    for count in range(1, places + 1):
        for rest in itertools.combinations(range(1, places), count - 1):
            for first, stop in itertools.combinations_with_replacement(range(count + 1), 2):
                for whole in itertools.product((True, False), repeat=count - 1):
                    kept = (0, *(number for number, one in enumerate(whole, start=1) if one))
                    turns = {edge for edge in (first, stop) if first < stop and edge < count}
                    if turns <= set(kept):
                        timesteps = tuple(walks.grid[place] for place in (0, *rest))
                        every.append(Form(count, timesteps, range(first, stop), kept))
    spent = [sum(COSTS[kind] for kind in form.kinds(Network())) for form in every]
    least = min(_sum(form, walks, errors) for form, units in zip(every, spent, strict=True) if units <= cost + 1e-9)
    assert _sum(found, walks, errors) == pytest.approx(least)
    assert sum(COSTS[kind] for kind in found.kinds(Network())) <= cost + 0.5 / UNITS


def loss(distance: float, agreement: float | None = 0.9) -> Loss:
    return Loss(distance, 40.0, agreement, None)


def test_quality_is_relative_to_the_yardstick():
    assert quality(loss(0.2, 0.9), loss(0.1, 0.95)) == pytest.approx(0.9 / 0.95)
    assert quality(loss(0.2, None), loss(0.1, None)) == pytest.approx(0.96 / 0.99)
    assert quality(loss(0.1, 0.95), loss(0.1, 0.95)) == 1


def test_the_three_plans_are_the_cheapest_that_are_good_enough():
    costs = (20.0, 2.1, 2.0, 8.0, 12.0, 16.0)
    candidates = [Candidate(Form(number), cost) for number, cost in enumerate(costs, start=1)]
    losses = [
        loss(0, 1),
        *(loss(d, a) for d, a in ((0.05, 0.99), (0.4, 0.9), (0.5, 0.91), (0.2, 0.965), (0.1, 0.975), (0.04, 0.99))),
    ]
    best, balanced, fast = chosen(0.98, candidates, losses, 2.0)
    assert [(one.name, one.form.steps) for one in (best, balanced, fast)] == [("best", 6), ("balanced", 5), ("fast", 2)]
    said: Any = balanced.said["measured"]
    assert said["cost_of_steps"] == 0.6 and said["cost_of_a_pair"] == round(14 / 22, 3)
    assert said["quality"] == pytest.approx(0.975 / 0.99, abs=1e-4) and said["relative_to"]["ddim:20"]["psnr_db"] == 40
    # Without anything better the yardstick is the best there is.
    assert chosen(1.0, candidates[:2], losses[:3], 2.0)[0].form.steps == 1


@pytest.mark.parametrize("spec, wish", [("auto", 0.98), ("auto:quality=0.9", 0.9), ("auto:quality=1", 1.0)])
def test_a_search_is_asked_for(spec: str, wish: float):
    assert quality_asked(spec) == wish and quality_asked("ddim:20") is None


@pytest.mark.parametrize("spec", ["auto:", "auto:quality=2", "auto:quality=0.0", "auto:fast"])
def test_another_search_is_refused(spec: str):
    with pytest.raises(WetgenError, match="is no plan"):
        quality_asked(spec)


def test_a_search_finds_the_same_plans_again(pair_checkpoint: Any, monkeypatch: pytest.MonkeyPatch):
    """Small, on a tiny network: 8 steps are the long walk, ddim:4 the yardstick."""
    from wetgen.export.search import search as module

    for name, value in {"LONG": 8, "YARDSTICK": 4, "PAIRS": 2, "LADDER": (0.3, 0.6), "FASTEST": 0.3}.items():
        monkeypatch.setattr(module, name, value)
    found, tried, walk = [], set[str](), Walks.walk
    monkeypatch.setattr(Walks, "walk", lambda self, form, pairs: tried.add(str(form)) or walk(self, form, pairs))
    for _ in range(2):
        checkpoint = Checkpoint.load(pair_checkpoint)
        job = PlanSearch(checkpoint, Network(), ["a crack in a wall"], 3.0, 0.9)
        found.append(search(job, lambda _: None))
    assert found[0] == found[1] and [one.name for one in found[0]] == ["best", "balanced", "fast"]
    assert {spec.split(":")[0] for spec in tried} == {"ddim", "dpmpp"}
    said: Any = found[0][2].said["measured"]
    assert said["cost_of_steps"] <= 0.3 and 0 < said["mask_agreement"] <= 1 and said["latent_distance"] > 0
