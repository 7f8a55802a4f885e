"""One evaluation: every figure in its order, each stored as soon as it is known, then the reports and the verdict."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from wetgen.benchmarks.quality import (
    agreement,
    captions,
    cases,
    curve,
    distances,
    downstream,
    features,
    integrity,
    memorisation,
    regions,
    spread,
    twins,
)
from wetgen.benchmarks.quality.evaluation import Material, gather
from wetgen.benchmarks.quality.judge import agreements, known_classes, train_judge
from wetgen.benchmarks.quality.results import Result, ResultCache
from wetgen.benchmarks.quality.segmenters import Segmenter, Trainer
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import atomic_write
from wetgen.training.synonyms import words_of

RESULTS_NAME = "results.json"
SEEDS = {"cpu": 3, "full": 5}
TWINS = 16  # prompts drawn again with one word swapped


@dataclass(frozen=True)
class EvaluationOptions:
    """What a user asks of an evaluation."""

    synthetic: Path
    real: Path
    out: Path
    test: Path | None = None
    unfiltered: Path | None = None
    bundle: Path | None = None
    profile: Literal["cpu", "full"] = "cpu"
    size: int | None = None
    seed: int = 0
    curve: bool = False


class Evaluation:
    """The material, the segmenters, and where results are kept; the judge is trained when first needed."""

    def __init__(self, asked: EvaluationOptions, material: Material, store: ResultCache) -> None:
        self.asked, self.material, self.store = asked, material, store
        self.words = words_of(material.train.table)
        self.trainers = trainers(asked.profile)
        self.seeds = SEEDS[asked.profile]

    @cached_property
    def judge(self) -> list[Segmenter]:
        return train_judge(self.material.train, self.trainers[0])

    def read(self, name: str) -> Any:
        """The judge's class ids (N, S, S) for the images of one part of the material."""
        return agreement.read(self.judge, getattr(self.material, name).images)


def trainers(profile: str) -> list[Trainer]:
    """The segmenters of a profile; the first one also judges."""
    if profile == "cpu":
        from wetgen.benchmarks.quality.segmenters.ridge import RidgeTrainer

        return [RidgeTrainer()]
    from wetgen.benchmarks.quality.segmenters.segformer import SegformerTrainer
    from wetgen.benchmarks.quality.segmenters.unet import UNetTrainer

    return [UNetTrainer(), SegformerTrainer()]


def evaluate(asked: EvaluationOptions, say: Callable[[str], None]) -> dict[str, Any]:
    """Run or finish an evaluation, write results and reports to `asked.out`; raises WetgenError if a check fails."""
    from wetgen.benchmarks.quality.report import task, worth

    if asked.profile == "cpu":
        torch.set_num_threads(1)  # sums in one order: the same digits on a busy machine and on an idle one
    material = gather(asked.synthetic, asked.real, asked.test, asked.unfiltered, asked.size, asked.seed, say)
    bundle = "" if asked.bundle is None else twins.bundle_hash(asked.bundle)
    key = hashlib.sha256(f"{material.digest}/{asked.profile}/{asked.seed}/{bundle}".encode()).hexdigest()
    evaluation = Evaluation(asked, material, ResultCache(asked.out / "results", key, say))
    results = {name: evaluation.store(name, part) for name, part in _parts(evaluation).items()}
    results["asked"] = {name: str(value) for name, value in asdict(asked).items() if value is not None}
    results["checks"] = checks(results)
    atomic_write(asked.out / RESULTS_NAME, (json.dumps(results, indent=1, allow_nan=False) + "\n").encode())
    worth.write_worth(results, material, asked.out)
    task.write_task(results, material, asked.out)
    say(f"reports: {asked.out / 'worth.html'}, {asked.out / 'segmentation.html'} (and .md)")
    failed = [f"{name}: {check['why']}" for name, check in results["checks"].items() if not check["passed"]]
    if failed:
        raise WetgenError(
            f"{asked.synthetic} fails {len(failed)} check(s).",
            why="; ".join(failed) + ".",
            fix=f"see {asked.out / 'worth.md'}; generate with `--require-asked` and other filters, or train longer.",
        )
    return results


