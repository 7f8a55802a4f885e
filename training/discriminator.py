"""The patch discriminator that sees picture and mask together: a conditional GAN's critic (Isola et al. 2017)."""

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """Joint channels (B, D, H, W) to a score for each patch of about 34 pixels (B, 1, ~H/4, ~W/4)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            spectral_norm(nn.Conv2d(channels, width, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(width, 2 * width, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(2 * width, 2 * width, 4, 1, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(2 * width, 1, 4, 1, 1)),
        )

    def forward(self, joint: Tensor) -> Tensor:
        scores: Tensor = self.layers(joint)
        return scores
