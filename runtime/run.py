"""A run: prompts to a dataset folder, kept whole through interruption, kill and full disk, and resumed pair by pair."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from wetgen.runtime.bundle import Bundle
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.filters import Examiner, Filter
from wetgen.runtime.generator import Generator
from wetgen.runtime.progress import Progress
from wetgen.runtime.record import Settings, lines_sha256
from wetgen.runtime.rejected import FILE_NAME as REJECTED_NAME
from wetgen.runtime.run_folder import SHEET_NAME, RunFolder, check_folder, same_shards
from wetgen.runtime.storing import Storing
from wetgen.runtime.task import Task
from wetgen.runtime.tidy import Tidy
from wetgen.runtime.tries import Tries

DEFAULT_BATCH = 4
DEFAULT_TRIES = 4


def settings_of(
    bundle: Bundle,
    prompts: Sequence[str],
    *,
    seed: int,
    plan: str | None,
    guidance: float | None,
    negative: str,
    limits: Filter | None = None,
    tidy: Tidy | None = None,
) -> Settings:
    """The settings of a run, the bundle's defaults filled in. Raises WetgenError for limits it cannot measure."""
    return Settings(
        bundle_sha256=bundle.hash,
        prompts=len(prompts),
        prompts_sha256=lines_sha256(prompts),
        seed=seed,
        plan=bundle.plan(plan).name,
        guidance=bundle.default_guidance if guidance is None else guidance,
        negative=negative,
        filter=(Filter() if limits is None else limits).for_bundle(bundle),
        tidy=Tidy() if tidy is None else tidy,
    )


def run(
    bundle: Bundle,
    task: Task,
    out: Path,
    settings: Settings,
    progress: Progress,
    *,
    resume: bool = False,
    device: str = "cpu",
    batch: int | None = None,
    threads: int | None = None,
    tries: int | None = None,
    shards: int | None = None,
) -> dict[str, Any]:
    """Make the pairs of a task that `out` lacks and return the final run.json.

    A pair that the settings' filter rejects is drawn again from other noise until it is kept or was tried `tries`
    times; a larger number makes more pairs and changes none. With `shards` so many pairs go into a tar file, in place
    of loose files. `batch`, `tries` and `shards` None mean the defaults, or what the run was started with. Raises
    WetgenError for a folder that does not fit, and when it fails on the way; KeyboardInterrupt is passed on. Every
    finished pair is kept in either case.
    """
    earlier = check_folder(out, settings, resume)
    if batch is None:
        batch = min(DEFAULT_BATCH, task.total) if earlier is None else int(earlier["batch"])
    if tries is None:
        tries = DEFAULT_TRIES if earlier is None else int(earlier.get("tries", 1))
    if earlier is not None:
        shards = same_shards(out, earlier.get("shards"), shards)
    with Generator(bundle, device=device, batch=batch, threads=threads, say=progress.note) as generator:
        return run_on(generator, task, out, settings, progress, tries=tries, shards=shards)


def run_on(
    generator: Generator,
    task: Task,
    out: Path,
    settings: Settings,
    progress: Progress,
    *,
    tries: int = DEFAULT_TRIES,
    shards: int | None = None,
) -> dict[str, Any]:
    """The run of `run`, on a loaded generator; `out` must be one that `check_folder` lets pass."""
    bundle, total = generator.bundle, task.total
    examine = Examiner(settings.filter, bundle)
    task.begin(generator)  # refuses impossible values and long prompts before anything is written
    if examine.needs_judge:
        generator.check_judge(task.pixels)

    how = {
        **task.how,
        "tries": tries,
        "shards": shards,
        "device": generator.device,
        "target": generator.target.name,
        "batch": generator.batch,
        "threads": generator.threads,
        "notes": generator.notes,  # what the device has to say; more may come while it draws
    }
    folder = RunFolder(out, bundle, settings, how, shards)
    folder.expect(index for index, _ in _missing(folder, total, tries))
    progress.start(total, total - sum(1 for _ in _missing(folder, total, tries)))
    began = time.monotonic()
    try:
        with Storing(folder, progress) as storing:
            for part in task.parts():
                missing = _missing(folder, total, tries)
                open_tries = Tries((each for each in missing if task.part_of(each[0]) == part), tries)
                for pair in task.draw(part, open_tries.take, judge=examine.needs_judge):
                    verdict = examine(pair)
                    given_up = bool(verdict.reasons) and open_tries.reject(pair.index, pair.attempt)
                    storing.put(pair, verdict, given_up)
    except BaseException as error:
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with suppress(WetgenError):  # the first failure is the one to be told
            folder.close(status, total, tries, time.monotonic() - began)
        progress.end(folder.record)
        raise
    folder.close("done", total, tries, time.monotonic() - began)
    progress.end(folder.record)
    _check_any(folder.record, out)
    return folder.record


def _missing(folder: RunFolder, total: int, tries: int) -> Iterator[tuple[int, int]]:
    """The indexes of pairs that are neither stored nor given up, each with its next try.

    Found one by one while the run goes on, which touches no index before it was given out.
    """
    for index in range(total):
        if not folder.is_kept(index) and (attempt := folder.next_try(index)) < tries:
            yield index, attempt


def _check_any(record: Mapping[str, Any], out: Path) -> None:
    """Raise when a finished run has nothing to show."""
    counts = record["counts"]
    if counts["written"]:
        return
    wider = "" if set(record["reasons"]) <= {"broken"} else "wider limits, "
    raise WetgenError(
        f"None of the {counts['asked']} pairs could be used.",
        why=f"every try was rejected: {_by_reason(record)}; {out / REJECTED_NAME} says why, try by try.",
        fix=f"use {wider}a smaller --guidance, another --plan or --device, or another bundle.",
    )


def summary(out: Path, record: Mapping[str, Any]) -> str:
    """A finished run in a line or two, for people."""
    counts = record["counts"]
    lines = [f"{out}: {counts['written']} of {counts['asked']} pairs. To look at: {out / SHEET_NAME}"]
    if counts["with_faults"]:
        lines.append(
            f'{counts["with_faults"]} of them lack a class they were asked for: see "faults" in metadata.jsonl.'
        )
    if counts["unjudged"]:
        lines.append(f"{counts['unjudged']} of them show only classes that the judge does not know, and were kept.")
    if counts["rejected"]:
        kept = f"{counts['written']} of {counts['drawn']} tries were kept ({record['keep_rate']:.1%})"
        lines.append(f"{kept}; rejected: {_by_reason(record)}. See {REJECTED_NAME}.")
    if counts["given_up"]:
        tries = "1 try" if record["tries"] == 1 else f"{record['tries']} tries"
        lines.append(f"{counts['given_up']} were given up after {tries} each; --tries allows more.")
    return "\n".join(lines)


def _by_reason(record: Mapping[str, Any]) -> str:
    """For example "6 agreement, 2 area": how many tries were rejected why; a try may count more than once."""
    return ", ".join(f"{count} {kind}" for kind, count in record["reasons"].items())
