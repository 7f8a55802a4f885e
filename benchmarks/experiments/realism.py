"""How well a small classifier tells rendered patches from real ones, per class of damage.

`python -m wetgen.benchmarks.experiments.realism SCENES REAL` prints one JSON row per class. An AUC of 0.5 means that
the classifier cannot tell, 1.0 that it always can. The classifier is deterministic: fixed random convolutions (Saxe et
al. 2011, "On random weights and unsupervised feature learning") pooled over the patch, and ridge regression, scored on
groups of pictures it was not fitted on.

Patches are made alike before they are compared, so that the answer is about what is shown: each is a window of the same
share of its picture around damaged pixels, reduced by area to SIDE pixels (which takes away sharpness, sensor noise and
the blocks of old JPEGs), then coded by one JPEG quality. `colour`, `spectrum` and `structure` score three families of
features alone, and so say what gives a patch away; structure sees patches of mean 0 and deviation 1.
`floor` is the same probe between two halves of the real pictures, split by group: how far from 0.5 a fair answer may
lie; null with fewer than FLOOR_GROUPS of them, where no AUC says much.
"""

import io
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wetgen.benchmarks.metrics import auc
from wetgen.runtime.dataset.reader import Dataset
from wetgen.runtime.errors import WetgenError

SIDE = 48  # pixels a side of a patch as compared
SHARE = 0.5  # of a picture's shorter side that a window covers
QUALITY = 80  # JPEG quality of every patch
LEAST_DAMAGE = 0.02  # share of a window that must be of the class
PER_PICTURE, PER_GROUP, MOST = 2, 8, 500  # patches at most, so that no photograph speaks for its class
FOLDS = 5  # at most; with fewer photographs, as many as there are
LEAST_GROUPS, FLOOR_GROUPS = 3, 12
RIDGE = 0.3  # of the mean eigenvalue of the features' covariance
_FILTERS = 16
_PAIRS, _FILTER_PAIRS = np.triu_indices(3), np.triu_indices(_FILTERS, 1)

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Patches:
    """N patches uint8 (N, SIDE, SIDE, 3) of one class and the group of each."""

    pixels: NDArray[np.uint8]
    groups: tuple[str, ...]


def take_patches(
    folder: Path, class_id: int, seed: int, surfaces: tuple[str, ...] = (), sources: tuple[str, ...] = ()
) -> Patches:
    """Patches around pixels of a class, from rows that are no test rows; rendered ones of `surfaces` alone if given."""
    rng = np.random.Generator(np.random.Philox(key=[seed, class_id]))
    found: dict[str, list[NDArray[np.uint8]]] = defaultdict(list)
    for dataset in Dataset.open_many(folder):
        if sources and dataset.folder.name not in sources:
            continue
        for row in dataset.rows:
            parameters = row.extra.get("parameters")
            surface = parameters.get("surface") if isinstance(parameters, dict) else None
            group = f"{dataset.folder.name}/{row.scene}"
            full = len(found[group]) >= PER_GROUP
            if row.extra.get("split") == "test" or full or (surfaces and surface not in surfaces):
                continue
            image, mask = dataset.load(row)
            found[group] += _windows(image, mask == class_id, rng)
    groups = [group for group, patches in sorted(found.items()) for _ in patches]
    pixels = [patch for _, patches in sorted(found.items()) for patch in patches]
    keep = sorted(rng.permutation(len(pixels))[:MOST].tolist())
    empty = np.zeros((0, SIDE, SIDE, 3), np.uint8)
    return Patches(np.stack([pixels[i] for i in keep]) if keep else empty, tuple(groups[i] for i in keep))


