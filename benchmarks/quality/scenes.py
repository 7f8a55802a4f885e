"""What rendered scenes are worth: the same segmenter trained on them, on real pairs and on both, tested on real ones.

`python -m wetgen.benchmarks.quality.scenes --scenes SCENES --real FOLD --real FOLD ... --out DIR`

Each FOLD is a folder of `wetgen split --folds`. A picture is tested by segmenters that saw nothing of its scene, and
all tested pictures are taken together before a score is computed.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from wetgen.benchmarks.document import Block, Heading, Paragraph, Table, write
from wetgen.benchmarks.quality import downstream
from wetgen.benchmarks.quality.arms import REAL, Arm
from wetgen.benchmarks.quality.downstream import Found, Measured
from wetgen.benchmarks.quality.evaluate import SEEDS, trainers
from wetgen.benchmarks.quality.evaluation import real_parts, same_table
from wetgen.benchmarks.quality.folds import check_tested_once
from wetgen.benchmarks.quality.pairs import Pairs, load_pairs
from wetgen.benchmarks.quality.report.words import interval, number, points
from wetgen.benchmarks.quality.results import ResultCache, plain
from wetgen.benchmarks.quality.segmenters import Trainer
from wetgen.runtime.cli import Cli
from wetgen.runtime.files import atomic_write

SCENES, BOTH = "scenes", "real+scenes"
ALL = "all sources"
RESULTS_NAME = "scenes.json"
PARTS = ("validation", "test")


def trial(
    folds: Sequence[Mapping[str, Pairs]],
    scenes: Pairs,
    part: str,
    trainer: Trainer,
    seeds: int,
    stores: Sequence[ResultCache],
) -> dict[str, Any]:
    """Scores of each source's pictures of `part`, and of all together: by arm, with differences to real pairs alone."""
    measured: dict[str, dict[str, list[Measured]]] = defaultdict(lambda: defaultdict(list))
    for fold, store in zip(folds, stores, strict=True):
        sets = dict(_by_source(fold[part]))
        for arm, sources in _measure(fold["train"], scenes, sets, trainer, seeds, store).items():
            for source, found in sources.items():
                measured[source][arm].append(found)
                measured[ALL][arm].append(found)
    return {
        source: _summary({arm: _pooled(parts) for arm, parts in arms.items()}, scenes)
        for source, arms in sorted(measured.items())
    }


def _by_source(pairs: Pairs) -> Iterator[tuple[str, Pairs]]:
    for source in sorted(set(pairs.sources)):
        yield source, pairs.take([i for i, other in enumerate(pairs.sources) if other == source])


def _measure(
    real: Pairs, scenes: Pairs, sets: Mapping[str, Pairs], trainer: Trainer, seeds: int, store: ResultCache
) -> dict[str, dict[str, Measured]]:
    arms = (Arm(REAL, 1.0, real, None), Arm(SCENES, 0.0, None, scenes), Arm(BOTH, 1.0, real, scenes))
    found: dict[tuple[str, float], list[Found]] = {
        (arm.name, arm.share): [
            store(f"{trainer.name}, {arm.name}, seed {seed}", _training(arm, sets, trainer, seed))
            for seed in range(seeds)
        ]
        for arm in arms
    }
    return {name: sources for (name, _), sources in downstream.gathered(found).items()}


def _training(arm: Arm, sets: Mapping[str, Pairs], trainer: Trainer, seed: int) -> Callable[[], Found]:
    return lambda: downstream.trained(arm, sets, trainer, seed)


def _pooled(parts: Sequence[Measured]) -> Measured:
    first, *others = parts
    for other in others:
        first = first.beside(other)
    return first


