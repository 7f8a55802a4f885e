"""The training loop of the `full` profile's networks, the same for all of them and for every arm.

Axes: N pictures, K classes, S pixels a side, D features.
"""

import copy
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.segmenters.mixing import extra_per_real
from wetgen.runtime.errors import WetgenError

CHECKED = 100  # steps between looks at the loss, each of which waits for the GPU
POINTS = 50  # of a loss curve
PREDICTED = 16  # pictures in a forward pass when predicting
REAL, EXTRA = 1, 2  # streams of random numbers: what is drawn of one never depends on the other


@dataclass(frozen=True)
class Recipe:
    """How long and how a network is trained."""

    steps: int = 20_000
    batch: int = 16
    """Real pairs per step; up to three times as many extra ones are added."""
    learning_rate: float = 5e-4
    """At its highest: it rises over `warmup`, then falls to 0 along a cosine."""
    warmup: float = 0.05
    """Share of the steps."""
    weight_decay: float = 0.01
    dice: float = 1.0
    """Weight of the dice loss beside the cross-entropy."""
    balance: float = 0.5
    """Class weights in the cross-entropy: at 0 every pixel counts the same, at 1 every class."""

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        rise = max(1, round(self.warmup * self.steps))
        if step < rise:
            return self.learning_rate * (step + 1) / rise
        return self.learning_rate * (1 + math.cos(math.pi * (step - rise) / max(1, self.steps - rise))) / 2


class SegmentationNetwork(nn.Module):
    """A network that segments: image float32 (N, 3, S, S) in [0, 1] to class probabilities (N, K, S, S)."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.softmax(self.logits(images).float(), 1)

    def logits(self, images: Tensor) -> Tensor:
        """Unnormalised log probabilities (N, K, S, S)."""
        raise NotImplementedError

    def pooled(self, images: Tensor) -> Tensor:
        """Features of whole pictures, (N, D)."""
        raise NotImplementedError


class NetworkSegmenter:
    """A trained segmenter: see `Segmenter`. Its `module` is on the CPU; it predicts where it was trained."""

    def __init__(self, network: SegmentationNetwork, losses: Sequence[float] = ()) -> None:
        """`losses` are those of all training steps; a few means of them are kept as a curve."""
        every = max(1, math.ceil(len(losses) / POINTS))
        starts = range(0, len(losses), every)
        self.losses = {
            "steps": [min(start + every, len(losses)) for start in starts],
            "values": [
                math.fsum(losses[start : start + every]) / len(losses[start : start + every]) for start in starts
            ],
        }
        self._network = network.eval()
        self._device = next(network.parameters()).device
        self.module = copy.deepcopy(network).cpu().eval()

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Class probabilities (N, K, S, S) of images uint8 (N, S, S, 3)."""
        with torch.inference_mode():
            return np.concatenate([self._network(batch).cpu().numpy() for batch in self._batches(images)])

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """What it sees of each whole picture, (N, D)."""
        with torch.inference_mode():
            pooled = [self._network.pooled(batch).double().cpu().numpy() for batch in self._batches(images)]
        return np.concatenate(pooled)

    def _batches(self, images: NDArray[np.uint8]) -> Iterator[Tensor]:
        for start in range(0, len(images), PREDICTED):
            yield _images(images[start : start + PREDICTED], self._device)


