"""Candidates that take turns in one process: the plans of a bundle and, with a checkpoint, the baselines."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from wetgen.benchmarks.metrics import psnr
from wetgen.benchmarks.speed.cases import OURS, PROMPTS, SEED, BatchArrays, BenchCase, DrawBatch
from wetgen.benchmarks.speed.sampling import thumbnail
from wetgen.benchmarks.speed.work import work_key
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.sampling.generator import Generator

BORDER = "prompts and noise to the bytes of a batch of pairs, text included; loaded and warm"
SETTLE = 0.05  # seconds before a call, until the other candidate's threads stop spinning


def measure(case: BenchCase, bundle: Path) -> dict[str, Any]:
    """Work, error and times of every candidate, or why it failed."""
    opened = Bundle.open(bundle)
    with Generator(opened, device=case.device, batch=case.batch, threads=case.threads) as generator:
        case = replace(case, batch=generator.batch)  # an engine may be built for a larger batch
        loads = {(OURS, plan): _ours(generator, plan) for plan in _plans(opened, case.plan)}
        truth: BatchArrays | None = None
        if case.checkpoint:
            baselines, truth = _baselines(case, opened)
            loads.update({(name, case.plan): load for name, load in baselines.items()})
        return _compared(opened, case, loads, truth)


def _plans(bundle: Bundle, first: str) -> list[str]:
    return [first, *(name for name in bundle.plans if name != first)]


def _ours(generator: Generator, plan: str) -> Callable[[], DrawBatch]:
    prompts = [PROMPTS[index % len(PROMPTS)] for index in range(generator.batch)]

    def work() -> BatchArrays:
        pairs = list(generator.generate(prompts, seed=SEED, plan=plan, truncate=True))
        masks = [pair.mask for pair in pairs if pair.mask is not None]
        return np.stack([pair.image for pair in pairs]), np.stack(masks) if masks else None

    return lambda: work


def _baselines(case: BenchCase, bundle: Bundle) -> tuple[Mapping[str, Callable[[], DrawBatch]], BatchArrays]:
    from wetgen.benchmarks.speed import baselines

    plan, folder = bundle.plan(case.plan), Path(case.checkpoint)
    truth = baselines.reference(folder, plan, bundle.default_guidance, case.batch)
    found = baselines.makers(folder, Path(case.cache), plan, bundle.default_guidance, case.batch, case.threads)
    return found, truth


def _compared(
    bundle: Bundle,
    case: BenchCase,
    loads: Mapping[tuple[str, str], Callable[[], DrawBatch]],
    truth: BatchArrays | None,
) -> dict[str, Any]:
    """Load, draw once to compare, then take turns."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    works: dict[tuple[str, str], DrawBatch] = {}
    longest = max(bundle.plans.values(), key=lambda plan: len(plan.steps)).name
    drawn: dict[tuple[str, str], BatchArrays] = {}
    for (name, plan), load in loads.items():
        found[name, plan] = {"name": name, "plan": plan}
        try:
            work = load()
            drawn[name, plan] = work()
        except Exception as error:  # any error of another program is the result of that candidate
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
    return {"what": type(error).__name__, "why": first[:500], "fix": "see the documentation of that package."}


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


def _error(got: BatchArrays, truth: BatchArrays) -> dict[str, float]:
    """PSNR in dB and share of equal mask pixels, each of the worst pair."""
    found = {"psnr_db": round(min(psnr(a, b) for a, b in zip(got[0], truth[0], strict=True)), 2)}
    if got[1] is not None and truth[1] is not None:
        found["mask_agreement"] = round(min(float((a == b).mean()) for a, b in zip(got[1], truth[1], strict=True)), 5)
    return found
