"""The gate: the files on disk, run by the runtime's own engine, against what torch computed.

Every graph alone first, so that a failure names its graph; then whole pictures, made as `wetgen run` makes them.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wetgen.export.reference import SEED, Case, Picture
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.graphs import Array, Graph
from wetgen.runtime.engines.ort import open_engine
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.sampler import CONSTANT, NOT_FINITE

LEAST_PSNR = 45.0  # dB over bytes: beyond it the difference is mostly single bytes that rounded the other way
LEAST_AGREEMENT = 0.995  # share of mask pixels

Arithmetic = Literal["float32", "float16 weights", "float16", "bfloat16"]

LIMITS = {"psnr_db": LEAST_PSNR, "mask_agreement": LEAST_AGREEMENT}

# Largest error of a graph relative to its largest output. float32 engines order their sums differently from torch:
# 1e-6 to 1e-5 is usual, and a wrong epsilon or activation shows at 1e-3. float16 weights alone cost up to 1e-3, results
# rounded to float16 a few times as much; bfloat16 has 3 bits less of mantissa.
GREATEST_ERROR: dict[Arithmetic, float] = {"float32": 1e-4, "float16 weights": 1e-2, "float16": 2e-2, "bfloat16": 0.15}

_EQUAL_PSNR = 100.0  # stands for equal pictures, whose PSNR is infinite; JSON has no infinity

Figures = dict[str, Any]


def check_graphs(cases: Sequence[Case], graph: Graph, path: Path, arithmetic: Arithmetic) -> Figures:
    """Run a graph's cases through its file; returns the largest errors, raises Rejected when one is too large."""
    figures: Figures = {}
    for batch, group in groupby(sorted(cases, key=lambda case: case.batch), key=lambda case: case.batch):
        engine = open_engine(graph, path, device="cpu", batch=batch)
        for case in group:
            for name, error in _errors(case, engine.run(case.feed)):
                figures[name] = float(np.maximum(figures.get(name, 0.0), error))  # unlike max, it keeps a NaN
    figures = {name: _rounded(error) for name, error in figures.items()}
    limits = _limits(arithmetic)
    wrong = [name for name in figures if not figures[name] <= limits[name]]  # NaN compares false, so it is wrong
    if wrong:
        raise _rejected(
            f"The exported graph '{graph.name}' does not compute what the checkpoint computes.",
            ", ".join(f"{name} is {figures[name]}, and {limits[name]} is allowed" for name in wrong),
            arithmetic,
        )
    return figures


def _limits(arithmetic: Arithmetic) -> dict[str, float]:
    error = GREATEST_ERROR[arithmetic]
    one_byte = max(1.0, np.ceil(255 * error))  # rounding alone turns the smallest error into one byte
    return {
        "relative_error": error,
        "image_bytes": one_byte,
        "confidence_bytes": 2 * one_byte,
        "mask_disagreement": round(1 - LEAST_AGREEMENT, 6),
    }


def _errors(case: Case, found: dict[str, Array]) -> Iterator[tuple[str, float]]:
    for name, expected in case.expected.items():
        difference = np.abs(found[name].astype(np.float64) - expected.astype(np.float64))
        if name == "mask":
            yield "mask_disagreement", float(np.mean(difference != 0))
        elif expected.dtype == np.uint8:
            yield f"{name}_bytes", float(difference.max())
        else:
            yield "relative_error", float(difference.max() / np.abs(expected.astype(np.float64)).max())


def check_pictures(bundle: Bundle, expected: Sequence[Picture], guidance: float, arithmetic: Arithmetic) -> Figures:
    """Make every expected picture with the runtime; returns figures by plan. Raises Rejected for one too far off."""
    generator = Generator(bundle, device="cpu", batch=1)
    figures = {
        plan: _plan_figures(generator, plan, list(group), guidance)
        for plan, group in groupby(expected, key=lambda picture: picture.plan)
    }
    wrong = [f"{plan} has {found}" for plan, found in figures.items() if far_off(found)]
    if wrong:
        raise _rejected(
            "The exported bundle does not draw what the checkpoint draws.",
            f"{'; '.join(wrong)}; allowed are {LEAST_PSNR} dB and {LEAST_AGREEMENT}",
            arithmetic,
        )
    return figures


def far_off(figures: Figures) -> bool:
    """Whether a plan's pictures differ more than is allowed. A NaN is off whatever it was clipped to."""
    return bool(
        figures["not_finite"]
        or not figures["least_psnr_db"] >= LEAST_PSNR
        or not figures.get("least_mask_agreement", 1.0) >= LEAST_AGREEMENT
    )


def _plan_figures(generator: Generator, plan: str, expected: Sequence[Picture], guidance: float) -> Figures:
    prompts = [picture.prompt for picture in expected]
    pairs = generator.generate(prompts, seed=SEED, plan=plan, guidance=guidance, truncate=True)
    return summed([compared(p.image, p.mask, p.faults, wanted) for p, wanted in zip(pairs, expected, strict=True)])


def compared(
    image: NDArray[np.uint8], mask: NDArray[np.uint8] | None, faults: Sequence[str], wanted: Picture
) -> Figures:
    """How near one picture (H, W, 3), its mask (H, W) and the runtime's faults of it are to what is wanted."""
    both = mask is not None and wanted.mask is not None
    return {
        "psnr_db": psnr(image, wanted.image),
        **({"mask_agreement": float(np.mean(mask == wanted.mask))} if both else {}),
        "not_finite": NOT_FINITE in faults,
        "one_colour": CONSTANT in faults,
    }


def summed(pictures: Sequence[Figures]) -> Figures:
    """The figures of a plan from those of its pictures: the worst, and how many are no pictures."""
    figures: Figures = {"pictures": len(pictures), "least_psnr_db": round(min(p["psnr_db"] for p in pictures), 1)}
    agreements = [picture["mask_agreement"] for picture in pictures if "mask_agreement" in picture]
    if agreements:
        figures["least_mask_agreement"] = round(min(agreements), 5)
    return {**figures, **{name: sum(p[name] for p in pictures) for name in ("not_finite", "one_colour")}}


def psnr(found: Array, expected: Array) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures in dB, at most 100."""
    error = float(np.mean((found.astype(np.float64) - expected.astype(np.float64)) ** 2))
    return _EQUAL_PSNR if error == 0 else min(_EQUAL_PSNR, 10 * float(np.log10(255**2 / error)))


def _rounded(error: float) -> float:
    """Two digits: more would differ from machine to machine."""
    return float(f"{error:.1e}")


def _rejected(what: str, why: str, arithmetic: Arithmetic) -> WetgenError:
    fixes = {"float32": "report it with the checkpoint's config", "float16 weights": "export with --weights float32"}
    fix = fixes.get(arithmetic, "export without the targets that compute in it")
    return Rejected(what, why=f"{why}.", fix=f"do not use this bundle; {fix}.")


class Rejected(WetgenError):
    """The files were written and do not compute what the checkpoint computes."""
