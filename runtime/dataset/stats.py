"""What a dataset folder holds, counted: sizes, classes, damage, captions, scenes, licences, and every fault.

What a dataset card states of its pairs: counts by split and class, and how much of each picture is damaged.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.dataset.formats.base import SPLITS, TRAIN
from wetgen.runtime.dataset.metadata import Row
from wetgen.runtime.dataset.reader import Dataset, Report, check, dataset_folders, tables_differ
from wetgen.runtime.errors import WetgenError, printable
from wetgen.runtime.masks.classes import IGNORE, IGNORE_KEY, MAX_CLASSES, ClassTable
from wetgen.runtime.masks.images import Pixels

# Upper ends of the bins of damage per image (share of its pixels); none at all is a bin of its own.
BINS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
BAR = 40  # characters of the longest bar


def _zeros() -> NDArray[np.int64]:
    return np.zeros(MAX_CLASSES + 1, np.int64)


@dataclass
class Census:
    """The counts of one dataset folder; pixels count only for pairs without faults."""

    report: Report
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)  # (width, height)
    images: NDArray[np.int64] = field(default_factory=_zeros)  # (256,) pairs that show the class, by id
    pixels: NDArray[np.int64] = field(default_factory=_zeros)  # (256,) by id
    damage: list[float] = field(default_factory=list)  # damaged share of a pair's pixels, ignored ones left out
    ignored: int = 0  # pixels that their pairs' rows say to leave out
    ignoring: int = 0  # pairs with such pixels

    @property
    def classes(self) -> ClassTable | None:
        """The class table, or None where it is at fault."""
        return self.report.classes

    @property
    def pairs(self) -> int:
        """How many pairs are without fault."""
        return len(self.damage)


def take_census(folder: Path) -> Census:
    """Read and count every pair of one dataset folder; faults are in the census' report."""
    census = Census(Report(folder, None, (), ()))

    def count(row: Row, image: Pixels, mask: Pixels) -> None:
        height, width = mask.shape
        ids = np.bincount(mask.ravel(), minlength=MAX_CLASSES + 1)
        census.sizes[width, height] += 1
        census.images += ids > 0
        census.pixels += ids
        ignored = int(ids[IGNORE]) if IGNORE_KEY in row.extra else 0
        census.ignored += ignored
        census.ignoring += ignored > 0
        marked = mask.size - ignored
        census.damage.append(float(marked - ids[0]) / marked if marked else 0.0)

    census.report = check(folder, count)
    return census


def inspect_dataset(folder: Path) -> tuple[str, bool]:
    """Describe a dataset folder, or each one directly inside `folder`; the text, and whether all is without fault.

    Raises WetgenError when there is no dataset folder at all.
    """
    found = [take_census(path) for path in dataset_folders(folder)]
    texts = [render(census) for census in found]
    disagreements = _disagreements(found)
    faults = sum(len(census.report.faults) for census in found) + len(disagreements)
    if len(found) > 1:
        pairs = sum(census.pairs for census in found)
        texts.append(f"{folder}: {len(found)} datasets, {pairs:,} sound pairs, {_plural(faults, 'fault')}")
    return "\n\n".join([*texts, *map(str, disagreements)]), faults == 0


def render(census: Census) -> str:
    """The census as text for a terminal."""
    rows = census.report.rows
    parts = [f"{census.report.folder}: {_plural(len(rows), 'row')}, {_plural(census.pairs, 'sound pair')}"]
    if census.pairs:
        parts += [_render_sizes(census.sizes), _render_classes(census), *_render_ignored(census)]
        parts.append(_render_damage(census.damage))
    if rows:
        parts += [_render_captions(rows), _render_origins(rows)]
    parts.append(_render_faults(census.report.faults))
    return "\n\n".join(parts)


def _disagreements(found: list[Census]) -> list[WetgenError]:
    """Folders whose class table is not that of the first one."""
    tables = [(census.report.folder, census.classes) for census in found if census.classes is not None]
    first_folder, first = tables[0] if tables else (Path(), None)
    return [
        tables_differ(first_folder, first, folder, table)
        for folder, table in tables[1:]
        if first is not None and table != first
    ]


