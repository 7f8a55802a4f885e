"""What processes of a sweep observed, made up so that its figures can be worked out by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from wetgen.benchmarks.speed.sampling import BORDER, thumbnail

NOT_HERE = "not measured here"


def picture(level: int = 100) -> str:
    return thumbnail(np.full((32, 32, 3), level, np.uint8))


def work(**changed: Any) -> dict[str, Any]:
    """The work of one batch of two steps, the second unguided."""
    return {
        "timesteps": [999, 499],
        "kinds": ["guided", "unguided"],
        "batch": 1,
        "guidance": 2.0,
        "border": BORDER,
        "picture": picture(),
        **changed,
    }


def sampled(warm: Sequence[float], *, batch: int = 1, pace: Sequence[float] = (), **changed: Any) -> dict[str, Any]:
    """What a process observed: in every warm batch text takes 1 ms, the steps 4 and 2, decoding 1."""
    calls = [["text", None, 0.5, 1.5], ["denoise", 3, 1.5, 5.5], ["denoise_unguided", 4, 6.0, 8.0]]
    calls.append(["decode", None, 8.0, 9.0])
    return {
        "to_loaded_ms": 500.0,
        "to_first_batch_ms": 530.0,
        "warm_ms": list(warm),
        "pace_gflops": list(pace),
        "warm_between_s": [10.0, 20.0],
        "batch": batch,
        "calls": [calls for _ in warm],
        "memory": {"host_mib": 100.0, "device_mib": NOT_HERE, "unified_mib": NOT_HERE},
        "power": NOT_HERE,
        "work": work(batch=batch),
        **changed,
    }


def about(**changed: Any) -> dict[str, Any]:
    """The bundle's row."""
    line = {"flops": [0, 10**9], "bytes": [10**6, 10**6], "moved": [10**6, 10**7]}
    plan = {"first_row": 3, "timesteps": [999, 499], "kinds": ["guided", "unguided"], "measured": None}
    return {
        "sizes": {"height": 32, "width": 32, "latent_height": 8, "latent_width": 8},
        "target": "cpu",
        "default_plan": "two",
        "plan": "two",
        "plans": {
            "two": plan,
            "one": {
                **plan,
                "timesteps": [999],
                "kinds": ["guided"],
                "measured": {"psnr_db": 31.5, "relative_to": {"two": {"psnr_db": 40}}},
            },
        },
        "work": {name: line for name in ("text", "denoise", "denoise_unguided", "decode")},
        "work_is": "counted at export",
        **changed,
    }


CEILINGS = {
    "dtype": "float32",
    "matrix": {"product 256": 500.0, "convolution": 400.0},
    "copy": {"4 MiB": 40.0, "256 MiB": 8.0},
}
