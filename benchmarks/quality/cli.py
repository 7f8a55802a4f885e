"""`wetgen split`, `wetgen eval` and `wetgen judge`. Imports stand inside, so that `--help` answers at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from wetgen.runtime.errors import missing

PATH = click.Path(path_type=Path)
real_option = click.option("--real", required=True, type=PATH, help="Real photographs: a dataset folder, or several.")


@contextmanager
def _extra() -> Iterator[None]:
    """Say what to install where a package is missing."""
    try:
        yield
    except ImportError as error:
        raise missing(str(error.name), extra="eval", needed_to="measure what pairs are worth") from error


def _say(line: str) -> None:
    click.echo(line, err=True)


@click.command()
@click.argument("real", type=PATH)
@click.option("--out", required=True, type=PATH, help="New folder for the same dataset folders with their split.")
@click.option("--test", "test_share", default=0.3, show_default=True, help="Share of pairs to test on.")
@click.option("--validation", default=0.1, show_default=True, help="Share of pairs to choose with.")
@click.option("--folds", default=0, help="Test each pair once: this many folds in place of --test.")
@click.option("--fold", default=0, help="Which fold is the test part, from 0.")
@click.option("--seed", default=0, show_default=True, help="Another seed splits otherwise.")
def split(real: Path, out: Path, test_share: float, validation: float, folds: int, fold: int, seed: int) -> None:
    """Split REAL by scene and claim into train, validation and test, near-duplicates across them left out.

    `wetgen-train` and `wetgen eval` follow the `split` this writes into each row, so that the generator never sees what
    its pairs are tested on.
    """
    with _extra():
        from wetgen.benchmarks.quality.split import Shares, write_split

    write_split(real, out, Shares(test_share, validation, folds, fold), seed, _say)
    click.echo(out)


@click.command("eval")
@click.argument("synthetic", type=PATH)
@real_option
@click.option("--test", type=PATH, help="Real test photographs kept apart.  [default: a part of --real]")
@click.option("--unfiltered", type=PATH, help="Pairs of the same generator before any filter, for comparison.")
@click.option("--bundle", type=PATH, help="The bundle that drew SYNTHETIC: lets one word of its prompts be swapped.")
@click.option(
    "--profile",
    type=click.Choice(["cpu", "full"]),
    default="cpu",
    show_default=True,
    help="cpu: a deterministic probe, minutes. full: U-Nets and SegFormers from scratch, hours on a GPU.",
)
@click.option("--size", type=click.IntRange(16, 1024), help="Pixels a side.  [default: that of SYNTHETIC]")
@click.option("--seed", default=0, show_default=True, help="Of the split, where rows state none.")
@click.option("--curve", is_flag=True, help="Also draw IoU against keep rate, to choose --keep-agreement by.")
@click.option("--out", required=True, type=PATH, help="Folder for results and reports; a stopped evaluation goes on.")
def evaluate(**asked: object) -> None:
    """Say what SYNTHETIC pairs are worth beside real ones: whether segmenters gain, and whether to trust that.

    Exits with 1 when the pairs fail a check (broken pairs, copies of training pairs), after writing the reports.
    """
    with _extra():
        from wetgen.benchmarks.quality.evaluate import Asked, evaluate

    evaluate(Asked(**asked), _say)  # type: ignore[arg-type]


@click.command()
@real_option
@click.option("--bundle", required=True, type=PATH, help="The exported bundle whose pairs are to be judged.")
@click.option("--out", required=True, type=PATH, help="New bundle: a copy with the judge in it.")
@click.option("--evaluation", type=PATH, help="The --out of `wetgen eval --curve`, for the threshold it suggests.")
@click.option("--size", type=click.IntRange(16, 1024), help="Pixels a side the judge sees.  [default: the bundle's]")
@click.option("--profile", type=click.Choice(["cpu", "full"]), default="cpu", show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the split, where rows state none.")
@click.option("--no-fingerprints", is_flag=True, help="For a generator that learned from other photographs than REAL.")
@click.option("--force", is_flag=True, help="Replace a bundle that stands at --out.")
def judge(**asked: object) -> None:
    """Train a judge on REAL photographs and put it into a copy of a bundle, for `wetgen run --keep-agreement`.

    The copy also gets fingerprints of the photographs that the generator learned from, so that copies of them are
    refused.
    """
    with _extra():
        from wetgen.benchmarks.quality.install_judge import install_judge

    click.echo(install_judge(**asked, say=_say))  # type: ignore[arg-type]
