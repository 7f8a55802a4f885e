"""A run: requests to a dataset folder, kept whole through interruption, kill and full disk, and resumed pair by pair.

`run` loads the generator, `run_on` is the loop: RetryQueue says which pair is drawn next, the task draws it, the filter
examines it, and RunFolder stores it beside the sampling. RunProgress tells people or programs how far it came.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import click

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.dataset import sheet
from wetgen.runtime.dataset.shards import ShardWriter
from wetgen.runtime.dataset.writer import (
    REJECTED,
    BackgroundWriter,
    DatasetWriter,
    Keys,
    PairWriter,
    Prepared,
    RejectedLog,
)
from wetgen.runtime.engines.build_progress import text_bar
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import atomic_write, os_errors, pair_name
from wetgen.runtime.masks.images import encode_png
from wetgen.runtime.run.filters import KINDS, Examiner, Verdict
from wetgen.runtime.run.options import DrawOptions
from wetgen.runtime.run.record import (
    BOXES_NAME,
    SHEET_NAME,
    check_folder,
    new_record,
    now,
    pair_row,
    same_shards,
    write_boxes,
    write_record,
)
from wetgen.runtime.run.tasks import RetryQueue, Task
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.sampler import Pair

DEFAULT_BATCH = 4
DEFAULT_TRIES = 4


def run(bundle: Bundle, task: Task, options: DrawOptions, progress: "RunProgress") -> dict[str, Any]:
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


def run_on(generator: Generator, task: Task, options: DrawOptions, progress: "RunProgress") -> dict[str, Any]:
    """The run of `run`, on a loaded generator; `options.out` must be a folder that `check_folder` lets pass."""
    tries = DEFAULT_TRIES if options.tries is None else options.tries
    task.begin(generator)  # refuses impossible values and long prompts before anything is written
    examine = Examiner(task.config.filter, generator.bundle)
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
    with RunFolder(options.out, generator.bundle, task, details, tries, options.shards, progress) as folder:
        for group in task.groups:
            queue = RetryQueue((each for each in folder.missing() if task.group_of(each[0]) == group), tries)
            for pair in task.draw(group, queue, judge=examine.needs_judge):
                verdict = examine(pair)
                given_up = bool(verdict.reasons) and queue.reject(pair.index, pair.attempt)
                folder.put(pair, verdict, given_up)
    _check_any(folder.record, options.out)
    return folder.record


def _check_any(record: Mapping[str, Any], out: Path) -> None:
    """Raise when a finished run has nothing to show."""
    counts = record["counts"]
    if counts["written"]:
        return
    wider = "" if set(record["reasons"]) <= {"broken"} else "wider limits, "
    raise WetgenError(
        f"None of the {counts['asked']} pairs could be used.",
        why=f"every try was rejected: {_by_reason(record)}; {out / REJECTED} says why, try by try.",
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
        lines.append(f"{kept}; rejected: {_by_reason(record)}. See {REJECTED}.")
    if counts["given_up"]:
        tries = "1 try" if record["tries"] == 1 else f"{record['tries']} tries"
        lines.append(f"{counts['given_up']} were given up after {tries} each; --tries allows more.")
    return "\n".join(lines)


def _by_reason(record: Mapping[str, Any]) -> str:
    """For example "6 agreement, 2 area": how many tries were rejected why; a try may count more than once."""
    return ", ".join(f"{count} {kind}" for kind, count in record["reasons"].items())


class RunFolder:
    """The folder of a run while pairs come in: stores them, and on leaving what the run came to.

    Of what is stored it holds a few bytes a pair, so that a run of any length takes the memory of a short one.
    """

    def __init__(
        self,
        out: Path,
        bundle: Bundle,
        task: Task,
        details: Mapping[str, object],
        tries: int,
        shards: int | None,
        progress: "RunProgress",
    ) -> None:
        """Create or take up the folder; `details` is what run.json says beside the config.

        `shards` is how many pairs go into a tar file; None writes every picture as a file.
        """
        self.out, self._bundle, self._config, self._progress = out, bundle, task.config, progress
        self._total, self._tries, self._stored_now, self._contents = task.total, tries, 0, Contents()
        with os_errors(out, "created"):
            out.mkdir(parents=True, exist_ok=True)
        self.record = new_record(task.config, details)
        write_record(out, self.record)
        self._writer: PairWriter
        if shards is None:
            self._writer = DatasetWriter(out, bundle.classes, confidence=bundle.classes is not None)
        else:
            self._writer = ShardWriter(out, bundle.classes, shards)
        self._rejected = RejectedLog(out)
        self._background = BackgroundWriter(self._writer, self._stored)
        for name, row in self._writer.rows():
            self._contents.add(name, row)
        self._writer.expect(index for index, _ in self.missing())

    def missing(self) -> Iterator[tuple[int, int]]:
        """The indexes of pairs that are neither stored nor given up, each with its next try.

        Found one by one while the run goes on, which touches no index before it was given out.
        """
        for index in range(self._total):
            attempt = self._rejected.next_try.get(index, 0)
            if attempt < self._tries and pair_name(index) not in self._writer.names:
                yield index, attempt

    def __enter__(self) -> "RunFolder":
        self._progress.start(self._total, self._total - sum(1 for _ in self.missing()))
        self._began = time.monotonic()
        return self

    def put(self, pair: Pair, verdict: Verdict, given_up: bool) -> None:
        """Store a pair beside the sampling, or list a rejected one; waits while too many are on their way.

        `given_up`: it was the last try of its pair.
        """
        row = {**pair_row(pair, self._config, self._bundle), **verdict.scores}
        if not verdict.reasons:
            self._background.put(pair_name(pair.index), pair.image, pair.mask, row, pair.confidence)
            return
        row["reasons"] = dict(verdict.reasons)
        self._rejected.add(row)
        if given_up:
            self._background.give_up(pair.index)
        self._progress.rejected(row, given_up=given_up)

    def _stored(self, pair: Prepared) -> None:
        self._contents.add(pair.name, pair.row)
        self._stored_now += 1
        self._progress.stored(pair.row)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Store what was made, whatever ended the block, then the contact sheet and the final run.json."""
        failure = error
        try:
            self._background.close()
        except BaseException as late:
            failure = error or late
        status = "interrupted" if isinstance(failure, KeyboardInterrupt) else "failed"
        # Report the original error, not the one from cleanup.
        with suppress(WetgenError) if failure else nullcontext():
            self._finish(status if failure else "done")
        self._progress.end(self.record)
        if failure is not None and error is None:
            raise failure

    def _finish(self, status: str) -> None:
        held, rejected, seconds = self._contents, self._rejected, time.monotonic() - self._began
        drawn = held.pairs + rejected.tries
        self.record.update(
            status=status,
            finished=now(),
            seconds_generating=round(seconds, 3),
            images_per_second=round(self._stored_now / seconds, 4) if seconds > 0 else None,
            counts={
                "asked": self._total,
                "written": held.pairs,
                "with_faults": held.with_faults,
                "unjudged": held.unjudged,
                "drawn": drawn,
                "rejected": rejected.tries,
                "given_up": sum(
                    tried >= self._tries and pair_name(index) not in self._writer.names
                    for index, tried in rejected.next_try.items()
                ),
            },
            reasons={kind: rejected.reasons[kind] for kind in KINDS if kind in rejected.reasons},
            keep_rate=round(held.pairs / drawn, 4) if drawn else None,
        )
        write_record(self.out, self.record)
        if held.boxes:
            write_boxes(self.out / BOXES_NAME, self._writer.rows())
        tiles = [
            sheet.small(sheet.Tile(*self._writer.pictures(row), f"{index}: {row['text']}"))
            for index, row in held.first()
        ]
        atomic_write(self.out / SHEET_NAME, encode_png(sheet.contact_sheet(tiles, self._bundle.classes)))


