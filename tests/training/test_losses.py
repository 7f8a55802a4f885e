"""Losses against their formulas, written out."""

import math

import pytest
import torch

from wetgen.training import losses


def test_damage_counts_as_much_as_all_the_background() -> None:
    logits = torch.zeros(1, 2, 10, 10)
    mask = torch.zeros(1, 10, 10, dtype=torch.long)
    mask[0, 0, 0] = 1
    logits[0, 1, 0, 0] = 5.0  # the one damaged pixel right and sure, the others unsure
    right, unsure = math.log(1 + math.exp(-5)), math.log(2)
    assert float(losses.mask_cross_entropy(logits, mask)) == pytest.approx(0.5 * right + 0.5 * unsure, rel=1e-5)


def test_a_mask_without_damage_gives_a_finite_loss() -> None:
    loss = losses.mask_cross_entropy(torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long))
    assert float(loss) == pytest.approx(0.5 * math.log(2), rel=1e-5)


def test_the_critic_is_content_beyond_the_margin() -> None:
    assert float(losses.discriminator_hinge(torch.tensor([1.5]), torch.tensor([-2.0]))) == 0
    assert float(losses.discriminator_hinge(torch.tensor([0.0]), torch.tensor([0.0]))) == 2


def test_min_snr_weighs_the_same_error_alike_whatever_is_predicted() -> None:
    a = torch.tensor([0.999, 0.9, 0.5, 0.2], dtype=torch.float64)
    snr = a / (1 - a)
    x0, v, eps = (losses.min_snr_weight(a, 5.0, kind) for kind in ("x0", "v", "eps"))
    torch.testing.assert_close(v * (snr + 1), x0)
    torch.testing.assert_close(eps * snr, x0)
    torch.testing.assert_close(x0, torch.tensor([5.0, 5.0, 1.0, 0.25], dtype=torch.float64))


def test_pure_noise_still_teaches() -> None:
    assert float(losses.min_snr_weight(torch.tensor([0.0]), 5.0, "v")) == pytest.approx(losses.LEAST_X0_WEIGHT)
