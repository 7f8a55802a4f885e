"""A judge trained on real photographs, and fingerprints of what the generator learned from, put into a bundle."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wetgen.benchmarks.metrics import iou
from wetgen.benchmarks.quality import agreement, scores
from wetgen.benchmarks.quality.evaluate import RESULTS_NAME, trainers
from wetgen.benchmarks.quality.evaluation import real_parts
from wetgen.benchmarks.quality.judge import Ensemble, known_classes, train_judge
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.export.copies import check_of_training
from wetgen.export.judge import Judge, add_judge
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import read_bytes

EXAMPLES = 8  # validation pictures on which the exported judge must see what the trained one sees


def install_judge(
    real: Path,
    bundle: Path,
    out: Path,
    evaluation: Path | None,
    size: int | None,
    profile: str,
    seed: int,
    no_fingerprints: bool,
    force: bool,
    say: Callable[[str], None],
) -> Path:
    """Train, export, check and write; gives the new bundle's folder."""
    opened = Bundle.open(bundle)
    side = opened.sizes.height if size is None else size
    parts = real_parts(real, side, seed)
    train, validation = parts["train"], parts["validation"]
    if train.table != opened.classes:
        raise WetgenError(
            f"{real} and {bundle} have different class tables.",
            why="the judge's classes must be those of the masks it judges.",
            fix="bring classes.json of the photographs in line with the bundle's.",
        )
    info = {"trained_on": sorted(set(train.sources)), "pairs": len(train), **_suggested(evaluation)}
    say(f"training a judge on {len(train)} pairs of {side} pixels")
    members = train_judge(train, trainers(profile)[0])
    info["validation"] = _figures(agreement.read(members, validation.images), validation)
    copies = None if no_fingerprints else check_of_training(real, opened)
    judge = Judge(Ensemble(members), train.table, side, known_classes(train), info)
    examples = real_parts(real, opened.sizes.height, seed)["validation"].images[:EXAMPLES]
    add_judge(bundle, out, judge, examples, copies=copies, force=force)
    return out


def _figures(seen: Any, validation: Pairs) -> dict[str, Any]:
    ious = iou(scores.confusions(validation.masks, seen, len(validation.table)).sum(0))
    names = validation.table.names
    return {"pairs": len(validation), "iou": {names[id]: round(float(ious[id]), 4) for id in validation.classes}}


def _suggested(evaluation: Path | None) -> dict[str, Any]:
    """The curve of an evaluation and the threshold it suggests."""
    if evaluation is None:
        return {}
    results = json.loads(read_bytes(evaluation / RESULTS_NAME))
    if "curve" not in results:
        raise WetgenError(
            f"{evaluation} has no curve.", why="it was evaluated without one.", fix="run `wetgen eval --curve` again."
        )
    return {"suggested_keep_agreement": results["curve"]["suggested"], "curve": results["curve"]["points"]}