class Contents:
    """What run.json and the contact sheet say of the pairs of a run; holds the rows of the sheet's pairs only."""

    def __init__(self) -> None:
        self.pairs = self.with_faults = self.unjudged = self.boxes = 0
        self._first: dict[int, Keys] = {}

    def add(self, name: str, row: Keys) -> None:
        """Count a stored pair; somebody may have put other pairs beside the run's, which do not count."""
        if not name.isdecimal():
            return
        self.pairs += 1
        self.with_faults += bool(row.get("faults"))
        self.unjudged += "agreement" in row and row["agreement"] is None
        self.boxes += bool(row.get("boxes"))
        if len(self._first) < sheet.LIMIT or int(name) < max(self._first):
            self._first[int(name)] = row
        if len(self._first) > sheet.LIMIT:
            del self._first[max(self._first)]

    def first(self) -> list[tuple[int, Keys]]:
        """The pairs of the lowest indexes with their rows, as many as a contact sheet shows."""
        return sorted(self._first.items(), key=lambda item: item[0])


_LINE_EVERY = 10.0  # seconds between lines where there is no terminal
_REDRAW_EVERY = 0.1  # seconds


class RunProgress:
    """What a run reports to. Rows are those of metadata.jsonl or rejected.jsonl."""

    def note(self, text: str) -> None:
        """Report something about the device; may come before the start."""

    def start(self, total: int, already: int) -> None:
        """Report that the run will have `total` pairs, of which `already` exist."""

    def stored(self, row: Mapping[str, object]) -> None:
        """Report a pair that was written."""

    def rejected(self, row: Mapping[str, object], *, given_up: bool) -> None:
        """Report an attempt that was not kept. `given_up`: it was the last one of its pair."""

    def end(self, record: Mapping[str, object]) -> None:
        """Report that the run is over, finished or not; `record` is its run.json."""


