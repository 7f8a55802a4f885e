"""The curve, the cases and the folds, with a segmenter that cannot learn: what it finds is known beforehand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from tests.benchmarks.quality.walls import CRACK, walls
from wetgen.benchmarks.quality import folds
from wetgen.benchmarks.quality.cases import SHOWN, cases, picture_iou
from wetgen.benchmarks.quality.curve import KEEP_RATES, keep_curve, suggested
from wetgen.benchmarks.quality.evaluation import Material
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.report.overlays import case_sheet, match_sheet
from wetgen.benchmarks.quality.results import ResultCache
from wetgen.runtime.errors import WetgenError


class Dark:
    """Calls a crack what is darker than a threshold."""

    module = nn.Identity()

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = np.zeros((len(images), 3, *images.shape[1:3]), np.float32)
        found[:, CRACK] = images.mean(3) < self.threshold
        found[:, 0] = 1 - found[:, CRACK]
        return found

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        return images.mean((1, 2)).astype(np.float64)


class DarkTrainer:
    """The threshold is what the extra pairs' mean brightness says: which ones were chosen can be seen."""

    name = "dark"

    def train(self, real: Pairs | None, extra: Pairs | None, seed: int) -> Dark:
        return Dark(60.0 if extra is None else float(extra.images.mean()) / 2)


def fresh(name: str, compute: Any) -> dict[str, Any]:
    return dict(compute())


def test_every_point_of_the_curve_trains_on_as_many_pairs_of_the_best() -> None:
    made = walls(40, 5, 32)
    agreement = np.linspace(1, 0, 40)
    seen: list[Pairs] = []

    class Spy(DarkTrainer):
        def train(self, real: Pairs | None, extra: Pairs | None, seed: int) -> Dark:
            assert extra is not None
            seen.append(extra)
            return super().train(real, extra, seed)

    found = keep_curve(walls(20, 1, 32), walls(12, 2, 32), made, agreement, Spy(), 2, fresh)
    assert found["pairs_at_each_point"] == 10 and {len(pairs) for pairs in seen} == {10}
    for rate, (first, second) in zip(KEEP_RATES, zip(seen[::2], seen[1::2], strict=True), strict=True):
        assert set(first.names) | set(second.names) <= set(made.names[: round(40 * rate)])
    assert [point["threshold"] for point in found["points"]] == sorted(p["threshold"] for p in found["points"])


def point(rate: float, iou: float, deviation: float = 0.01) -> dict[str, float]:
    return {"keep_rate": rate, "threshold": 1 - rate, "mean_iou": iou, "deviation": deviation}


def test_a_threshold_is_suggested_only_for_more_than_chance() -> None:
    assert suggested([point(1, 0.5), point(0.5, 0.52), point(0.25, 0.49)]) == 0.5
    assert suggested([point(1, 0.5), point(0.5, 0.505)]) == 0
    assert suggested([point(1, 0.5), point(0.5, 0.52, 0.03)]) == 0


def test_picture_iou_is_the_mean_over_classes_in_either_mask() -> None:
    truth, predicted = np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8)
    assert picture_iou(truth, predicted) == 1
    truth[0, 0], predicted[0, :] = 1, 1
    assert picture_iou(truth, predicted) == 0.5
    predicted[1, 1] = 2
    assert picture_iou(truth, predicted) == 0.25


def test_worst_and_best_cases_are_those_and_can_be_drawn() -> None:
    pairs = walls(30, 3, 32)
    found = cases(Dark(60), pairs)
    predicted = Dark(60).probabilities(pairs.images).argmax(1)
    scores = [picture_iou(*both) for both in zip(pairs.masks, predicted.astype(np.uint8), strict=True)]
    assert [case["iou"] for case in found["worst"]] == sorted(scores)[:SHOWN]
    assert all(pairs.masks[case["index"]].any() for case in found["best"])
    assert case_sheet(pairs, found["worst"]).startswith(b"\x89PNG")
    assert match_sheet(pairs, pairs, [(0, 1, 0.5)]).startswith(b"\x89PNG")


def material(test: Pairs) -> Material:
    return Material(walls(24, 1, 32), walls(10, 2, 32), test, walls(24, 4, 32), None, 0)


def test_folds_are_pooled_before_any_score(tmp_path: Path) -> None:
    """Two folds give the score of both test parts as one set, not the mean of two scores."""
    parts = walls(10, 6, 32), walls(20, 7, 32)

    def scored(name: str, tests: list[Pairs]) -> float:
        stores = [ResultCache(tmp_path / name / str(i), name, id) for i in range(len(tests))]
        found = folds.trial([material(test) for test in tests], DarkTrainer(), 2, stores)
        real = next(arm for arm in found["arms"] if arm["arm"] == "real" and arm["share"] == 1)
        return float(real["test"]["classes"]["crack"]["iou"]["mean"])

    together = scored("whole", [parts[0] + parts[1]])
    assert scored("two", list(parts)) == pytest.approx(together, rel=1e-12)
    assert scored("first", [parts[0]]) != pytest.approx(together, rel=1e-3)


def test_a_picture_tested_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folds, "gather", lambda *_: material(walls(12, 6, 32)))
    with pytest.raises(WetgenError, match="tested in two folds"):
        folds.run([(tmp_path, tmp_path)] * 2, "cpu", tmp_path / "out", id)
