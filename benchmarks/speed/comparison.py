"""Tables of candidates that took turns: runtime and baselines, and the plans of the bundle."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wetgen.benchmarks.bootstrap import Ratio, bootstrap_ratio
from wetgen.benchmarks.document import Table
from wetgen.benchmarks.speed.cases import EAGER, OURS
from wetgen.benchmarks.speed.compare import check_same_work
from wetgen.benchmarks.speed.rates import percentile

_PLAN_ALONE = ("timesteps", "kinds", "picture")  # what two plans may differ in

CandidateRow = Mapping[str, Any]


def candidates_table(candidates: Sequence[CandidateRow], plan: str) -> Table:
    """Every candidate that ran the plan: median, p90, speed relative to the base, error; or why it failed."""
    walked = [one for one in candidates if one["plan"] == plan]
    base = _base(walked)
    rows = []
    for one in sorted(walked, key=lambda one: one["name"] == OURS):
        if "times_ms" not in one:
            rows.append([one["name"], "failed", "", "", f"{one['failed']['what']}: {one['failed']['why']}"])
            continue
        if base is not None:
            check_same_work(f"{one['name']} beside {base['name']}", base["work"], one["work"])
        rows.append([one["name"], *_times(one), _fast(base, one), _error(one)])
    return Table(["", "median", "p90", f"times as fast as {_name(base)}", "error"], rows)


def plans_table(candidates: Sequence[CandidateRow], about: Mapping[str, Any], batch: int) -> Table:
    """The runtime's plans; `about` is the row of the bundle, which has what export measured of them."""
    base = _base([one for one in candidates if one["plan"] == about["plan"]])
    rows = []
    for one in candidates:
        if one["name"] != OURS:
            continue
        plan = about["plans"][one["plan"]]
        steps = f"{len(plan['kinds'])} ({sum(kind.startswith('guided') for kind in plan['kinds'])} guided)"
        if "times_ms" not in one:
            rows.append([one["plan"], steps, "failed", "", "", one["failed"]["why"], ""])
            continue
        if base is not None:
            # Another plan is other work by intent; everything else must still be the same.
            sides = [{k: v for k, v in side["work"].items() if k not in _PLAN_ALONE} for side in (base, one)]
            check_same_work(f"plan {one['plan']}", *sides)
        pairs = f"{1000 * batch / percentile(one['times_ms'], 0.5):.2f}"
        rows.append([one["plan"], steps, _times(one)[0], pairs, _fast(base, one), _error(one), _measured(plan)])
    head = ["plan", "steps", "median", "pairs/s", f"times as fast as {_name(base)}", "distance", "measured at export"]
    return Table(head, rows)


def _base(walked: Sequence[CandidateRow]) -> CandidateRow | None:
    """What ratios are of: the eager baseline, or else the runtime with the first plan."""
    for name in (EAGER, OURS):
        for one in walked:
            if one["name"] == name and "times_ms" in one:
                return one
    return None


def _name(base: CandidateRow | None) -> str:
    return "nothing" if base is None else base["name"]


def speedup(base: CandidateRow, one: CandidateRow) -> Ratio:
    """How many times as fast, turn by turn: the median of the turns' ratios, and its bootstrap interval."""
    turns = [slow / fast for slow, fast in zip(base["times_ms"], one["times_ms"], strict=True)]
    return bootstrap_ratio([np.ones(1)], [np.asarray(turns)])


def _fast(base: CandidateRow | None, one: CandidateRow) -> str:
    if base is None:
        return ""
    found = speedup(base, one)
    return "1" if one is base else f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def _times(one: CandidateRow) -> list[str]:
    return [f"{percentile(one['times_ms'], share):.1f} ms" for share in (0.5, 0.9)]


def _error(one: CandidateRow) -> str:
    if "error" not in one:
        return "no reference here"
    error = one["error"]
    masks = f", {error['mask_agreement']:.1%} of mask pixels equal" if "mask_agreement" in error else ""
    return f"{error['psnr_db']:.1f} dB{masks}, against {error['against']}"


def _measured(plan: Mapping[str, Any]) -> str:
    """What export found of a plan, and of the plans that it was set beside there."""
    if not plan["measured"]:
        return ""
    beside = plan["measured"].get("relative_to", {})
    own = {name: value for name, value in plan["measured"].items() if name != "relative_to"}
    return "; ".join([_listed(own), *(f"{name}: {_listed(values)}" for name, values in beside.items())])


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in values.items())


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
