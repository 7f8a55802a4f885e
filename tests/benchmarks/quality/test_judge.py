import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.benchmarks.quality.walls import CRACK, STAIN, TABLE, WORDS, walls
from wetgen.benchmarks.quality.judge import LEAST_SHOWN, Ensemble, agreements, known_classes
from wetgen.benchmarks.quality.pairs import Pairs


class Constant(nn.Module):
    def __init__(self, *shares: float) -> None:
        super().__init__()
        self.shares = torch.tensor(shares)

    def forward(self, image: Tensor) -> Tensor:
        return self.shares[None, :, None, None].expand(len(image), -1, *image.shape[2:])


class Knowing:
    """Sees exactly the masks it was given."""

    def __init__(self, module: nn.Module, masks: NDArray[np.uint8]) -> None:
        self.module, self.masks = module, masks

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.eye(len(TABLE), dtype=np.float32)[self.masks[: len(images)]].transpose(0, 3, 1, 2)

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        raise AssertionError("not asked for here")


def test_an_ensemble_is_the_mean_of_its_members() -> None:
    none = np.zeros((1, 4, 4), np.uint8)
    members = [Knowing(Constant(1.0, 0.0), none), Knowing(Constant(0.0, 1.0), none), Knowing(Constant(0.5, 0.5), none)]
    torch.testing.assert_close(Ensemble(members)(torch.zeros(2, 3, 4, 4)), torch.full((2, 2, 4, 4), 0.5))


def test_a_judge_knows_what_enough_of_its_pairs_show() -> None:
    pairs = walls(40, 1, 32)
    cracked = np.flatnonzero((pairs.masks == CRACK).any((1, 2)) & ~(pairs.masks == STAIN).any((1, 2)))
    stained = np.flatnonzero((pairs.masks == STAIN).any((1, 2)) & ~(pairs.masks == CRACK).any((1, 2)))
    some = pairs.take([*cracked[:LEAST_SHOWN], *stained[: LEAST_SHOWN - 1]])
    assert known_classes(some) == ("crack",)


def test_agreement_is_that_of_generation() -> None:
    pairs: Pairs = walls(12, 3, 32)
    same = agreements([Knowing(nn.Identity(), pairs.masks)], pairs, ["crack", "stain"], WORDS)
    assert same.tolist() == [1.0] * 12
    nothing = agreements([Knowing(nn.Identity(), np.zeros_like(pairs.masks))], pairs, ["crack", "stain"], WORDS)
    damaged = pairs.masks.any((1, 2))
    assert nothing[damaged].tolist() == [0.0] * int(damaged.sum()) and (nothing[~damaged] == 1).all()


def test_where_the_judge_cannot_tell_nothing_is_held_against_a_pair() -> None:
    pairs = walls(30, 4, 32)
    only = pairs.take(np.flatnonzero((pairs.masks == STAIN).any((1, 2)) & ~(pairs.masks == CRACK).any((1, 2))))
    blind = agreements([Knowing(nn.Identity(), np.zeros_like(only.masks))], only, ["crack"], WORDS)
    assert len(only) > 1 and blind == pytest.approx(1)
