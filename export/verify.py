"""The gate: the files on disk, run by the runtime's own engine, against what torch computed.

Every graph alone first, so that a failure names its graph; then whole pictures, made as `wetgen run` makes them.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from wetgen.export.onnx import Weights
from wetgen.export.reference import SEED, Case, Picture
from wetgen.runtime.bundle import Bundle
from wetgen.runtime.engines import open_engine
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.generator import Generator
from wetgen.runtime.graphs import Array, Graph

LEAST_PSNR = 45.0  # dB over bytes: beyond it the difference is mostly single bytes that rounded the other way
LEAST_AGREEMENT = 0.995  # share of mask pixels

# Largest error of a graph relative to its largest output. float32 engines order their sums differently from torch:
# 1e-6 to 1e-5 is usual, and a wrong epsilon or activation shows at 1e-3. float16 weights alone cost up to 1e-3.
GREATEST_ERROR: dict[Weights, float] = {"float32": 1e-4, "float16": 1e-2}

_EQUAL_PSNR = 100.0  # stands for equal pictures, whose PSNR is infinite; JSON has no infinity

Figures = dict[str, Any]


def check_graphs(cases: Sequence[Case], graph: Graph, path: Path, weights: Weights) -> Figures:
    """Run a graph's cases through its file; returns the largest errors, raises Rejected when one is too large."""
    figures: Figures = {}
    for batch, group in groupby(sorted(cases, key=lambda case: case.batch), key=lambda case: case.batch):
        engine = open_engine(graph, path, device="cpu", batch=batch)
        for case in group:
            for name, error in _errors(case, engine.run(case.feed)):
                figures[name] = float(np.maximum(figures.get(name, 0.0), error))  # unlike max, it keeps a NaN
    figures = {name: _rounded(error) for name, error in figures.items()}
    limits = _limits(weights)
    wrong = [name for name in figures if not figures[name] <= limits[name]]  # NaN compares false, so it is wrong
    if wrong:
        raise _rejected(
            f"The exported graph '{graph.name}' does not compute what the checkpoint computes.",
            ", ".join(f"{name} is {figures[name]}, and {limits[name]} is allowed" for name in wrong),
            weights,
        )
    return figures


def _limits(weights: Weights) -> dict[str, float]:
    error = GREATEST_ERROR[weights]
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


def check_pictures(bundle: Bundle, expected: Sequence[Picture], guidance: float, weights: Weights) -> Figures:
    """Make every expected picture with the runtime; returns figures by plan. Raises Rejected for one too far off."""
    generator = Generator(bundle, device="cpu", batch=1)
    figures = {
        plan: _plan_figures(generator, plan, list(group), guidance)
        for plan, group in groupby(expected, key=lambda picture: picture.plan)
    }
    far_off = [
        f"{plan} has {found}"
        for plan, found in figures.items()
        if found["least_psnr_db"] < LEAST_PSNR or found.get("least_mask_agreement", 1.0) < LEAST_AGREEMENT
    ]
    if far_off:
        raise _rejected(
            "The exported bundle does not draw what the checkpoint draws.",
            f"{'; '.join(far_off)}; allowed are {LEAST_PSNR} dB and {LEAST_AGREEMENT}",
            weights,
        )
    return figures


def _plan_figures(generator: Generator, plan: str, expected: Sequence[Picture], guidance: float) -> Figures:
    prompts = [picture.prompt for picture in expected]
    pairs = generator.generate(prompts, seed=SEED, plan=plan, guidance=guidance, truncate=True)
    psnrs, agreements = [], []
    for pair, wanted in zip(pairs, expected, strict=True):
        psnrs.append(psnr(pair.image, wanted.image))
        if wanted.mask is not None and pair.mask is not None:
            agreements.append(float(np.mean(pair.mask == wanted.mask)))
    figures: Figures = {"pictures": len(prompts), "least_psnr_db": round(min(psnrs), 1)}
    if agreements:
        figures["least_mask_agreement"] = round(min(agreements), 5)
    return figures


def psnr(found: Array, expected: Array) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures in dB, at most 100."""
    error = float(np.mean((found.astype(np.float64) - expected.astype(np.float64)) ** 2))
    return _EQUAL_PSNR if error == 0 else min(_EQUAL_PSNR, 10 * float(np.log10(255**2 / error)))


def _rounded(error: float) -> float:
    """Two digits: more would differ from machine to machine."""
    return float(f"{error:.1e}")


def _rejected(what: str, why: str, weights: Weights) -> WetgenError:
    fix = "report it with the checkpoint's config" if weights == "float32" else "export with --weights float32"
    return Rejected(what, why=f"{why}.", fix=f"do not use this bundle; {fix}.")


class Rejected(WetgenError):
    """The files were written and do not compute what the checkpoint computes."""
