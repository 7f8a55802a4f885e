"""The folder of a run.

images/000017.png  masks/  confidence/  metadata.jsonl  classes.json     the dataset, or
shards/000000.tar  metadata.jsonl  classes.json                          the dataset in shards
run.json  rejected.jsonl  contact-sheet.png  boxes.csv                   about the run
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.dataset import sheet
from wetgen.runtime.dataset.journal import RejectedLog
from wetgen.runtime.dataset.shards import ShardWriter
from wetgen.runtime.dataset.writer import DatasetWriter, PairWriter, Prepared
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import atomic_write, os_errors, pair_name
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.masks.images import encode_png
from wetgen.runtime.run.filters import KINDS, Verdict
from wetgen.runtime.run.record import FILE_NAME, RunConfig, check_same, new_record, now, read_record, write_record
from wetgen.runtime.sampling.pair import Pair

SHEET_NAME = "contact-sheet.png"
BOXES_NAME = "boxes.csv"  # of painted damage; runs without any write none

NewRow = dict[str, object]


@dataclass(frozen=True)
class Kept:
    """A pair that is kept, as it goes to disk."""

    index: int
    prepared: Prepared

    @property
    def row(self) -> NewRow:
        """Its row in metadata.jsonl."""
        return self.prepared.keys


@dataclass(frozen=True)
class Rejection:
    """A try that is not kept, and its row in rejected.jsonl; `given_up`: it was the pair's last."""

    index: int
    row: NewRow
    given_up: bool


