"""The random network is fixed, and a picture's features don't depend on its company."""

import numpy as np

from tests.benchmarks.quality.walls import walls
from wetgen.benchmarks.quality.features import (
    WIDTHS,
    random_features,
    random_weights,
    remembered,
    standardise,
    weights_digest,
)


def test_the_network_is_the_one_reports_were_made_with() -> None:
    """A new numpy may draw other weights from the seed: then old reports no longer compare, and must not seem to."""
    assert weights_digest() == "f1eb02f3c89a5177c792f7220309e43ac2b3191d8fa15e8774fdb3ee96bdfbef"


def test_weights_keep_the_variance_of_what_passes_through() -> None:
    for weight in random_weights():
        fan_in = weight[0].size
        # 864 weights and more: their variance is known to 5 %.
        np.testing.assert_allclose(weight.var() * fan_in, 2, rtol=0.15)


def test_a_mean_and_a_deviation_per_channel() -> None:
    images = walls(3, 0, size=32).images
    found = random_features(images)
    assert found.shape == (3, 2 * sum(WIDTHS)) and found.dtype == np.float64
    flat = random_features(np.full((1, 32, 32, 3), 130, np.uint8))
    np.testing.assert_allclose(flat[0, WIDTHS[0] : 2 * WIDTHS[0]], 0, atol=1e-6)
    assert (flat[0, : WIDTHS[0]] >= 0).all() and flat[0, : WIDTHS[0]].any()


def test_features_do_not_depend_on_the_company() -> None:
    images = walls(18, 4, size=16).images
    together = random_features(images)
    np.testing.assert_array_equal(together[:16], random_features(images[:16]))
    # Other batch sizes may sum in another order: float32 rounding.
    np.testing.assert_allclose(together[17:], random_features(images[17:]), rtol=1e-4, atol=1e-5)


def test_standard_features_have_the_references_units() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(5, [1.0, 20.0, 0.0], (200, 3))
    other = np.array([[5.0, 5.0 + 1e6, 5.0]])
    first, second = standardise(reference, other, clip=4)
    assert first.shape == (200, 2), "what never varies is left out"
    np.testing.assert_allclose(first.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(first.std(0), 1, atol=1e-3)  # a few rows of 200 may lie beyond 4
    assert second[0, 1] == 4


def test_remembered_features_are_computed_once() -> None:
    calls = []

    def embed(images: np.ndarray) -> np.ndarray:
        calls.append(len(images))
        return images.reshape(len(images), -1).astype(float)

    look_up = remembered(embed)
    images = walls(4, 0, size=16).images
    np.testing.assert_array_equal(look_up(images), look_up(images.copy()))
    look_up(images[:2])
    assert calls == [4, 2]
