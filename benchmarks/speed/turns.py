"""Candidates that take turns in one process: the plans of a bundle, and the baselines where a checkpoint is given."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgen.benchmarks.speed.cases import PROMPTS, SEED, Case
from wetgen.benchmarks.speed.sampling import thumbnail
from wetgen.benchmarks.speed.work import work_key
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.sampling.generator import Generator

BORDER = "prompts and noise to the bytes of a batch of pairs, text included; loaded and warm"
OURS = "wetgen"
EAGER = "diffusers and torch, eager"  # what everything is set beside, where it was measured
COMPILED = "diffusers and torch.compile"
PLAIN = "ONNX Runtime, call by call"
OPENVINO = "OpenVINO, call by call"
SETTLE = 0.05  # seconds before a call: threads of the other candidate that still spin must not take this one's cores
EQUAL_PSNR = 100.0  # stands for equal pictures, whose PSNR is infinite; JSON has no infinity

Pictures = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]
Work = Callable[[], Pictures]


def measure(case: Case, bundle: Path) -> dict[str, Any]:
    """Every candidate's work, its error and its times; a candidate that fails is kept with why it did."""
    opened = Bundle.open(bundle)
    with Generator(opened, device=case.device, batch=case.batch, threads=case.threads) as generator:
        case = replace(case, batch=generator.batch)  # engines may be built for more pairs than were asked for
        loads = {(OURS, plan): _ours(generator, plan) for plan in _plans(opened, case.plan)}
        truth: Pictures | None = None
        if case.checkpoint:
            baselines, truth = _baselines(case, opened)
            loads.update({(name, case.plan): load for name, load in baselines.items()})
        return _compared(opened, case, loads, truth)


def _plans(bundle: Bundle, first: str) -> list[str]:
    return [first, *(name for name in bundle.plans if name != first)]


def _ours(generator: Generator, plan: str) -> Callable[[], Work]:
    prompts = [PROMPTS[index % len(PROMPTS)] for index in range(generator.batch)]

    def work() -> Pictures:
        pairs = list(generator.generate(prompts, seed=SEED, plan=plan, truncate=True))
        masks = [pair.mask for pair in pairs if pair.mask is not None]
        return np.stack([pair.image for pair in pairs]), np.stack(masks) if masks else None

    return lambda: work


def _baselines(case: Case, bundle: Bundle) -> tuple[Mapping[str, Callable[[], Work]], Pictures]:
    from wetgen.benchmarks.speed import baselines

    plan, folder = bundle.plan(case.plan), Path(case.checkpoint)
    truth = baselines.reference(folder, plan, bundle.default_guidance, case.batch)
    found = baselines.makers(folder, Path(case.cache), plan, bundle.default_guidance, case.batch, case.threads)
    return found, truth


def _compared(
    bundle: Bundle,
    case: Case,
    loads: Mapping[tuple[str, str], Callable[[], Work]],
    truth: Pictures | None,
) -> dict[str, Any]:
    """Load, draw once to compare, then take turns."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    works: dict[tuple[str, str], Work] = {}
    longest = max(bundle.plans.values(), key=lambda plan: len(plan.steps)).name
    drawn: dict[tuple[str, str], Pictures] = {}
    for (name, plan), load in loads.items():
        found[name, plan] = {"name": name, "plan": plan}
        try:
            work = load()
            drawn[name, plan] = work()
        except Exception as error:  # whatever goes wrong in somebody else's program is that candidate's result
            found[name, plan]["failed"] = _why(error)
            continue
        works[name, plan] = work
    for (name, plan), pictures in drawn.items():
        against = truth if plan == case.plan else None
        stated = "the float32 reference sampler"
        if against is None and (OURS, longest) in drawn and plan != longest:
            against, stated = drawn[OURS, longest], f"wetgen with plan {longest}"
        found[name, plan]["work"] = work_key(bundle.plan(plan), case, bundle, thumbnail(pictures[0][0]), BORDER)
        if against is not None:
            found[name, plan]["error"] = {"against": stated, **_error(pictures, against)}
    for key, times in take_turns(works, runs=case.least).items():
        found[key]["times_ms"] = times
    return {"batch": case.batch, "candidates": list(found.values())}


def _why(error: Exception) -> dict[str, str]:
    if isinstance(error, WetgenError):
        return {"what": error.what, "why": error.why, "fix": error.fix}
    first = str(error).strip().split("\n")[0]
    return {"what": type(error).__name__, "why": first[:500], "fix": "see what this package says about it."}


def take_turns(
    works: Mapping[Any, Callable[[], object]], *, runs: int, warmup: int = 1, settle: float = SETTLE
) -> dict[Any, list[float]]:
    """Milliseconds of every call, (runs,) for each candidate; A B A B ..., so that drift hits all alike.

    A call must not return before its work is done.
    """
    times: dict[Any, list[float]] = {name: [] for name in works}
    for turn in range(-warmup, runs):
        for name, work in works.items():
            time.sleep(settle)
            began = time.perf_counter()
            work()
            if turn >= 0:
                times[name].append(round(1000 * (time.perf_counter() - began), 3))
    return times


def _error(got: Pictures, truth: Pictures) -> dict[str, float]:
    """Of the worst pair: PSNR of the image in dB, and the share of equal mask pixels where there are masks."""
    found = {"psnr_db": round(min(psnr(a, b) for a, b in zip(got[0], truth[0], strict=True)), 2)}
    if got[1] is not None and truth[1] is not None:
        found["mask_agreement"] = round(min(float((a == b).mean()) for a, b in zip(got[1], truth[1], strict=True)), 5)
    return found


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of bytes, in dB."""
    squared = float(np.square(a.astype(np.float64) - b).mean())
    return EQUAL_PSNR if squared == 0 else min(EQUAL_PSNR, 10 * float(np.log10(255**2 / squared)))