def _summary(arms: Mapping[str, Measured], scenes: Pairs) -> dict[str, Any]:
    """Per class that real pictures show: photographs, each arm's IoU, and differences to real pairs alone."""
    table = scenes.table
    shown = arms[REAL].matrices[0].sum(-1) > 0  # (G, K): groups by class
    classes = [id for id in range(1, len(table)) if shown[:, id].any()]
    scored = {arm: downstream.class_ious(found, table, classes) for arm, found in arms.items()}
    against = {arm: downstream.difference(arms[arm], arms[REAL], table, classes)["classes"] for arm in (SCENES, BOTH)}
    return {
        table.names[id]: {
            "photographs": int(shown[:, id].sum()),
            "rendered": id in scenes.classes,
            "iou": {arm: scores[table.names[id]] for arm, scores in scored.items()},
            "against real": {arm: found[table.names[id]] for arm, found in against.items()},
        }
        for id in classes
    }


def run(
    scenes: Path, real: Sequence[Path], part: str, size: int, profile: str, out: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Measure, pool and report. Raises WetgenError if a real picture is tested in two folds."""
    rendered = load_pairs(scenes, size)
    folds = [real_parts(folder, size, 0) for folder in real]
    _check(folds, part, rendered)
    keys = ["/".join([rendered.digest, *(pairs.digest for pairs in fold.values())]) for fold in folds]
    stores = [ResultCache(out / f"fold{i}", f"{key}/{part}/{profile}", say) for i, key in enumerate(keys)]
    found = {t.name: trial(folds, rendered, part, t, SEEDS[profile], stores) for t in trainers(profile)}
    results = {"part": part, "size": size, "scenes": len(rendered), "folds": len(folds), "trials": found}
    atomic_write(out / RESULTS_NAME, (json.dumps(plain(results, "scenes"), indent=1) + "\n").encode())
    write(list(_blocks(results)), "What rendered scenes are worth", out, "scenes")
    return results


def _check(folds: Sequence[Mapping[str, Pairs]], part: str, scenes: Pairs) -> None:
    if part == "test":
        check_tested_once([name for fold in folds for name in fold[part].names])
    for fold in folds:
        same_table(scenes, fold["train"])


def _blocks(results: Mapping[str, Any]) -> Iterator[Block]:
    yield Paragraph(
        f"{results['scenes']} scenes; {results['folds']} folds; {results['size']} pixels; tested on the "
        f"{results['part']} parts. IoU over all pictures of a row, mean over seeds; differences in points with the "
        "95 % interval over photographs and seeds."
    )
    for name, sources in results["trials"].items():
        yield Heading(f"Segmenter: {name}")
        head = ["class", "source", "photographs", REAL, SCENES, BOTH, "scenes - real", "both - real"]
        yield Table(head, [_row(name, source, row) for source, rows in sources.items() for name, row in rows.items()])


def _row(name: str, source: str, row: Mapping[str, Any]) -> list[str]:
    differences = [row["against real"][arm] for arm in (SCENES, BOTH)]
    return [
        name,
        source,
        str(row["photographs"]),
        *(number(row["iou"][arm]) for arm in (REAL, SCENES, BOTH)),
        *(f"{points(found['delta'])} {interval((found['low'], found['high']))}" for found in differences),
    ]


@click.group(cls=Cli, invoke_without_command=True)
@click.option("--scenes", required=True, type=click.Path(path_type=Path), help="Folder of `wetgen-train scenes`.")
@click.option("--real", multiple=True, required=True, type=click.Path(path_type=Path), help="Fold; may be repeated.")
@click.option("--part", type=click.Choice(PARTS), default="test", show_default=True, help="What is tested on.")
@click.option("--size", type=click.IntRange(min=32), default=64, show_default=True, help="Pixels a side.")
@click.option("--profile", type=click.Choice(["cpu", "full"]), default="cpu", show_default=True)
@click.option("--out", required=True, type=click.Path(path_type=Path))
def main(scenes: Path, real: tuple[Path, ...], part: str, size: int, profile: str, out: Path) -> None:
    """Train on scenes, on real pairs and on both, and test on real pictures."""
    run(scenes, real, part, size, profile, out, lambda line: click.echo(line, err=True))
    click.echo(out / "scenes.md")


if __name__ == "__main__":
    main()
