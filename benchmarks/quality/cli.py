"""`wetgen split`, `wetgen eval` and `wetgen judge`. Heavy imports are inside the commands, so that `--help` is fast."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from wetgen.runtime.errors import missing

PATH = click.Path(path_type=Path)
real_option = click.option("--real", required=True, type=PATH, help="Real photographs: a dataset folder, or several.")


@contextmanager
def _extra() -> Iterator[None]:
    """Name the extra to install if a package is missing."""
    try:
        yield
    except ImportError as error:
        raise missing(str(error.name), extra="eval", needed_to="measure what pairs are worth") from error


def _say(line: str) -> None:
    click.echo(line, err=True)


@click.command()
@click.argument("real", type=PATH)
@click.option("--out", required=True, type=PATH, help="New folder for the split dataset folders.")
@click.option("--test", "test_share", default=0.3, show_default=True, help="Share of pairs to test on.")
@click.option("--validation", default=0.1, show_default=True, help="Share of pairs to choose with.")
@click.option("--folds", default=0, help="Number of folds, in place of --test; each pair is tested once.")
@click.option("--fold", default=0, help="The fold to test on, counted from 0.")
@click.option("--seed", default=0, show_default=True, help="Seed of the split.")
def split(real: Path, out: Path, test_share: float, validation: float, folds: int, fold: int, seed: int) -> None:
    """Split REAL by scene and claim into train, validation and test parts, without near-duplicates across parts.

    The part is written to `split` in each row. `wetgen-train` and `wetgen eval` follow it, so the generator never sees
    the test pictures.
    """
    with _extra():
        from wetgen.benchmarks.quality.split import Shares, write_split

    write_split(real, out, Shares(test_share, validation, folds, fold), seed, _say)
    click.echo(out)


@click.command("eval")
@click.argument("synthetic", type=PATH)
@real_option
@click.option("--test", type=PATH, help="Separate real test photographs.  [default: a part of --real]")
@click.option("--unfiltered", type=PATH, help="Unfiltered pairs of the same generator, for comparison.")
@click.option("--bundle", type=PATH, help="The bundle that drew SYNTHETIC, to test prompts with one word swapped.")
@click.option(
    "--profile",
    type=click.Choice(["cpu", "full"]),
    default="cpu",
    show_default=True,
    help="cpu: a deterministic probe, minutes. full: U-Nets and SegFormers from scratch, hours on a GPU.",
)
@click.option("--size", type=click.IntRange(16, 1024), help="Pixels a side.  [default: that of SYNTHETIC]")
@click.option("--seed", default=0, show_default=True, help="Seed of the split, for rows without one.")
@click.option("--curve", is_flag=True, help="Also plot IoU against keep rate, to choose --keep-agreement.")
@click.option("--out", required=True, type=PATH, help="Folder for results and reports; run again to resume.")
def evaluate(**asked: object) -> None:
    """Measure what SYNTHETIC pairs add to real ones: whether segmenters improve, and whether the result is sound.

    Writes the reports, then exits with 1 if the pairs fail a check (broken pairs, copies of training pairs).
    """
    with _extra():
        from wetgen.benchmarks.quality.evaluate import EvaluationOptions, evaluate

    evaluate(EvaluationOptions(**asked), _say)  # type: ignore[arg-type]


@click.command()
@real_option
@click.option("--bundle", required=True, type=PATH, help="The exported bundle to judge.")
@click.option("--out", required=True, type=PATH, help="New bundle: a copy with the judge in it.")
@click.option("--evaluation", type=PATH, help="The --out of `wetgen eval --curve`, for its suggested threshold.")
@click.option(
    "--size", type=click.IntRange(16, 1024), help="Pixels a side of the judge's input.  [default: the bundle's]"
)
@click.option("--profile", type=click.Choice(["cpu", "full"]), default="cpu", show_default=True)
@click.option("--seed", default=0, show_default=True, help="Seed of the split, for rows without one.")
@click.option(
    "--no-fingerprints", is_flag=True, help="Leave fingerprints out, for a generator trained on other photographs."
)
@click.option("--force", is_flag=True, help="Replace the bundle at --out.")
def judge(**asked: object) -> None:
    """Train a judge on REAL photographs and add it to a copy of a bundle, for `wetgen run --keep-agreement`.

    The copy also gets fingerprints of the training photographs, so that `wetgen run` can reject copies of them.
    """
    with _extra():
        from wetgen.benchmarks.quality.install_judge import install_judge

    click.echo(install_judge(**asked, say=_say))  # type: ignore[arg-type]
