"""How a run reports its progress: a bar on a terminal, lines into a pipe, JSON events for programs, or nothing."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TextIO

import click

from wetgen.runtime.engines.build_progress import text_bar

Clock = Callable[[], float]

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

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
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

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
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

    def __init__(self, total: int, already: int, clock: Clock) -> None:
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