def fit(
    network: SegmentationNetwork, real: Pairs | None, extra: Pairs | None, recipe: Recipe, seed: int
) -> NetworkSegmenter:
    """Train a fresh network, on a GPU when there is one; raises WetgenError when the loss is no longer a number.

    AdamW (Loshchilov and Hutter 2019) on class-weighted cross-entropy and soft dice; half the pictures are mirrored.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.to(device).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=recipe.weight_decay)
    weights = class_weights(real, extra, recipe.balance).to(device)
    losses: list[Tensor] = []
    with _repeatable(seed, device):
        for step in range(recipe.steps):
            images, masks = draw(real, extra, recipe.batch, seed, step)
            for group in optimiser.param_groups:
                group["lr"] = recipe.rate(step)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                logits = network.logits(_images(images, device))
            loss = _loss(logits.float(), torch.from_numpy(masks.astype(np.int64)).to(device), weights, recipe.dice)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            losses.append(loss.detach())
            if step % CHECKED == 0 or step == recipe.steps - 1:
                _check(losses, recipe)
    return NetworkSegmenter(network, torch.stack(losses).tolist())


def draw(
    real: Pairs | None, extra: Pairs | None, batch: int, seed: int, step: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images and masks of one step: the real pairs first, the same ones in every arm."""
    sets = [(real, batch, REAL), (extra, batch, EXTRA)]
    if real is not None and extra is not None:
        sets[1] = (extra, max(1, round(batch * extra_per_real(len(real), len(extra)))), EXTRA)
    images, masks = [], []
    for pairs, count, stream in sets:
        if pairs is not None:
            rng = np.random.default_rng([seed, step, stream])
            chosen, mirrored = rng.integers(len(pairs), size=count), rng.random(count) < 0.5
            for i, mirror in zip(chosen, mirrored, strict=True):
                way = slice(None, None, -1 if mirror else 1)
                images.append(pairs.images[i][:, way])
                masks.append(pairs.masks[i][:, way])
    if not images:
        raise WetgenError("There is nothing to train on.", why="no pairs were given.", fix="give some pairs.")
    return np.stack(images), np.stack(masks)


def class_weights(real: Pairs | None, extra: Pairs | None, balance: float) -> Tensor:
    """The weight of each class's pixels, (K,): 1 on average over the pixels that are drawn, 0 for classes not seen."""
    sets = [pairs for pairs in (real, extra) if pairs is not None and len(pairs)]
    counts = [np.bincount(pairs.masks.ravel(), minlength=len(pairs.table)) / pairs.masks.size for pairs in sets]
    share = counts[0] if len(sets) == 1 else counts[0] + counts[1] * extra_per_real(*map(len, sets))
    share = share / share.sum()
    weights = np.where(share > 0, np.maximum(share, 1e-12) ** -balance, 0)
    return torch.from_numpy((weights / (weights * share).sum()).astype(np.float32))


def _loss(logits: Tensor, masks: Tensor, weights: Tensor, dice: float) -> Tensor:
    """Cross-entropy and soft dice (Milletari et al. 2016) of the damage in the batch.

    With one-hot masks, not class ids: PyTorch's own losses over ids don't repeat to the last digit on a GPU.
    """
    ids = torch.arange(logits.shape[1], device=logits.device)
    truth = (masks[:, None] == ids[:, None, None]).float()  # (N, K, S, S)
    weighted = truth * weights[:, None, None]
    entropy = -(weighted * torch.log_softmax(logits, 1)).sum() / weighted.sum()
    probabilities = torch.softmax(logits, 1)
    hit, both = (probabilities * truth).sum((0, 2, 3))[1:], (probabilities + truth).sum((0, 2, 3))[1:]
    shown = (truth.sum((0, 2, 3))[1:] > 0).float()
    overlap = (shown * (2 * hit + 1) / (both + 1)).sum() / shown.sum().clamp(min=1)
    return entropy + dice * (1 - overlap)


@contextmanager
def _repeatable(seed: int, device: torch.device) -> Iterator[None]:
    """The same digits every time, dropout included, and torch's own random state left as it was."""
    before = torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS sums in a fixed order only with this
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield
    finally:
        torch.use_deterministic_algorithms(before)


def _images(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).float() / 255


def _check(losses: Sequence[Tensor], recipe: Recipe) -> None:
    """Raise WetgenError if the loss has stopped being a number. Once so, it stays: the weights are spoiled too."""
    if not torch.isfinite(losses[-1]):
        step = int(torch.isfinite(torch.stack(list(losses))).cpu().logical_not().nonzero()[0])
        raise WetgenError(
            f"Training a segmenter diverged at step {step + 1} of {recipe.steps}.",
            why="its loss is no longer a finite number.",
            fix="lower the recipe's learning_rate.",
        )
