"""The critics of the decoder: one sees picture and mask, one the features of a pretrained network.

All layers are spectrally normalised (Miyato et al. 2018), which keeps both trainable without a gradient penalty.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from wetgen.training.features import TAPS

DETAIL_GAIN = 6.0


class PairCritic(nn.Module):
    """Joint channels (B, D, H, W), the picture's three first, to scores (B, 1, H/8, W/8) and the maps before them.

    Beside them it sees what a 5 x 5 mean leaves of the picture, made louder: grain is a few per cent of what masks and
    colours span.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                spectral_norm(nn.Conv2d(channels + 3, width, 4, 2, 1)),
                spectral_norm(nn.Conv2d(width, 2 * width, 4, 2, 1)),
                spectral_norm(nn.Conv2d(2 * width, 4 * width, 4, 2, 1)),
            ]
        )
        self.out = spectral_norm(nn.Conv2d(4 * width, 1, 3, 1, 1))

    def forward(self, joint: Tensor) -> tuple[Tensor, list[Tensor]]:
        picture = joint[:, :3].contiguous()  # pooling three channels laid out last takes five times as long
        smooth = F.avg_pool2d(F.pad(picture, (2, 2, 2, 2), mode="reflect"), 5, 1)
        hidden = torch.cat([joint, DETAIL_GAIN * (picture - smooth)], 1)
        maps = []
        for layer in self.layers:
            hidden = F.leaky_relu(layer(hidden), 0.2)
            maps.append(hidden)
        return self.out(hidden), maps


class FeatureCritic(nn.Module):
    """One small head for each map of pretrained features to scores (Sauer et al. 2021, "Projected GANs")."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(_head(channels, width, level) for level, channels in enumerate(TAPS.values()))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [head(features) for head, features in zip(self.heads, maps, strict=True)]


def _head(channels: int, width: int, level: int) -> nn.Sequential:
    """Finer maps are halved once or twice, so that all heads judge patches of a like size."""
    return nn.Sequential(
        spectral_norm(nn.Conv2d(channels, width, 3, 1 if level else 2, 1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(width, width, 3, 1 if level > 1 else 2, 1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(width, 1, 1)),
    )


def feature_matching(drawn: list[Tensor], real: list[Tensor]) -> Tensor:
    """Mean absolute difference of a critic's maps, of the real ones' size (Salimans et al. 2016)."""
    ratios = [
        (a.float() - b.detach().float()).abs().mean() / b.detach().float().abs().mean().clamp(min=1e-4)
        for a, b in zip(drawn, real, strict=True)
    ]
    return torch.stack(ratios).mean()
