"""Classical augmentation keeps masks exact and pairs aligned."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from wetgen.benchmarks.quality.augment import CLASSICAL, Augmentation, augmented, pasted
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.runtime.masks.classes import ClassTable

UNLIT = replace(CLASSICAL, brightness=0.0, contrast=0.0, colour=0.0)
NOTHING = Augmentation(mirrored=0, upside_down=0, pasted=0, brightness=0, contrast=0, colour=0)


def _pairs(seed: int, count: int = 6, size: int = 16) -> Pairs:
    """Pictures whose first channel states the class of each pixel, so that a slip between the two shows."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, size, size), np.uint8)
    for mask in masks[1:]:  # the first is undamaged
        for kind in (1, 2):
            top, left = rng.integers(0, size - 4, 2)
            mask[top : top + rng.integers(1, 5), left : left + rng.integers(1, 5)] = kind
    images = rng.integers(0, 256, (count, size, size, 3), np.uint8)
    images[..., 0] = 80 * masks
    names = tuple(map(str, range(count)))
    return Pairs(ClassTable(("background", "crack", "stain")), images, masks, names, names, names, names, names)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_image_and_mask_stay_aligned_and_ids_exact(seed: int) -> None:
    made = augmented(_pairs(seed), 3, seed, UNLIT)
    np.testing.assert_array_equal(made.images[..., 0], 80 * made.masks)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_light_never_changes_a_mask(seed: int) -> None:
    pairs = _pairs(seed)
    np.testing.assert_array_equal(augmented(pairs, 2, seed).masks, augmented(pairs, 2, seed, UNLIT).masks)


def test_every_pair_comes_as_often_as_asked_and_keeps_its_group() -> None:
    pairs = _pairs(0)
    made = augmented(pairs, 3, 0)
    assert len(made) == 18 and made.groups == pairs.groups * 3 and made.table == pairs.table


def test_the_same_seed_gives_the_same_pictures_and_each_version_is_another() -> None:
    pairs = _pairs(0)
    first, again, other = augmented(pairs, 2, 0), augmented(pairs, 2, 0), augmented(pairs, 2, 1)
    assert first.digest == again.digest != other.digest
    assert not np.array_equal(first.images[:6], first.images[6:])


def test_with_nothing_to_do_pairs_stay_as_they_are() -> None:
    pairs = _pairs(0)
    made = augmented(pairs, 1, 0, NOTHING)
    np.testing.assert_array_equal(made.images, pairs.images)
    np.testing.assert_array_equal(made.masks, pairs.masks)


def test_each_flip_is_of_its_own_axis() -> None:
    pairs = _pairs(0)
    across = augmented(pairs, 1, 0, replace(NOTHING, mirrored=1))
    np.testing.assert_array_equal(across.images, pairs.images[:, :, ::-1])
    down = augmented(pairs, 1, 0, replace(NOTHING, upside_down=1))
    np.testing.assert_array_equal(down.masks, pairs.masks[:, ::-1])


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_a_pasted_region_arrives_whole_and_nothing_else_changes(seed: int) -> None:
    pairs = _pairs(seed % 7)
    onto, donor = ((pairs.images[i], pairs.masks[i]) for i in (0, 1))
    image, mask = pasted(onto, donor, np.random.default_rng(seed))
    changed = mask > 0  # the first pair has no damage of its own
    np.testing.assert_array_equal(image[~changed], onto[0][~changed])
    assert label(changed, np.ones((3, 3)))[1] == 1  # in one piece, not round the edge
    regions, count = label(donor[1] > 0, np.ones((3, 3)))
    assert changed.sum() in {(regions == number).sum() for number in range(1, count + 1)}
    colours = {tuple(pixel) for pixel in donor[0][donor[1] > 0]}
    assert {tuple(pixel) for pixel in image[changed]} <= colours


def test_damage_is_pasted_from_other_pictures_only() -> None:
    pairs = _pairs(0).take([0, 1])
    made = augmented(pairs, 4, 0, replace(NOTHING, pasted=1))
    assert made.masks[0::2].any((1, 2)).all()
    np.testing.assert_array_equal(made.images[1::2], pairs.images[[1] * 4])  # nobody but itself has damage


def test_undamaged_pairs_alone_have_nothing_to_paste() -> None:
    pairs = _pairs(0).take([0])
    np.testing.assert_array_equal(augmented(pairs, 2, 0, replace(NOTHING, pasted=1)).masks, 0)


def test_brightness_contrast_and_colour_do_what_they_say() -> None:
    pairs = _pairs(0).with_pixels(np.full((6, 16, 16, 3), 100, np.uint8), _pairs(0).masks)
    lit = augmented(pairs, 1, 0, replace(NOTHING, brightness=0.2)).images
    assert (lit == lit[:, :1, :1, :1]).all() and len({int(image[0, 0, 0]) for image in lit}) > 3
    assert (augmented(pairs, 1, 0, replace(NOTHING, contrast=0.3)).images == 100).all()
    tinted = augmented(pairs, 1, 0, replace(NOTHING, colour=0.2)).images
    assert (np.ptp(tinted.reshape(-1, 3), axis=1) > 0).any()
    wild = np.where(np.arange(16) < 8, 90, 110).astype(np.uint8)[None, None, :, None].repeat(16, 1).repeat(3, 3)
    one = pairs.take([0]).with_pixels(wild, pairs.masks[:1])
    spreads = [int(np.ptp(augmented(one, 1, seed, replace(NOTHING, contrast=0.3)).images)) for seed in range(6)]
    assert min(spreads) < 20 < max(spreads)
