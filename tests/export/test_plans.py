"""The short form of plans: what it means, and that what means nothing is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wetgen.export.search.plans import Form, Network, parsed, plans_of
from wetgen.runtime.bundle.graphs import KINDS
from wetgen.runtime.errors import WetgenError
from wetgen.training.diffusion import NoiseSchedule

SCHEDULE, PLAIN = NoiseSchedule(), Network()
SHORT = {"guided": "G", "guided_keep": "GK", "guided_reuse": "GR", "unguided": "U", "unguided_keep": "UK"}
SHORT["unguided_reuse"] = "UR"


def kinds(spec: str, network: Network = PLAIN) -> str:
    (plan,) = plans_of([spec], SCHEDULE, network)
    return " ".join(SHORT[step.kind.name] for step in plan.steps)


@pytest.mark.parametrize(
    "spec, expected",
    [
        ("ddim:3", "G G G"),
        ("ddim:5,guided=1-2", "U G G U U"),
        ("ddim:3,guided=none", "U U U"),
        ("ddim:3,guided=0-2", "G G G"),
        ("ddim:5,reuse=2", "GK GR GK GR G"),
        ("ddim:5,reuse=3", "GK GR GR GK GR"),
        ("ddim:3,reuse=1", "G G G"),
        ("ddim:7,guided=1-4,reuse=2", "U GK GR GK GR UK UR"),
        ("ddim:6,keep=0;3;4", "GK GR GR G GK GR"),
        ("ddim:4,guided=2-3,keep=0;2", "UK UR GK GR"),
    ],
)
def test_kinds(spec, expected):
    assert kinds(spec) == expected


def test_a_distilled_network_is_never_guided():
    assert kinds("ddim:3,reuse=2", Network(distilled=True)) == "UK UR U"


def test_a_plan_is_called_as_it_is_written_or_named():
    plans = plans_of(["ddim:20", "fast=ddim:2,guided=none", "two.1=ddim:2"], SCHEDULE)
    assert [plan.name for plan in plans] == ["ddim:20", "fast", "two.1"]
    assert [list(plan.rows) for plan in plans] == [list(range(20)), [20, 21], [22, 23]]
    assert plans[2].steps == SCHEDULE.steps(2)


def test_timesteps_may_be_chosen():
    (plan,) = plans_of(["ddim:3,t=999;400;7"], SCHEDULE)
    assert [step.timestep for step in plan.steps] == [999, 400, 7] and plan.steps == SCHEDULE.at([999, 400, 7])
    (spaced,) = plans_of(["ddim:4,t=999;749;499;249"], SCHEDULE)
    assert spaced.steps == SCHEDULE.steps(4)


@pytest.mark.parametrize(
    "spec, why",
    [
        ("ddim:0", "a plan is written"),
        ("euler:4", "a plan is written"),
        ("ddim:4;guided=1-2", "a plan is written"),
        ("a b=ddim:4", "a plan is written"),
        ("ddim:4,guide=1-2", "'guide=1-2' is not an option"),
        ("ddim:4,guided=1-2,guided=0-3", "stands there twice"),
        ("ddim:4,guided=1-4", "from 0 to 3"),
        ("ddim:4,guided=2-1", "from 0 to 3"),
        ("ddim:4,guided=2", "from 0 to 3"),
        ("ddim:4,reuse=0", "reuse= takes one number"),
        ("ddim:4,reuse=2;3", "reuse= takes one number"),
        ("ddim:4,reuse=2,keep=0", "give one"),
        ("ddim:4,keep=1;2", "keep= lists steps"),
        ("ddim:4,keep=0;4", "keep= lists steps"),
        ("ddim:4,keep=0;2;1", "keep= lists steps"),
        ("ddim:4,keep=0;x", "keep= takes numbers"),
        ("ddim:4,guided=1-2,keep=0;1", "let it hold 0, 1, 3"),
        ("ddim:3,t=999;500", "t lists 2 timesteps; it takes 3"),
        ("ddim:3,t=999;500;500", "each below the one before"),
        ("ddim:2,t=1000;500", "from 999 to 0"),
    ],
)
def test_what_means_nothing_is_refused(spec, why):
    with pytest.raises(WetgenError, match="is no plan") as caught:
        plans_of([spec], SCHEDULE)
    assert why in str(caught.value)


def test_another_solver_has_the_same_options():
    (plan,) = plans_of(["dpmpp:4,guided=0-1,reuse=2"], SCHEDULE)
    assert [step.kind.name for step in plan.steps] == [
        "guided_multistep_keep",
        "guided_multistep_reuse",
        "unguided_multistep_keep",
        "unguided_multistep_reuse",
    ]
    assert [step.timestep for step in plan.steps] == [step.timestep for step in SCHEDULE.steps(4)]
    assert plan.steps[0].pull == plan.steps[3].pull == 0 and plan.steps[1].pull and plan.steps[2].pull


def test_what_a_network_cannot_do_is_refused():
    with pytest.raises(WetgenError, match="no deep features"):
        plans_of(["ddim:4,reuse=2"], SCHEDULE, Network(deep=False))
    with pytest.raises(WetgenError, match="was distilled into"):
        plans_of(["ddim:4,guided=0-1"], SCHEDULE, Network(distilled=True))
    with pytest.raises(WetgenError, match="given twice"):
        plans_of(["a=ddim:4", "a=ddim:3"], SCHEDULE)
    with pytest.raises(WetgenError, match="none is given"):
        plans_of([], SCHEDULE)


@st.composite
def forms(draw):
    """Forms that a spec can be written for: the whole steps hold those at which guidance turns."""
    steps = draw(st.integers(1, 12))
    chosen = draw(st.none() | st.sets(st.integers(0, 999), min_size=steps, max_size=steps))
    first = draw(st.integers(0, steps))
    guided = range(first, draw(st.integers(first, steps)))
    turns = {0} | {edge for edge in (guided.start, guided.stop) if guided and edge < steps}
    whole = turns | draw(st.sets(st.integers(0, steps - 1)))
    return Form(steps, None if chosen is None else tuple(sorted(chosen, reverse=True)), guided, tuple(sorted(whole)))


@given(forms())
def test_a_form_written_out_is_the_same_plan(form):
    again = parsed(str(form), SCHEDULE.count, Network()).form
    assert str(again) == str(form)
    assert again.on(SCHEDULE, Network()) == form.on(SCHEDULE, Network())
    plans_of([str(form)], SCHEDULE)  # a sampler can walk it
    assert set(form.kinds(Network())) <= set(KINDS)
