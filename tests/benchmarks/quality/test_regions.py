"""Regions: the features say what a region looks like, and masks beside their damage are seen."""

import numpy as np
import pytest

from tests.benchmarks.quality.walls import CRACK, STAIN, TABLE, walls
from wetgen.benchmarks.quality.controls import shifted, shuffled
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.regions import FEATURES, region_distances, regions_of


def pair(level: int, colour: tuple[int, int, int] = (0, 0, 0), at: int = 24) -> Pairs:
    """A grey wall with a square of another grey; the mask's square starts at `at`."""
    image = np.full((64, 64, 3), 140, np.uint8) + np.random.default_rng(0).integers(-3, 4, (64, 64, 1)).astype(np.uint8)
    image[24:40, 24:40] = np.array([level] * 3) + colour
    mask = np.zeros((64, 64), np.uint8)
    mask[24:40, at : at + 16] = CRACK
    return Pairs(TABLE, image[None], mask[None], ("",), ("a",), ("s",), ("n",), ("",))


def described(pairs: Pairs) -> dict[str, float]:
    return dict(zip(FEATURES, regions_of(pairs, CRACK).features[0], strict=True))


def test_a_dark_region_is_described_as_dark() -> None:
    found = described(pair(60))
    assert found["contrast"] == pytest.approx((60 - 140) / 255, abs=0.01)
    assert found["core"] == pytest.approx(found["contrast"], abs=0.01)
    assert found["dark"] == 1 and found["bright"] == 0
    assert found["z_ring"] < -5 and found["z_background"] < -5
    assert found["edge_direction"] > 0.9 and found["edge"] > 1
    assert found["texture"] < 0 and found["deviations"] < 0, "the square is flat, the wall is not"


def test_colours_are_told_apart() -> None:
    brown = described(pair(100, (30, 0, -40)))
    assert brown["red_green"] == pytest.approx(30 / 255, abs=0.01)
    assert brown["blue_yellow"] == pytest.approx(-55 / 255, abs=0.01)


def test_a_mask_beside_its_damage_has_no_edge_under_it() -> None:
    on, off = described(pair(60)), described(pair(60, at=44))
    assert off["edge"] < on["edge"] - 1 and off["edge_direction"] < 0.85
    assert abs(off["contrast"]) < 0.1


def test_a_thin_line_in_a_wide_mask_is_in_the_core() -> None:
    wide = pair(140)
    image = wide.images.copy()
    image[0, 24:40, 31:33] = 40
    found = described(wide.with_pixels(image, wide.masks))
    assert found["core"] < 1.2 * found["contrast"] < 0
    assert 0.1 < found["dark"] < 0.15 and found["bright"] < 0.3
    assert found["edge"] < 1, "the line runs inside the mask, its edges are not the mask's"


def test_a_mask_wider_than_its_damage_has_no_edge_at_its_border() -> None:
    wide = pair(60)
    masks = np.zeros_like(wide.masks)
    masks[:, 19:45, 19:45] = CRACK
    found = described(wide.with_pixels(wide.images, masks))
    assert found["edge"] < 0.5 and found["contrast"] < -0.1


def test_regions_too_small_or_without_ring_are_left_out() -> None:
    full = pair(60).with_pixels(pair(60).images, np.full((1, 64, 64), CRACK, np.uint8))
    speck = pair(60).with_pixels(pair(60).images, np.pad(np.ones((1, 2, 3), np.uint8), ((0, 0), (9, 53), (9, 52))))
    assert len(regions_of(full, CRACK).owners) == len(regions_of(speck, CRACK).owners) == 0
    assert regions_of(pair(60), STAIN).features.shape == (0, len(FEATURES))


@pytest.fixture(scope="module")
def sets() -> tuple[Pairs, Pairs, Pairs]:
    return walls(90, 1), walls(60, 2), walls(90, 3)


@pytest.mark.parametrize("spoil", ["shift 2", "shift 6", "shuffled"])
def test_masks_that_do_not_fit_are_seen(sets: tuple[Pairs, Pairs, Pairs], spoil: str) -> None:
    train, validation, fresh = sets
    masks = shuffled(fresh.masks, 0) if spoil == "shuffled" else shifted(fresh.masks, int(spoil[-1]))
    found = region_distances(train, validation, fresh.with_pixels(fresh.images, masks))
    assert set(found) == {"crack", "stain"}
    assert all(figure["flagged"] for figure in found.values())


def test_fresh_pairs_are_not_flagged(sets: tuple[Pairs, Pairs, Pairs]) -> None:
    assert not any(figure["flagged"] for figure in region_distances(*sets).values())


def test_a_class_with_too_few_regions_is_not_measured(sets: tuple[Pairs, Pairs, Pairs]) -> None:
    few = sets[2].take(range(6))
    assert all("needed" in figure["not_measured"] for figure in region_distances(sets[0], sets[1], few).values())
