"""Copies are found however they come back, and honest pairs are not accused."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from tests.benchmarks.quality.walls import CRACK, walls
from wetgen.benchmarks.quality.controls import blurred, noisy, shifted
from wetgen.benchmarks.quality.memorisation import CLOSEST, _left_out, memorisation, nearness
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.views import PICTURE_SIDE, VIEWS, _square_around, mirrored

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
    """Every train pair stands there twice under one group: distances to the twin would leave nothing suspect."""
    train, _, fresh = sets
    doubled = train.take(np.repeat(np.arange(60), 2))
    found = memorisation(doubled, doubled.take([]), fresh)["image"]
    assert found["ratio"]["value"] == pytest.approx(1, abs=0.1) and found["suspects"]["unseen"] == 120
    assert found["suspects"]["nearer_than"] > 0.4 and found["authentic"]["floor"] > 0.3


def test_a_place_left_out_is_left_out_for_its_neighbour_too() -> None:
    """Places a, a, b, c on a line at 0, 1, 3 and 9: b lies nearest to the second a, whose next is then c."""
    at, groups = np.array([0.0, 1.0, 3.0, 9.0]), np.array(["a", "a", "b", "c"])
    within = np.abs(at[:, None] - at[None])
    within[groups[:, None] == groups[None]] = np.inf
    found = _left_out(within, groups)
    assert found.indices.tolist() == [2, 2, 1, 2] and found.distances.tolist() == [3, 2, 2, 6]
    assert found.of_train.tolist() == [6, 6, 8, 2]
    assert found.authentic == 0.25


def test_too_little_to_compare_is_not_measured(sets: SETS) -> None:
    train, validation, fresh = sets
    bare = fresh.with_pixels(fresh.images, np.zeros_like(fresh.masks))
    found = memorisation(train, validation, bare)
    assert "not_measured" in found["mask"]["ratio"] and found["passed"] is True and found["mask"]["closest"] == []
    none = memorisation(train, validation, bare.with_pixels(np.full_like(bare.images, 90), bare.masks))
    assert none["passed"] is None


def test_masks_that_repeat_in_real_pairs_accuse_nobody(sets: SETS) -> None:
    bars = np.zeros_like(sets[0].masks)
    bars[:, 30:34] = CRACK
    alike = [pairs.with_pixels(pairs.images, bars[: len(pairs)]) for pairs in sets]
    found = memorisation(*alike)
    assert "repeat" in found["mask"]["suspects"]["not_measured"] and found["image"]["suspects"]["flagged"] is False


def test_views_have_mean_zero_and_length_one(sets: SETS) -> None:
    for view in VIEWS:
        shown = view.show(sets[0])
        assert len(shown.rows) == len(shown.indices) > 80 * (view is IMAGE)
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


def test_damage_is_cut_out_square_and_with_a_margin() -> None:
    damage = np.zeros((64, 64), bool)
    damage[10:20, 30:34] = True
    assert _square_around(damage) == (slice(7, 23), slice(24, 40)), "at least a quarter of the picture"
    damage[10:40, 30:34] = True
    assert _square_around(damage) == (slice(6, 44), slice(12, 52)), "30 pixels and 15 % of them on each side, rounded"
    damage[0:40] = True
    assert _square_around(damage) == (slice(0, 62), slice(0, 64)), "cut at the edges of the picture"


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
