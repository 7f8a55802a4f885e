"""Stores a run's pairs beside the sampling: encoded by several threads, written in order by one, never too many."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from wetgen.runtime.cores import usable_cores
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.filters import Verdict
from wetgen.runtime.pair import Pair
from wetgen.runtime.progress import Progress
from wetgen.runtime.run_folder import Kept, Rejection, RunFolder

WAITING = 64  # pairs that may wait for the disk before sampling does
_MOST_PIXELS = 2**23  # of pictures that may: more than 64 drawn ones, fewer than two photographs
_MOST_ENCODERS = 4  # beyond, the interpreter's lock keeps them waiting for each other


class Storing:
    """Takes pairs from the thread that samples, and tells the progress, on that thread, when they are stored.

    On leaving, what was made is stored first, whatever ended the block. The first failure is raised by the next `put`,
    or on leaving.
    """

    def __init__(self, folder: RunFolder, progress: Progress) -> None:
        self._folder, self._progress = folder, progress
        self._encoders = ThreadPoolExecutor(min(_MOST_ENCODERS, usable_cores()))
        self._writer = ThreadPoolExecutor(1)  # so that rows come in the order of the pairs, and one file after another
        self._pending: deque[tuple[int, Future[Kept | Rejection]]] = deque()  # with their pixels

    def __enter__(self) -> "Storing":
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
