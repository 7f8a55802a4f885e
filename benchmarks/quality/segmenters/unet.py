"""The U-Net of the `full` profile, from scratch (Ronneberger, Fischer and Brox 2015).

Group norm (Wu and He 2018) instead of batch norm: a batch mixes real and synthetic pictures, whose statistics differ.

Axes: N pictures, K classes, S pixels a side, C channels.
"""

import torch
from torch import Tensor, nn

from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.segmenters.loop import NetworkSegmenter, Recipe, SegmentationNetwork, fit
from wetgen.runtime.errors import WetgenError

LEVELS = 5  # the coarsest maps are S / 16 a side
GROUP = 8  # channels normalised together


class DoubleConv(nn.Sequential):
    """Two 3 x 3 convolutions, each normalised and rectified: (N, inside, S, S) to (N, outside, S, S)."""

    def __init__(self, inside: int, outside: int) -> None:
        layers: list[nn.Module] = []
        for width in (inside, outside):
            layers += [
                nn.Conv2d(width, outside, 3, padding=1, bias=False),
                nn.GroupNorm(outside // GROUP, outside),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class UNet(SegmentationNetwork):
    """`base` channels on the finest level, twice as many on each coarser one."""

    def __init__(self, classes: int, base: int) -> None:
        super().__init__()
        widths = [base * 2**level for level in range(LEVELS)]
        self.down = nn.ModuleList(DoubleConv(*pair) for pair in zip([3, *widths], widths, strict=False))
        self.pool = nn.MaxPool2d(2)
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))  # coarse to fine
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, 2) for coarse, fine in pairs)
        self.up = nn.ModuleList(DoubleConv(2 * fine, fine) for _, fine in pairs)
        self.head = nn.Conv2d(base, classes, 1)

    def logits(self, images: Tensor) -> Tensor:
        return self.head(self._last(images))

    def pooled(self, images: Tensor) -> Tensor:
        """Mean and deviation of the maps that the classes are read from, (N, 2 base)."""
        maps = self._last(images).float()
        return torch.cat([maps.mean((2, 3)), maps.std((2, 3))], 1)

    def _last(self, images: Tensor) -> Tensor:
        """The finest maps (N, base, S, S)."""
        maps, skipped = 4 * images - 2, []
        for level, block in enumerate(self.down):
            maps = block(self.pool(maps) if level else maps)
            skipped.append(maps)
        for enlarge, block, fine in zip(self.enlarge, self.up, skipped[-2::-1], strict=True):
            maps = block(torch.cat([enlarge(maps), fine], 1))
        return maps


class UNetTrainer:
    """Trains U-Nets; the seed chooses the first weights and the batches."""

    name = "unet"

    def __init__(self, recipe: Recipe | None = None, base: int = 64) -> None:
        self.recipe = Recipe() if recipe is None else recipe
        self.base = base

    def train(self, real: Pairs | None, extra: Pairs | None, seed: int) -> NetworkSegmenter:
        """See `Trainer`."""
        some = real if real is not None else extra
        if some is None:
            raise WetgenError("There is nothing to train on.", why="no pairs were given.", fix="give some pairs.")
        coarsest = 2 ** (LEVELS - 1)
        if some.size % coarsest:
            raise WetgenError(
                f"The U-Net cannot take pictures of {some.size} pixels a side.",
                why=f"it halves them {LEVELS - 1} times.",
                fix=f"choose a multiple of {coarsest} with --size.",
            )
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            network = UNet(len(some.table), self.base)
        return fit(network, real, extra, self.recipe, seed)
