"""The patch discriminator that sees picture and mask together: a conditional GAN's critic (Isola et al. 2017)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DETAIL_GAIN = 8.0


class PatchDiscriminator(nn.Module):
    """Joint channels (B, D, H, W), the picture's three first, to a score for each patch of 18 pixels (B, 1, H/4, W/4).

    Beside them it sees what a 5 x 5 mean leaves of the picture, made louder: grain is a few per cent of what masks and
    colours span, and without this the critic took longer than a run on two cores lasts to notice that it was missing.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels + 3, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.GroupNorm(8, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 3, 1, 1),
        )

    def forward(self, joint: Tensor) -> Tensor:
        picture = joint[:, :3]
        smooth = F.avg_pool2d(F.pad(picture, (2, 2, 2, 2), mode="reflect"), 5, 1)
        scores: Tensor = self.layers(torch.cat([joint, DETAIL_GAIN * (picture - smooth)], 1))
        return scores
