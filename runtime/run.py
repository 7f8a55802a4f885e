"""A run: prompts to a dataset folder, kept whole through interruption, kill and full disk, and resumed pair by pair.

    images/000017.png  masks/  confidence/  metadata.jsonl  classes.json     the dataset
    run.json  rejected.jsonl  contact-sheet.png                              about the run
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime import sheet
from wetgen.runtime.bundle import Bundle
from wetgen.runtime.classes import ClassTable
from wetgen.runtime.dataset import DatasetWriter
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import atomic_write, os_errors, sweep
from wetgen.runtime.generator import Generator, Pair
from wetgen.runtime.pictures import encode_png, read_image, read_mask
from wetgen.runtime.progress import Progress
from wetgen.runtime.record import (
    FILE_NAME,
    Settings,
    check_same,
    new_record,
    now,
    prompts_sha256,
    read_record,
    write_record,
)
from wetgen.runtime.rejected import Rejected

CONFIDENCE = "confidence"
SHEET_NAME = "contact-sheet.png"
DEFAULT_BATCH = 4
_WAITING = 64  # pairs that may wait for the disk before sampling does

Row = dict[str, object]


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
    earlier = _check_folder(out, settings, resume)
    total = count * len(prompts)
    if batch is None:
        batch = min(DEFAULT_BATCH, total) if earlier is None else int(earlier["batch"])
    began = time.monotonic()
    generator = Generator(bundle, device=device, batch=batch, threads=threads)
    options = {"seed": settings.seed, "plan": settings.plan, "guidance": settings.guidance}
    generate = _generate(generator, prompts, count, truncate, {**options, "negative": settings.negative})
    generate([])  # refuses impossible values and long prompts before anything is written

    record = new_record(settings, count=count, device=device, batch=batch, threads=threads)
    folder = _RunFolder(out, bundle, settings, record)
    missing = [index for index in range(total) if index not in folder.made]
    record["seconds_loading"] = round(time.monotonic() - began, 3)
    progress.start(total, total - len(missing))
    began = time.monotonic()
    status = "failed"
    try:
        with _Storing(folder, progress) as storing:
            for pair in generate(missing):
                storing.put(pair)
        status = "done"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        with suppress(WetgenError) if status != "done" else suppress():  # the first failure is the one to be told
            folder.close(status, total, time.monotonic() - began)
        progress.end(record)
    return record


def _generate(
    generator: Generator, prompts: Sequence[str], count: int, truncate: bool, options: Mapping[str, Any]
) -> Callable[[Sequence[int]], Any]:
    return lambda indexes: generator.generate(prompts, count=count, truncate=truncate, indexes=indexes, **options)


class _RunFolder:
    """The folder of a run: stores pairs, and its record when the run ends."""

    def __init__(self, out: Path, bundle: Bundle, settings: Settings, record: dict[str, Any]) -> None:
        self.out, self.bundle, self.record = out, bundle, record
        self._settings = settings
        with os_errors(out, "created"):
            out.mkdir(parents=True, exist_ok=True)
        write_record(out, record)
        self._writer = DatasetWriter(out, bundle.classes)
        if bundle.classes is not None:
            with os_errors(out / CONFIDENCE, "created"):
                (out / CONFIDENCE).mkdir(exist_ok=True)
            sweep(out / CONFIDENCE)
        self._rejected = Rejected(out)
        self._stored_now = 0

    @property
    def made(self) -> set[int]:
        """The indexes that need not be made any more: stored, or rejected."""
        return {int(name) for name in self._writer.existing()} | self._rejected.indexes

    def store(self, pair: Pair) -> tuple[bool, Row]:
        """Write a pair and its row; a broken one is only listed. Gives whether it was written, and the row."""
        row = pair_row(pair, self._settings, self.bundle)
        if pair.broken:
            self._rejected.add(row)
            return False, row
        name = pair_name(pair.index)
        if pair.confidence is not None:
            row["confidence_file_name"] = f"{CONFIDENCE}/{name}.png"
            atomic_write(self.out / CONFIDENCE / f"{name}.png", encode_png(pair.confidence))
        self._writer.add(name, pair.image, pair.mask, row)
        self._stored_now += 1
        return True, row

    def close(self, status: str, total: int, seconds: float) -> None:
        """Write the contact sheet and the final run.json."""
        rows = self._writer.existing()
        self.record.update(
            status=status,
            finished=now(),
            seconds_generating=round(seconds, 3),
            images_per_second=round(self._stored_now / seconds, 4) if seconds > 0 else None,
            counts={
                "asked": total,
                "written": len(rows),
                "with_faults": sum(bool(row.get("faults")) for row in rows.values()),
                "rejected": len(self._rejected.indexes),
            },
        )
        write_record(self.out, self.record)
        first = sorted(rows, key=int)[: sheet.LIMIT]
        pixels = sheet.contact_sheet([self._tile(name, rows[name]) for name in first], self.bundle.classes)
        atomic_write(self.out / SHEET_NAME, encode_png(pixels))

    def _tile(self, name: str, row: Mapping[str, object]) -> sheet.Tile:
        image = read_image(self.out / str(row["file_name"]))
        mask = read_mask(self.out / str(row["mask_file_name"])) if "mask_file_name" in row else None
        return sheet.Tile(image, mask, f"{int(name)}: {row['text']}")


class _Storing:
    """Stores pairs on a thread of its own, so that encoding and the disk do not hold sampling up.

    On leaving, what was made is stored first, whatever ended the block. The first failure is raised by the next `put`,
    or on leaving.
    """

    def __init__(self, folder: _RunFolder, progress: Progress) -> None:
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


def pair_name(index: int) -> str:
    """What a pair's files are called, without suffix."""
    return f"{index:06d}"


