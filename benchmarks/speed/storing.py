"""What writing files costs: the same pairs drawn with and without, in turns."""

import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wetgen.runtime.run.run as runs
from wetgen.benchmarks.speed.cases import PROMPTS, SEED, BenchCase
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.files import lines_sha256
from wetgen.runtime.run.options import RunOptions
from wetgen.runtime.run.run import SilentProgress
from wetgen.runtime.run.tasks import Listed, PromptRequests, PromptTask
from wetgen.runtime.sampling.generator import Generator

BORDER = "the pairs of a run, from the first batch's start to the last row written; loaded"
_PAIRS = 8


class _Clock(SilentProgress):
    """Notes when a run starts to draw and when its last row is written."""

    def start(self, total: int, already: int) -> None:
        self.began = time.perf_counter()

    def end(self, record: Mapping[str, object]) -> None:
        self.ended = time.perf_counter()


def measure(case: BenchCase, bundle: Path) -> dict[str, Any]:
    """Milliseconds of drawing the same pairs, `with_files_ms` and `without_files_ms`, turn by turn."""
    opened = Bundle.open(bundle)
    pairs = -(-_PAIRS // case.batch) * case.batch
    prompts = [PROMPTS[index % len(PROMPTS)] for index in range(pairs)]
    found: dict[str, Any] = {"pairs": pairs, "without_files_ms": [], "with_files_ms": []}
    for _ in range(case.least):
        found["without_files_ms"].append(round(_without(opened, case, prompts), 3))
        found["with_files_ms"].append(round(_with(opened, case, prompts), 3))
    return found


def _without(bundle: Bundle, case: BenchCase, prompts: list[str]) -> float:
    """A fresh generator as in `_with`, so that both pay for first calls."""
    with Generator(bundle, device=case.device, batch=case.batch, threads=case.threads) as generator:
        began = time.perf_counter()
        for _ in generator.generate(prompts, seed=SEED, plan=case.plan, truncate=True):
            pass
        return 1000 * (time.perf_counter() - began)


def _with(bundle: Bundle, case: BenchCase, prompts: list[str]) -> float:
    clock, folder = _Clock(), Path(tempfile.mkdtemp(prefix="wetgen-bench-"))
    options = RunOptions(
        out=folder / "pairs",
        seed=SEED,
        plan=case.plan,
        device=case.device,
        batch=case.batch,
        threads=case.threads,
        refuse_copies=False,
        tries=1,
    )
    config = options.config(bundle, len(prompts), lines_sha256(prompts))
    try:
        runs.run(bundle, PromptTask(PromptRequests(Listed(prompts), config), config, truncate=True), options, clock)
    finally:
        shutil.rmtree(folder)
    return 1000 * (clock.ended - clock.began)
