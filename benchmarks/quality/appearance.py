"""How sharp, grainy and whole generated pairs are beside rendered or real ones of the same size.

    python -m wetgen.benchmarks.quality.appearance GENERATED REFERENCE [--size N] [--out FILE.json]

Two dataset folders. The figures of a set:

- gradient: mean absolute difference of neighbouring grey pixels, in levels.
- fine: share of spectral power above a quarter of the sampling rate.
- grid8, grid16: how far the gradient's profile modulo 8 and 16 pixels rises over its mean: latent cells.
- edge: mean gradient on mask borders over that elsewhere.
- parts: connected regions of damage in a pair (8-neighbourhood).
- crack: share of a pair's crack pixels that lie in its largest connected piece.

Beside both sets' figures: `sharp` and `fine` as ratios, and the kernel distance of pooled features of
EfficientNet-Lite2, a network that training never sees.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from wetgen.benchmarks.quality.distances import kernel_distance
from wetgen.benchmarks.quality.features import imagenet_features
from wetgen.benchmarks.quality.pairs import Pairs, common_size, load_pairs

CRACK = "crack"
LEAST_CRACK = 20  # pixels of crack below which its pieces say nothing
EIGHT = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Appearance:
    """The figures of one set; None where it shows no mask, or no crack."""

    pairs: int
    gradient: float
    fine: float
    grid8: float
    grid16: float
    edge: float | None
    parts: float | None
    crack: float | None
    damaged: float
    """Share of all pixels that a mask marks."""


def appearance(pairs: Pairs) -> Appearance:
    """Measure a set of pairs."""
    grey = pairs.images.astype(np.float32).mean(-1)  # (N, S, S)
    across, down = np.abs(np.diff(grey, axis=2)), np.abs(np.diff(grey, axis=1))
    names = list(pairs.table.names)
    cracks = pairs.masks == names.index(CRACK) if CRACK in names else np.zeros(pairs.masks.shape, bool)
    return Appearance(
        pairs=len(pairs),
        gradient=float((across.mean() + down.mean()) / 2),
        fine=_fine(grey),
        grid8=_grid(across, down, 8),
        grid16=_grid(across, down, 16),
        edge=_mean(_edges(across, down, pairs.masks)),
        parts=_mean([_pieces(mask > 0)[1] for mask in pairs.masks if mask.any()]),
        crack=_mean([_largest_share(crack) for crack in cracks if crack.sum() > LEAST_CRACK]),
        damaged=float((pairs.masks > 0).mean()),
    )


def _mean(values: list[float] | list[int]) -> float | None:
    return float(np.mean(values)) if values else None


def _fine(grey: NDArray[np.float32]) -> float:
    power = (np.abs(np.fft.fft2(grey - grey.mean((1, 2), keepdims=True))) ** 2).mean(0)
    rate = np.fft.fftfreq(grey.shape[1])
    radius = np.hypot(rate[:, None], rate[None])
    return float(power[radius > 0.25].sum() / max(power[radius > 0].sum(), 1e-12))


def _grid(across: NDArray[np.float32], down: NDArray[np.float32], period: int) -> float:
    def rise(profile: list[float]) -> float:
        return max(profile) / max(float(np.mean(profile)), 1e-12) - 1

    columns = [float(across[:, :, k::period].mean()) for k in range(period)]
    rows = [float(down[:, k::period].mean()) for k in range(period)]
    return max(rise(columns), rise(rows))


def _edges(across: NDArray[np.float32], down: NDArray[np.float32], masks: NDArray[np.uint8]) -> list[float]:
    """For each pair that has a mask border: the mean gradient on it over the mean elsewhere."""
    found = []
    for horizontal, vertical, mask in zip(across, down, masks, strict=True):
        gradient, border = np.zeros(mask.shape, np.float32), np.zeros(mask.shape, bool)
        gradient[:, :-1] += horizontal
        gradient[:-1] += vertical
        border[:, :-1] |= mask[:, 1:] != mask[:, :-1]
        border[:-1] |= mask[1:] != mask[:-1]
        if border.any():
            found.append(float(gradient[border].mean() / max(gradient[~border].mean(), 1e-3)))
    return found


def _pieces(where: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Labels of connected regions, and how many there are."""
    labels, count = ndimage.label(where, EIGHT)
    return labels, int(count)


def _largest_share(crack: NDArray[np.bool_]) -> float:
    labels, _ = _pieces(crack)
    return float(np.bincount(labels[crack]).max() / crack.sum())


def compare(generated: Pairs, reference: Pairs) -> dict[str, Any]:
    """Both sets' figures, their ratios, and the distance between them."""
    ours, theirs = appearance(generated), appearance(reference)
    # One unit for all features, the references' mean deviation: how the feature channels compare is the network's say.
    first, second = imagenet_features(generated.images), imagenet_features(reference.images)
    scale = second.std(0).mean()
    return {
        "size": generated.size,
        "sharp": round(ours.gradient / theirs.gradient, 4),
        "fine": round(ours.fine / theirs.fine, 4),
        "kernel_distance": round(kernel_distance(first / scale, second / scale), 4),
        "generated": asdict(ours),
        "reference": asdict(theirs),
    }


@click.command()
@click.argument("generated", type=click.Path(path_type=Path))
@click.argument("reference", type=click.Path(path_type=Path))
@click.option(
    "--size", type=click.IntRange(min=32), help="Pixels a side to compare at; the pictures' own if not given."
)
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures here, as JSON.")
def main(generated: Path, reference: Path, size: int | None, out: Path | None) -> None:
    """Figures of the pairs in GENERATED beside those in REFERENCE, two dataset folders."""
    size = size or common_size(generated)
    figures = compare(load_pairs(generated, size), load_pairs(reference, size))
    text = json.dumps(figures, indent=1)
    click.echo(text)
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
