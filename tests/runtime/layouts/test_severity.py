"""Severity to area: the quantiles at the knots, and always more with more."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import LEAST, MOST, TYPICAL, area_for


def with_areas(*areas: float):
    return dataclasses.replace(TYPICAL, area=areas)


def test_the_knots_are_the_quantiles_and_between_them_it_is_linear():
    figures = with_areas(0.01, 0.02, 0.05, 0.1, 0.4)
    assert [area_for(figures, severity) for severity in (0, 0.25, 0.5, 0.75, 1)] == [0.01, 0.02, 0.05, 0.1, 0.4]
    assert area_for(figures, 0.625) == pytest.approx(0.075)


def test_a_class_that_was_not_measured_has_a_typical_area():
    assert area_for(None, 0.5) == TYPICAL.area[2]


@given(st.lists(st.floats(0, 1), min_size=5, max_size=5).map(sorted), st.floats(0, 1), st.floats(0, 1))
def test_it_grows_strictly_and_stays_within_a_picture_whatever_was_measured(areas, one, other):
    figures = with_areas(*areas)
    steps = [area_for(figures, step) for step in np.linspace(0, 1, 5)]
    assert steps[-1] <= MOST and (np.diff(steps) > 0).all()
    # Even where every mask covered the same, five steps differ by whole pixels of 128 x 128.
    assert steps[0] * 128**2 >= 1 and min(np.diff(steps)) * 128**2 > 1
    low, high = sorted((one, other))
    if high - low > 1e-9:  # below, floats may be equal
        assert area_for(figures, low) < area_for(figures, high)


def test_where_every_mask_is_empty_a_trace_is_still_seen():
    assert area_for(with_areas(0, 0, 0, 0, 0), 0) == LEAST


@pytest.mark.parametrize("severity", [-0.01, 1.01, float("nan")])
def test_severities_outside_0_to_1_are_refused(severity):
    with pytest.raises(WetgenError, match="0, a trace, to 1"):
        area_for(None, severity)