def _windows(image: NDArray[np.uint8], where: NDArray[np.bool_], rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    """Up to PER_PICTURE windows (SIDE, SIDE, 3) centred near pixels of the class."""
    side = int(SHARE * min(where.shape))
    rows, columns = np.nonzero(where)
    windows: list[NDArray[np.uint8]] = []
    for _ in range(PER_PICTURE if len(rows) else 0):
        at = int(rng.integers(len(rows)))
        top = int(np.clip(rows[at] - side // 2, 0, where.shape[0] - side))
        left = int(np.clip(columns[at] - side // 2, 0, where.shape[1] - side))
        if where[top : top + side, left : left + side].mean() >= LEAST_DAMAGE:
            windows.append(_alike(image[top : top + side, left : left + side]))
    return windows


def _alike(window: NDArray[np.uint8]) -> NDArray[np.uint8]:
    memory = io.BytesIO()
    Image.fromarray(window).resize((SIDE, SIDE), Image.Resampling.BOX).save(memory, "JPEG", quality=QUALITY)
    return np.asarray(Image.open(memory).convert("RGB"))


def features(pixels: NDArray[np.uint8]) -> dict[str, _Floats]:
    """The families of features, each (N, F), of patches (N, SIDE, SIDE, 3)."""
    x = pixels.astype(np.float64) / 255
    flat = x.reshape(len(x), -1, 3)
    centred = flat - flat.mean(1, keepdims=True)
    covariance = np.einsum("npa,npb->nab", centred, centred)[:, _PAIRS[0], _PAIRS[1]] / flat.shape[1]
    tones = np.sort(flat, axis=1)[:, [flat.shape[1] * share // 100 for share in (5, 50, 95)]].reshape(len(x), -1)
    colour = np.concatenate([flat.mean(1), np.sqrt(np.abs(covariance)), tones], 1)
    level = (x - flat.mean(1)[:, None, None]) / (flat.std((1, 2)) + 0.02)[:, None, None, None]
    return {"colour": colour, "spectrum": _spectrum(level.mean(-1)), "structure": _convolved(level)}


def _spectrum(grey: _Floats) -> _Floats:
    """Log power in rings and in sectors of the frequency plane, (N, 20)."""
    window = np.hanning(SIDE)
    power = np.abs(np.fft.fft2(grey * window[:, None] * window)) ** 2
    fy, fx = np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE), indexing="ij")
    radius, angle = np.hypot(fx, fy), np.arctan2(fy, fx) % np.pi
    rings = [power[:, (radius > r) & (radius <= r + 0.042)].mean(1) for r in np.linspace(0.01, 0.46, 12)]
    sectors = [
        power[:, (radius > 0.03) & (angle >= a) & (angle < a + np.pi / 8)].mean(1) for a in np.arange(8) * np.pi / 8
    ]
    return np.log(np.stack(rings + sectors, 1) + 1e-6)


def _convolved(level: _Floats) -> _Floats:
    """Mean, deviation and largest response of fixed random filters at three scales, (N, F)."""
    rng = np.random.Generator(np.random.Philox(key=[2011, 0]))
    pooled = []
    for _ in range(3):
        filters = rng.standard_normal((_FILTERS, 5, 5, 3))
        filters -= filters.mean((1, 2), keepdims=True)
        filters /= np.sqrt((filters**2).sum((1, 2, 3), keepdims=True))
        response = np.abs(_correlate(level, filters))
        pooled += [response.mean((1, 2)), response.std((1, 2)), response.max((1, 2))]
        thin = response[:, ::2, ::2].reshape(len(level), -1, _FILTERS)
        second = np.matmul(thin.transpose(0, 2, 1), thin)[:, _FILTER_PAIRS[0], _FILTER_PAIRS[1]] / thin.shape[1]
        pooled.append(np.sqrt(second))
        side = level.shape[1] // 2
        level = level[:, : 2 * side, : 2 * side].reshape(len(level), side, 2, side, 2, 3).mean((2, 4))
    return np.log(np.concatenate(pooled, 1) + 1e-3)


def _correlate(level: _Floats, filters: _Floats) -> _Floats:
    windows = np.lib.stride_tricks.sliding_window_view(level, (5, 5), (1, 2))  # (N, h, w, 3, 5, 5)
    return np.tensordot(windows, filters.transpose(0, 3, 1, 2), ((3, 4, 5), (1, 2, 3)))


def probe(x: _Floats, rendered: NDArray[np.bool_], groups: tuple[str, ...], seed: int) -> float:
    """AUC on held-out groups, the mean over FOLDS folds; groups are dealt to folds for each side by itself."""
    fold = np.zeros(len(groups), int)
    rng = np.random.Generator(np.random.Philox(key=[seed, 1]))
    named = np.array(groups)
    folds = min(FOLDS, *(len(np.unique(named[rendered == side])) for side in (True, False)))
    for side in (True, False):
        names, inverse = np.unique(named[rendered == side], return_inverse=True)
        fold[rendered == side] = (rng.permutation(len(names)) % folds)[inverse]
    areas = []
    for k in range(folds):
        test = fold == k
        if 0 < rendered[test].sum() < test.sum() and 0 < rendered[~test].sum() < (~test).sum():
            areas.append(auc(_ridge(x[~test], rendered[~test], x[test]), rendered[test]))
    return float(np.mean(areas))


def _ridge(x: _Floats, rendered: NDArray[np.bool_], new: _Floats) -> _Floats:
    """Scores of new features by ridge regression on labels of equal total weight."""
    mean, deviation = x.mean(0), x.std(0) + 1e-6
    x, new = (x - mean) / deviation, (new - mean) / deviation
    weight = np.where(rendered, 0.5 / rendered.sum(), 0.5 / (~rendered).sum())
    label = np.where(rendered, 1.0, -1.0)
    root = np.sqrt(weight)[:, None]
    kernel = (x * root) @ (x * root).T
    kernel[np.diag_indices(len(x))] += RIDGE * np.trace(kernel) / len(x)
    return np.asarray(new @ ((x * root).T @ np.linalg.solve(kernel, root[:, 0] * label)))


def realism(scenes: Patches, real: Patches, seed: int) -> dict[str, object]:
    """One row of the report: patches, groups, the AUC of each family and of all, and the floor."""
    pixels = np.concatenate([scenes.pixels, real.pixels])
    rendered = np.arange(len(pixels)) < len(scenes.pixels)
    groups = scenes.groups + real.groups
    families = features(pixels)
    families["all"] = np.concatenate([families[name] for name in ("colour", "spectrum", "structure")], 1)
    row: dict[str, object] = {
        "rendered": len(scenes.pixels),
        "real": len(real.pixels),
        "photographs": len(set(real.groups)),
    }
    row |= {name: round(probe(x, rendered, groups, seed), 3) for name, x in families.items()}
    names = sorted(set(real.groups))
    if len(names) < FLOOR_GROUPS:
        return row | {"floor": None}
    half = set(np.random.Generator(np.random.Philox(key=[seed, 2])).permutation(names)[::2].tolist())
    first = np.array([group in half for group in real.groups])
    return row | {"floor": round(probe(families["all"][~rendered], first, real.groups, seed), 3)}


@click.command()
@click.argument("scenes", type=click.Path(exists=True, path_type=Path))
@click.argument("real", type=click.Path(exists=True, path_type=Path))
@click.option("--surface", "surfaces", multiple=True, help="Take rendered scenes of this surface alone; repeatable.")
@click.option("--source", "sources", multiple=True, help="Take real pairs of this folder of REAL alone; repeatable.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
def main(scenes: Path, real: Path, surfaces: tuple[str, ...], sources: tuple[str, ...], seed: int) -> None:
    """Tell the scenes in SCENES from the photographs in REAL, class by class; test rows are never read."""
    table = Dataset.open_many(scenes)[0].classes
    compared = 0
    for class_id, name in enumerate(table.names[1:], 1):
        photos = take_patches(real, class_id, seed, sources=sources)
        drawn = take_patches(scenes, class_id, seed, surfaces)
        if min(len(set(photos.groups)), len(set(drawn.groups))) < LEAST_GROUPS:
            continue
        compared += 1
        click.echo(json.dumps({"class": name} | realism(drawn, photos, seed)))
    if not compared:
        raise WetgenError(
            f"{scenes} and {real} have no class in common with enough pictures.",
            why=f"each class needs {LEAST_GROUPS} groups of pictures on both sides.",
            fix="render more scenes, or bring more photographs.",
        )


if __name__ == "__main__":
    main()
