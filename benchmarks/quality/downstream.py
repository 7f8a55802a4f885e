"""Whether segmenters gain: each arm trained alike, tested on the same real pictures, and compared pair by pair.

Axes: R seeds, G groups of pictures, K classes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgen.benchmarks.bootstrap import Difference, paired_bootstrap
from wetgen.benchmarks.metrics import iou
from wetgen.benchmarks.quality import arms, scores
from wetgen.benchmarks.quality.arms import CLASSICAL, COPIES, MIXED, REAL, SHIFTED, Arm
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.results import Recall
from wetgen.benchmarks.quality.segmenters import Segmenter, Trainer
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import ClassTable

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Measured:
    """What an arm's segmenters did on one set of pictures, seed by seed."""

    matrices: Counts  # (R, G, K, K) confusion matrices
    boundaries: Counts  # (R, G, K, 4), see `scores.boundary_counts`
    pairs: Counts  # (trainings, 2) real and extra pairs it was trained on

    def beside(self, other: "Measured") -> "Measured":
        """The same arm on other pictures too, such as those of another fold."""
        return Measured(
            np.concatenate([self.matrices, other.matrices], axis=1),
            np.concatenate([self.boundaries, other.boundaries], axis=1),
            np.concatenate([self.pairs, other.pairs]),
        )


Key = tuple[str, float]  # an arm's name and its share of the real pairs
Found = dict[str, Any]  # of one arm and seed: its pairs, its counts on each set, and its losses if it has any


def measure(
    real: Pairs,
    sets: Mapping[str, Pairs],
    synthetic: Pairs,
    unfiltered: Pairs | None,
    trainer: Trainer,
    seeds: int,
    cache: Recall,
) -> dict[Key, list[Found]]:
    """Train every arm with every seed and predict each of `sets`; every arm and seed passes through `cache`.

    A seed draws everything that chance decides: the segmenter, the pairs of a share, what is augmented.
    """
    arms.main_ratio(real, synthetic)
    found: dict[Key, list[Found]] = {}
    for seed in range(seeds):
        for arm in arms.arms(real, synthetic, unfiltered, seed):
            name = f"{trainer.name}, {arm.name}, {arm.share:g} of real, seed {seed}"
            result = cache(name, lambda arm=arm, seed=seed: trained(arm, sets, trainer, seed))  # type: ignore[misc]
            found.setdefault((arm.name, arm.share), []).append(result)
    order = sorted(found, key=lambda key: (key[1] > 0, -key[1]))  # synthetic alone, then the greatest share
    return {key: found[key] for key in order}


def trained(arm: Arm, sets: Mapping[str, Pairs], trainer: Trainer, seed: int) -> Found:
    """Train on one arm and predict each of `sets`."""
    segmenter = trainer.train(arm.real, arm.extra, seed)
    return {
        "pairs": [0 if pairs is None else len(pairs) for pairs in (arm.real, arm.extra)],
        "sets": {name: _predicted(segmenter, pairs) for name, pairs in sets.items()},
        "losses": getattr(segmenter, "losses", None),
    }


def gathered(found: Mapping[Key, Sequence[Found]]) -> dict[Key, dict[str, Measured]]:
    """What `measure` found, by arm and set, over all seeds."""
    return {
        key: {
            name: Measured(
                np.array([one["sets"][name]["matrices"] for one in seeds], np.int64),
                np.array([one["sets"][name]["boundaries"] for one in seeds], np.int64),
                np.array([one["pairs"] for one in seeds], np.int64),
            )
            for name in seeds[0]["sets"]
        }
        for key, seeds in found.items()
    }


def _predicted(segmenter: Segmenter, pairs: Pairs) -> dict[str, Any]:
    """Counts of each group of pictures, in the order of the groups' names."""
    predicted = scores.predicted_ids(segmenter, pairs.images)
    classes = len(pairs.table)
    groups = np.array(pairs.groups)
    summed: dict[str, list[Counts]] = {"matrices": [], "boundaries": []}
    for group in sorted(set(pairs.groups)):
        of_group = groups == group
        summed["matrices"].append(scores.confusions(pairs.masks[of_group], predicted[of_group], classes).sum(0))
        summed["boundaries"].append(scores.boundary_counts(pairs.masks[of_group], predicted[of_group], classes).sum(0))
    return {kind: [counts.tolist() for counts in listed] for kind, listed in summed.items()}


def summarise(
    measured: Mapping[Key, Mapping[str, Measured]], table: ClassTable, classes: Sequence[int]
) -> dict[str, Any]:
    """Every arm's scores on each set, and on the test pictures its differences to the arms it must beat.

    `classes` are those that count: in the real train pairs and in the test pictures.
    """
    listed = []
    for (name, share), sets in measured.items():
        real_pairs, extra_pairs = sets["test"].pairs.mean(0)
        against = [
            (other, share) for other in (REAL, COPIES, CLASSICAL) if other != name and (other, share) in measured
        ]
        listed.append(
            {
                "arm": name,
                "share": share,
                "real_pairs": float(real_pairs),
                "extra_pairs": float(extra_pairs),
                **{part: _scores(found, table, classes) for part, found in sets.items()},
                "against": {key[0]: difference(sets["test"], measured[key]["test"], table, classes) for key in against},
            }
        )
    return {
        "arms": listed,
        "classes": [table.names[id] for id in classes],
        "control": _control(measured, table, classes),
    }


