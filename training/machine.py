"""What this machine trains fastest with: measured before a run, for a second each, on the networks' own shapes.

bfloat16 is five times faster than float32 on CPUs that have it in hardware and seven times slower on those that
emulate it; two threads beside other work can be slower than one. Neither can be told from the CPU's name.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

SECONDS = 1.0
SIDE = 1024  # of the square matrices whose product gives the machine's rate


@dataclass(frozen=True)
class Pace:
    """A way to compute and how fast it is; `matrix_rate` is that of plain matrix products, in FLOP/s."""

    bf16: bool
    threads: int
    samples_per_second: float
    flops_per_sample: float
    matrix_rate: float

    @property
    def share(self) -> float:
        """The step's share of the machine's matrix rate."""
        return self.samples_per_second * self.flops_per_sample / self.matrix_rate

    def __str__(self) -> str:
        name = "bfloat16" if self.bf16 else "float32"
        plural = "" if self.threads == 1 else "s"
        return (
            f"{name}, {self.threads} thread{plural}: {self.samples_per_second:.1f} samples/s, "
            f"{self.share:.0%} of the {self.matrix_rate / 1e9:.0f} GFLOP/s of its matrix products"
        )


def measure(step: Callable[[], None], samples: int, device: torch.device, precision: str) -> list[Pace]:
    """Every way to compute that is open, fastest first; `step` trains on `samples` samples, at no effect.

    `precision` is "auto", or the config's "no" or "bf16", which leaves one. torch is left with the fastest's threads.
    """
    choices = {"auto": (False, True), "no": (False,), "bf16": (True,)}[precision]
    most = torch.get_num_threads()
    counts = (1, most) if device.type == "cpu" and most > 1 else (most,)
    with FlopCounterMode(display=False) as counter:
        step()
    flops = counter.get_total_flops() / samples
    paces = []
    for bf16 in choices:
        for threads in counts:
            torch.set_num_threads(threads)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                rate = samples * _per_second(step, device)
            paces.append(Pace(bf16, threads, rate, flops, _matrix_rate(bf16, device)))
    paces.sort(key=lambda pace: -pace.samples_per_second)
    torch.set_num_threads(paces[0].threads)
    return paces


def _matrix_rate(bf16: bool, device: torch.device) -> float:
    square = torch.rand(SIDE, SIDE, device=device, dtype=torch.bfloat16 if bf16 else torch.float32)
    return 2.0 * SIDE**3 * _per_second(lambda: torch.mm(square, square), device)


def _per_second(work: Callable[[], object], device: torch.device) -> float:
    work()
    started, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - started) < SECONDS or not count:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        count += 1
    return count / spent if spent > 0 else float(count)
