"""Controls: real pairs spoiled in known ways, to see which figure sees what.

A figure is trusted for what it is shown to see, no further: see `docs/evaluation.md` for the table and who is blind to
what.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from wetgen.benchmarks.quality import agreement, captions, distances, integrity, memorisation, regions, spread
from wetgen.benchmarks.quality.features import judge_features, random_features, remembered
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.segmenters import Segmenter

BLUR = 1.0  # pixels of deviation
NOISE = 0.1  # of 1, deviation
COPY_NOISE = 0.01
COLLAPSED = 10  # pictures that are left

_RIGHT_DOWN_LEFT_UP = ((0, 1), (1, 0), (0, -1), (-1, 0))


def controls(fresh: Pairs, train: Pairs, seed: int = 0) -> dict[str, Pairs]:
    """`fresh` real pairs and as many of each control, spoiled from them, or copied from `train`; the same each time."""
    drawn = np.random.default_rng([seed, 1]).permutation(len(fresh))[:COLLAPSED]
    copied = np.random.default_rng([seed, 2]).choice(len(train), len(fresh), replace=len(fresh) > len(train))
    return {
        "fresh": fresh,
        "blur": fresh.with_pixels(blurred(fresh.images, BLUR), fresh.masks),
        "noise": fresh.with_pixels(noisy(fresh.images, NOISE, seed), fresh.masks),
        "collapse": fresh.take(drawn[np.arange(len(fresh)) % len(drawn)]),
        "copies": train.take(copied).with_pixels(noisy(train.images[copied], COPY_NOISE, seed), train.masks[copied]),
        "shift 2": fresh.with_pixels(fresh.images, shifted(fresh.masks, 2)),
        "shift 6": fresh.with_pixels(fresh.images, shifted(fresh.masks, 6)),
        "shuffled": fresh.with_pixels(fresh.images, shuffled(fresh.masks, seed)),
    }


def blurred(images: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """Images (N, S, S, 3) under a Gaussian of `sigma` pixels."""
    return _bytes(ndimage.gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0)))


def noisy(images: NDArray[np.uint8], deviation: float, seed: int) -> NDArray[np.uint8]:
    """Images (N, S, S, 3) with Gaussian noise of this deviation, of 1."""
    noise = np.random.default_rng([seed, 3]).standard_normal(images.shape, np.float32)
    return _bytes(images + 255 * deviation * noise)


def shifted(masks: NDArray[np.uint8], pixels: int) -> NDArray[np.uint8]:
    """Masks (N, S, S) moved by so many pixels right, down, left and up in turn; what comes in is background."""
    moved = np.zeros_like(masks)
    for i, mask in enumerate(masks):
        row, column = (pixels * step for step in _RIGHT_DOWN_LEFT_UP[i % 4])
        moved[i] = ndimage.shift(mask, (row, column), order=0)
    return moved


def shuffled(masks: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """Masks (N, S, S) in another order, none in its place."""
    order = np.random.default_rng([seed, 4]).permutation(len(masks))
    found = np.empty_like(masks)
    found[order] = masks[np.roll(order, 1)]
    return found


def _bytes(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip(np.round(images), 0, 255).astype(np.uint8)


def figures(
    judge: Sequence[Segmenter], words: Mapping[str, Sequence[str]], train: Pairs, validation: Pairs
) -> Callable[[Pairs], dict[str, Any]]:
    """Every figure of a set of pairs with its floor, one family per key; results for real pairs are computed once."""
    judge_embed, random_embed = remembered(judge_features(judge)), remembered(random_features)
    read = remembered(partial(agreement.read, judge))

    def measure(synthetic: Pairs) -> dict[str, Any]:
        sets = (train, validation, synthetic)
        readings = (synthetic, read(synthetic.images), validation, read(validation.images))
        return {
            "integrity": {"offending": integrity.offending_share(synthetic, train + validation, words)},
            "agreement": agreement.agreed(*readings),
            "regions": regions.region_distances(*sets),
            "random": distances.distances(random_embed, *sets),
            "judge": distances.distances(judge_embed, *sets),
            "spread": spread.spread(random_embed, *sets),
            "memorisation": memorisation.memorisation(*sets),
            "captions": captions.read_back(*readings, words),
        }

    return measure


def entries(report: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The name and data of each figure anywhere in a report."""
    for name, value in report.items():
        if isinstance(value, Mapping):
            if value.keys() & {"value", "not_measured"}:
                yield " ".join((*above, name)), value
            else:
                yield from entries(value, (*above, name))


def seen_by(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """For each control the figures that flag it, of the reports by control."""
    return {
        control: [name for name, figure in entries(report) if figure.get("flagged")]
        for control, report in reports.items()
    }


def table(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: a row per figure with its floor and margin, a column per control; flagged values are bold."""
    controls_ = list(reports)
    measured: dict[str, dict[str, Mapping[str, Any]]] = {}
    for control, report in reports.items():
        for name, figure in entries(report):
            if "value" in figure:
                measured.setdefault(name, {})[control] = figure
    lines = [f"| figure | n | floor ± margin | {' | '.join(controls_)} |", "|---" * (3 + len(controls_)) + "|"]
    for name, row in measured.items():
        first = next(iter(row.values()))
        cells = [_cell(row.get(control)) for control in controls_]
        lines.append(f"| {name} | {first['n']} | {first['floor']:.3g} ± {first['margin']:.2g} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return ""
    return f"**{figure['value']:.3g}**" if figure["flagged"] else f"{figure['value']:.3g}"
