"""A run: prompts to a dataset folder, kept whole through interruption, kill and full disk, and resumed pair by pair."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from wetgen.runtime.bundle import Bundle
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.generator import Generator, Pair
from wetgen.runtime.progress import Progress
from wetgen.runtime.record import Settings, prompts_sha256
from wetgen.runtime.rejected import FILE_NAME as REJECTED_NAME
from wetgen.runtime.run_folder import SHEET_NAME, Row, RunFolder, check_folder

DEFAULT_BATCH = 4
_WAITING = 64  # pairs that may wait for the disk before sampling does


def settings_of(
    bundle: Bundle, prompts: Sequence[str], *, seed: int, plan: str | None, guidance: float | None, negative: str
) -> Settings:
    """The settings of a run, the bundle's defaults filled in."""
    return Settings(
        bundle_sha256=bundle.hash,
        prompts=len(prompts),
        prompts_sha256=prompts_sha256(prompts),
        seed=seed,
        plan=bundle.plan(plan).name,
        guidance=bundle.default_guidance if guidance is None else guidance,
        negative=negative,
    )


def run(
    bundle: Bundle,
    prompts: Sequence[str],
    out: Path,
    settings: Settings,
    progress: Progress,
    *,
    count: int = 1,
    truncate: bool = False,
    resume: bool = False,
    device: str = "cpu",
    batch: int | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Make the pairs that `out` lacks and return the final run.json.

    `batch` None means DEFAULT_BATCH, or what the run was started with. Raises WetgenError for a folder that does not
    fit, and when it fails on the way; KeyboardInterrupt is passed on. Every finished pair is kept in either case.
    """
    earlier = check_folder(out, settings, resume)
    total = count * len(prompts)
    if batch is None:
        batch = min(DEFAULT_BATCH, total) if earlier is None else int(earlier["batch"])
    generator = Generator(bundle, device=device, batch=batch, threads=threads)
    values = {key: getattr(settings, key) for key in ("seed", "plan", "guidance", "negative")}
    generate = partial(generator.generate, prompts, count=count, truncate=truncate, **values)
    generate(indexes=[])  # refuses impossible values and long prompts before anything is written

    folder = RunFolder(out, bundle, settings, {"count": count, "device": device, "batch": batch, "threads": threads})
    made = folder.made
    missing = [index for index in range(total) if index not in made]
    progress.start(total, total - len(missing))
    began = time.monotonic()
    try:
        with _Storing(folder, progress) as storing:
            for pair in generate(indexes=missing):
                storing.put(pair)
    except BaseException as error:
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with suppress(WetgenError):  # the first failure is the one to be told
            folder.close(status, total, time.monotonic() - began)
        progress.end(folder.record)
        raise
    folder.close("done", total, time.monotonic() - began)
    progress.end(folder.record)
    if folder.record["counts"]["written"] == 0:
        raise WetgenError(
            f"None of the {total} pairs could be used.",
            why=f"every one was broken; {out / REJECTED_NAME} says how.",
            fix="use a smaller --guidance, another --plan or --device, or another bundle.",
        )
    return folder.record


class _Storing:
    """Stores pairs on a thread of its own, so that encoding and the disk do not hold sampling up.

    On leaving, what was made is stored first, whatever ended the block. The first failure is raised by the next `put`,
    or on leaving.
    """

    def __init__(self, folder: RunFolder, progress: Progress) -> None:
        self._folder, self._progress = folder, progress
        self._pool = ThreadPoolExecutor(max_workers=1)  # one writer at a time, and rows in order
        self._pending: deque[Future[tuple[bool, Row]]] = deque()

    def __enter__(self) -> "_Storing":
        return self

    def put(self, pair: Pair) -> None:
        """Hand over a pair; waits while too many are on their way."""
        self._pending.append(self._pool.submit(self._folder.store, pair))
        while self._pending and (self._pending[0].done() or len(self._pending) > _WAITING):
            self._tell(self._pending.popleft())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while self._pending:
                self._tell(self._pending.popleft())
        except WetgenError:
            if error is None:
                raise
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _tell(self, future: Future[tuple[bool, Row]]) -> None:
        stored, row = future.result()
        (self._progress.stored if stored else self._progress.rejected)(row)


def summary(out: Path, record: Mapping[str, Any]) -> str:
    """A finished run in a line or two, for people."""
    counts = record["counts"]
    lines = [f"{out}: {counts['written']} of {counts['asked']} pairs. To look at: {out / SHEET_NAME}"]
    if counts["with_faults"]:
        lines.append(
            f'{counts["with_faults"]} of them lack a class they were asked for: see "faults" in metadata.jsonl.'
        )
    if counts["rejected"]:
        lines.append(f"{counts['rejected']} were broken and not written: see {REJECTED_NAME}.")
    return "\n".join(lines)
