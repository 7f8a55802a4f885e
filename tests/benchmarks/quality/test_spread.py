"""Spread: the statistics by hand, and what the data for plots holds."""

import numpy as np
import pytest
from scipy import stats

from tests.benchmarks.quality.walls import CRACK, STAIN, walls
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.spread import (
    CELLS,
    _region_counts,
    _region_maps,
    earth_movers,
    largest_difference,
    map_difference,
    mean_distance_ratio,
    nearest_distance_ratio,
    spread,
)
from wetgen.runtime.dataset.stats import BINS


def test_earth_movers_is_scipys_for_equal_sizes() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 1, 40), rng.normal(1, 2, 40)
    assert earth_movers(first, second) == pytest.approx(stats.wasserstein_distance(first, second))
    assert earth_movers(first, first[::-1]) == 0


def test_the_largest_difference_of_a_share() -> None:
    first = np.array([[1.0, 0], [1, 0], [1, 1], [0, 0]])
    assert largest_difference(first, 1 - first) == 0.5
    assert largest_difference(first, first) == 0


def test_maps_differ_by_total_variation() -> None:
    here, there = np.zeros((2, 3, CELLS, CELLS))
    here[:, 0, 0], there[:, 7, 7] = 2, 1
    assert map_difference(here, there) == 1 and map_difference(here, 3 * here) == 0
    assert map_difference(here, np.concatenate([here, 2 * there])) == pytest.approx(0.5)
    assert map_difference(np.zeros_like(here), np.zeros_like(here)) == 0


def test_regions_are_counted_and_placed() -> None:
    mask = np.zeros((1, 64, 64), bool)
    mask[0, np.arange(8), np.arange(8)] = True  # a diagonal is one region
    mask[0, 60:64, 0:4] = True
    np.testing.assert_array_equal(_region_counts(mask), [2])
    expected = np.zeros((CELLS, CELLS))
    expected[0, 0] = expected[7, 0] = 1
    np.testing.assert_array_equal(_region_maps(mask)[0], expected)


def test_a_set_of_few_pictures_keeps_no_distance() -> None:
    rows = np.random.default_rng(0).standard_normal((40, 5))
    assert mean_distance_ratio(rows, 2 * rows) == pytest.approx(2)
    assert nearest_distance_ratio(rows, 2 * rows) == pytest.approx(2)
    assert nearest_distance_ratio(rows, rows[np.arange(40) % 10]) == 0


def colours(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1, 3).mean(1).astype(float)


@pytest.fixture(scope="module")
def sets() -> tuple[Pairs, Pairs, Pairs]:
    return walls(80, 1, 32), walls(60, 2, 32), walls(80, 3, 32)


def test_fresh_pairs_spread_as_real_ones_do(sets: tuple[Pairs, Pairs, Pairs]) -> None:
    found = spread(colours, *sets)
    figures = [found["class_share"], *(figure for key in ("all", "crack", "stain") for figure in found[key].values())]
    assert len(figures) == 1 + 2 + 5 + 5
    assert not any(figure["flagged"] for figure in figures)


def test_one_class_only_and_damage_of_one_size_in_one_place_are_seen(sets: tuple[Pairs, Pairs, Pairs]) -> None:
    masks = np.zeros_like(sets[2].masks)
    masks[:, 2:6, 2:6] = CRACK
    found = spread(colours, sets[0], sets[1], sets[2].with_pixels(sets[2].images, masks))
    assert found["class_share"]["flagged"] and found["crack"]["area"]["flagged"] and found["crack"]["places"]["flagged"]
    assert "stain" not in found and found["data"]["stain"]["synthetic"]["pairs"] == 0


def test_the_data_for_plots_counts_pairs_areas_and_places(sets: tuple[Pairs, Pairs, Pairs]) -> None:
    held = spread(colours, *sets)["data"]["stain"]["train"]
    shown = int((sets[0].masks == STAIN).any((1, 2)).sum())
    assert held["pairs"] == shown == sum(held["areas"]) and len(held["areas"]) == len(BINS)
    assert np.sum(held["places"]) >= shown


def test_classes_that_few_pairs_show_are_not_measured(sets: tuple[Pairs, Pairs, Pairs]) -> None:
    found = spread(colours, sets[0], sets[1], sets[2].take(range(10)))
    assert all("not_measured" in figure for figure in found["crack"].values())
