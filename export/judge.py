"""A judge added to an exported bundle: the segmenter of real photographs that `wetgen run` lets look at its pictures.

Axes: B pictures, K classes, H W size of the bundle's pictures, S pixels a side of the judge's.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from wetgen.export import verify
from wetgen.export.copies import CopyCheck
from wetgen.export.folder import check_free, unfinished, write_json
from wetgen.export.onnx import files
from wetgen.export.reference import Case
from wetgen.runtime.bundle.archive import ENGINES
from wetgen.runtime.bundle.bundle import Bundle, declarations, graph_entry
from wetgen.runtime.bundle.graphs import JUDGE, Array, judge_graph
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.run.fingerprints import KIND

FILE_NAME = "judge.onnx"
FINGERPRINTS_NAME = "fingerprints.bin"
BATCHES = (1, 3)  # that the exported graph is checked at


@dataclass(frozen=True)
class Judge:
    """A trained segmenter, and what is known of it."""

    module: nn.Module
    """Image float32 (B, 3, S, S) in [0, 1] to class probabilities float32 (B, K, S, S)."""
    table: ClassTable
    size: int
    """S. Pictures of a bundle that are a whole number of times as large are averaged down, its answer enlarged."""
    classes: tuple[str, ...]
    """The damage classes that it can tell: only their pixels are compared."""
    info: Mapping[str, Any]
    """What it was trained on and what was measured, for bundle.json; JSON values."""


def add_judge(
    bundle_folder: Path,
    out_folder: Path,
    judge: Judge,
    examples: NDArray[np.uint8],
    *,
    copies: CopyCheck | None = None,
    force: bool = False,
) -> verify.Figures:
    """Write a copy of the bundle with this judge, and fingerprints if given, to `out_folder`; returns the parity.

    `examples` uint8 (N, H, W, 3) are pictures of the bundle's size on which the exported graph must see what the module
    sees. `force` replaces a bundle at `out_folder`, which may be `bundle_folder` itself. Raises WetgenError for a judge
    that does not fit or does not compute the same; then nothing is written and what stood there still stands.
    """
    check_free(out_folder, force)
    bundle = Bundle.open(bundle_folder)
    factor = _factor(bundle, judge)
    with unfinished(out_folder) as part:
        _copy(bundle, part, without=[JUDGE, *(["fingerprints"] if copies else [])])
        graph, path = judge_graph(bundle.sizes), part / FILE_NAME
        written = files.export(JudgeGraph(judge.module, factor).eval(), graph, path)
        parity = _parity(judge, bundle, factor, examples, path)
        entry = graph_entry(path.name, {"compute": "float32", "weights": "float32"}, written.weights)
        stated = {**entry, **judge.info, "classes": list(judge.classes), "size": judge.size, "parity": parity}
        info = {**bundle.info, "graphs": declarations(bundle.sizes, kinds=bundle.kinds, judge=True), "judge": stated}
        if copies is not None:
            copies.fingerprints.write(part / FINGERPRINTS_NAME)
            info["fingerprints"] = {
                "file": FINGERPRINTS_NAME,
                "kind": KIND,
                "count": len(copies.fingerprints),
                "most_bits": copies.fingerprints.most_bits,
                "measured": dict(copies.measured),
            }
        write_json(part, info)
        Bundle.open(part)
    return parity


class JudgeGraph(nn.Module):
    """Picture (B, H, W, 3) uint8 to the likeliest class ids and their probability in 255ths, (B, H, W) uint8 each.

    `factor` is H / S: squares of so many pixels are averaged, and the probabilities are enlarged bilinearly, pixel
    centres aligned, before the likeliest class is taken.
    """

    def __init__(self, module: nn.Module, factor: int) -> None:
        super().__init__()
        self.module, self.factor = module, factor

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        pixels = image.float().permute(0, 3, 1, 2) / 255.0  # (B, 3, H, W); TensorRT knows uint8 at the border only
        if self.factor > 1:
            pixels = functional.avg_pool2d(pixels, self.factor)
        shares = self.module(pixels)  # (B, K, S, S)
        if self.factor > 1:
            shares = functional.interpolate(shares, scale_factor=float(self.factor), mode="bilinear")
        best, mask = shares.max(dim=1)
        return mask.to(torch.uint8), (best * 255.0).round().clamp(0.0, 255.0).to(torch.uint8)


def _factor(bundle: Bundle, judge: Judge) -> int:
    """How many times as large as the judge's pictures the bundle's are; raises WetgenError for an unfit judge."""
    sizes = bundle.sizes
    factor = sizes.height // judge.size
    if bundle.classes != judge.table:
        names = ", ".join(bundle.classes.names) if bundle.classes is not None else "none: it draws no masks"
        raise _unfit(bundle, f"its classes are {', '.join(judge.table.names)}; the bundle's are {names}")
    if not judge.classes or not set(judge.classes) <= set(judge.table.names[1:]):
        raise _unfit(bundle, f"it is said to know {', '.join(judge.classes) or 'no class'}")
    if not (sizes.height == sizes.width == factor * judge.size):
        raise _unfit(
            bundle,
            f"it looks at {judge.size} pixels a side; the bundle draws {sizes.width} x {sizes.height}, which is not "
            "a square of a whole number of times that",
        )
    try:
        json.dumps(dict(judge.info), allow_nan=False)
    except ValueError as error:
        raise _unfit(bundle, f"what is said of it holds figures that are no numbers ({error})") from error
    return factor


def _unfit(bundle: Bundle, why: str) -> WetgenError:
    return WetgenError(
        f"This judge cannot judge what {bundle.folder} draws.",
        why=f"{why}.",
        fix="train a judge on photographs with the bundle's classes, at its size or a whole fraction of it.",
    )


def _copy(bundle: Bundle, part: Path, without: list[str]) -> None:
    """Copy the files of a verified bundle, those of an earlier judge or of earlier fingerprints left out."""
    info = bundle.info
    dropped = [info[JUDGE]["file"]] if JUDGE in without and bundle.has_judge else []
    dropped += [info["fingerprints"]["file"]] if "fingerprints" in without and bundle.fingerprints else []
    for name in info["files"]:
        if name not in dropped:
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.folder / name, part / name)
    if (bundle.folder / ENGINES).is_dir():
        shutil.copytree(bundle.folder / ENGINES, part / ENGINES)


def _parity(judge: Judge, bundle: Bundle, factor: int, examples: NDArray[np.uint8], path: Path) -> verify.Figures:
    """The largest errors of the exported graph on the examples and on random bytes; raises WetgenError if too large."""
    graph = judge_graph(bundle.sizes)
    rng = np.random.default_rng(5)
    random = rng.integers(0, 256, (max(BATCHES), *examples.shape[1:])).astype(np.uint8)
    batches = [images[:batch] for batch in BATCHES for images in (random, examples) if len(images) >= batch]
    batches += [examples[start : start + 1] for start in range(1, len(examples))]
    cases = [Case(JUDGE, len(images), {"image": images}, seen(judge, factor, images)) for images in batches]
    try:
        return verify.check_graphs(cases, graph, path, "float32")
    except verify.Rejected as error:
        raise WetgenError(
            "The exported judge does not see what its segmenter sees.",
            why=error.why,
            fix="report it with the segmenter; no bundle was written.",
        ) from error


@torch.no_grad()
def seen(judge: Judge, factor: int, images: NDArray[np.uint8]) -> dict[str, Array]:
    """What the graph should give for images uint8 (N, H, W, 3), without going through it: resizing is numpy's here."""
    size = judge.size
    blocks = images.astype(np.float64).reshape(len(images), size, factor, size, factor, 3)
    pixels = (blocks.mean((2, 4)) / 255).transpose(0, 3, 1, 2).astype(np.float32)  # (N, 3, S, S)
    shares = judge.module(torch.from_numpy(np.ascontiguousarray(pixels))).numpy().astype(np.float64)
    enlarge = _enlargement(size, factor)
    shares = enlarge @ shares @ enlarge.T  # (N, K, H, W)
    return {
        "mask": shares.argmax(1).astype(np.uint8),
        "confidence": np.rint(np.clip(shares.max(1), 0, 1) * 255).astype(np.uint8),
    }


def _enlargement(size: int, factor: int) -> NDArray[np.float64]:
    """(factor * size, size): linear interpolation between pixel centres, the outermost pixels continued outwards."""
    places = np.clip((np.arange(factor * size) + 0.5) / factor - 0.5, 0, size - 1)
    weights: NDArray[np.float64] = np.clip(1 - np.abs(places[:, None] - np.arange(size)), 0, None)
    return weights
