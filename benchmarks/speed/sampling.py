"""One process from its start to warm batches: cold load, first pair, warm rate, every call, peak memory."""

import base64
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgen.benchmarks.speed.calls import Call, watched
from wetgen.benchmarks.speed.cases import PROMPTS, SEED, BenchCase
from wetgen.benchmarks.speed.ceilings import Product
from wetgen.benchmarks.speed.jetson import Board
from wetgen.benchmarks.speed.watch import ResourceMonitor
from wetgen.benchmarks.speed.work import work_key
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.sampler import Pair

BORDER = "prompts and noise to the bytes of a batch of pairs; loaded and warm, embeddings of prompts kept"
THUMBNAIL = 16  # pixels a side
_PACE_SIDE = 512  # of the product that shows how fast the machine is between two batches
_PACE_SHARE, _PACE_LEAST = 0.05, 0.02  # for how long: of the batch's time, and seconds at least


def measure(case: BenchCase, bundle: Path, began: float) -> dict[str, Any]:
    """The observed values of a case; `began` is when the process was started, by `time.monotonic`."""
    times = {"to_python_ms": _since(began)}
    opened = Bundle.open(bundle)
    times["to_verified_ms"] = _since(began)
    free, unified = _device_memory(case.device)
    with ResourceMonitor(Board(), free, unified=unified) as watch:
        with Generator(opened, device=case.device, batch=case.batch, threads=case.threads) as generator:
            times["to_loaded_ms"] = _since(began)
            found = _draw(generator, case, began, times)
            picture = str(found.pop("picture"))
            drawn = replace(case, batch=generator.batch)  # an engine may be built for a larger batch
            found["work"] = work_key(opened.plan(case.plan), drawn, opened, picture, BORDER)
            found["notes"] = generator.notes
            found["target"] = generator.target.name
        found["memory"], found["power"] = watch.memory(), watch.power()
    return found


def _draw(generator: Generator, case: BenchCase, began: float, times: dict[str, float]) -> dict[str, Any]:
    batch = generator.batch
    with watched() as calls:
        pairs = generator.generate(PROMPTS, seed=SEED, count=10**6, plan=case.plan, truncate=True)
        first = list(islice(pairs, batch))
        times["to_first_batch_ms"] = _since(began)
        cold = list(calls)
        calls.clear()
        warm_from = time.monotonic()
        warm, pace, spans = _repeat(pairs, batch, case, calls)
        warm_until = time.monotonic()
        pairs.close()  # type: ignore[attr-defined]
    return {
        **{name: round(value, 2) for name, value in times.items()},
        "warm_ms": warm,
        "warm_between_s": [round(warm_from, 3), round(warm_until, 3)],
        "pace_gflops": pace,
        "batch": batch,
        "first_calls": _calls(cold, cold[0].began if cold else 0.0),
        "calls": [_calls(part, start) for part, start in spans],
        "picture": thumbnail(first[0].image),
    }


def _repeat(
    pairs: Iterator[Pair], batch: int, case: BenchCase, calls: list[Call]
) -> tuple[list[float], list[float], list[tuple[list[Call], float]]]:
    """Milliseconds of each warm batch; between them, where the host computes, the machine's pace; and the calls."""
    measured_pace = _pace(case)
    warm: list[float] = []
    pace, spans = measured_pace(_PACE_LEAST), []
    while len(warm) < case.least or sum(warm) < 1000 * case.seconds:
        calls.clear()
        start = time.perf_counter()
        drawn = sum(1 for _ in islice(pairs, batch))
        warm.append(round(1000 * (time.perf_counter() - start), 3))
        assert drawn == batch, "the generator yields as many pairs as requested"
        spans.append((list(calls), start))
        pace += measured_pace(max(_PACE_LEAST, _PACE_SHARE * warm[-1] / 1000))
    return warm, pace, spans


def _pace(case: BenchCase) -> Callable[[float], list[float]]:
    """A function that measures GFLOP/s for some seconds; it measures nothing if a GPU does the work."""
    if case.device != "cpu":
        return lambda seconds: []
    product = Product(_PACE_SIDE, "cpu", case.threads)
    return lambda seconds: [round(product.rate(seconds), 2)]


def _calls(calls: Sequence[Call], start: float) -> list[list[Any]]:
    """[graph, row, began, ended], in milliseconds after `start`."""
    return [
        [call.graph, call.row, round(1000 * (call.began - start), 4), round(1000 * (call.ended - start), 4)]
        for call in calls
    ]


def thumbnail(image: NDArray[np.uint8]) -> str:
    """A picture (H, W, 3) as base64 of 16 x 16 means: enough to tell whether two runs drew the same."""
    height, width, _ = image.shape
    cells = image[: height // THUMBNAIL * THUMBNAIL, : width // THUMBNAIL * THUMBNAIL].astype(np.float64)
    cells = cells.reshape(THUMBNAIL, height // THUMBNAIL, THUMBNAIL, width // THUMBNAIL, 3)
    return base64.b64encode(cells.mean((1, 3)).round().astype(np.uint8).tobytes()).decode()


def _device_memory(device: str) -> tuple[Callable[[], float] | None, bool]:
    """A function for the GPU's free memory in MiB (None on the CPU), and whether host and GPU share memory."""
    if device == "cpu":
        return None, False
    from wetgen.runtime.engines import cuda
    from wetgen.runtime.engines.load import has_cuda_python

    if not has_cuda_python():
        return None, False
    cuda.require_cuda()
    gpu = cuda.current_gpu()
    return lambda: cuda.free_memory(gpu) / 2**20, gpu.integrated


def _since(began: float) -> float:
    return 1000 * (time.monotonic() - began)