def _control(
    measured: Mapping[Key, Mapping[str, Measured]], table: ClassTable, classes: Sequence[int]
) -> dict[str, Any]:
    """Shifted masks must lose to the same pairs with their own; where they don't, no gain here means anything."""
    found = difference(measured[SHIFTED, 1.0]["test"], measured[MIXED, 1.0]["test"], table, classes)
    return {**found, "loses": found["mean"]["delta"] < 0, "loses_clearly": (found["mean"]["high"] or 0) < 0}


def _scores(found: Measured, table: ClassTable, classes: Sequence[int]) -> dict[str, Any]:
    """Scores over seeds; `confusion` is the sum of the seeds' matrices, true classes in rows."""
    each = [matrices.sum(0) for matrices in found.matrices]
    ious, dices = (np.stack([score(matrix) for matrix in each]) for score in (iou, scores.dice))
    borders = np.stack([scores.boundary_f1(counts.sum(0)) for counts in found.boundaries])
    return {
        "mean_iou": _spread([scores.mean_iou(matrix, classes) for matrix in each]),
        "mean_iou_with_background": _spread([scores.mean_iou(matrix, classes, background=True) for matrix in each]),
        "confusion": found.matrices.sum((0, 1)).tolist(),
        "pixel_accuracy": _spread([scores.pixel_accuracy(matrix) for matrix in each]),
        "classes": {
            table.names[id]: {
                "iou": _spread(ious[:, id]),
                "dice": _spread(dices[:, id]),
                "boundary_f1": _spread(borders[:, id]),
            }
            for id in classes
        },
    }


def _spread(values: Iterable[float]) -> dict[str, float | None]:
    """Mean and deviation over seeds; None for a class that the pictures don't show."""
    listed = np.array(list(values))
    if np.isnan(listed).any():
        return {"mean": None, "deviation": None}
    return {"mean": float(listed.mean()), "deviation": float(listed.std(ddof=1)) if len(listed) > 1 else 0.0}


def class_ious(found: Measured, table: ClassTable, classes: Sequence[int]) -> dict[str, float]:
    """IoU of each class over all pictures, the mean over seeds."""
    each = iou(found.matrices.sum(1)).mean(0)
    return {table.names[id]: float(each[id]) for id in classes}


def difference(arm: Measured, other: Measured, table: ClassTable, classes: Sequence[int]) -> dict[str, Any]:
    """The difference arm - other in mean IoU and per class, with its interval: see `paired_bootstrap`."""
    each, mean = paired_bootstrap(arm.matrices, other.matrices, tuple(classes))
    return {"mean": _plain(mean), "classes": {table.names[id]: _plain(found) for id, found in each.items()}}


def _plain(found: Difference) -> dict[str, float | bool | None]:
    low, high = (None if np.isnan(bound) else bound for bound in (found.low, found.high))
    return {
        "delta": found.delta,
        "low": low,
        "high": high,
        "groups": found.groups,
        "gain": found.gain,
        "excludes_zero": found.excludes_zero,
    }


def counted_classes(real: Pairs, test: Pairs) -> tuple[int, ...]:
    """The damage classes that can be learned and tested; raises WetgenError when there are none."""
    found = tuple(sorted(set(real.classes) & set(test.classes)))
    if not found:
        raise WetgenError(
            "No class of damage is in both the real train and the real test pairs.",
            why="no learned class could be tested.",
            fix="bring more photographs of each class, from more scenes.",
        )
    return found


def downstream(
    real: Pairs,
    validation: Pairs,
    test: Pairs,
    synthetic: Pairs,
    unfiltered: Pairs | None,
    trainer: Trainer,
    seeds: int,
    cache: Recall,
) -> dict[str, Any]:
    """The whole trial with one kind of segmenter; every figure is of the classes in both real train and test pairs."""
    classes = counted_classes(real, test)
    sets = {"validation": validation, "test": test}
    found = measure(real, sets, synthetic, unfiltered, trainer, seeds, cache)
    return {
        "segmenter": trainer.name,
        "seeds": seeds,
        "ratio": arms.main_ratio(real, synthetic),
        "absent": [name for id, name in enumerate(real.table.names) if id and id not in classes],
        "losses": _losses(found),
        **summarise(gathered(found), real.table, classes),
    }


def _losses(found: Mapping[Key, Sequence[Found]]) -> dict[str, Any] | None:
    """The first seed's training losses of the arms with all real pairs, for segmenters that have any."""
    listed = {name: seeds[0]["losses"] for (name, share), seeds in found.items() if share == 1 and seeds[0]["losses"]}
    if not listed:
        return None
    return {
        "steps": next(iter(listed.values()))["steps"],
        "arms": {name: losses["values"] for name, losses in listed.items()},
    }