def pair_row(pair: Pair, settings: Settings, bundle: Bundle) -> Row:
    """The metadata row of a pair: all it takes to make it again, and what is known of it."""
    row: Row = {
        "text": pair.prompt,
        "scene": f"{pair.seed}-{pair.index}",
        "seed": pair.seed,
        "index": pair.index,
        "plan": settings.plan,
        "guidance": settings.guidance,
        "negative": settings.negative,
        "bundle_sha256": settings.bundle_sha256,
        "faults": list(pair.faults),
        "synthetic": True,
        "license": _license_note(bundle),
    }
    if pair.confidence is not None:
        row["confidence"] = round(float(pair.confidence.mean()) / 255, 4)
    if pair.mask is not None and bundle.classes is not None:
        row["class_areas"] = _areas(pair.mask, bundle.classes)
    return row


def _areas(mask: NDArray[np.uint8], classes: ClassTable) -> dict[str, float]:
    """The share of the picture that each class present covers."""
    counts = np.bincount(mask.ravel(), minlength=len(classes))
    return {name: round(int(n) / mask.size, 5) for name, n in zip(classes.names, counts, strict=False) if n}


def _license_note(bundle: Bundle) -> str:
    """Whose rights may touch a generated picture: the licences of what the bundle was trained on."""
    sources = bundle.info.get("trained_on")
    listed = sources if isinstance(sources, list) else []
    licenses = sorted({str(source["license"]) for source in listed if isinstance(source, dict) and "license" in source})
    return f"generated; trained on: {', '.join(licenses)}" if licenses else "generated; training data not stated"


def _check_folder(out: Path, settings: Settings, resume: bool) -> dict[str, Any] | None:
    """The run.json to continue, or None for a new run; raises WetgenError when `out` cannot take this run."""
    with os_errors(out, "read"):
        # A process killed while it wrote its very first file leaves only a hidden temporary one.
        names = [path.name for path in out.iterdir() if not path.name.startswith(".")] if out.exists() else []
    if not names:
        return None
    if FILE_NAME not in names:
        raise WetgenError(
            f"{out} is not empty.",
            why=f"it holds {names[0]}, and no run to resume.",
            fix="choose an empty or new folder with --out.",
        )
    if not resume:
        raise WetgenError(
            f"{out} holds a run already.",
            why="a new run never overwrites another.",
            fix="continue it with --resume, or choose an empty or new folder with --out.",
        )
    record = read_record(out)
    check_same(out, record, settings)
    return record
