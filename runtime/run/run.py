"""A run: requests to a dataset folder, kept whole through interruption, kill and full disk, and resumed pair by pair.

`run` loads the generator, `run_on` is the loop: RetryQueue says which pair is drawn next, the task draws it, the filter
examines it, and BackgroundWriter stores it beside the sampling.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.dataset.journal import FILE_NAME as REJECTED_NAME
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import usable_cores
from wetgen.runtime.run.filters import Examiner, Verdict
from wetgen.runtime.run.folder import SHEET_NAME, Kept, Rejection, RunFolder, check_folder, same_shards
from wetgen.runtime.run.options import DrawOptions
from wetgen.runtime.run.progress import RunProgress
from wetgen.runtime.run.tasks import Task
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.pair import Pair

DEFAULT_BATCH = 4
DEFAULT_TRIES = 4


def run(bundle: Bundle, task: Task, options: DrawOptions, progress: RunProgress) -> dict[str, Any]:
    """Make the pairs of a task that the folder `options.out` lacks and return the final run.json.

    A pair that the config's filter rejects is drawn again from other noise until it is kept or was tried so many
    `tries`; more tries make more pairs and change none. With `shards` so many pairs go into a tar file, in place of
    loose files. `batch`, `tries` and `shards` None mean the defaults, or what the run was started with. Raises
    WetgenError for a folder that does not fit, and when it fails on the way; KeyboardInterrupt is passed on. Every
    finished pair is kept in either case.
    """
    earlier = check_folder(options.out, task.config, options.resume)
    batch, tries, shards = options.batch, options.tries, options.shards
    if earlier is not None:
        batch = int(earlier["batch"]) if batch is None else batch
        tries = int(earlier.get("tries", 1)) if tries is None else tries
        shards = same_shards(options.out, earlier.get("shards"), shards)
    if batch is None:
        batch = min(DEFAULT_BATCH, task.total)
    with Generator(bundle, device=options.device, batch=batch, threads=options.threads, say=progress.note) as generator:
        return run_on(generator, task, replace(options, tries=tries, shards=shards), progress)


def run_on(generator: Generator, task: Task, options: DrawOptions, progress: RunProgress) -> dict[str, Any]:
    """The run of `run`, on a loaded generator; `options.out` must be a folder that `check_folder` lets pass."""
    out, total, bundle = options.out, task.total, generator.bundle
    tries = DEFAULT_TRIES if options.tries is None else options.tries
    task.begin(generator)  # refuses impossible values and long prompts before anything is written
    examine = Examiner(task.config.filter, bundle)
    if examine.needs_judge:
        generator.check_judge(task.pixels)

    details = {
        **task.details,
        "tries": tries,
        "shards": options.shards,
        "device": generator.device,
        "target": generator.target.name,
        "batch": generator.batch,
        "threads": generator.threads,
        "notes": generator.notes,  # what the device has to say; more may come while it draws
    }
    folder = RunFolder(out, bundle, task.config, details, options.shards)
    folder.expect(index for index, _ in folder.missing(total, tries))
    progress.start(total, total - sum(1 for _ in folder.missing(total, tries)))
    began = time.monotonic()
    try:
        with BackgroundWriter(folder, progress) as writer:
            for group in task.groups:
                missing = folder.missing(total, tries)
                queue = RetryQueue((each for each in missing if task.group_of(each[0]) == group), tries)
                for pair in task.draw(group, queue, judge=examine.needs_judge):
                    verdict = examine(pair)
                    given_up = bool(verdict.reasons) and queue.reject(pair.index, pair.attempt)
                    writer.put(pair, verdict, given_up)
    except BaseException as error:
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with suppress(WetgenError):  # report the original error, not the one from cleanup
            folder.close(status, total, tries, time.monotonic() - began)
        progress.end(folder.record)
        raise
    folder.close("done", total, tries, time.monotonic() - began)
    progress.end(folder.record)
    _check_any(folder.record, out)
    return folder.record


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


WAITING = 64  # pairs that may wait for the disk before sampling does
_MOST_PIXELS = 2**23  # of pictures that may: more than 64 drawn ones, fewer than two photographs
_MOST_ENCODERS = 4  # beyond, the interpreter's lock keeps them waiting for each other


class BackgroundWriter:
    """Takes pairs from the thread that samples, and tells the progress, on that thread, when they are stored.

    On leaving, what was made is stored first, whatever ended the block. The first failure is raised by the next `put`,
    or on leaving.
    """

    def __init__(self, folder: RunFolder, progress: RunProgress) -> None:
        self._folder, self._progress = folder, progress
        self._encoders = ThreadPoolExecutor(min(_MOST_ENCODERS, usable_cores()))
        self._writer = ThreadPoolExecutor(1)  # so that rows come in the order of the pairs, and one file after another
        self._pending: deque[tuple[int, Future[Kept | Rejection]]] = deque()  # with their pixels

    def __enter__(self) -> "BackgroundWriter":
        return self

    def put(self, pair: Pair, verdict: Verdict, given_up: bool) -> None:
        """Hand over a pair, and whether no try of it is left; waits while too many are on their way."""
        prepared = self._encoders.submit(self._folder.prepare, pair, verdict, given_up)
        pixels = pair.image.shape[0] * pair.image.shape[1]
        self._pending.append((pixels, self._writer.submit(self._write, prepared)))
        while self._pending and (self._pending[0][1].done() or self._too_many()):
            self._tell(self._pending.popleft()[1])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while self._pending:
                self._tell(self._pending.popleft()[1])
        except WetgenError:
            if error is None:
                raise
        finally:
            self._encoders.shutdown(wait=True, cancel_futures=True)
            self._writer.shutdown(wait=True, cancel_futures=True)

    def _too_many(self) -> bool:
        waiting = len(self._pending)
        return waiting > WAITING or (waiting > 1 and sum(pixels for pixels, _ in self._pending) > _MOST_PIXELS)

    def _write(self, prepared: "Future[Kept | Rejection]") -> Kept | Rejection:
        ready = prepared.result()
        self._folder.write(ready)
        return ready

    def _tell(self, written: "Future[Kept | Rejection]") -> None:
        done = written.result()
        if isinstance(done, Kept):
            self._progress.stored(done.row)
        else:
            self._progress.rejected(done.row, given_up=done.given_up)


class RetryQueue(Iterator[tuple[int, int]]):
    """Yields (index, try), the next to be drawn; a rejected pair comes again before new ones.

    It may yield more after it ran out: when its last pairs are rejected, they are to be drawn again.
    """

    def __init__(self, missing: Iterable[tuple[int, int]], tries: int) -> None:
        """`missing` gives each index with the try it begins with; a pair has so many `tries`, from 0 on."""
        self._new, self._again, self._tries = iter(missing), deque[tuple[int, int]](), tries

    def __next__(self) -> tuple[int, int]:
        return self._again.popleft() if self._again else next(self._new)

    def reject(self, index: int, attempt: int) -> bool:
        """Draw a pair again, unless this was its last try; returns whether it was."""
        last = attempt + 1 >= self._tries
        if not last:
            self._again.append((index, attempt + 1))
        return last
