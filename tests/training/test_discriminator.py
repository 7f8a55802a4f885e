"""The critic sees grain that a blurred copy lacks, made louder, and brightness as it is."""

import torch

from wetgen.training.discriminator import DETAIL_GAIN, PatchDiscriminator


def test_scores_are_one_a_patch() -> None:
    assert PatchDiscriminator(13, 8)(torch.zeros(2, 13, 32, 48)).shape == (2, 1, 8, 12)


def test_the_detail_it_sees_is_what_a_5_by_5_mean_leaves() -> None:
    critic = PatchDiscriminator(4, 8)
    seen: list[torch.Tensor] = []
    critic.layers.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    flat = torch.full((1, 4, 16, 16), 0.7)
    critic(flat)
    torch.testing.assert_close(seen[0][:, :4], flat)
    torch.testing.assert_close(seen[0][:, 4:], torch.zeros(1, 3, 16, 16), rtol=0, atol=1e-5)
    flat[0, 0, 8, 8] += 0.25
    critic(flat)
    torch.testing.assert_close(seen[1][0, 4, 8, 8], torch.tensor(DETAIL_GAIN * 0.25 * 24 / 25))
