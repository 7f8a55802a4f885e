"""Named sampling plans from their short form: "ddim:20" is 20 steps of DDIM."""

import re
from collections.abc import Callable, Sequence

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.schedule import Plan, Step

_FORM = re.compile(r"ddim:([1-9][0-9]*)")


def plans_of(specs: Sequence[str], steps_of: Callable[[int], tuple[Step, ...]]) -> list[Plan]:
    """The plans in order, each beginning in the tables where the one before it ends.

    `steps_of` gives the steps of a plan by their number. Raises WetgenError for a malformed or repeated spec.
    """
    plans: list[Plan] = []
    first_row = 0
    for spec in specs:
        match = _FORM.fullmatch(spec)
        if match is None:
            raise _bad(spec, "a plan is written ddim:STEPS", "write, for example, --plan ddim:20.")
        if any(plan.name == spec for plan in plans):
            raise _bad(spec, "it is given twice", "name every plan once.")
        plan = Plan(spec, first_row, steps_of(int(match[1])))
        plans.append(plan)
        first_row += len(plan.steps)
    if not plans:
        raise _bad("", "none is given", "write, for example, --plan ddim:20.")
    return plans


def _bad(spec: str, why: str, fix: str) -> WetgenError:
    return WetgenError(f"'{spec}' is no plan.", why=f"{why}.", fix=fix)
