"""What layouts cost: runs with and without them, taking turns in one process.

python -m wetgen.benchmarks.experiments.layouts --turns 6
"""

import shutil
import statistics
import tempfile
import time
from pathlib import Path

import click

import wetgen.runtime.run.run as runs
from wetgen.runtime.layouts.surfaces import SurfaceLines
from wetgen.runtime.layouts.write import LayoutOptions, write_layouts
from wetgen.runtime.run.options import RunOptions, build_task
from wetgen.runtime.run.run import SilentProgress
from wetgen.runtime.sampling.generator import Generator

KINDS = ("plain", "layouts")


def measure(generator: Generator, folder: Path, pairs: int, turns: int) -> dict[str, list[float]]:
    """Seconds of the process's own time for runs of `pairs` pairs of each kind, a number a turn; the first warms up."""
    bundle = generator.bundle
    assert bundle.classes is not None
    size, names = (bundle.sizes.height, bundle.sizes.width), bundle.classes.names[1:]
    plan = LayoutOptions(0, size, bundle.classes, bundle.mask_statistics, bundle.words, names, None, SurfaceLines(), ())
    write_layouts(folder / "layouts", plan, pairs)
    (folder / "prompts.txt").write_text("a brown water stain on a white wall\n" * pairs)
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(turns + 1):
        for kind in KINDS:
            options = _options(folder, kind)
            task = build_task(bundle, options)
            began = time.process_time()
            runs.run_on(generator, task, options, SilentProgress())
            seconds[kind].append(time.process_time() - began)
            shutil.rmtree(options.out)
    return {kind: times[1:] for kind, times in seconds.items()}


def _options(folder: Path, kind: str) -> RunOptions:
    if kind == "plain":
        return RunOptions(out=folder / "out", prompts=str(folder / "prompts.txt"))
    return RunOptions(out=folder / "out", layouts=folder / "layouts")


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path), help="Bundle to measure.  [default: the one that ships]")
@click.option("--pairs", type=click.IntRange(min=1), default=24, show_default=True, help="Pairs of a run.")
@click.option("--turns", type=click.IntRange(min=1), default=6, show_default=True, help="Runs of each kind.")
def main(bundle: Path | None, pairs: int, turns: int) -> None:
    """Print how much longer runs with layouts compute than runs without."""
    with tempfile.TemporaryDirectory() as name, Generator.open(bundle) as generator:
        seconds = measure(generator, Path(name), pairs, turns)
    ratios = sorted(with_layouts / plain for plain, with_layouts in zip(*seconds.values(), strict=True))
    median = statistics.median(ratios)
    click.echo(f"layouts / plain: {median:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}), {turns} turns of {pairs} pairs")


if __name__ == "__main__":
    main()
