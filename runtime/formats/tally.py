"""What a dataset card states of its pairs: counts by split and class, and how much of each picture is damaged."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.census import BINS
from wetgen.runtime.classes import IGNORE, ClassTable
from wetgen.runtime.dataset import Dataset
from wetgen.runtime.formats.example import SPLITS, TRAIN
from wetgen.runtime.metadata import Row
from wetgen.runtime.pictures import Pixels

_BAR = 40  # characters of the longest bar


@dataclass
class Tally:
    """The counts of one dataset, over all its folders."""

    classes: ClassTable
    rows: list[Row] = field(default_factory=list)
    pairs: Counter[str] = field(default_factory=Counter)  # by split
    showing: Counter[tuple[int, str]] = field(default_factory=Counter)  # pairs by class id and split
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))  # by id
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)  # (width, height)
    damage: list[float] = field(default_factory=list)  # damaged share of each picture, ignored pixels left out

    @property
    def splits(self) -> list[str]:
        """The splits that have pairs."""
        return [name for name in SPLITS if self.pairs[name]]

    def add(self, row: Row, mask: Pixels) -> None:
        """Count a pair with its mask uint8 (H, W)."""
        split = str(row.extra.get("split", TRAIN))
        counts = np.bincount(mask.ravel(), minlength=256)
        self.rows.append(row)
        self.pairs[split] += 1
        self.pixels += counts
        self.sizes[mask.shape[1], mask.shape[0]] += 1
        for id in range(len(self.classes)):
            self.showing[id, split] += bool(counts[id])
        marked = int(counts.sum() - counts[IGNORE])
        self.damage.append((marked - int(counts[0])) / marked if marked else 0.0)


def tally(folder: Path, *, ignore: bool) -> Tally:
    """Count a dataset folder, or those directly inside it; raises WetgenError at the first fault."""
    datasets = Dataset.open_many(folder)
    counted = Tally(datasets[0].classes)
    for dataset in datasets:
        for row in dataset.rows:
            counted.add(row, dataset.load(row, ignore=ignore)[1])
    return counted


def damage_chart(damage: list[float]) -> str:
    """A bar per range of damaged share, its length by the number of pictures."""
    bins = ["none", *(f"up to {100 * end:g} %" for end in BINS)]
    places = [0 if share == 0 else 1 + int(np.searchsorted(BINS, share, side="left")) for share in damage]
    counts = np.bincount(places, minlength=len(bins)).tolist()
    # Rounded up, so that one picture still shows.
    lines = [
        f"{name:<11} {count:>7,}  {'█' * -(-_BAR * count // max(counts))}"
        for name, count in zip(bins, counts, strict=True)
    ]
    return "\n".join(line.rstrip() for line in lines)
