"""Segmenters: what is trained on pairs, real or synthetic, to find damage in pictures.

They may use pairs.py and the floors below, and know nothing of arms, figures and reports.
Start with the two protocols below, then ridge.py, which needs no GPU.

Axes: N pictures, K classes of the table, S pixels a side, D features.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import nn

from wetgen.benchmarks.quality.pairs import Pairs


class Segmenter(Protocol):
    """A trained segmenter."""

    module: nn.Module
    """Image float32 (N, 3, S, S) in [0, 1] to class probabilities float32 (N, K, S, S); exportable to ONNX."""

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Class probabilities (N, K, S, S) of images uint8 (N, S, S, 3)."""
        ...

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """What it sees of each whole picture, (N, D): its own features pooled, for distances between sets."""
        ...


class Trainer(Protocol):
    """A way to train a segmenter; the same arguments give the same segmenter, to the last digit on one machine."""

    name: str

    def train(self, real: Pairs | None, extra: Pairs | None, seed: int) -> Segmenter:
        """Train on real pairs and extra ones (synthetic, copies, augmented); either may be None, not both.

        Trainers that take steps take the same number whatever they are given, and the same number of real pairs in
        each batch: extra pairs are added to them and never replace them.
        """
        ...


def predict(segmenters: Sequence[Segmenter], images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The mean class probabilities (N, K, S, S) of an ensemble."""
    return np.mean([segmenter.probabilities(images) for segmenter in segmenters], axis=0, dtype=np.float32)
