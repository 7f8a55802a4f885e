"""Progress of an engine build, from the phases that TensorRT reports: how much is done, and how long the rest takes."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, SupportsInt, TextIO

import click

if TYPE_CHECKING:
    import tensorrt as trt
    from click._termui_impl import ProgressBar

_LINE_EVERY = 10.0  # seconds between lines where there is no terminal
_REDRAW_EVERY = 0.2  # seconds
_LEAST_SHARE = 0.02  # of a build: before, its speed says nothing about the rest


class Phases:
    """Nested phases, each with a known number of steps, and the share of the whole that is done."""

    def __init__(self) -> None:
        self._phases: dict[str, tuple[str, int, int]] = {}  # parent ("" without one), steps, steps done

    def start(self, name: str, parent: str | None, steps: int) -> None:
        self._phases[name] = (parent or "", max(1, steps), 0)

    def step(self, name: str, step: int) -> None:
        """Note that step `step`, counted from 0, is done."""
        if name in self._phases:
            parent, steps, _ = self._phases[name]
            self._phases[name] = (parent, steps, min(step + 1, steps))

    def finish(self, name: str) -> None:
        self._phases.pop(name, None)

    def share(self, parent: str = "") -> float:
        """The share of the phases of a parent that is done, from 0 to 1; without one of the outermost phase."""
        inside = [
            min(1.0, (done + self.share(name)) / steps)
            for name, (above, steps, done) in self._phases.items()
            if above == parent
        ]
        return max(inside, default=0.0)

    @property
    def innermost(self) -> str:
        """The current step, as text."""
        name, (_, steps, done) = next(reversed(self._phases.items()), ("", ("", 0, 0)))
        return f"{name} {done}/{steps}" if name else ""


def text_bar(length: int, stream: TextIO | None, text: Callable[[], str]) -> "ProgressBar[int]":
    """Returns click's progress bar of `length` steps with our own text after it, which states the rest of the time."""
    return click.progressbar(
        range(length),
        file=stream,
        width=24,
        empty_char=".",
        bar_template="[%(bar)s] %(info)s",
        show_percent=False,
        show_eta=False,
        item_show_func=lambda _: text(),
    )


class BuildStatus:
    """Shows how far a build is: a progress bar on a terminal, a line every few seconds elsewhere.

    `cancelled` asks TensorRT to stop at its next step.
    """

    def __init__(self, stream: TextIO | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._terminal = stream is not None and stream.isatty()
        self.cancelled = False
        self.begin("")

    def begin(self, what: str) -> None:
        """Start to show the build of `what`."""
        self._what, self.phases, self._began = what, Phases(), self._clock()
        self._shown_at = self._clock()
        self._bar = text_bar(100, self._stream, self.text)

    def show(self) -> None:
        """Show how far the build is, unless it was shown a moment ago."""
        every = _REDRAW_EVERY if self._terminal else _LINE_EVERY
        if self._stream is None or self._clock() - self._shown_at < every:
            return
        self._shown_at = self._clock()
        if self._terminal:
            self._bar.update(round(100 * self.phases.share()) - self._bar.pos)
            self._bar.render_progress()
        else:
            click.echo(self.text(), self._stream)

    def end(self) -> None:
        """End the line of the bar, so that the next text starts on a new line."""
        if self._terminal:
            self._bar.render_finish()

    def text(self) -> str:
        """For example "denoise, batch 4: 34%, 0:01:20 left (Tactic timing 12/40)"."""
        share, seconds = self.phases.share(), self._clock() - self._began
        rest = timedelta(seconds=round(seconds * (1 - share) / share)) if share >= _LEAST_SHARE else None
        left = f", {rest} left" if rest is not None else ""
        return f"{self._what}: {share:.0%}{left} ({self.phases.innermost})"


def monitor(status: BuildStatus) -> "trt.IProgressMonitor":
    """Returns TensorRT's callbacks for a status. They must not raise: TensorRT would end the process."""
    import tensorrt as trt

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str, num_steps: SupportsInt) -> None:
            status.phases.start(phase_name, parent_phase, int(num_steps))

        def step_complete(self, phase_name: str, step: SupportsInt) -> bool:
            status.phases.step(phase_name, int(step))
            with suppress(OSError, ValueError):  # a closed terminal is no reason to end a build
                status.show()
            return not status.cancelled

        def phase_finish(self, phase_name: str) -> None:
            status.phases.finish(phase_name)

    return Monitor()
