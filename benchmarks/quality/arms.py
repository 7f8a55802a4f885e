"""The arms of the downstream trial: the real pairs and the extra pairs that a segmenter is trained on.

Real pairs have the same weight in every arm. Extra pairs never replace them, and together weigh at most
`mixing.MOST_EXTRA` times as much.

The low-data curve has a limit: its arms leave out most real pairs, but the generator was trained on all of them. It
shows the value of synthetic pairs to people with few labels, not what a generator learns from few pairs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgen.benchmarks.quality.augment import augmented
from wetgen.benchmarks.quality.controls import shifted
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.split import Item, spread_groups
from wetgen.runtime.errors import WetgenError

RATIOS = (0.5, 1)  # synthetic pairs to a real one, before the greatest
BESIDE = 3  # the greatest ratio of extra pairs (synthetic, copied, augmented) to real ones
SHARES = (0.5, 0.25, 0.1)  # of the real pairs, for the low-data curve; each is drawn from the one before
SHIFT = 6  # pixels

REAL, SYNTHETIC, COPIES, CLASSICAL = "real", "synthetic", "real copies", "real+classical"
UNFILTERED, SHIFTED, MIXED = "real+unfiltered", f"real+shifted {SHIFT} px", "real+synthetic"
ALL = f"{MIXED}, all of it"


@dataclass(frozen=True, eq=False)
class Arm:
    """A name, the share of the real pairs that is used, and the pairs themselves."""

    name: str
    share: float
    real: Pairs | None
    extra: Pairs | None


def arms(real: Pairs, synthetic: Pairs, unfiltered: Pairs | None, seed: int) -> Iterator[Arm]:
    """Every arm. The seed draws which real pairs a share keeps, and which synthetic ones come first.

    Synthetic sets of any number begin alike, the smaller first: segmenters that add up pairs go on from there.
    """
    synthetic = _shuffled(synthetic, seed)
    kept = {share: real.take(indices) for share, indices in shares(real, seed).items()}
    for share, some in kept.items():
        yield Arm(REAL, share, some, None)
        yield Arm(COPIES, share, some, some.take(np.tile(np.arange(len(some)), BESIDE)))
        yield Arm(CLASSICAL, share, some, augmented(some, BESIDE, seed))
    for count, share, name in sorted(_mixtures(kept, len(synthetic))):
        yield Arm(name, share, kept[share], _first(synthetic, count))
    main = _first(synthetic, BESIDE * len(real))
    yield Arm(SHIFTED, 1.0, real, main.with_pixels(main.images, shifted(main.masks, SHIFT)))
    if unfiltered is not None:
        yield Arm(UNFILTERED, 1.0, real, _first(_shuffled(unfiltered, seed), len(main)))
    yield Arm(SYNTHETIC, 0.0, None, synthetic)


def _mixtures(kept: dict[float, Pairs], available: int) -> Iterator[tuple[int, float, str]]:
    """The number of synthetic pairs, the share of real pairs, and the name of each arm."""
    for share, some in kept.items():
        most = min(available, BESIDE * len(some))
        yield most, share, MIXED
        if available > most:
            yield available, share, ALL
    for ratio in RATIOS:
        count = max(1, round(ratio * len(kept[1.0])))
        if count < available:
            yield count, 1.0, f"{MIXED} {ratio:g}x"


def shares(real: Pairs, seed: int) -> dict[float, NDArray[np.intp]]:
    """The indices of all real pairs and of those at each of SHARES: whole groups, each class in proportion.

    A group is never cut, so a share may hold somewhat more or less, and a class of one group may be missing from it.
    """
    found, share = {1.0: np.arange(len(real))}, 1.0
    for smaller in SHARES:
        found[smaller] = found[share][_part(real.take(found[share]), smaller / share, seed)]
        share = smaller
    return found


def _part(pairs: Pairs, share: float, seed: int) -> NDArray[np.intp]:
    """The indices of about this share of the pairs; of the smallest group, when groups are too large for that."""
    items = [
        Item(group, tuple(int(id) for id in np.unique(mask) if id) or (0,), np.empty(0, np.float32))
        for group, mask in zip(pairs.groups, pairs.masks, strict=True)
    ]
    kept = np.flatnonzero(np.array(spread_groups(items, [share, 1 - share], seed)) == 0)
    if len(kept):
        return kept
    smallest = min(set(pairs.groups), key=lambda group: (pairs.groups.count(group), group))
    return np.flatnonzero(np.array(pairs.groups) == smallest)


def _shuffled(pairs: Pairs, seed: int) -> Pairs:
    return pairs.take(np.random.default_rng([seed, 11]).permutation(len(pairs)))


def _first(pairs: Pairs, count: int) -> Pairs:
    return pairs.take(np.arange(min(len(pairs), count)))


def main_ratio(real: Pairs, synthetic: Pairs) -> float:
    """Synthetic pairs to a real one in the arm that counts; raises WetgenError when there are hardly any."""
    ratio = min(BESIDE, len(synthetic) / len(real))
    if ratio < RATIOS[0]:
        raise WetgenError(
            f"There are {len(synthetic)} synthetic pairs for {len(real)} real ones.",
            why=f"with fewer than {RATIOS[0]:g} to a real one, no arm would differ from real pairs alone.",
            fix="generate more with `wetgen run --count`.",
        )
    return ratio
