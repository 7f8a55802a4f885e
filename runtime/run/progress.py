"""How a run tells what it is doing: a bar on a terminal, lines into a pipe, events for programs, or nothing."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Protocol, TextIO

Clock = Callable[[], float]

_LINE_EVERY = 10.0  # seconds between lines where there is no terminal
_REDRAW_EVERY = 0.1
_BAR_WIDTH = 24


class Progress(Protocol):
    """What a run reports to. Rows are those of metadata.jsonl or rejected.jsonl."""

    def note(self, text: str) -> None:
        """Something about the device that people should know; may come before the start."""

    def start(self, total: int, already: int) -> None:
        """The run will hold `total` pairs, and `already` of them exist."""

    def stored(self, row: Mapping[str, object]) -> None:
        """A pair was written."""

    def rejected(self, row: Mapping[str, object], *, given_up: bool) -> None:
        """A try of a pair was not kept; `given_up`: it was the pair's last."""

    def end(self, record: Mapping[str, object]) -> None:
        """The run is over; `record` is its run.json."""


def choose_progress(*, quiet: bool, json_events: bool) -> Progress:
    """The progress for the way the program was started."""
    if json_events:
        return Events(sys.stdout)
    if quiet:
        return Silent()
    return Bar(sys.stderr) if sys.stderr.isatty() else Lines(sys.stderr)


class Silent:
    """Says nothing."""

    def note(self, text: str) -> None: ...
    def start(self, total: int, already: int) -> None: ...
    def stored(self, row: Mapping[str, object]) -> None: ...
    def rejected(self, row: Mapping[str, object], *, given_up: bool) -> None: ...
    def end(self, record: Mapping[str, object]) -> None: ...


class Events:
    """One JSON object a line, written as it happens."""

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


class Lines:
    """A line of text from time to time."""

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        self._stream, self._clock = stream, clock

    def note(self, text: str) -> None:
        self._say(text)

    def start(self, total: int, already: int) -> None:
        self._count = Count(total, already, self._clock)
        self._spoke = self._clock()
        if already:
            self._say(f"{already} of {total} pairs exist; making the rest.")

    def stored(self, row: Mapping[str, object]) -> None:
        self._count.add(row)
        if self._clock() - self._spoke >= _LINE_EVERY or self._count.done == self._count.total:
            self._say(self._count.text())

    def rejected(self, row: Mapping[str, object], *, given_up: bool) -> None:
        self._count.reject(given_up)
        if given_up:  # other rejects are drawn again, and counted; a line for each would bury the rest
            self._say(f"Pair {row['index']} was given up: {'; '.join(_reasons(row))}.")

    def end(self, record: Mapping[str, object]) -> None: ...

    def _say(self, text: str) -> None:
        self._spoke = self._clock()
        self._stream.write(text + "\n")
        self._stream.flush()


class Bar:
    """A line on a terminal, drawn over itself."""

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._drawn_at, self._width = float("-inf"), 0

    def note(self, text: str) -> None:
        self._stream.write("\r" + text.ljust(self._width) + "\n")  # the bar is drawn again below it
        self._stream.flush()

    def start(self, total: int, already: int) -> None:
        self._count = Count(total, already, self._clock)
        self._draw()

    def stored(self, row: Mapping[str, object]) -> None:
        self._count.add(row)
        if self._clock() - self._drawn_at >= _REDRAW_EVERY or self._count.done == self._count.total:
            self._draw()

    def rejected(self, row: Mapping[str, object], *, given_up: bool) -> None:
        self._count.reject(given_up)
        self._draw()

    def end(self, record: Mapping[str, object]) -> None:
        self._draw()
        self._stream.write("\n")
        self._stream.flush()

    def _draw(self) -> None:
        self._drawn_at = self._clock()
        filled = round(_BAR_WIDTH * self._count.done / max(1, self._count.total))
        line = f"[{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {self._count.text()}"
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)


class Count:
    """Pairs done, how fast, and how long the rest will take."""

    def __init__(self, total: int, already: int, clock: Clock) -> None:
        self.total, self.done, self._already = total, already, already
        self._faulty = self._rejected = 0
        self._clock, self._began = clock, clock()

    def add(self, row: Mapping[str, object]) -> None:
        """Count a pair that was kept."""
        self.done += 1
        self._faulty += bool(row["faults"])

    def reject(self, given_up: bool) -> None:
        """Count a try that was not; a pair that is given up is done."""
        self.done += given_up
        self._rejected += 1

    def text(self) -> str:
        """For example "12/64 pairs, 1.3 images/s, 0:00:40 left, 2 with faults, 5 tries rejected"."""
        made, seconds = self.done - self._already, self._clock() - self._began
        parts = [f"{self.done}/{self.total} pairs"]
        if made and seconds > 0:
            left = round((self.total - self.done) * seconds / made)
            parts += [f"{made / seconds:.3g} images/s", f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"]
        parts += [f"{self._faulty} with faults"] if self._faulty else []
        parts += [f"{self._rejected} {'try' if self._rejected == 1 else 'tries'} rejected"] if self._rejected else []
        return ", ".join(parts)


def _reasons(row: Mapping[str, object]) -> list[str]:
    reasons = row["reasons"]
    assert isinstance(reasons, dict)
    return [str(text) for text in reasons.values()]
