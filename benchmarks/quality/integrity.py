"""Whether every pair is one: stored without loss, of one size, of known classes, and what its prompt asks for."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wetgen.benchmarks.quality.floors import Entry, score_beside_floor
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.runtime.dataset.metadata import Row
from wetgen.runtime.dataset.reader import check, dataset_folders
from wetgen.runtime.files import os_errors
from wetgen.runtime.masks.classes import unknown_ids
from wetgen.runtime.prompts.text import mentioned_classes
from wetgen.runtime.sampling.sampler import class_faults, picture_faults

PNG = b"\x89PNG\r\n\x1a\n"

Synonyms = Mapping[str, Sequence[str]]
PairFaults = list[tuple[str, str]]  # kind, and what it is in words


def integrity(pairs: Pairs, words: Synonyms) -> dict[str, Any]:
    """How many pairs were `checked`, `counts` by kind of fault, the `offenders` with their reasons, and `passed`.

    `words` are those by which prompts ask for each class.
    """
    return _report(len(pairs), zip(pairs.names, _faults(pairs, words), strict=True))


def folder_integrity(folder: Path) -> dict[str, Any]:
    """The same report on the files of a dataset folder, or of each directly inside it.

    It names what the dataset's reader refuses (files missing or damaged, masks that are no 8-bit grey PNG, sizes that
    differ, unknown ids, numbers that are not finite), and pictures stored with loss.
    """
    checked, found = 0, []
    for part in dataset_folders(folder):
        report = check(part)
        checked += len(report.rows)
        found += [(part.name, [("file", f"{fault.what} {fault.why}")]) for fault in report.faults]
        found += [(f"{part.name}/{row.file_name}", _row_faults(part, row)) for row in report.rows]
    return _report(checked, found)


def offending_share(synthetic: Pairs, real: Pairs, words: Synonyms) -> Entry:
    """The share of pairs with a fault beside that of real pairs, whose captions err too."""
    drawn, known = (np.array([[1.0, bool(faults)] for faults in _faults(pairs, words)]) for pairs in (synthetic, real))
    return score_beside_floor(lambda counts: float(counts[1] / counts[0]), drawn, known, real.groups, "higher")


def _faults(pairs: Pairs, words: Synonyms) -> list[PairFaults]:
    """The faults of each pair."""
    first: dict[bytes, int] = {}
    found = []
    for i, (image, mask, text) in enumerate(zip(pairs.images, pairs.masks, pairs.texts, strict=True)):
        # The latent is gone by now; that it was finite, the generator saw to.
        faults: PairFaults = [("constant", fault) for fault in picture_faults(np.zeros(1, np.float32), image)]
        unknown = unknown_ids(mask, pairs.table, "the mask")
        faults += [("unknown id", unknown.what)] if unknown else []
        faults += [
            ("asked class absent", fault) for fault in class_faults(mentioned_classes(text, words), mask, pairs.table)
        ]
        earlier = first.setdefault(image.tobytes(), i)
        faults += [("repeat", f"the same picture as {pairs.names[earlier]}")] if earlier != i else []
        found.append(faults)
    return found


def _row_faults(folder: Path, row: Row) -> PairFaults:
    path = folder / row.file_name
    if not path.exists():
        return []  # which is among the folder's faults
    with os_errors(path, "read"), path.open("rb") as file:
        lossless = file.read(len(PNG)) == PNG
    return [] if lossless else [("lossy", "the picture is stored with loss, not as PNG")]


def _report(checked: int, found: Iterable[tuple[str, PairFaults]]) -> dict[str, Any]:
    offenders = [(name, faults) for name, faults in found if faults]
    return {
        "checked": checked,
        "passed": not offenders,
        "counts": dict(Counter(kind for _, faults in offenders for kind, _ in faults)),
        "offenders": [{"pair": name, "reasons": [reason for _, reason in faults]} for name, faults in offenders],
    }
