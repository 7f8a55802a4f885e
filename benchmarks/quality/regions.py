"""Whether the picture looks, where the mask says damage is, as damage looks in photographs: image given mask.

Distances between sets of pictures cannot see a mask that misses its damage. Here each region of a mask is
described by how the picture under it differs from the picture around it, and synthetic regions are compared with real
ones of the same class by a kernel distance.

Axes: R regions, F features, S pixels a side.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from wetgen.benchmarks.quality.distances import kernel_distance
from wetgen.benchmarks.quality.features import standardise
from wetgen.benchmarks.quality.floors import Entry, Rows, Sides, beside_floor, not_measured
from wetgen.benchmarks.quality.pairs import Pairs

FEATURES = (
    "contrast",  # mean luminance less the ring's
    "core",  # the same for the inner half of the region: what is thin has its damage there or nowhere
    "z_ring",  # contrast in deviations of the ring
    "z_background",  # mean luminance in deviations of everything undamaged
    "deviations",  # log ratio of the luminance's deviations, region to ring
    "red_green",  # colour beside the ring's
    "blue_yellow",
    "edge",  # log ratio of gradient along the mask's edge to that of the undamaged rest
    "edge_direction",  # how far the gradient along the edge points across it: 1 where always, 2/pi by chance
    "texture",  # log ratio of gradient, region to ring
    "bright",  # share of the region brighter than ring mean + deviation
    "dark",  # share darker than ring mean - deviation
)
LEAST_PIXELS = 8  # of a region, and of the ring around it
RING = 3  # pixels wide at 64 pixels a side, more in proportion
CLIP = 2.0  # deviations, and
DEGREE = 2  # of the kernel: on photographs this sees shifts of 2 pixels with 20 regions, where 4 and 3 need 60
_NOISE = 0.01  # luminance of 1: deviations and gradients below it are a camera's, not a wall's


@dataclass(frozen=True, eq=False)
class Regions:
    """All pixels of one class in one pair are one region: its features (R, F) and the index of its pair."""

    features: Rows
    owners: NDArray[np.intp]


def regions_of(pairs: Pairs, class_id: int) -> Regions:
    """The regions of a class; those of fewer than LEAST_PIXELS pixels, or with no ring around them, are left out."""
    found, owners = [], []
    for i in np.flatnonzero((pairs.masks == class_id).any((1, 2))):
        described = _describe(pairs.images[i], pairs.masks[i], class_id)
        if described is not None:
            found.append(described)
            owners.append(i)
    return Regions(np.array(found).reshape(-1, len(FEATURES)), np.array(owners, np.intp))


def _describe(image: NDArray[np.uint8], mask: NDArray[np.uint8], class_id: int) -> list[float] | None:
    """The FEATURES of one region, or None where it or its ring is too small."""
    region = mask == class_id
    outwards = ndimage.distance_transform_edt(~region)
    inwards = ndimage.distance_transform_edt(region)
    width = max(RING, round(RING * len(mask) / 64))
    free = mask == 0
    ring = free & (outwards <= width)
    if min(region.sum(), ring.sum()) < LEAST_PIXELS:
        return None
    colour = image / 255.0
    light = colour @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601 luma
    gradient = np.stack(np.gradient(ndimage.gaussian_filter(light, 0.7)))  # (2, S, S)
    slope = np.hypot(*gradient)
    edge = (outwards <= 1) & (inwards <= 1)
    rest = free & (outwards > 1)
    core = region & (inwards >= np.median(inwards[region]))
    across = np.stack(np.gradient(ndimage.gaussian_filter(outwards - inwards, 0.7)))
    aligned = np.abs((gradient * across).sum(0)) / np.maximum(slope * np.hypot(*across), 1e-9)
    red_green, blue_yellow = colour[..., 0] - colour[..., 1], colour[..., 2] - colour[..., :2].mean(-1)
    mean, spread = light[ring].mean(), light[ring].std() + _NOISE
    contrast = light[region].mean() - mean
    return [
        contrast,
        light[core].mean() - mean,
        contrast / spread,
        (light[region].mean() - light[free].mean()) / (light[free].std() + _NOISE),
        np.log((light[region].std() + _NOISE) / spread),
        red_green[region].mean() - red_green[ring].mean(),
        blue_yellow[region].mean() - blue_yellow[ring].mean(),
        np.log((slope[edge].mean() + _NOISE) / ((slope[rest].mean() if rest.any() else 0) + _NOISE)),
        float((aligned * slope)[edge].sum() / (slope[edge].sum() + 1e-9)),
        np.log((slope[region].mean() + _NOISE) / (slope[ring].mean() + _NOISE)),
        float((light[region] > mean + spread).mean()),
        float((light[region] < mean - spread).mean()),
    ]


def region_distances(train: Pairs, validation: Pairs, synthetic: Pairs) -> dict[str, Entry]:
    """Kernel distance between synthetic and real regions for each damage class in both, beside its floor."""
    names = train.table.names
    shared = sorted(set(train.classes) & set(synthetic.classes))
    return {names[id]: _of_class(train, validation, synthetic, id) for id in shared}


def _of_class(train: Pairs, validation: Pairs, synthetic: Pairs, class_id: int) -> Entry:
    found = [regions_of(pairs, class_id) for pairs in (train, validation, synthetic)]
    if not all(len(regions.features) for regions in (found[0], found[2])):
        return not_measured("no region is large enough and has a ring around it")
    rows = standardise(*(regions.features for regions in found), clip=CLIP)
    groups = [
        tuple(pairs.groups[i] for i in regions.owners)
        for pairs, regions in zip((train, validation), found[:2], strict=True)
    ]
    return beside_floor(partial(kernel_distance, degree=DEGREE), Sides.of(rows, *groups), "higher")