def choose_progress(*, quiet: bool, json_events: bool) -> RunProgress:
    """Returns the progress that fits the command's options and its stderr."""
    if json_events:
        return JsonProgress(sys.stdout)
    if quiet:
        return SilentProgress()
    return BarProgress(sys.stderr) if sys.stderr.isatty() else TextProgress(sys.stderr)


class SilentProgress(RunProgress):
    """Reports nothing."""


class JsonProgress(RunProgress):
    """Writes one JSON object a line, as it happens."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def note(self, text: str) -> None:
        self._write("note", {"text": text})

    def start(self, total: int, already: int) -> None:
        self._write("start", {"total": total, "already": already})

    def stored(self, row: Mapping[str, object]) -> None:
        self._write("pair", row)

    def rejected(self, row: Mapping[str, object], *, given_up: bool) -> None:
        self._write("rejected", {**row, "given_up": given_up})

    def end(self, record: Mapping[str, object]) -> None:
        self._write("end", record)

    def _write(self, event: str, data: Mapping[str, object]) -> None:
        self._stream.write(json.dumps({"event": event, **data}, ensure_ascii=False) + "\n")
        self._stream.flush()


class TextProgress(RunProgress):
    """Writes a line of text every few seconds, without control characters."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock

    def note(self, text: str) -> None:
        self._write(text)

    def start(self, total: int, already: int) -> None:
        self._count = Count(total, already, self._clock)
        self._written_at = self._clock()
        if already:
            self._write(f"{already} of {total} pairs exist; making the rest.")

    def stored(self, row: Mapping[str, object]) -> None:
        self._count.add(row)
        if self._clock() - self._written_at >= _LINE_EVERY or self._count.done == self._count.total:
            self._write(self._count.text())

    def rejected(self, row: Mapping[str, object], *, given_up: bool) -> None:
        self._count.reject(given_up)
        if given_up:  # other rejected attempts are made again, and counted: a line for each would be too much
            self._write(f"Pair {row['index']} was given up: {'; '.join(_reasons(row))}.")

    def _write(self, text: str) -> None:
        self._written_at = self._clock()
        self._stream.write(text + "\n")
        self._stream.flush()


class BarProgress(RunProgress):
    """Draws click's progress bar on a terminal."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock

    def note(self, text: str) -> None:
        click.echo(f"\r\x1b[K{text}", self._stream)  # over the bar, which is drawn again below at its next change

    def start(self, total: int, already: int) -> None:
        self._count = Count(total, already, self._clock)
        self._bar = text_bar(total, self._stream, self._count.text)
        self._draw()

    def stored(self, row: Mapping[str, object]) -> None:
        self._count.add(row)
        if self._clock() - self._drawn_at >= _REDRAW_EVERY:
            self._draw()

    def rejected(self, row: Mapping[str, object], *, given_up: bool) -> None:
        self._count.reject(given_up)
        self._draw()

    def end(self, record: Mapping[str, object]) -> None:
        self._draw()
        self._bar.render_finish()

    def _draw(self) -> None:
        self._drawn_at = self._clock()
        self._bar.update(self._count.done - self._bar.pos)
        self._bar.render_progress()  # the text may have changed although no pair was done


class Count:
    """Counts pairs, and says how fast they come and how long the rest will take."""

    def __init__(self, total: int, already: int, clock: Callable[[], float]) -> None:
        self.total, self.done, self._already = total, already, already
        self._faulty = self._rejected = 0
        self._clock, self._began = clock, clock()

    def add(self, row: Mapping[str, object]) -> None:
        """Count a pair that was kept."""
        self.done += 1
        self._faulty += bool(row["faults"])

    def reject(self, given_up: bool) -> None:
        """Count an attempt that was not kept; a pair that is given up is done."""
        self.done += given_up
        self._rejected += 1

    def text(self) -> str:
        """For example "12/64 pairs, 1.3 images/s, 0:00:40 left, 2 with faults, 5 tries rejected"."""
        new, seconds = self.done - self._already, self._clock() - self._began
        parts = [f"{self.done}/{self.total} pairs"]
        if new and seconds > 0:
            left = timedelta(seconds=round((self.total - self.done) * seconds / new))
            parts += [f"{new / seconds:.3g} images/s", f"{left} left"]
        parts += [f"{self._faulty} with faults"] if self._faulty else []
        parts += [f"{self._rejected} {'try' if self._rejected == 1 else 'tries'} rejected"] if self._rejected else []
        return ", ".join(parts)


def _reasons(row: Mapping[str, object]) -> list[str]:
    reasons = row["reasons"]
    assert isinstance(reasons, dict)
    return [str(text) for text in reasons.values()]
