"""Named sampling plans from their short form: "ddim:20" is 20 steps of DDIM, all of them guided.

    [NAME=]SOLVER:STEPS[,t=T;T;...][,guided=FIRST-LAST|none][,reuse=EVERY|,keep=STEP;STEP;...]

SOLVER   ddim, or dpmpp: DPM-Solver++(2M), which takes fewer steps to the same picture (Lu et al. 2022)
t        the timesteps, noisiest first; without it they are spaced as the checkpoint's scheduler says
guided   the steps, counted from 0, that are guided; the others run the prompt's half alone (a limited interval of
         guidance, Kynkaanniemi et al. 2024)
reuse    every so many steps are computed whole, the others with the deep features of the last whole one (DeepCache,
         Ma et al. 2024); counted anew from where guidance begins or ends
keep     the same with the whole steps named
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from wetgen.runtime.bundle.graphs import Cache, Plan, Step, StepKind
from wetgen.runtime.errors import WetgenError
from wetgen.training.diffusion import NoiseSchedule
from wetgen.training.schedule import SOLVERS

_FORM = re.compile(
    r"(?:(?P<name>[A-Za-z][\w.-]*)=)?(?P<form>(?P<solver>\w+):(?P<steps>[1-9][0-9]*)(?P<options>(?:,[^,]*)*))"
)
_OPTION = re.compile(r"(t|guided|reuse|keep)=(.+)")
_NUMBERS = re.compile(r"\d+(;\d+)*")
_FORMS = f"[NAME=]{' or '.join(SOLVERS)}:STEPS[,t=999;...][,guided=FIRST-LAST][,reuse=EVERY or ,keep=0;3;...]"


@dataclass(frozen=True)
class Network:
    """What a plan must know of the denoiser: was guidance distilled into it, and has it deep features."""

    distilled: bool = False
    deep: bool = True


@dataclass(frozen=True)
class Form:
    """A plan's short form, taken apart. `timesteps` None means spaced by the scheduler.

    `guided` are the numbers of the guided steps, `whole` of those that compute their deep features; None means all.
    """

    steps: int
    timesteps: tuple[int, ...] | None = None
    guided: range | None = None
    whole: tuple[int, ...] | None = None
    solver: str = "ddim"

    def __str__(self) -> str:
        parts = [f"{self.solver}:{self.steps}"]
        if self.timesteps is not None:
            parts.append(f"t={';'.join(map(str, self.timesteps))}")
        if self.guided is not None and len(self.guided) < self.steps:
            parts.append(f"guided={self.guided[0]}-{self.guided[-1]}" if self.guided else "guided=none")
        if self.whole is not None and len(self.whole) < self.steps:
            parts.append(f"keep={';'.join(map(str, self.whole))}")
        return ",".join(parts)

    def kinds(self, network: Network) -> list[StepKind]:
        """The kind of every step. A whole step stores its features only if the next step reuses them."""
        guided = [not network.distilled and (self.guided is None or i in self.guided) for i in range(self.steps)]
        whole = [self.whole is None or i in self.whole for i in range(self.steps)]
        reused = [not each for each in whole[1:]] + [False]
        caches: list[Cache] = [
            "store" if each and later else "none" if each else "reuse"
            for each, later in zip(whole, reused, strict=True)
        ]
        return [StepKind(*each) for each in zip(guided, caches, strict=True)]

    def on(self, schedule: NoiseSchedule, network: Network) -> tuple[Step, ...]:
        """The steps with their coefficients."""
        chosen = schedule.timesteps(self.steps) if self.timesteps is None else self.timesteps
        steps = zip(schedule.at(chosen, self.solver), self.kinds(network), strict=True)
        return tuple(step._replace(guided=kind.guided, cache=kind.cache) for step, kind in steps)


@dataclass(frozen=True)
class Named:
    """A plan's name and form; without a name of its own a plan is called as it was written.

    `measured` is what a search found of it, JSON values.
    """

    name: str
    form: Form
    measured: Mapping[str, object] | None = None

    @property
    def said(self) -> dict[str, object]:
        """What bundle.json says of the plan beside its steps."""
        return {"spec": str(self.form), **({} if self.measured is None else {"measured": dict(self.measured)})}


def plans_of(specs: Sequence[str], schedule: NoiseSchedule, network: Network = Network()) -> list[Plan]:
    """The plans in order, each beginning in the tables where the one before it ends.

    Raises WetgenError for a spec that is malformed or repeated, or that this network cannot do.
    """
    return placed([parsed(spec, schedule.count, network) for spec in specs], schedule, network)


def placed(named: Sequence[Named], schedule: NoiseSchedule, network: Network) -> list[Plan]:
    """The same from forms."""
    plans: list[Plan] = []
    first_row = 0
    for one in named:
        if any(plan.name == one.name for plan in plans):
            raise _bad(one.name, "it is given twice", "name every plan once.")
        plans.append(Plan(one.name, first_row, one.form.on(schedule, network)))
        first_row += len(plans[-1].steps)
    if not plans:
        raise _bad("", "none is given", "write, for example, --plan ddim:20.")
    return plans


def parsed(spec: str, count: int, network: Network) -> Named:
    """A spec taken apart, for a schedule of `count` timesteps."""
    match = _FORM.fullmatch(spec)
    if match is None or match["solver"] not in SOLVERS:
        raise _bad(spec, f"a plan is written {_FORMS}", "write, for example, --plan ddim:20.")
    options = _options(spec, match["options"])
    steps = int(match["steps"])
    timesteps = _timesteps(spec, options["t"], steps, count) if "t" in options else None
    guided = _guided(spec, options["guided"], steps, network) if "guided" in options else None
    form = Form(steps, timesteps, guided, solver=match["solver"])
    if "reuse" in options or "keep" in options:
        form = replace(form, whole=_whole(spec, options, form, network))
    return Named(match["form"] if match["name"] is None else match["name"], form)


def _options(spec: str, listed: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for option in listed.split(",")[1:]:
        match = _OPTION.fullmatch(option)
        if match is None or match[1] in options:
            why = f"'{option}' is not an option, or stands there twice; a plan is written {_FORMS}"
            raise _bad(spec, why, "write, for example, --plan ddim:20,guided=3-14.")
        options[match[1]] = match[2]
    if "reuse" in options and "keep" in options:
        raise _bad(spec, "reuse and keep both say which steps are computed whole", "give one of them.")
    return options


def _timesteps(spec: str, given: str, steps: int, count: int) -> tuple[int, ...]:
    chosen = _numbers(spec, "t", given)
    falling = all(one > other for one, other in pairwise(chosen))
    if len(chosen) != steps or not falling or chosen[0] >= count:
        why = f"t lists {len(chosen)} timesteps; it takes {steps}, each below the one before it, from {count - 1} to 0"
        raise _bad(spec, why, "list as many as there are steps, noisiest first.")
    return chosen


def _guided(spec: str, given: str, steps: int, network: Network) -> range:
    if network.distilled:
        why = "guidance was distilled into this network, so that none of its steps is guided"
        raise _bad(spec, why, "leave guided= out.")
    match = re.fullmatch(r"(\d+)-(\d+)", given)
    if given != "none" and (match is None or not int(match[1]) <= int(match[2]) < steps):
        why = f"guided= takes the first and the last guided step, from 0 to {steps - 1}, or none"
        raise _bad(spec, why, "write, for example, guided=3-14.")
    return range(0) if match is None else range(int(match[1]), int(match[2]) + 1)


def _whole(spec: str, options: dict[str, str], form: Form, network: Network) -> tuple[int, ...]:
    """The numbers of the steps that are computed whole; guidance may begin or end at one of them only."""
    if not network.deep:
        why = "this network has no deep features at the latent's size"
        raise _bad(spec, why, "leave reuse= or keep= out.")
    needed = list(turns(form, network))
    if "reuse" in options:
        (every, *more) = _numbers(spec, "reuse", options["reuse"])
        if more or every < 1:
            raise _bad(spec, "reuse= takes one number, 1 or more", "write, for example, reuse=2.")
        starts = [max(turn for turn in needed if turn <= number) for number in range(form.steps)]
        return tuple(number for number in range(form.steps) if (number - starts[number]) % every == 0)
    whole = _numbers(spec, "keep", options["keep"])
    lacking = [turn for turn in needed if turn not in whole]
    if lacking or list(whole) != sorted(set(whole)) or whole[-1] >= form.steps:
        why = f"keep= lists steps from 0 to {form.steps - 1} in order, with those at which guidance begins or ends"
        raise _bad(spec, why, f"let it hold {', '.join(map(str, needed))}.")
    return whole


def turns(form: Form, network: Network) -> Iterator[int]:
    """The steps that have no features to reuse: the first one, and those at which guidance begins or ends."""
    kinds = form.kinds(network)
    yield 0
    for i in range(1, form.steps):
        if kinds[i].guided != kinds[i - 1].guided:
            yield i


def _numbers(spec: str, option: str, given: str) -> tuple[int, ...]:
    if not _NUMBERS.fullmatch(given):
        raise _bad(spec, f"{option}= takes numbers with semicolons between", f"write, for example, {option}=0;3;6.")
    return tuple(map(int, given.split(";")))


def _bad(spec: str, why: str, fix: str) -> WetgenError:
    return WetgenError(f"'{spec}' is no plan.", why=f"{why}.", fix=fix)