def _render_sizes(sizes: Counter[tuple[int, int]]) -> str:
    spreads = []
    for side, name in enumerate(("width", "height")):
        lengths = [size[side] for size in sizes.elements()]
        spreads.append(f"{name} {min(lengths)} / {median(lengths):g} / {max(lengths)}")
    common = [f"{width} x {height} ({count:,})" for (width, height), count in sizes.most_common(4)]
    more = f", and {len(sizes) - 4} more" if len(sizes) > 4 else ""
    return f"sizes (min / median / max): {', '.join(spreads)}\n  most common: {', '.join(common)}{more}"


def _render_classes(census: Census) -> str:
    """A line per class: how many pairs show it, and its share of all pixels."""
    names = census.classes.names if census.classes is not None else tuple(map(str, range(MAX_CLASSES + 1)))
    wide = max(len("class"), *map(len, names))
    lines = [f"   id  {'class':<{wide}}  {'images':>8}  {'pixels':>9}"]
    total = census.pixels.sum()
    for id, name in enumerate(names):
        if census.classes is not None or census.images[id]:
            share = f"{100 * census.pixels[id] / total:.3f} %"
            lines.append(f"  {id:>3}  {name:<{wide}}  {census.images[id]:>8,}  {share:>9}")
    return "\n".join(lines)


def _render_ignored(census: Census) -> list[str]:
    if not census.ignored:
        return []
    share = f"{100 * census.ignored / census.pixels.sum():.3f} %"
    pairs = f"{_plural(census.ignoring, 'pair')}, as {'its row says' if census.ignoring == 1 else 'their rows say'}"
    return [
        f"ignored: {_plural(census.ignored, 'pixel')} ({share}) of {pairs}\n"
        f"  they are {IGNORE} in the mask, and count as neither damage nor background below"
    ]


def _render_damage(damage: list[float]) -> str:
    """A histogram with a bar per bin, its length by the count."""
    ends = np.array(BINS)
    counts = [sum(share == 0 for share in damage)]
    # side="left": a share equal to a bin's upper end belongs to that bin.
    places = np.searchsorted(ends, [share for share in damage if share > 0], side="left")
    counts += np.bincount(places, minlength=len(BINS)).tolist()
    names = ["none", *(f"up to {100 * end:g} %" for end in BINS)]
    longest = max(counts)
    lines = ["damaged share of an image, in images"]
    for name, count in zip(names, counts, strict=True):
        bar = "#" * -(-BAR * count // longest)  # rounded up, so that one image still shows
        lines.append(f"  {name:<11}  {count:>7,}  {bar}".rstrip())
    return "\n".join(lines)


def _render_captions(rows: tuple[Row, ...]) -> str:
    lengths = [len(row.text.split()) for row in rows]
    words = Counter(word.strip(".,;:!?()\"'").lower() for row in rows for word in row.text.split())
    words.pop("", None)
    spread = f"{min(lengths)} / {median(lengths):g} / {max(lengths)}"
    distinct = len({row.text for row in rows})
    return (
        f"captions: {distinct:,} distinct, words in one (min / median / max) {spread}, {len(words):,} distinct words\n"
        f"  most common: {', '.join(f'{printable(word)} ({count:,})' for word, count in words.most_common(8))}"
    )


def _render_origins(rows: tuple[Row, ...]) -> str:
    """Scenes, and licences with their number of rows."""
    licences = Counter(str(row.extra.get("license", "none stated")) for row in rows)
    listed = [f"  {count:>7,}  {printable(licence)}" for licence, count in licences.most_common()]
    return "\n".join([f"scenes: {len({row.scene for row in rows}):,}", "licences, in rows", *listed])


def _render_faults(faults: tuple[WetgenError, ...]) -> str:
    return "\n".join(["no faults" if not faults else _plural(len(faults), "fault") + ":", *map(str, faults)])


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


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
