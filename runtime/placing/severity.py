"""Severity as a number from 0 to 1, and how much of a picture it damages."""

import numpy as np

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.placing.statistics import SHARES, TYPICAL, ClassStatistics

KNOTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # severities of the quantiles in SHARES
LEAST, MOST = 0.001, 0.9  # shares of a picture: 16 pixels of 128 x 128; room for the edge that shapes keep free
STEP = 1.2  # each quantile's least ratio to the one below: more severe is larger by whole pixels even there

assert len(KNOTS) == len(SHARES)


def check_severity(severity: float, name: str = "The severity") -> None:
    """Raise WetgenError unless it is a number from 0 to 1; `name` begins the message."""
    if not 0 <= severity <= 1:  # false for NaN too
        raise WetgenError(
            f"{name} is {severity:g}.", why="severity runs from 0, a trace, to 1, the worst.", fix="use 0 to 1."
        )


def area_for(statistics: ClassStatistics | None, severity: float) -> float:
    """The share of a picture that a class of these statistics covers at a severity.

    0 is the 5 % quantile of the areas measured, 0.5 the median, 1 the 95 % quantile; between them it is linear. It is
    strictly increasing, and from LEAST to MOST. Without statistics those of a typical patch are taken.
    """
    check_severity(severity)
    areas = list((TYPICAL if statistics is None else statistics).area)
    areas[0] = max(areas[0], LEAST)
    for place in range(1, len(areas)):
        areas[place] = max(areas[place], STEP * areas[place - 1])
    areas[-1] = min(areas[-1], MOST)
    for place in range(len(areas) - 2, -1, -1):
        areas[place] = min(areas[place], areas[place + 1] / STEP)
    return float(np.interp(severity, KNOTS, areas))
