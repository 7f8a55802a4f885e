"""The segmenter of the `cpu` profile: fixed random filters, and a closed-form, class-balanced readout per pixel.

The readout is linear discriminant analysis with a ridge (Friedman 1989, "Regularized discriminant analysis"; it spans
what ridge regression on class indicators spans: Hastie, Tibshirani and Buja 1994, "Flexible discriminant analysis").
It needs only sums over each class's pixels, so training on any mixture of sets is adding sums and one solve.

Filters and settings were chosen by cross-validation over groups on 1,214 real train and validation pairs of 64 pixels.
Mean IoU of cracks and spalling with 6, 20 and 67 % of them, and what other choices gave:

    as set here                                  0.188  0.219  0.232
    without the joins of levels (232 features)   0.180         0.223
    without contrast normalisation               0.153  0.176  0.187   (by regression, 232 features)
    48 filters a layer, three layers, 128 joins  0.183         0.241   (744 features, four times the time)

Axes: N pictures, K classes, S pixels a side, D features with the intercept last, P pixels.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.segmenters.filters import FilterBank, check_size
from wetgen.benchmarks.quality.segmenters.mixing import weight_of_extra
from wetgen.benchmarks.quality.segmenters.sums import Sums, SumsMemory
from wetgen.runtime.errors import WetgenError

RIDGE = 0.03  # added to the diagonal of the within-class correlation matrix; from 0.001 to 0.1 IoU moves by 0.007
BALANCE = 0.5  # of class weights and priors: 0 counts every pixel the same, 1 every class, which sees cracks everywhere
NEVER = -1e4  # the score of a class without a training pixel
BATCH = 4  # pictures in a forward pass: more fall out of a processor's cache


class Readout(nn.Module):
    """Image float32 (N, 3, S, S) in [0, 1] to class probabilities (N, K, S, S)."""

    def __init__(self, bank: FilterBank, weights: NDArray[np.float64]) -> None:
        super().__init__()
        self.bank = bank
        self.weights: Tensor  # (K, D - 1, 1, 1)
        self.bias: Tensor  # (K,)
        self.register_buffer("weights", torch.from_numpy(weights[:, :-1, None, None].astype(np.float32)))
        self.register_buffer("bias", torch.from_numpy(weights[:, -1].astype(np.float32)))

    def forward(self, images: Tensor) -> Tensor:
        return torch.softmax(self.scores(images), 1)

    def scores(self, images: Tensor) -> Tensor:
        """Log probabilities (N, K, S, S) up to a constant per pixel."""
        return self.bank.read(images, self.weights, self.bias)


class RidgeSegmenter:
    """A trained segmenter: see `Segmenter`."""

    def __init__(self, module: Readout) -> None:
        self.module = module.eval()

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Class probabilities (N, K, S, S) of images uint8 (N, S, S, 3)."""
        check_size(images.shape[1])
        with torch.inference_mode():
            return np.concatenate([self.module(batch).numpy() for batch in _batches(images)])

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """What it sees of each whole picture, (N, D): its score maps and its filters' energies, pooled."""
        check_size(images.shape[1])
        with torch.inference_mode():
            return np.concatenate([self._pooled(batch).double().numpy() for batch in _batches(images)])

    def _pooled(self, images: Tensor) -> Tensor:
        seen = self.module.bias > NEVER
        maps = self.module.scores(images)[:, seen]
        maps = maps[:, 1:] - maps[:, :1]
        pooled = [maps.mean((2, 3)), maps.std((2, 3)), *torch.quantile(maps.flatten(2), torch.tensor([0.1, 0.9]), 2)]
        return torch.cat([*pooled, self.module.bank.energies(images)], 1)


class RidgeTrainer:
    """Trains `RidgeSegmenter`s; the seed chooses the filters. Pairs seen before cost nothing."""

    name = "ridge"

    def __init__(self) -> None:
        self._memory = SumsMemory()
        self._banks: dict[int, FilterBank] = {}  # the same for every readout of a seed: they hold nothing learned

    def train(self, real: Pairs | None, extra: Pairs | None, seed: int) -> RidgeSegmenter:
        """Fit the readout: see `Trainer`. A real pair has the same weight in every arm."""
        sets = [pairs for pairs in (real, extra) if pairs is not None and len(pairs)]
        if not sets:
            raise WetgenError("There is nothing to train on.", why="no pairs were given.", fix="give some pairs.")
        check_size(sets[0].size)
        if seed not in self._banks:
            self._banks[seed] = FilterBank(seed)
        bank = self._banks[seed]
        total = self._memory.sums(sets[0], seed, bank)
        if len(sets) == 2:
            total = total + self._memory.sums(sets[1], seed, bank) * weight_of_extra(*map(len, sets))
        return RidgeSegmenter(Readout(bank, solve(total, len(sets[0].table))))


def solve(sums: Sums, classes: int) -> NDArray[np.float64]:
    """The weights (K, D) of each class's score, its log probability up to a constant; NEVER for classes not seen.

    With class means m, the within-class covariance W of all classes by their weights, and priors p, a pixel x scores
    m W^-1 x - m W^-1 m / 2 + log p (Hastie, Tibshirani and Friedman 2009, eq. 4.10).
    """
    seen = sorted(sums.counts)
    counts = np.array([sums.counts[id] for id in seen])
    share = counts / counts.sum()
    weights = share ** (1 - BALANCE) / (share ** (1 - BALANCE)).sum()
    means = np.stack([sums.moments[id][-1, :-1] for id in seen]) / counts[:, None]
    within = np.zeros((means.shape[1], means.shape[1]))
    for id, count, mean, weight in zip(seen, counts, means, weights, strict=True):
        within += weight * (sums.moments[id][:-1, :-1] / count - np.outer(mean, mean))
    deviation = np.sqrt(np.diag(within) + 1e-9)  # 1e-9: a feature may be constant
    ridged = within / np.outer(deviation, deviation) + RIDGE * np.eye(len(deviation))
    centre = weights @ means
    offsets = (means - centre) / deviation
    directions = np.linalg.solve(ridged, offsets.T).T
    solved = np.zeros((classes, len(deviation) + 1))
    solved[:, -1] = NEVER
    solved[seen, :-1] = directions / deviation
    halves = (directions * offsets).sum(1) / 2 + solved[seen, :-1] @ centre
    solved[seen, -1] = (1 - BALANCE) * np.log(share) - halves
    return solved


def _batches(images: NDArray[np.uint8]) -> Iterator[Tensor]:
    for start in range(0, len(images), BATCH):
        yield torch.from_numpy(images[start : start + BATCH]).permute(0, 3, 1, 2).float() / 255
