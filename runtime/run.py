"""A run: prompts to a dataset folder, kept whole through interruption, kill and full disk, and resumed pair by pair."""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from wetgen.runtime.bundle import Bundle
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.filters import Examiner, Filter, Verdict
from wetgen.runtime.generator import Generator, Take
from wetgen.runtime.pair import Pair
from wetgen.runtime.progress import Progress
from wetgen.runtime.record import Settings, prompts_sha256
from wetgen.runtime.rejected import FILE_NAME as REJECTED_NAME
from wetgen.runtime.run_folder import SHEET_NAME, Row, RunFolder, check_folder
from wetgen.runtime.tries import Tries

DEFAULT_BATCH = 4
DEFAULT_TRIES = 4
_WAITING = 64  # pairs that may wait for the disk before sampling does


def settings_of(
    bundle: Bundle,
    prompts: Sequence[str],
    *,
    seed: int,
    plan: str | None,
    guidance: float | None,
    negative: str,
    limits: Filter | None = None,
) -> Settings:
    """The settings of a run, the bundle's defaults filled in. Raises WetgenError for limits it cannot measure."""
    return Settings(
        bundle_sha256=bundle.hash,
        prompts=len(prompts),
        prompts_sha256=prompts_sha256(prompts),
        seed=seed,
        plan=bundle.plan(plan).name,
        guidance=bundle.default_guidance if guidance is None else guidance,
        negative=negative,
        filter=(Filter() if limits is None else limits).for_bundle(bundle),
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
    tries: int | None = None,
) -> dict[str, Any]:
    """Make the pairs that `out` lacks and return the final run.json.

    A pair that the settings' filter rejects is drawn again from other noise until it is kept or was tried `tries`
    times; a larger number makes more pairs and changes none. `batch` and `tries` None mean the defaults, or what the
    run was started with. Raises WetgenError for a folder that does not fit, and when it fails on the way;
    KeyboardInterrupt is passed on. Every finished pair is kept in either case.
    """
    earlier = check_folder(out, settings, resume)
    total = count * len(prompts)
    if batch is None:
        batch = min(DEFAULT_BATCH, total) if earlier is None else int(earlier["batch"])
    if tries is None:
        tries = DEFAULT_TRIES if earlier is None else int(earlier.get("tries", 1))
    with Generator(bundle, device=device, batch=batch, threads=threads, say=progress.note) as generator:
        return _run(generator, prompts, out, settings, progress, count, truncate, tries)


def _run(
    generator: Generator,
    prompts: Sequence[str],
    out: Path,
    settings: Settings,
    progress: Progress,
    count: int,
    truncate: bool,
    tries: int,
) -> dict[str, Any]:
    """The run of `run`, on a loaded generator."""
    bundle, total = generator.bundle, count * len(prompts)
    examine = Examiner(settings.filter, bundle)

    def draw(take: Take) -> Iterator[Pair]:
        values = {key: getattr(settings, key) for key in ("seed", "plan", "guidance", "negative")}
        return generator.draw(prompts, take, truncate=truncate, judge=examine.needs_judge, **values)

    draw(lambda _: [])  # refuses impossible values and long prompts before anything is written

    how = {
        "count": count,
        "tries": tries,
        "device": generator.device,
        "target": generator.target.name,
        "batch": generator.batch,
        "threads": generator.threads,
        "notes": generator.notes,  # what the device has to say; more may come while it draws
    }
    folder = RunFolder(out, bundle, settings, how)
    kept, next_try = folder.kept, folder.next_try
    missing = [(i, next_try.get(i, 0)) for i in range(total) if i not in kept and next_try.get(i, 0) < tries]
    progress.start(total, total - len(missing))
    began = time.monotonic()
    try:
        open_tries = Tries(missing, tries)
        with _Storing(folder, progress) as storing:
            for pair in draw(open_tries.take):
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


class _Storing:
    """Stores pairs on a thread of its own, so that encoding and the disk do not hold sampling up.

    On leaving, what was made is stored first, whatever ended the block. The first failure is raised by the next `put`,
    or on leaving.
    """

    def __init__(self, folder: RunFolder, progress: Progress) -> None:
        self._folder, self._progress = folder, progress
        self._pool = ThreadPoolExecutor(max_workers=1)  # one writer at a time, and rows in order
        self._pending: deque[tuple[Future[tuple[bool, Row]], bool]] = deque()

    def __enter__(self) -> "_Storing":
        return self

    def put(self, pair: Pair, verdict: Verdict, given_up: bool) -> None:
        """Hand over a pair, and whether no try of it is left; waits while too many are on their way."""
        self._pending.append((self._pool.submit(self._folder.store, pair, verdict), given_up))
        while self._pending and (self._pending[0][0].done() or len(self._pending) > _WAITING):
            self._tell(*self._pending.popleft())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while self._pending:
                self._tell(*self._pending.popleft())
        except WetgenError:
            if error is None:
                raise
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _tell(self, future: Future[tuple[bool, Row]], given_up: bool) -> None:
        stored, row = future.result()
        if stored:
            self._progress.stored(row)
        else:
            self._progress.rejected(row, given_up=given_up)


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