class RunFolder:
    """The folder of a run: stores pairs, and its record when the run ends.

    Of what is stored it holds a few bytes a pair, so that a run of any length takes the memory of a short one.
    """

    def __init__(
        self, out: Path, bundle: Bundle, config: RunConfig, details: Mapping[str, object], shards: int | None = None
    ) -> None:
        """Create or take up the folder; `details` is what run.json says beside the config.

        `shards` is how many pairs go into a tar file; None writes every picture as a file.
        """
        self.out, self.bundle, self.record = out, bundle, new_record(config, details)
        self._config = config
        with os_errors(out, "created"):
            out.mkdir(parents=True, exist_ok=True)
        write_record(out, self.record)
        self._writer = _writer(out, bundle.classes, shards)
        self._rejected = RejectedLog(out)
        self._contents = Contents()
        self._stored_now = 0
        for name, row in self._writer.rows():
            self._contents.add(name, row)

    def is_kept(self, index: int) -> bool:
        """Whether the pair of an index is stored."""
        return pair_name(index) in self._writer.names

    def next_try(self, index: int) -> int:
        """The try that comes next for a pair that is not stored."""
        return self._rejected.next_try.get(index, 0)

    def missing(self, total: int, tries: int) -> Iterator[tuple[int, int]]:
        """The indexes of pairs that are neither stored nor given up, each with its next try.

        Found one by one while the run goes on, which touches no index before it was given out.
        """
        for index in range(total):
            if not self.is_kept(index) and (attempt := self.next_try(index)) < tries:
                yield index, attempt

    def expect(self, indexes: Iterable[int]) -> None:
        """Say which pairs are to be drawn."""
        self._writer.expect(indexes)

    def prepare(self, pair: Pair, verdict: Verdict, given_up: bool) -> Kept | Rejection:
        """Encode a pair and its row, or the row of a rejected one. Touches no file: threads prepare side by side."""
        row = {**pair_row(pair, self._config, self.bundle), **verdict.scores}
        if verdict.reasons:
            return Rejection(pair.index, {**row, "reasons": dict(verdict.reasons)}, given_up)
        name = pair_name(pair.index)
        return Kept(pair.index, self._writer.prepare(name, pair.image, pair.mask, row, pair.confidence))

    def write(self, ready: Kept | Rejection) -> None:
        """Write a pair's files and its row, or list a rejected try."""
        if isinstance(ready, Rejection):
            self._rejected.add(ready.row)
        else:
            self._writer.write(ready.prepared)
            self._contents.add(ready.prepared.name, ready.row)
            self._stored_now += 1
        if isinstance(ready, Kept) or ready.given_up:
            self._writer.settle(ready.index)

    def close(self, status: str, total: int, tries: int, seconds: float) -> None:
        """Write the contact sheet and the final run.json; each of the `total` pairs had `tries` tries at most."""
        held, rejected = self._contents, self._rejected
        drawn = held.pairs + rejected.tries
        given_up = sum(next_try >= tries and not self.is_kept(index) for index, next_try in rejected.next_try.items())
        self.record.update(
            status=status,
            finished=now(),
            seconds_generating=round(seconds, 3),
            images_per_second=round(self._stored_now / seconds, 4) if seconds > 0 else None,
            counts={
                "asked": total,
                "written": held.pairs,
                "with_faults": held.with_faults,
                "unjudged": held.unjudged,
                "drawn": drawn,
                "rejected": rejected.tries,
                "given_up": given_up,
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
        atomic_write(self.out / SHEET_NAME, encode_png(sheet.contact_sheet(tiles, self.bundle.classes)))


def _writer(out: Path, classes: ClassTable | None, shards: int | None) -> PairWriter:
    if shards is None:
        return DatasetWriter(out, classes, confidence=classes is not None)
    return ShardWriter(out, classes, shards)


class Contents:
    """What run.json and the contact sheet say of the pairs of a run; holds the rows of the sheet's pairs only."""

    def __init__(self) -> None:
        self.pairs = self.with_faults = self.unjudged = self.boxes = 0
        self._first: dict[int, NewRow] = {}

    def add(self, name: str, row: NewRow) -> None:
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

    def first(self) -> list[tuple[int, NewRow]]:
        """The pairs of the lowest indexes with their rows, as many as a contact sheet shows."""
        return sorted(self._first.items(), key=lambda item: item[0])


def write_boxes(path: Path, rows: Iterable[tuple[str, NewRow]]) -> None:
    """Write the boxes of rows that have some: file_name, class, x, y, width, height, in pixels."""
    names = ("class", "x", "y", "width", "height")
    lines = []
    for _, row in rows:
        file_name = row.get("file_name", row.get("key"))
        listed = row.get("boxes")
        for box in listed if isinstance(listed, list) else []:
            lines.append(",".join([str(file_name), *(str(box[name]) for name in names)]))
    atomic_write(path, "".join(f"{line}\n" for line in [",".join(["file_name", *names]), *lines]).encode())


def pair_row(pair: Pair, config: RunConfig, bundle: Bundle) -> NewRow:
    """The metadata row of a pair: all it takes to make it again, and what is known of it."""
    assert pair.params is not None  # a generator's pairs say how they were drawn
    row: NewRow = {
        "text": pair.prompt,
        "scene": f"{pair.seed}-{pair.index}",
        "seed": pair.seed,
        "index": pair.index,
        "try": pair.attempt,
        **pair.params._asdict(),
        "bundle_sha256": config.bundle_sha256,
        "faults": list(pair.faults),
        "synthetic": True,
        "license": _license_note(bundle, pair.metadata.get("background")),
        **pair.metadata,
    }
    if pair.confidence is not None:
        row["confidence"] = round(float(pair.confidence.mean()) / 255, 4)
    if pair.mask is not None and bundle.classes is not None:
        row["class_areas"] = _areas(pair.mask, bundle.classes)
    return row


def _areas(mask: NDArray[np.uint8], classes: ClassTable) -> dict[str, float]:
    """The share of the picture that each class present covers."""
    counts = np.bincount(mask.ravel(), minlength=len(classes))  # what is to be ignored has no name, and no share
    return {name: round(int(n) / mask.size, 5) for name, n in zip(classes.names, counts, strict=False) if n}


def _license_note(bundle: Bundle, background: object) -> str:
    """Whose rights may touch a generated picture: the licences of what the bundle was trained on, and those of a
    photograph in its background."""
    photograph = "that of the photograph; " if isinstance(background, Mapping) and "photo" in background else ""
    sources = bundle.info.get("trained_on")
    listed = sources if isinstance(sources, list) else []
    licenses = sorted({str(source["license"]) for source in listed if isinstance(source, dict) and "license" in source})
    trained = f"trained on: {', '.join(licenses)}" if licenses else "training data not stated"
    return f"{photograph}generated; {trained}"


def check_folder(out: Path, config: RunConfig, resume: bool) -> dict[str, Any] | None:
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
    check_same(out, record, config)
    return record


def same_shards(out: Path, before: int | None, asked: int | None) -> int | None:
    """The pairs per shard of the run to continue; raises WetgenError when others are asked for."""
    if asked is not None and asked != before:
        stood = "writes no shards" if before is None else f"writes shards of {before} pairs"
        raise WetgenError(
            f"{out} holds a run that {stood}.",
            why="pairs are not moved from one file to another.",
            fix="resume it without --shards, or choose an empty folder with --out.",
        )
    return before
