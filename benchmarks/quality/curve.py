"""What a threshold on agreement buys: IoU on real validation pictures against the share of pairs that is kept.

Every point trains on the same number of synthetic pairs, since generation replaces what a filter rejects: only their
choice differs.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.results import Recall
from wetgen.benchmarks.quality.scores import confusion_matrices, mean_iou
from wetgen.benchmarks.quality.segmenters import Trainer

KEEP_RATES = (1.0, 0.8, 0.6, 0.4, 0.25)


def keep_curve(
    train: Pairs,
    validation: Pairs,
    synthetic: Pairs,
    agreement: NDArray[np.float64],
    trainer: Trainer,
    seeds: int,
    cache: Recall,
) -> dict[str, Any]:
    """Points {keep_rate, threshold, mean_iou, deviation} and the `suggested` threshold.

    `agreement` (N,) is each synthetic pair's agreement with the judge. A threshold is suggested only where its gain
    over keeping everything exceeds the deviation over seeds; else 0, which keeps everything.
    """
    order = np.argsort(-agreement, kind="stable")
    count = max(1, int(len(synthetic) * min(KEEP_RATES)))
    points = []
    for rate in KEEP_RATES:
        kept = np.sort(order[: max(count, round(rate * len(synthetic)))])

        def one(seed: int, kept: NDArray[np.intp] = kept) -> dict[str, Any]:
            drawn = np.random.default_rng([seed, len(kept)]).permutation(kept)[:count]
            segmenter = trainer.train(train, synthetic.take(drawn), seed)
            return {"mean_iou": mean_iou(confusion_matrices(segmenter, validation).sum(0))}

        scores = [
            cache(f"curve, keep {rate:g}, seed {seed}", lambda seed=seed: one(seed))["mean_iou"]
            for seed in range(seeds)
        ]
        points.append(
            {
                "keep_rate": rate,
                "threshold": 0.0 if rate == 1 else float(agreement[kept].min()),
                "mean_iou": float(np.mean(scores)),
                "deviation": float(np.std(scores, ddof=1)) if seeds > 1 else 0.0,
            }
        )
    return {"pairs_at_each_point": count, "points": points, "suggested": suggested(points)}


def suggested(points: Sequence[dict[str, float]]) -> float:
    """The threshold of the best point, if it beats keeping everything by more than the seeds deviate; else 0."""
    best = max(points, key=lambda point: (point["mean_iou"], point["keep_rate"]))
    everything = points[0]
    margin = max(best["deviation"], everything["deviation"])
    return best["threshold"] if best["mean_iou"] - everything["mean_iou"] > margin else 0.0
