"""How synthetic pairs spread over classes, sizes and places, compared with real pairs.

A generator that draws each picture well may still draw the same few. What a user asks for moves these figures too:
prompts for a rare class change the shares, and should.

Axes: N pairs, K classes, D features, S pixels a side.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.distance import pdist, squareform

from wetgen.benchmarks.quality.features import Embed, standardise
from wetgen.benchmarks.quality.floors import Entry, Rows, Sides, Statistic, beside_floor
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.runtime.dataset.stats import BINS

CELLS = 8  # a side of a map of places
SETS = ("train", "validation", "synthetic")
TOUCHING = np.ones((3, 3))  # pixels that touch at a corner belong to one region: cracks run diagonally


def spread(embed: Embed, train: Pairs, validation: Pairs, synthetic: Pairs) -> dict[str, Any]:
    """Shares of the classes and variety over all pairs; per damage class areas, regions, places and variety.

    `data` has the numbers behind the figures, per class and set: `pairs` that show the class, their `areas` counted
    by the bins of a dataset's statistics, and a map of the `places` of their regions.
    """
    sets = (train, validation, synthetic)
    names = train.table.names
    shared = sorted(set(train.classes) & set(synthetic.classes))
    features = Sides.of(standardise(*(embed(pairs.images) for pairs in sets)), train.groups, validation.groups)
    shown = Sides.of((_shown(pairs) for pairs in sets), train.groups, validation.groups)
    return {
        "class_share": beside_floor(largest_difference, shown, "higher"),
        "all": _variety(features),
        **{names[id]: _of_class(features, sets, id) for id in shared},
        "data": {
            names[id]: {name: _drawn(pairs, id) for name, pairs in zip(SETS, sets, strict=True)}
            for id in range(1, len(names))
        },
    }


def largest_difference(first: Rows, second: Rows) -> float:
    """The largest difference of a class's share of pairs, of rows (N, K) of 0 and 1."""
    return float(np.abs(first.mean(0) - second.mean(0)).max())


def earth_movers(first: Rows, second: Rows) -> float:
    """Wasserstein-1 distance of two samples (N,) of one size: the mean difference of what has the same rank."""
    return float(np.abs(np.sort(first) - np.sort(second)).mean())


def map_difference(first: Rows, second: Rows) -> float:
    """Total variation between where regions lie, of counts per pair and cell (N, CELLS, CELLS): 0 same, 1 disjoint."""
    one, other = (counts.sum(0) / max(counts.sum(), 1) for counts in (first, second))
    return float(np.abs(one - other).sum() / 2)


def mean_distance_ratio(real: Rows, synthetic: Rows) -> float:
    """How far apart synthetic pictures lie from each other on average, in units of real ones; features (N, D)."""
    return float(pdist(synthetic).mean() / pdist(real).mean())


def nearest_distance_ratio(real: Rows, synthetic: Rows) -> float:
    """How far synthetic pictures keep from their nearest one, at the median, in units of real ones; features (N, D)."""
    return _median_nearest(synthetic) / _median_nearest(real)


def _median_nearest(rows: Rows) -> float:
    between = squareform(pdist(rows))
    np.fill_diagonal(between, np.inf)
    return float(np.median(between.min(1)))


def _variety(features: Sides) -> dict[str, Entry]:
    return {
        "mean_distance": beside_floor(mean_distance_ratio, features, "lower"),
        "nearest_distance": beside_floor(nearest_distance_ratio, features, "lower"),
    }


def _of_class(features: Sides, sets: tuple[Pairs, Pairs, Pairs], class_id: int) -> dict[str, Entry]:
    """The figures of the pairs that show the class."""
    shown = [np.flatnonzero((pairs.masks == class_id).any((1, 2))) for pairs in sets]
    masks = [pairs.masks[chosen] == class_id for pairs, chosen in zip(sets, shown, strict=True)]
    of_class = features.where(*shown)
    groups = of_class.train_groups, of_class.validation_groups
    figures: dict[str, tuple[Statistic, list[Rows]]] = {
        "area": (earth_movers, [np.log10(mask.mean((1, 2))) for mask in masks]),  # in powers of ten
        "regions": (earth_movers, [_region_counts(mask) for mask in masks]),
        "places": (map_difference, [_region_maps(mask) for mask in masks]),
    }
    found = {
        name: beside_floor(statistic, Sides.of(rows, *groups), "higher") for name, (statistic, rows) in figures.items()
    }
    return {**found, **_variety(of_class)}


def _shown(pairs: Pairs) -> Rows:
    """Which damage classes each pair shows, (N, K - 1) of 0 and 1."""
    return np.stack([(pairs.masks == id).any((1, 2)) for id in range(1, len(pairs.table))], 1).astype(np.float64)


def _drawn(pairs: Pairs, class_id: int) -> dict[str, Any]:
    """What plots of a class need."""
    masks = pairs.masks[(pairs.masks == class_id).any((1, 2))] == class_id
    counts = np.histogram(masks.mean((1, 2)), bins=(0, *BINS))[0] if len(masks) else np.zeros(len(BINS), int)
    return {"pairs": len(masks), "areas": counts.tolist(), "places": _region_maps(masks).sum(0).astype(int).tolist()}


def _region_counts(masks: NDArray[np.bool_]) -> Rows:
    return np.array([ndimage.label(mask, TOUCHING)[1] for mask in masks], np.float64)


def _region_maps(masks: NDArray[np.bool_]) -> Rows:
    """In which cell each region's centroid lies: counts (N, CELLS, CELLS) of masks (N, S, S)."""
    maps = np.zeros((len(masks), CELLS, CELLS))
    for i, mask in enumerate(masks):
        regions, count = ndimage.label(mask, TOUCHING)
        for row, column in ndimage.center_of_mass(mask, regions, range(1, count + 1)):
            maps[i, int((row + 0.5) * CELLS / len(mask)), int((column + 0.5) * CELLS / len(mask))] += 1
    return maps
