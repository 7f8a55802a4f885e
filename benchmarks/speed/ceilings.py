"""What the machine can do at most: the rate of matrix arithmetic and of copying, by the engine that runs the graphs.

The largest rate seen counts, so that no graph's share of it exceeds 100 %.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wetgen.benchmarks.speed.cases import BenchCase
from wetgen.benchmarks.speed.tiny_models import one_operator
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.targets import target_for
from wetgen.runtime.engines.ort import import_onnxruntime, open_session, session_options
from wetgen.runtime.files import usable_cores

MATRICES = {"cpu": (256, 512, 1024), "cuda": (1024, 2048, 4096, 8192)}  # sides: a GPU has far more units to fill
CONVOLUTION = (192, 64)  # channels in and out, side; 3 x 3 taps
COPIED = (2**20, 2**23, 2**26)  # float32s, 4 MiB to 256 MiB: within caches, and beyond them
_SECONDS = 0.25  # of repetitions, each
_LEAST = 3


class Product:
    """A matrix product in ONNX Runtime, with constant weights as a network's layers have them."""

    def __init__(self, side: int, device: str, threads: int | None, dtype: str = "float32") -> None:
        rng = np.random.default_rng(0)
        x, weights = (rng.standard_normal((side, side)).astype(dtype) for _ in range(2))
        model = one_operator("MatMul", x.shape, x.shape, weights, dtype=dtype)
        self.flops = 2 * side**3
        self.run = _bound(model, x, x.shape, device, threads)

    def rate(self, seconds: float) -> float:
        """GFLOP/s over about so many seconds: how fast the machine is just now, interruptions included."""
        times = _times(self.run, seconds)
        return self.flops / 1e9 * len(times) / sum(times)


def measure(case: BenchCase, bundle: Path) -> dict[str, Any]:
    """The ceilings of a case's device, in the arithmetic of the target that it runs of the bundle."""
    opened = Bundle.open(bundle)
    dtype = target_for(case.device, opened.targets).compute
    # Of a GPU that runs TensorRT's engines ONNX Runtime measures the ceilings too, where it is installed for it.
    device = "cpu" if case.device == "cpu" else "cuda"
    return {"dtype": dtype, **ceilings(device, case.threads, dtype)}


def ceilings(device: str, threads: int | None, dtype: str) -> dict[str, object]:
    """`matrix`: the best GFLOP/s by what was computed; `copy`: the best GB/s, read and written, by what was copied."""
    works = {"matrix": _arithmetic(device, threads, dtype), "copy": _copies(device, threads)}
    return {
        kind: {name: round(_best_rate(work, amount), 2) for name, work, amount in listed}
        for kind, listed in works.items()
    }


def _best_rate(work: Callable[[], object], amount: int) -> float:
    return amount / 1e9 / min(_times(work, _SECONDS))


def _times(work: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of each call, after one that does not count."""
    work()
    times: list[float] = []
    while len(times) < _LEAST or sum(times) < seconds:
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return times


def _arithmetic(device: str, threads: int | None, dtype: str) -> Iterator[tuple[str, Callable[[], object], int]]:
    for side in MATRICES[device]:
        product = Product(side, device, threads, dtype)
        yield f"product {side}", product.run, product.flops
    channels, side = CONVOLUTION
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, channels, side, side)).astype(dtype)
    weights = rng.standard_normal((channels, channels, 3, 3)).astype(dtype)
    model = one_operator("Conv", x.shape, x.shape, weights, dtype=dtype, attributes={"pads": [1, 1, 1, 1]})
    yield "convolution", _bound(model, x, x.shape, device, threads), 2 * x.size * channels * 9
    if device == "cpu":
        a, b = (rng.standard_normal((1024, 1024)).astype(np.float32) for _ in range(2))
        yield "numpy product 1024", lambda: a @ b, 2 * 1024**3


def _copies(device: str, threads: int | None) -> Iterator[tuple[str, Callable[[], object], int]]:
    """Work, and the bytes that it reads and writes."""
    for size in COPIED:
        x = np.ones(size, np.float32)
        name = f"{x.nbytes >> 20} MiB"
        if device == "cpu":
            count = usable_cores() if threads is None else threads
            parts = list(zip(np.array_split(np.empty_like(x), count), np.array_split(x, count), strict=True))
            with ThreadPoolExecutor(count) as pool:
                yield name, partial(_copy, pool, parts), 2 * x.nbytes
        else:
            yield name, _bound(one_operator("Neg", x.shape, x.shape), x, x.shape, device, threads), 2 * x.nbytes


def _copy(pool: ThreadPoolExecutor, parts: Sequence[tuple[Any, Any]]) -> None:
    for _ in pool.map(lambda part: np.copyto(*part), parts):
        pass


def _bound(model: bytes, x: Any, result: tuple[int, ...], device: str, threads: int | None) -> Callable[[], object]:
    """A call of a model of one operator whose input and output stay on the device; it returns when it is done."""
    ort = import_onnxruntime()
    session = open_session(model, "a model of one operator", device, session_options(1, threads))
    given = ort.OrtValue.ortvalue_from_numpy(x, device, 0)
    taken = ort.OrtValue.ortvalue_from_shape_and_type(list(result), x.dtype.type, device, 0)
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", given)
    binding.bind_ortvalue_output("y", taken)

    def call() -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return call
