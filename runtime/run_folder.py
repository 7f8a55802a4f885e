"""The folder of a run.

images/000017.png  masks/  confidence/  metadata.jsonl  classes.json     the dataset
run.json  rejected.jsonl  contact-sheet.png                              about the run
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime import sheet
from wetgen.runtime.bundle import Bundle
from wetgen.runtime.classes import ClassTable
from wetgen.runtime.dataset import DatasetWriter
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import atomic_write, os_errors, sweep
from wetgen.runtime.filters import KINDS, Verdict
from wetgen.runtime.metadata import IMAGES
from wetgen.runtime.pair import Pair
from wetgen.runtime.pictures import encode_png, read_image, read_mask
from wetgen.runtime.record import FILE_NAME, Settings, check_same, new_record, now, read_record, write_record
from wetgen.runtime.rejected import Rejected

CONFIDENCE = "confidence"
SHEET_NAME = "contact-sheet.png"

Row = dict[str, object]


class RunFolder:
    """The folder of a run: stores pairs, and its record when the run ends."""

    def __init__(self, out: Path, bundle: Bundle, settings: Settings, how: Mapping[str, object]) -> None:
        """Create or take up the folder; `how` is what run.json shall say beside the settings."""
        self.out, self.bundle, self.record = out, bundle, new_record(settings, how)
        self._settings = settings
        with os_errors(out, "created"):
            out.mkdir(parents=True, exist_ok=True)
        write_record(out, self.record)
        self._writer = DatasetWriter(out, bundle.classes)
        if bundle.classes is not None:
            with os_errors(out / CONFIDENCE, "created"):
                (out / CONFIDENCE).mkdir(exist_ok=True)
            sweep(out / CONFIDENCE)
        self._rejected = Rejected(out)
        self._stored_now = 0

    @property
    def kept(self) -> set[int]:
        """The indexes of the pairs that are stored."""
        return {int(name) for name in self._rows()}

    @property
    def next_try(self) -> dict[int, int]:
        """The try that comes next, by index, for pairs of which tries were rejected; the others begin at 0."""
        return dict(self._rejected.next_try)

    def store(self, pair: Pair, verdict: Verdict) -> tuple[bool, Row]:
        """Write a pair and its row; a rejected one is only listed. Gives whether it was written, and the row."""
        row = {**pair_row(pair, self._settings, self.bundle), **verdict.scores}
        if verdict.reasons:
            row["reasons"] = dict(verdict.reasons)
            self._rejected.add(row)
            return False, row
        return True, {"file_name": self._write(pair, row), **row}

    def _write(self, pair: Pair, row: Row) -> str:
        """Write the files and the row of a pair; gives the image's name."""
        file = f"{pair_name(pair.index)}.png"
        if pair.confidence is not None:
            row["confidence_file_name"] = f"{CONFIDENCE}/{file}"
            atomic_write(self.out / CONFIDENCE / file, encode_png(pair.confidence))
        self._writer.add(pair_name(pair.index), pair.image, pair.mask, row)
        self._stored_now += 1
        return f"{IMAGES}/{file}"

    def close(self, status: str, total: int, tries: int, seconds: float) -> None:
        """Write the contact sheet and the final run.json; each of the `total` pairs had `tries` tries at most."""
        rows = self._rows()
        drawn = len(rows) + self._rejected.tries
        self.record.update(
            status=status,
            finished=now(),
            seconds_generating=round(seconds, 3),
            images_per_second=round(self._stored_now / seconds, 4) if seconds > 0 else None,
            counts={
                "asked": total,
                "written": len(rows),
                "with_faults": sum(bool(row.get("faults")) for row in rows.values()),
                "unjudged": sum("agreement" in row and row["agreement"] is None for row in rows.values()),
                "drawn": drawn,
                "rejected": self._rejected.tries,
                "given_up": sum(
                    next_try >= tries and pair_name(index) not in rows for index, next_try in self.next_try.items()
                ),
            },
            reasons={kind: self._rejected.reasons[kind] for kind in KINDS if kind in self._rejected.reasons},
            keep_rate=round(len(rows) / drawn, 4) if drawn else None,
        )
        write_record(self.out, self.record)
        first = sorted(rows, key=int)[: sheet.LIMIT]
        pixels = sheet.contact_sheet([self._tile(name, rows[name]) for name in first], self.bundle.classes)
        atomic_write(self.out / SHEET_NAME, encode_png(pixels))

    def _rows(self) -> dict[str, Row]:
        """The rows of this run's pairs, by name; somebody may have put other pairs beside them."""
        return {name: row for name, row in self._writer.existing().items() if name.isdecimal()}

    def _tile(self, name: str, row: Mapping[str, object]) -> sheet.Tile:
        image = read_image(self.out / str(row["file_name"]))
        mask = read_mask(self.out / str(row["mask_file_name"])) if "mask_file_name" in row else None
        return sheet.Tile(image, mask, f"{int(name)}: {row['text']}")


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
        "try": pair.attempt,
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


def check_folder(out: Path, settings: Settings, resume: bool) -> dict[str, Any] | None:
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
