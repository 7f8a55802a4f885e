"""The forward process, and the conditioning tensor's dropout."""

import pytest
import torch

from wetgen.training.denoiser import condition, conditioning_channels, random_known
from wetgen.training.diffusion import add_noise, stratified_timesteps, target


@pytest.mark.parametrize("prediction", ["v", "eps", "x0"])
def test_x0_comes_back_from_x_and_a_perfect_prediction(prediction: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, 3, 2, 2, 2, generator=generator, dtype=torch.float64)
    a = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64)
    x, said = add_noise(x0, eps, a), target(x0, eps, a, prediction)
    root, noise = a.sqrt().view(-1, 1, 1, 1), (1 - a).sqrt().view(-1, 1, 1, 1)
    back = {"v": root * x - noise * said, "eps": (x - noise * said) / root, "x0": said}[prediction]
    torch.testing.assert_close(back, x0)


def test_timesteps_cover_the_schedule_evenly() -> None:
    t = stratified_timesteps(10, 1000, torch.Generator().manual_seed(3))
    assert [int(x) // 100 for x in t] == list(range(10))


def test_conditioning_is_layout_then_known_latent_then_known_map() -> None:
    latent, layout = torch.ones(2, 4, 3, 3), torch.full((2, 2, 3, 3), 0.5)
    known = torch.zeros(2, 1, 3, 3)
    known[1, :, 0] = 1
    given = condition(latent, layout, torch.tensor([True, False]), known)
    assert given.shape[1] == conditioning_channels(classes=2, latent_channels=4)
    assert (given[0, :2] == 0.5).all() and (given[0, 2:] == 0).all()
    assert (given[1, :2] == 0).all() and (given[1, 2:, 0] == 1).all() and (given[1, 2:, 1:] == 0).all()


def test_the_known_part_is_all_but_a_box_for_the_share_that_is_asked() -> None:
    known = random_known(400, 16, 0.25, torch.Generator().manual_seed(0))[:, 0]
    given = known.flatten(1).any(1)
    assert 0.18 < float(given.float().mean()) < 0.32, "400 draws of a quarter: three standard deviations are 0.065"
    for each in known[given]:
        hole = each == 0
        rows, columns = hole.any(1), hole.any(0)
        assert hole.any() and torch.equal(hole, rows.unsqueeze(1) & columns.unsqueeze(0))
