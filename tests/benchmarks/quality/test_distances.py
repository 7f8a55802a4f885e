"""Distances against their textbooks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from tests.benchmarks.quality.walls import walls
from wetgen.benchmarks.quality.distances import (
    coverage,
    density,
    distances,
    frechet,
    kernel_distance,
    kernel_subsets,
    polynomial_kernel,
    unbiased_mmd,
)
from wetgen.benchmarks.quality.pairs import Pairs


def normal(rows: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, width))


def test_frechet_of_gaussians_on_a_line() -> None:
    first, second = np.array([[0.0], [2.0], [4.0]]), np.array([[5.0], [6.0], [7.0]])
    assert frechet(first, second) == pytest.approx((2 - 6) ** 2 + (2 - 1) ** 2)


def test_frechet_of_gaussians_with_one_covariance_is_the_distance_of_the_means() -> None:
    rows = normal(50, 4, 0)
    assert frechet(rows, rows + np.array([1.0, -2.0, 0, 3])) == pytest.approx(14)


@pytest.mark.parametrize("rows, width", [(60, 8), (30, 40)])
def test_frechet_is_what_the_matrix_square_root_gives(rows: int, width: int) -> None:
    first, second = normal(rows, width, 1) @ normal(width, width, 2), normal(rows + 5, width, 3) + 0.5
    one, other = (np.cov(side, rowvar=False) for side in (first, second))
    root = linalg.sqrtm(one @ other).real
    shift = ((first.mean(0) - second.mean(0)) ** 2).sum()
    # The root of a singular product (rows < width) is good to half the digits.
    np.testing.assert_allclose(frechet(first, second), shift + np.trace(one + other - 2 * root), rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16), st.integers(3, 20), st.integers(1, 12))
def test_frechet_is_symmetric_and_zero_only_to_itself(seed: int, rows: int, width: int) -> None:
    first, second = normal(rows, width, seed), normal(rows, width, seed + 1)
    assert frechet(first, second) == pytest.approx(frechet(second, first), rel=1e-9)
    assert frechet(first, first) == pytest.approx(0, abs=1e-9)
    assert frechet(first, second) > 0


def test_the_kernel_distance_is_the_sum_it_is_printed_as() -> None:
    x, y = normal(6, 3, 0), normal(5, 3, 1)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 3 + 1) ** 3)

    within = sum(k(x[i], x[j]) for i in range(6) for j in range(6) if i != j) / 30
    other = sum(k(y[i], y[j]) for i in range(5) for j in range(5) if i != j) / 20
    across = sum(k(a, b) for a in x for b in y) / 30
    assert kernel_distance(x, y) == pytest.approx(within + other - 2 * across)


def test_the_kernel_distance_is_unbiased() -> None:
    values = [kernel_distance(normal(12, 4, seed), normal(20, 4, 1000 + seed)) for seed in range(300)]
    error = np.std(values) / np.sqrt(300)
    assert abs(np.mean(values)) < 3.5 * error, "a biased estimate lies far above 0 with so few rows"
    rows = [(normal(12, 4, seed), normal(20, 4, 1000 + seed)) for seed in range(100)]
    biased = [sum(polynomial_kernel(a, a).mean() for a in two) - 2 * polynomial_kernel(*two).mean() for two in rows]
    assert np.mean(biased) > 10 * error


def test_mmd_of_known_matrices() -> None:
    within = np.array([[9.0, 1.0], [1.0, 9.0]])
    assert unbiased_mmd(within, 2 * within, np.full((2, 2), 0.5)) == 1 + 2 - 1


@pytest.mark.parametrize("rows, size", [(150, 100), (100, 100), (61, 30)])
def test_subsets_hold_a_hundred_and_else_half(rows: int, size: int) -> None:
    found, values = kernel_subsets(normal(rows, 3, 0), normal(rows + 20, 3, 1))
    assert found == size and len(values) == 100
    assert np.std(values) > 0


def test_subsets_agree_with_the_whole() -> None:
    first, second = normal(150, 3, 0), normal(150, 3, 1) + 1
    values = kernel_subsets(first, second)[1]
    # Subsets of 100 of 150 overlap; their mean lies within two of their own deviations.
    assert np.mean(values) == pytest.approx(kernel_distance(first, second), abs=2 * np.std(values) / np.sqrt(100))


def test_coverage_and_density_by_hand() -> None:
    real = np.array([[0.0], [1.0], [3.0], [7.0]])
    # Radii to the 1st neighbour: 1, 1, 2, 4. 0.5 lies in two balls, 5 in those of 3 and 7, 20 in none.
    synthetic = np.array([[0.5], [5.0], [20.0]])
    assert coverage(real, synthetic, k=1) == 1.0
    assert density(real, synthetic, k=1) == pytest.approx(4 / 3)
    assert coverage(real, synthetic[2:], k=1) == 0
    assert coverage(real, synthetic[:1], k=1) == 0.5


@pytest.mark.parametrize("k", [1, 5])
def test_coverage_and_density_are_those_of_their_authors(k: int) -> None:
    prdc = pytest.importorskip("prdc", reason="prdc, the authors' own code, is not installed")
    real, synthetic = normal(60, 8, 4), 1.2 * normal(80, 8, 5) + 0.3
    found = prdc.compute_prdc(real, synthetic, k)
    assert coverage(real, synthetic, k) == pytest.approx(found["coverage"])
    assert density(real, synthetic, k) == pytest.approx(found["density"])


def test_coverage_and_density_of_one_distribution_are_what_the_paper_expects() -> None:
    """Naeem et al. 2020: density 1, and coverage 1 - (M-1)...(M-k) / ((2M-1)...(2M-k)) for N = M."""
    m, k = 80, 5
    expected = 1 - np.prod([(m - i) / (2 * m - i) for i in range(1, k + 1)])
    found = [(normal(m, 6, seed), normal(m, 6, 500 + seed)) for seed in range(40)]
    # One draw's coverage deviates by 0.02, its density by 0.15.
    assert np.mean([coverage(*two) for two in found]) == pytest.approx(expected, abs=0.01)
    assert np.mean([density(*two) for two in found]) == pytest.approx(1, abs=0.08)


def test_equal_rows_have_themselves_once() -> None:
    real = np.zeros((4, 2))
    assert coverage(real, real, k=2) == 1 and coverage(real, real + 1e-3, k=2) == 0


def brightness(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1, 3).mean(1).astype(float)


def darker(pairs: Pairs, by: int) -> Pairs:
    return pairs.with_pixels(np.maximum(pairs.images, by) - np.uint8(by), pairs.masks)


def test_figures_stand_beside_their_floors() -> None:
    train, validation, fresh = (walls(count, seed, size=16) for count, seed in ((60, 1), (50, 2), (60, 3)))
    honest = distances(brightness, train, validation, fresh)
    assert set(honest) == {"frechet", "kernel", "coverage", "density"}
    assert not any(figure["flagged"] for figure in honest.values())
    assert honest["kernel"]["subsets"]["size"] == 30
    spoiled = distances(brightness, train, validation, darker(fresh, 80))
    assert all(spoiled[name]["flagged"] for name in ("frechet", "kernel", "coverage"))
