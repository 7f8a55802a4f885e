"""Copies are found however they come back, and honest pairs are not accused."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from tests.benchmarks.quality.walls import CRACK, walls
from wetgen.benchmarks.quality.controls import blurred, noisy, shifted
from wetgen.benchmarks.quality.memorisation import CLOSEST, memorisation, nearness
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.views import PICTURE_SIDE, VIEWS, mirrored

IMAGE, DAMAGE, MASK = VIEWS
SETS = tuple[Pairs, Pairs, Pairs]


@pytest.fixture(scope="module")
def sets() -> SETS:
    return walls(90, 1), walls(60, 2), walls(80, 3)


def recoloured(images: np.ndarray) -> np.ndarray:
    return np.asarray(255 * (images / 255) ** 1.3 * np.array([1.0, 0.95, 0.8]), np.uint8)


SPOILED: dict[str, Callable[[Pairs], Pairs]] = {
    "noisy": lambda pairs: pairs.with_pixels(noisy(pairs.images, 0.01, 0), pairs.masks),
    "very noisy": lambda pairs: pairs.with_pixels(noisy(pairs.images, 0.04, 0), pairs.masks),
    "blurred": lambda pairs: pairs.with_pixels(blurred(pairs.images, 1.5), pairs.masks),
    "mirrored": lambda pairs: pairs.with_pixels(pairs.images[:, :, ::-1], pairs.masks[:, :, ::-1]),
    "recoloured": lambda pairs: pairs.with_pixels(recoloured(pairs.images), pairs.masks),
    "with another mask": lambda pairs: pairs.with_pixels(pairs.images, np.roll(pairs.masks, 7, axis=0)),
}


@pytest.mark.parametrize("spoil", SPOILED)
def test_copies_fail(sets: SETS, spoil: str) -> None:
    train, validation, _ = sets
    found = memorisation(train, validation, SPOILED[spoil](train.take(range(10, 70))))
    assert found["passed"] is False
    assert found["image"]["suspects"]["value"] > 0.9 and found["image"]["ratio"]["value"] < 0.5


def test_a_few_copies_among_honest_pairs_fail_and_are_named(sets: SETS) -> None:
    train, validation, fresh = sets
    mixed = fresh + SPOILED["mirrored"](train.take([4, 8]))
    found = memorisation(train, validation, mixed)
    assert found["passed"] is False and not found["image"]["ratio"]["flagged"]
    assert [pair[:2] for pair in found["image"]["suspects_at"]] == [[80, 4], [81, 8]]
    assert found["image"]["closest"][0][:2] == [80, 4] and len(found["image"]["closest"]) == CLOSEST


def test_honest_pairs_pass(sets: SETS) -> None:
    train, validation, fresh = sets
    for held_out in (validation, validation.take(range(6)), validation.take([])):
        found = memorisation(train, held_out, fresh)
        assert found["passed"] is True
        for view in ("image", "damage", "mask"):
            assert found[view]["ratio"]["value"] == pytest.approx(1, abs=0.15)
            assert not found[view]["authentic"]["flagged"]


def test_damage_pasted_on_another_wall_is_found_by_the_damage(sets: SETS) -> None:
    train, validation, fresh = sets
    donors = [i for i in range(len(train)) if (train.masks[i] == CRACK).any()][:30]
    images, masks = fresh.images[:30].copy(), np.zeros_like(fresh.masks[:30])
    for place, donor in enumerate(donors):
        near = ndimage.binary_dilation(train.masks[donor] > 0, iterations=10)
        images[place][near], masks[place] = train.images[donor][near], train.masks[donor]
    found = memorisation(train, validation, fresh.take(range(30)).with_pixels(images, masks))
    assert found["damage"]["suspects"]["flagged"] and found["mask"]["suspects"]["value"] == 1


def test_copied_masks_under_new_pictures_are_found_by_the_mask(sets: SETS) -> None:
    train, validation, fresh = sets
    found = memorisation(train, validation, fresh.with_pixels(fresh.images, train.masks[:80]))
    assert found["passed"] is False and found["mask"]["suspects"]["value"] == 1
    assert found["mask"]["authentic"]["value"] == 0 and not found["image"]["suspects"]["flagged"]


def test_other_pictures_of_one_place_are_no_measure_of_chance(sets: SETS) -> None:
    """Train pairs twice under one group: the limit must come from other places, or nothing would be suspect."""
    train, _, _ = sets
    doubled = train.take(np.repeat(np.arange(60), 2))
    found = memorisation(doubled, doubled.take([]), train.take(range(30)))
    assert found["image"]["suspects"]["value"] == 1 and found["image"]["suspects"]["unseen"] == 120


def test_too_little_to_compare_is_not_measured(sets: SETS) -> None:
    train, validation, fresh = sets
    bare = fresh.with_pixels(fresh.images, np.zeros_like(fresh.masks))
    found = memorisation(train, validation, bare)
    assert "not_measured" in found["mask"]["ratio"] and found["passed"] is True
    none = memorisation(train, validation, bare.with_pixels(np.full_like(bare.images, 90), bare.masks))
    assert none["passed"] is None


def test_views_have_mean_zero_and_length_one(sets: SETS) -> None:
    for view in VIEWS:
        shown = view.show(sets[0])
        assert len(shown.rows) == len(shown.places) > 80 * (view is IMAGE)
        np.testing.assert_allclose(np.linalg.norm(shown.rows, axis=1), 1, atol=1e-12)
        np.testing.assert_allclose(shown.rows.mean(1), 0, atol=1e-12)


def test_light_and_contrast_are_taken_off(sets: SETS) -> None:
    pairs = sets[0].take(range(3))
    y, x = np.mgrid[0:64, 0:64] / 64
    lit = pairs.images * 0.6 + (40 * x + 20 * y * y)[..., None]
    first, second = (IMAGE.show(p).rows for p in (pairs, pairs.with_pixels(lit.round().astype(np.uint8), pairs.masks)))
    assert (np.diag(nearness(first, second)) < 0.1).all()


def test_nearness_is_that_of_the_correlation_and_of_mirrors() -> None:
    rows = IMAGE.show(walls(6, 9)).rows
    found = nearness(rows, rows)
    np.testing.assert_allclose(np.diag(found), 0, atol=1e-7)
    np.testing.assert_allclose(np.diag(nearness(rows, mirrored(rows))), 0, atol=1e-7)
    plain, flipped = rows[0] @ rows[1], rows[0] @ rows[1].reshape(PICTURE_SIDE, -1)[:, ::-1].ravel()
    assert found[0, 1] == pytest.approx(np.sqrt(2 - 2 * max(plain, flipped)))
    assert nearness(rows[:0], rows).shape == (0, 6)


def test_flat_pictures_show_nothing(sets: SETS) -> None:
    flat = sets[0].with_pixels(np.full_like(sets[0].images, 77), sets[0].masks)
    assert len(IMAGE.show(flat).rows) == len(DAMAGE.show(flat).rows) == 0
    everywhere = sets[0].with_pixels(sets[0].images, np.full_like(sets[0].masks, 2))
    assert len(MASK.show(everywhere).rows) == 0


def test_a_mask_a_pixel_off_is_still_alike(sets: SETS) -> None:
    damaged = sets[0].take(np.flatnonzero(sets[0].masks.any((1, 2)))[:20])
    moved = damaged.with_pixels(damaged.images, shifted(damaged.masks, 1))
    off = np.diag(nearness(MASK.show(damaged).rows, MASK.show(moved).rows))
    others = nearness(MASK.show(damaged).rows, MASK.show(sets[2]).rows).min(1)
    assert np.median(off) < 0.5 * np.median(others)
