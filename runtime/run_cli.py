"""`wetgen run`, and the options of every command that draws pairs. Imports stand inside, so that `--help` is quick."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from wetgen.runtime.bundle import Bundle
    from wetgen.runtime.record import Settings
    from wetgen.runtime.task import Task

LIMITS = (
    "keep_agreement",
    "keep_layout",
    "least_area",
    "most_area",
    "least_confidence",
    "refuse_copies",
    "require_asked",
)
TIDY = ("least_region", "fill_holes", "ignore_below", "ignore_band")


def _limit_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options by which a run rejects pairs and draws others in their place."""
    options = (
        click.option(
            "--keep-agreement",
            type=float,
            metavar="SHARE",
            help="Least IoU of the mask and what the bundle's judge sees; 0 measures it and keeps everything.",
        ),
        click.option(
            "--keep-layout", type=float, metavar="SHARE", help="Least mean IoU of the mask and the layout it was given."
        ),
        click.option("--least-area", type=float, metavar="SHARE", help="Least share of the picture that is damage."),
        click.option("--most-area", type=float, metavar="SHARE", help="Greatest share of the picture that is damage."),
        click.option(
            "--least-confidence",
            type=float,
            metavar="SHARE",
            help="Least mean probability of the mask on damage.",
        ),
        click.option(
            "--refuse-copies/--keep-copies",
            default=None,
            help="Reject copies of training pictures.  [default: where the bundle has their fingerprints]",
        ),
        click.option("--require-asked", is_flag=True, help="Reject masks without a class that the prompt asks for."),
        click.option(
            "--tries", type=click.IntRange(min=1), help="How often a rejected pair is drawn, at most.  [default: 4]"
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _tidy_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that change a drawn mask; all are off unless they are given."""
    options = (
        click.option(
            "--least-region",
            type=int,
            default=0,
            metavar="PIXELS",
            help="Smaller regions take their surroundings' class.",
        ),
        click.option("--fill-holes", type=int, default=0, metavar="PIXELS", help="Fill holes of up to so many pixels."),
        click.option(
            "--ignore-below", type=float, metavar="SHARE", help="Less confident pixels become 255, to be ignored."
        ),
        click.option(
            "--ignore-band", type=int, default=0, metavar="PIXELS", help="So much on each side of a border becomes 255."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def drawing_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every command that draws pairs into a folder."""
    options = (
        click.option(
            "--out",
            type=click.Path(path_type=Path),
            default=Path("wetgen-out"),
            show_default=True,
            help="Dataset folder to write; new or empty.",
        ),
        click.option(
            "--bundle", type=click.Path(path_type=Path), help="Exported bundle.  [default: the one that ships]"
        ),
        click.option("--seed", type=int, default=0, show_default=True, help="Another seed makes other pairs."),
        click.option("--plan", metavar="NAME", help="Sampling plan.  [default: the bundle's]"),
        click.option("--guidance", type=float, help="How strongly the prompt pulls.  [default: the bundle's]"),
        click.option("--negative", default="", help="What the pictures should keep away from."),
        click.option("--batch", type=click.IntRange(min=1), help="Pairs made at a time.  [default: 4]"),
        click.option(
            "--device",
            type=click.Choice(["cpu", "cuda", "tensorrt"]),
            default="cpu",
            show_default=True,
            help="What computes.",
        ),
        click.option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: all usable cores]"),
        _limit_options,
        _tidy_options,
        click.option(
            "--shards",
            type=click.IntRange(min=1),
            metavar="PAIRS",
            help="Write WebDataset tar files of so many pairs each.",
        ),
        click.option("--resume", is_flag=True, help="Make what an earlier run left undone in --out."),
        click.option("--quiet", is_flag=True, help="No progress."),
        click.option("--json", "json_events", is_flag=True, help="Events as JSON lines on standard output."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def picture_size(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """(width, height) of "256x192"."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise click.BadParameter("width x height in pixels: 256x192")
    return int(parts[0]), int(parts[1])


@click.command()
@click.option(
    "--prompts",
    "prompts_file",
    metavar="FILE",
    help="A .txt, .csv or .jsonl file of prompts; - reads standard input. See `wetgen prompts`.",
)
@click.option("--layouts", type=click.Path(path_type=Path), metavar="DIR", help="Masks of class ids to be shown.")
@click.option(
    "--count", type=int, default=1, show_default=True, help="How often the prompts, or layouts, are gone through."
)
@click.option("--quota", metavar="CLASS=N,...", help="Pairs of each class, in place of --count.")
@click.option("--size", callback=picture_size, metavar="WxH", help="Pictures of another size.  [default: the bundle's]")
@click.option("--surface-lines", metavar="LINES", help="Where surfaces meet, for severities: ceiling=0.2,floor=0.8")
@click.option(
    "--counterfactual",
    metavar="clean|severity|OLD=NEW",
    help="Families of pairs that differ in one thing: with and without damage, by severity, by a word.",
)
@click.option("--truncate", is_flag=True, help="Cut prompts that are too long instead of refusing them.")
@drawing_options
def run(
    prompts_file: str | None,
    layouts: Path | None,
    count: int,
    quota: str | None,
    size: tuple[int, int] | None,
    surface_lines: str | None,
    truncate: bool,
    counterfactual: str | None,
    **how: Any,
) -> None:
    """Generate pairs for a file of prompts, or of layouts, into a dataset folder."""
    from wetgen.runtime.generator import open_bundle
    from wetgen.runtime.run_prompts import prompt_task

    opened = open_bundle(how.pop("bundle"))
    task = prompt_task(
        opened,
        prompts_file,
        layouts,
        count=count,
        quota=quota,
        size=size,
        surface_lines=surface_lines,
        truncate=truncate,
        counterfactual=counterfactual,
        **settings_from(how),
    )
    draw_into(opened, task, task.settings, **how)


def settings_from(how: dict[str, Any]) -> dict[str, Any]:
    """What of a command's options decides the pairs, taken out of `how`."""
    from wetgen.runtime.filters import Filter
    from wetgen.runtime.tidy import Tidy

    said = {name: how.pop(name) for name in ("seed", "plan", "guidance", "negative")}
    limits = Filter(**{name: how.pop(name) for name in LIMITS})
    return {**said, "limits": limits, "tidy": Tidy(**{name: how.pop(name) for name in TIDY})}


def draw_into(
    bundle: "Bundle", task: "Task", settings: "Settings", out: Path, quiet: bool, json_events: bool, **how: Any
) -> None:
    """Run a task into a folder, and say how it went."""
    from wetgen.runtime import run as runs
    from wetgen.runtime.progress import choose_progress

    progress = choose_progress(quiet=quiet, json_events=json_events)
    try:
        record = runs.run(bundle, task, out, settings, progress, **how)
    except KeyboardInterrupt:
        click.echo(
            f"Interrupted. Every finished pair is in {out}; the same command with --resume makes the rest.", err=True
        )
        raise
    if not json_events:
        click.echo(runs.summary(out, record))
