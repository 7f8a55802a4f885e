"""What the runtime tells the denoiser is what training told it: layouts, the conditioning tensor, smaller masks."""

import numpy as np
import pytest
import torch

from wetgen.runtime.bundle.graphs import Sizes
from wetgen.runtime.masks.resize import resize_mask
from wetgen.runtime.sampling.sampler import Known, SampleInputs, SamplingParams, layout_of
from wetgen.training.data import resize_pair
from wetgen.training.denoiser import condition, conditioning_channels
from wetgen.training.latents import to_layout


def sizes(stride: int, classes: int, channels: int = 6) -> Sizes:
    """Latents of 4 x 4 cells."""
    side = 4 * stride
    return Sizes(side, side, channels, 4, 4, 8, 8, classes, conditioning_channels(classes, channels))


@pytest.mark.parametrize("stride", [4, 8, 6])
@pytest.mark.parametrize("classes", [2, 10])
def test_a_layout_is_trainings(stride: int, classes: int) -> None:
    """Bit by bit, halves (of 255ths) included, which both round to the even number."""
    rng = np.random.default_rng(stride + classes)
    masks = rng.integers(0, classes, (20, 4 * stride, 4 * stride), np.uint8)
    masks[10:] = np.where(rng.random(masks[10:].shape) < 0.5, 0, masks[10:])
    masks[-1, :, : stride // 2] = 1  # half a cell: 127.5 of 255
    shares = to_layout(torch.from_numpy(masks).long(), classes, stride).float() / 255  # as `Latents.pick` gives them
    for mask, expected in zip(masks, shares.numpy(), strict=True):
        np.testing.assert_array_equal(layout_of(mask, sizes(stride, classes)), expected)


@pytest.mark.parametrize("give_layout", [True, False])
@pytest.mark.parametrize("give_known", [True, False])
def test_the_conditioning_tensor_is_trainings(give_layout: bool, give_known: bool) -> None:
    rng = np.random.default_rng(0)
    layout, latent = rng.random((3, 4, 4), np.float32), rng.standard_normal((6, 4, 4)).astype(np.float32)
    where = (rng.random((4, 4)) < 0.5).astype(np.float32) if give_known else np.zeros((4, 4), np.float32)
    expected = condition(
        torch.from_numpy(latent)[None],
        torch.from_numpy(layout)[None],
        torch.tensor([give_layout]),
        torch.from_numpy(where)[None, None],
    )
    known, told = Known(latent, where) if give_known else None, layout if give_layout else None
    wanted = SampleInputs("a crack", 0, 0, SamplingParams("four", 1.0, ""), layout=told, known=known)
    np.testing.assert_array_equal(wanted.conditioning(sizes(8, 3)), expected[0].numpy())


@pytest.mark.parametrize("times", [2, 3, 4])
def test_a_layout_made_smaller_is_what_a_view_would_be_but_for_thin_lines(times: int) -> None:
    """By whole numbers, where Pillow's box filter weighs pixels by their area. Patches are thin only at their tips."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:96, :120]
    for _ in range(5):
        mask = np.zeros((96, 120), np.uint8)
        for class_id, (y, x), radius in zip((1, 3, 2), rng.integers(20, 80, (3, 2)), (25, 12, 16), strict=True):
            mask[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = class_id
        size = 96 // times, 120 // times
        view = resize_pair(np.zeros((96, 120, 3), np.uint8), mask, (0, 0, 120, 96), size[::-1])[1]
        made = resize_mask(mask, size)
        np.testing.assert_array_equal(made[view > 0], view[view > 0])
        assert (made[view == 0] > 0).mean() < 0.01
