"""Fixed random filters at several scales: what the ridge segmenter sees of a picture. Nothing in them is learned.

Random filters with contrast normalisation and rectification are strong features for a linear readout (Jarrett et al.
2009, "What is the best multi-stage architecture for object recognition?").

Axes: N pictures, S pixels a side, s the scale of a level, D features.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from wetgen.runtime.errors import WetgenError

SCALES = (1, 2, 4, 8)  # a level averages s x s pixels first, so its filters see up to 15 s pixels a side
FILTERS = 24  # per level and layer
SIDE = 5  # pixels a side of the first layer's filters
NEAR = 9  # pixels a side of the window whose contrast the first layer is divided by
BIAS = 0.3  # standard deviation of the layers' biases, against responses of about 1
JOINS = 256  # features that join all levels
JOIN_BIAS = 0.5


class Level(nn.Module):
    """Two layers of random filters on one scale: images (N, 3, S, S) to features (N, width, S / s, S / s)."""

    width = 2 * FILTERS + 10

    def __init__(self, scale: int, generator: torch.Generator) -> None:
        super().__init__()
        self.scale = scale
        first = torch.randn(FILTERS, 3, SIDE, SIDE, generator=generator)
        # Every other filter is blind to colour: cracks are dark in any paint.
        first[::2] = torch.randn(FILTERS // 2, 1, SIDE, SIDE, generator=generator)
        second = torch.randn(FILTERS, FILTERS, 3, 3, generator=generator)
        self.first: Tensor
        self.second: Tensor
        self.biases: Tensor
        self.register_buffer("first", _unit(first - first.mean((2, 3), keepdim=True)))
        self.register_buffer("second", 2 * _unit(second - second.mean((1, 2, 3), keepdim=True)))
        self.register_buffer("biases", BIAS * torch.randn(2, FILTERS, 1, 1, generator=generator))

    def energies(self, images: Tensor) -> Tensor:
        """How strongly each first filter answers a whole picture, as a logarithm: (N, FILTERS)."""
        _, raw = self._filtered(images)
        return torch.log((raw * raw).mean((2, 3)) + 1e-4) / 2  # 1e-4: about the last bit of a byte

    def forward(self, images: Tensor) -> Tensor:
        small, raw = self._filtered(images)
        power = (raw * raw).mean(1, keepdim=True)
        near = functional.avg_pool2d(_padded(power, NEAR // 2), NEAR, 1)
        # A faint crack on a smooth wall answers as a deep one on a rough wall does; a flat wall's noise doesn't.
        contrast = torch.sqrt(near + 0.5 * power.mean((2, 3), keepdim=True) + 0.003)
        first = functional.relu(raw / contrast + self.biases[0])
        second = functional.relu(functional.conv2d(_padded(first, 1), self.second) + self.biases[1])
        around = small - small.mean((2, 3), keepdim=True)
        return torch.cat([first, second, small, small * small, around, torch.sqrt(near)], 1)

    def _filtered(self, images: Tensor) -> tuple[Tensor, Tensor]:
        small = functional.avg_pool2d(4 * images - 2, self.scale) if self.scale > 1 else 4 * images - 2
        return small, functional.conv2d(_padded(small, SIDE // 2), self.first)


class FilterBank(nn.Module):
    """All levels of one seed, and rectified random joins of them, so that a crack counts by what it lies in."""

    width = len(SCALES) * Level.width + JOINS

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.levels = nn.ModuleList(Level(scale, generator) for scale in SCALES)
        joins = torch.randn(JOINS, len(SCALES) * Level.width, generator=generator)
        with torch.inference_mode():
            # 1/f noise has the spectrum of photographs (Field 1987): it says how strong each feature usually is.
            usual = self._levels(_noise(16, 64, generator)).transpose(0, 1).flatten(1)
        joins = joins / len(joins[0]) ** 0.5 / usual.std(1)
        self.joins: Tensor
        self.bias: Tensor
        self.register_buffer("joins", joins[:, :, None, None])
        self.register_buffer("bias", JOIN_BIAS * torch.randn(JOINS, generator=generator) - joins @ usual.mean(1))

    def forward(self, images: Tensor) -> Tensor:
        """The features (N, width, S, S) of images (N, 3, S, S) in [0, 1]."""
        return torch.cat(self._parts(images), 1)

    def energies(self, images: Tensor) -> Tensor:
        """How strongly half of each level's first filters answer whole pictures, (N, D): blur and noise show."""
        return torch.cat([level.energies(images)[:, : FILTERS // 2] for level in self.levels], 1)

    def read(self, images: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
        """Weighted sums (N, K, S, S) of the features; weights (K, width, 1, 1), bias (K,)."""
        levels, joined = self._parts(images)
        before, after = weights.split([levels.shape[1], joined.shape[1]], 1)
        return functional.conv2d(levels, before, bias) + functional.conv2d(joined, after)

    def _parts(self, images: Tensor) -> tuple[Tensor, Tensor]:
        levels = self._levels(images)
        return levels, functional.relu(functional.conv2d(levels, self.joins, self.bias))

    def _levels(self, images: Tensor) -> Tensor:
        return torch.cat([_enlarged(level(images), images) for level in self.levels], 1)


def check_size(size: int) -> None:
    """Raise WetgenError for pictures that the coarsest level cannot be cut from evenly."""
    if size % SCALES[-1] or size < 2 * SCALES[-1]:
        raise WetgenError(
            f"The ridge segmenter cannot take pictures of {size} pixels a side.",
            why=f"its coarsest filters average squares of {SCALES[-1]} pixels.",
            fix=f"choose a multiple of {SCALES[-1]}, at least {2 * SCALES[-1]}.",
        )


def _enlarged(maps: Tensor, images: Tensor) -> Tensor:
    """Maps brought to the images' size, bilinearly; channels last, because torch does that ten times faster."""
    maps = maps.contiguous(memory_format=torch.channels_last)
    if maps.shape[-1] == images.shape[-1]:
        return maps
    return functional.interpolate(maps, size=images.shape[-2:], mode="bilinear", align_corners=False)


def _noise(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Pictures (count, 3, side, side) of 1/f noise, mostly grey, of different brightness and tint."""
    frequency = torch.hypot(torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None])
    white = torch.fft.rfft2(torch.randn(count, 3, side, side, generator=generator))
    pink = torch.fft.irfft2(white / frequency.clamp(min=1 / side), s=(side, side))
    pink = 0.3 * pink + 1.7 * pink.mean(1, keepdim=True)
    pink = pink - pink.mean((1, 2, 3), keepdim=True)
    tint = 0.1 * torch.randn(count, 3, 1, 1, generator=generator)
    return (0.5 + 0.15 * pink / pink.std((1, 2, 3), keepdim=True) + tint).clamp(0, 1)


def _padded(maps: Tensor, width: int) -> Tensor:
    return functional.pad(maps, (width,) * 4, mode="replicate")


def _unit(filters: Tensor) -> Tensor:
    return filters / filters.flatten(1).norm(dim=1)[:, None, None, None]
