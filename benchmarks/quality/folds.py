"""One trial over several folds: every real picture is tested once, by segmenters and generators blind to its fold.

`python -m wetgen.benchmarks.quality.folds --fold SYNTHETIC REAL --fold SYNTHETIC REAL ... --out DIR`
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from wetgen.benchmarks.document import write
from wetgen.benchmarks.quality import arms, downstream
from wetgen.benchmarks.quality.downstream import Key, Measured
from wetgen.benchmarks.quality.evaluate import SEEDS, trainers
from wetgen.benchmarks.quality.evaluation import Material, gather
from wetgen.benchmarks.quality.report.worth import trial_blocks
from wetgen.benchmarks.quality.results import ResultCache, plain
from wetgen.benchmarks.quality.segmenters import Trainer
from wetgen.runtime.cli import Cli
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import atomic_write

RESULTS_NAME = "folds.json"


def trial(materials: Sequence[Material], trainer: Trainer, seeds: int, stores: Sequence[ResultCache]) -> dict[str, Any]:
    """The downstream trial of each fold, their test pictures taken together before any score is computed."""
    pooled: dict[Key, dict[str, Measured]] = {}
    for material, store in zip(materials, stores, strict=True):
        sets = {"validation": material.validation, "test": material.test}
        found = downstream.gathered(
            downstream.measure(material.train, sets, material.synthetic, material.unfiltered, trainer, seeds, store)
        )
        for key, measured in found.items():
            before = pooled.get(key)
            pooled[key] = measured if before is None else {name: before[name].beside(measured[name]) for name in sets}
    counted = sorted({id for m in materials for id in downstream.counted_classes(m.train, m.test)})
    table = materials[0].train.table
    return {
        "segmenter": trainer.name,
        "seeds": seeds,
        "folds": len(materials),
        "ratio": min(arms.main_ratio(material.train, material.synthetic) for material in materials),
        "absent": [name for id, name in enumerate(table.names) if id and id not in counted],
        "losses": None,
        **downstream.summarise(pooled, table, counted),
    }


def run(folds: Sequence[tuple[Path, Path]], profile: str, out: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure, pool and report; raises WetgenError when a real picture is tested in two folds."""
    materials = [gather(synthetic, real, None, None, None, 0, say) for synthetic, real in folds]
    check_tested_once([name for material in materials for name in material.test.names])
    stores = [ResultCache(out / f"fold{i}", f"{m.digest}/{profile}", say) for i, m in enumerate(materials)]
    trials = {t.name: plain(trial(materials, t, SEEDS[profile], stores), t.name) for t in trainers(profile)}
    atomic_write(out / RESULTS_NAME, (json.dumps(trials, indent=1, allow_nan=False) + "\n").encode())
    write([block for found in trials.values() for block in trial_blocks(found)], "Trial over folds", out, "folds")
    return trials


def check_tested_once(names: Sequence[str]) -> None:
    """Raise WetgenError when a real picture is tested in two folds, of the names that all folds test."""
    if len(set(names)) < len(names):
        raise WetgenError(
            "A real picture is tested in two folds.",
            why="then it would count twice.",
            fix="split with `wetgen split --folds K --fold I`, each fold once.",
        )


@click.group(cls=Cli, invoke_without_command=True)
@click.option("--fold", "folds", multiple=True, nargs=2, required=True, type=click.Path(path_type=Path))
@click.option("--profile", type=click.Choice(["cpu", "full"]), default="cpu", show_default=True)
@click.option("--out", required=True, type=click.Path(path_type=Path))
def main(folds: tuple[tuple[Path, Path], ...], profile: str, out: Path) -> None:
    """Test every fold's segmenters and report on all test pictures together."""
    run(folds, profile, out, lambda line: click.echo(line, err=True))
    click.echo(out / "folds.md")


if __name__ == "__main__":
    main()
