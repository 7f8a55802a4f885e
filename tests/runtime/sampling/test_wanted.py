"""What is wanted of a pair: its noise, and what the denoiser is told (tests/training compares it with training's)."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.runtime.sampling.batches import params
from wetgen.runtime.bundle.graphs import Sizes
from wetgen.runtime.sampling.sampler import Known, SampleInputs, layout_of, starting_noise

SIZES = Sizes(32, 32, 4, 8, 8, 24, 16, 4, 9)  # 4 classes, 4 latent channels and the known map are 9


def wanted(**given):
    return SampleInputs(**{"prompt": "a crack", "seed": 3, "number": 7, "params": params(2.0), **given})


@pytest.mark.parametrize("size, cells", [(None, (8, 8)), ((10, 13), (10, 13))])
def test_noise_follows_from_seed_number_and_try_alone(size, cells):
    plain = wanted(size=size)
    np.testing.assert_array_equal(plain.noise(SIZES), starting_noise(3, 7, (4, *cells), 0))
    told = replace(plain, prompt="mold", params=params(9.0, "dry"), layout=np.ones((4, *cells), np.float32))
    np.testing.assert_array_equal(told.noise(SIZES), plain.noise(SIZES))
    for other in ({"seed": 4}, {"number": 8}, {"attempt": 1}):
        assert not np.array_equal(replace(plain, **other).noise(SIZES), plain.noise(SIZES))


def test_zeros_are_free():
    told = wanted(size=(9, 11)).conditioning(SIZES)
    assert told.shape == (9, 9, 11) and told.dtype == np.float32 and not told.any()


def test_each_part_stands_in_channels_of_its_own():
    rng = np.random.default_rng(0)
    layout, latent = rng.random((4, 8, 8), np.float32), rng.random((4, 8, 8), np.float32)
    where = (rng.random((8, 8)) < 0.5).astype(np.float32)
    whole = wanted(layout=layout, known=Known(latent, where)).conditioning(SIZES)
    np.testing.assert_array_equal(whole[:4], layout)
    np.testing.assert_array_equal(whole[4:8], np.where(where > 0, latent, 0))  # what is not known is not shown
    np.testing.assert_array_equal(whole[8], where)
    alone = wanted(known=Known(latent, where)).conditioning(SIZES)
    assert not alone[:4].any() and np.array_equal(alone[4:], whole[4:])
    assert not wanted(layout=layout).conditioning(SIZES)[4:].any()


def test_a_layout_is_the_share_of_each_class_under_a_cell_in_255ths():
    mask = np.zeros((8, 12), np.uint8)  # two rows of three cells of 4 x 4 pixels
    mask[:4, :4] = 2
    mask[:2, 4:8] = 1
    mask[4, 8:11] = 3
    layout = layout_of(mask, SIZES)
    assert layout.shape == (4, 2, 3) and layout.dtype == np.float32
    expected = np.zeros((4, 2, 3))
    expected[0] = [[0, 127.5, 255], [255, 255, 255 * 13 / 16]]
    expected[2, 0, 0], expected[1, 0, 1], expected[3, 1, 2] = 255, 127.5, 255 * 3 / 16
    np.testing.assert_array_equal(layout, (np.round(expected) / 255).astype(np.float32))  # 127.5 becomes 128


@given(
    arrays.arrays(
        np.uint8, st.tuples(st.sampled_from([4, 8, 20]), st.sampled_from([4, 12])), elements=st.integers(0, 3)
    )
)
def test_shares_sum_to_one(mask):
    """Up to the rounding of four shares to a 255th each."""
    total = layout_of(mask, SIZES).sum(0)
    np.testing.assert_allclose(total, 1, atol=4 * 0.5 / 255)


def test_a_layout_needs_whole_cells():
    with pytest.raises(ValueError):
        layout_of(np.zeros((8, 10), np.uint8), SIZES)