def checks(results: dict[str, Any]) -> dict[str, Any]:
    """The checks that pairs must pass before anything is trained on them."""
    pairs, files, copies = results["integrity"]["pairs"], results["integrity"]["files"], results["memorisation"]
    faults = {**files["counts"], **pairs["counts"]}
    counted = ", ".join(f"{count} {kind}" for kind, count in faults.items())
    suspects = [
        f"{view} {figure}: {found[figure]['value']:.3g}"
        for view, found in copies.items()
        if isinstance(found, dict)
        for figure in ("ratio", "suspects")
        if found[figure].get("flagged")
    ]
    return {
        "integrity": {"passed": pairs["passed"] and files["passed"], "why": f"of {pairs['checked']} pairs: {counted}"},
        "memorisation": {
            "passed": copies["passed"] is not False,
            "why": "copies of training pairs, " + ", ".join(suspects),
        },
    }


def _parts(e: Evaluation) -> dict[str, Callable[[], Result]]:
    """Every result by name, in order: what is cheap and may end it all comes first."""
    m = e.material
    sets = (m.train, m.validation, m.synthetic)
    parts: dict[str, Callable[[], Result]] = {
        "integrity": lambda: {
            "files": integrity.folder_integrity(e.asked.synthetic),
            "pairs": integrity.integrity(m.synthetic, e.words),
            "share": integrity.offending_share(m.synthetic, m.train + m.validation, e.words),
        },
        "memorisation": lambda: memorisation.memorisation(*sets),
        "fidelity": lambda: {
            "random_network_sha256": features.weights_digest(),
            "random": distances.distances(features.random_features, *sets),
            "judge": distances.distances(features.judge_features(e.judge), *sets),
        },
        "spread": lambda: spread.spread(features.random_features, *sets),
        "regions": lambda: regions.region_distances(*sets),
        "agreement": lambda: agreement.agreement(e.judge, m.synthetic, m.validation),
        "captions": lambda: _captions(e),
    }
    for trainer in e.trainers:
        parts[f"downstream {trainer.name}"] = lambda trainer=trainer: downstream.downstream(
            m.train, m.validation, m.test, m.synthetic, m.unfiltered, trainer, e.seeds, e.store
        )
    parts["cases"] = lambda: _cases(e)
    if e.asked.curve:
        parts["curve"] = lambda: _curve(e)
    return parts


def _captions(e: Evaluation) -> Result:
    m = e.material
    read = captions.read_back(m.synthetic, e.read("synthetic"), m.validation, e.read("validation"), e.words)
    if e.asked.bundle is None:
        return {**read, "one_word": {"not_measured": "no --bundle was given to draw with"}}
    generator = twins.open_generator(e.asked.bundle, m.synthetic.size)
    swaps = captions.swaps(m.synthetic.texts, e.words, m.train.table, m.synthetic.classes, TWINS)
    if not swaps:
        return {**read, "one_word": {"not_measured": "no prompt asks for one class by its name"}}
    first, second = (
        twins.draw(generator, [getattr(s, name) for s in swaps], e.asked.seed) for name in ("prompt", "swapped")
    )
    seen = [agreement.read(e.judge, pairs.images) for pairs in (first, second)]
    return {**read, "one_word": captions.one_word(first, second, *seen, swaps)}


def _cases(e: Evaluation) -> Result:
    """Best and worst test pictures of the segmenter without and with synthetic pairs."""
    m, trainer = e.material, e.trainers[0]
    return {
        "real": cases.cases(trainer.train(m.train, None, 0), m.test),
        "real+synthetic": cases.cases(trainer.train(m.train, m.synthetic, 0), m.test),
    }


def _curve(e: Evaluation) -> Result:
    m = e.material
    candidates = m.synthetic if m.unfiltered is None else m.unfiltered
    agreed = agreements(e.judge, candidates, known_classes(m.train), e.words)
    return curve.keep_curve(m.train, m.validation, candidates, agreed, e.trainers[0], e.seeds, e.store)
