"""How far synthetic pictures are from real ones, and how much of the real variety they cover.

None of these sees a mask, and the Frechet and kernel distances reward copies of the training pictures: agreement and
memorisation are read beside them.

Axes: N and M pictures, D features.
"""

import numpy as np

from wetgen.benchmarks.quality.features import Embed, standardise
from wetgen.benchmarks.quality.floors import Entry, Rows, Sides, beside_floor
from wetgen.benchmarks.quality.pairs import Pairs

SUBSET = 100  # pictures in a subset of the kernel distance
SUBSETS = 100  # subsets drawn
NEIGHBOURS = 5


def frechet(first: Rows, second: Rows) -> float:
    """Squared Frechet distance of the Gaussians of rows (N, D) and (M, D) (Dowson and Landau 1982).

    tr((C1 C2)^(1/2)) is taken as the sum of the singular values of X1 X2^T / sqrt((N - 1)(M - 1)), X centred: the same
    number as from a matrix square root, without its complex rounding where N < D.
    """
    x, y = first - first.mean(0), second - second.mean(0)
    scale_x, scale_y = len(x) - 1, len(y) - 1
    shift = float(((first.mean(0) - second.mean(0)) ** 2).sum())
    cross = float(np.linalg.svd(x @ y.T, compute_uv=False).sum()) / np.sqrt(scale_x * scale_y)
    return float(shift + (x**2).sum() / scale_x + (y**2).sum() / scale_y - 2 * cross)


def polynomial_kernel(first: Rows, second: Rows, degree: int = 3) -> Rows:
    """(N, M) values of (x.y / D + 1)^degree; Binkowski et al. 2018, section 4, take 3."""
    values: Rows = (first @ second.T / first.shape[1] + 1) ** degree
    return values


def unbiased_mmd(within_first: Rows, within_second: Rows, across: Rows) -> float:
    """Squared maximum mean discrepancy from kernel matrices (N, N), (M, M), (N, M) (Gretton et al. 2012, Lemma 6).

    Unbiased: 0 on average for two sets of one distribution, so single values may lie below 0.
    """
    n, m = across.shape
    first = (within_first.sum() - np.trace(within_first)) / (n * (n - 1))
    second = (within_second.sum() - np.trace(within_second)) / (m * (m - 1))
    return float(first + second - 2 * across.mean())


def kernel_distance(first: Rows, second: Rows, degree: int = 3) -> float:
    """The unbiased squared MMD of rows (N, D) and (M, D) under the polynomial kernel."""
    return unbiased_mmd(
        *(polynomial_kernel(*two, degree) for two in ((first, first), (second, second), (first, second)))
    )


def kernel_subsets(first: Rows, second: Rows, seed: int = 0) -> tuple[int, list[float]]:
    """The kernel distances of SUBSETS random subsets, and how many rows of each set a subset holds.

    That is SUBSET rows, and where a set has fewer, half of the smaller set.
    """
    within, other, across = (polynomial_kernel(*two) for two in ((first, first), (second, second), (first, second)))
    smaller = min(across.shape)
    size = SUBSET if smaller >= SUBSET else smaller // 2
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(SUBSETS):
        i, j = (rng.choice(count, size, replace=False) for count in across.shape)
        found.append(unbiased_mmd(within[np.ix_(i, i)], other[np.ix_(j, j)], across[np.ix_(i, j)]))
    return size, found


def squared_distances(first: Rows, second: Rows) -> Rows:
    """(N, M) squared Euclidean distances of rows (N, D) and (M, D)."""
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1)[None]
    return np.asarray(np.maximum(squares - 2 * first @ second.T, 0))


def coverage(real: Rows, synthetic: Rows, k: int = NEIGHBOURS) -> float:
    """Share of real rows whose ball to their k-th real neighbour holds a synthetic row (Naeem et al. 2020)."""
    inside = squared_distances(real, synthetic) <= _radii(real, k)[:, None]
    return float(inside.any(1).mean())


def density(real: Rows, synthetic: Rows, k: int = NEIGHBOURS) -> float:
    """Mean number of real rows' balls that hold a synthetic row, over k (Naeem et al. 2020)."""
    inside = squared_distances(real, synthetic) <= _radii(real, k)[:, None]
    return float(inside.sum() / (k * len(synthetic)))


def _radii(real: Rows, k: int) -> Rows:
    """(N,) squared distances to the k-th neighbour, itself not counted."""
    within = squared_distances(real, real)
    np.fill_diagonal(within, 0)  # rounding leaves a little, which might sort behind an equal row
    radii: Rows = np.partition(within, k, axis=1)[:, k]
    return radii


def distances(embed: Embed, train: Pairs, validation: Pairs, synthetic: Pairs) -> dict[str, Entry]:
    """Frechet and kernel distance, coverage and density of the pictures as `embed` sees them, beside their floors."""
    rows = standardise(*(embed(pairs.images) for pairs in (train, validation, synthetic)))
    sides = Sides.of(rows, train.groups, validation.groups)
    kernel = beside_floor(kernel_distance, sides, "higher")
    if "value" in kernel:
        size, found = kernel_subsets(sides.train, sides.synthetic)
        drawn = {"size": size, "mean": float(np.mean(found)), "deviation": float(np.std(found, ddof=1))}
        kernel["subsets"] = {"drawn": SUBSETS, **drawn}
    return {
        "frechet": beside_floor(frechet, sides, "higher"),
        "kernel": kernel,
        "coverage": beside_floor(coverage, sides, "lower"),
        "density": beside_floor(density, sides, "lower"),
    }
