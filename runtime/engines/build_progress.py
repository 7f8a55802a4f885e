"""How far an engine build is, and how long the rest will take, from the phases that TensorRT reports."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, SupportsInt, TextIO

if TYPE_CHECKING:
    import tensorrt as trt

Clock = Callable[[], float]

_LINE_EVERY = 10.0  # seconds between lines where there is no terminal
_REDRAW_EVERY = 0.2
_LEAST_SHARE = 0.02  # of a build before its speed says anything about the rest


class Phases:
    """Nested phases of known numbers of steps, as a share of the whole."""

    def __init__(self) -> None:
        self._phases: dict[str, tuple[str | None, int, int]] = {}  # parent, steps, steps done

    def start(self, name: str, parent: str | None, steps: int) -> None:
        self._phases[name] = (parent, max(1, steps), 0)

    def step(self, name: str, step: int) -> None:
        """Note that the step of that number, from 0, is done."""
        if name in self._phases:
            parent, steps, _ = self._phases[name]
            self._phases[name] = (parent, steps, min(step + 1, steps))

    def finish(self, name: str) -> None:
        self._phases.pop(name, None)

    @property
    def share(self) -> float:
        """How much of the outermost phase is done, from 0 to 1."""
        return max((self._share(name) for name, (parent, *_) in self._phases.items() if not parent), default=0.0)

    @property
    def innermost(self) -> str:
        """What is being done now, for people."""
        if not self._phases:
            return ""
        name = list(self._phases)[-1]
        _, steps, done = self._phases[name]
        return f"{name} {done}/{steps}"

    def _share(self, name: str) -> float:
        _, steps, done = self._phases[name]
        inside = [self._share(child) for child, (parent, *_) in self._phases.items() if parent == name]
        return min(1.0, (done + max(inside, default=0.0)) / steps)


class BuildStatus:
    """One line about a build: drawn over itself on a terminal, from time to time elsewhere, or never.

    `cancelled` asks TensorRT to stop at its next step.
    """

    def __init__(self, stream: TextIO | None, clock: Clock = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._terminal = stream is not None and stream.isatty()
        self.cancelled = False
        self.begin("")

    def begin(self, what: str) -> None:
        """A build of `what` starts."""
        self._what, self.phases, self._began = what, Phases(), self._clock()
        self._spoke = self._clock()
        self._width = 0

    def tell(self) -> None:
        """Say how far it is, if it is time to."""
        every = _REDRAW_EVERY if self._terminal else _LINE_EVERY
        if self._stream is None or self._clock() - self._spoke < every:
            return
        self._spoke = self._clock()
        line = self.text()
        self._stream.write("\r" + line.ljust(self._width) if self._terminal else line + "\n")
        self._stream.flush()
        self._width = len(line)

    def end(self) -> None:
        """The build is over; what is said next gets a line of its own."""
        if self._stream is not None and self._width and self._terminal:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()

    def text(self) -> str:
        """For example "denoise, batch 4: 34 %, 0:01:20 left (Tactic timing 12/40)"."""
        share, seconds = self.phases.share, self._clock() - self._began
        left = f", {_clock_text(seconds * (1 - share) / share)} left" if share >= _LEAST_SHARE else ""
        return f"{self._what}: {share:.0%}{left} ({self.phases.innermost})"


def monitor(status: BuildStatus) -> "trt.IProgressMonitor":
    """TensorRT's callbacks over a status. Nothing may be raised through them: TensorRT ends the process if it is."""
    import tensorrt as trt

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str, num_steps: SupportsInt) -> None:
            status.phases.start(phase_name, parent_phase, int(num_steps))

        def step_complete(self, phase_name: str, step: SupportsInt) -> bool:
            status.phases.step(phase_name, int(step))
            with suppress(OSError, ValueError):  # a closed terminal is no reason to end a build
                status.tell()
            return not status.cancelled

        def phase_finish(self, phase_name: str) -> None:
            status.phases.finish(phase_name)

    return Monitor()


def _clock_text(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
