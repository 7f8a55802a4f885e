"""The judge: an ensemble of segmenters trained on real train pairs only."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from wetgen.benchmarks.quality.agreement import read
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.segmenters import Segmenter, Trainer
from wetgen.runtime.prompts.text import mentioned_classes
from wetgen.runtime.run.filters import agreement

MEMBERS = 3
LEAST_SHOWN = 5  # train pairs that show a class before the judge is said to know it


class Ensemble(nn.Module):
    """The mean class probabilities of its members: image float32 (N, 3, S, S) in [0, 1] to (N, K, S, S)."""

    def __init__(self, members: Sequence[Segmenter]) -> None:
        super().__init__()
        self.members = nn.ModuleList([member.module for member in members])

    def forward(self, image: Tensor) -> Tensor:
        total = self.members[0](image)
        for member in list(self.members)[1:]:
            total = total + member(image)
        return total / len(self.members)


def train_judge(train: Pairs, trainer: Trainer) -> list[Segmenter]:
    """The ensemble's members, from different seeds."""
    return [trainer.train(train, None, seed) for seed in range(MEMBERS)]


def known_classes(train: Pairs) -> tuple[str, ...]:
    """The classes that a judge of these pairs can tell."""
    counts = {id: int((train.masks == id).any((1, 2)).sum()) for id in train.classes}
    return tuple(train.table.names[id] for id, count in counts.items() if count >= LEAST_SHOWN)


def agreements(
    judge: Sequence[Segmenter], pairs: Pairs, known: Sequence[str], words: Mapping[str, Sequence[str]]
) -> NDArray[np.float64]:
    """Each pair's agreement with the judge, (N,), as generation measures it; 1 where the judge cannot tell."""
    found = [
        agreement(mask, judged, pairs.table, known, mentioned_classes(text, words)).value
        for mask, judged, text in zip(pairs.masks, read(judge, pairs.images), pairs.texts, strict=True)
    ]
    return np.array([1.0 if value is None else value for value in found])
