"""Dataset statistics: sizes, classes, damage, captions, scenes and licences, for `wetgen inspect` and `wetgen card`."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.dataset.formats.base import TRAIN
from wetgen.runtime.dataset.metadata import Row
from wetgen.runtime.dataset.reader import Dataset, Report, check, dataset_folders, tables_differ
from wetgen.runtime.errors import printable
from wetgen.runtime.masks.classes import IGNORE, IGNORE_KEY, MAX_CLASSES, ClassTable
from wetgen.runtime.masks.images import Pixels

# Upper ends of the bins of damage per image (share of its pixels); none at all is a bin of its own.
BINS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
_BAR = 40  # characters of the longest bar


def _zeros() -> NDArray[np.int64]:
    return np.zeros(MAX_CLASSES + 1, np.int64)


@dataclass
class Stats:
    """Counts over the pairs of one or more dataset folders with one class table."""

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)  # (width, height)
    splits: Counter[str] = field(default_factory=Counter)  # pairs by split
    showing: dict[str, NDArray[np.int64]] = field(default_factory=dict)  # by split: (256,) pairs that show a class id
    pixels: NDArray[np.int64] = field(default_factory=_zeros)  # (256,) by class id
    damage: list[float] = field(default_factory=list)  # damaged share of each pair's pixels, ignored ones left out
    ignored: int = 0  # pixels to leave out
    ignoring: int = 0  # pairs with such pixels

    def add(self, row: Row, mask: Pixels, *, ignore: bool = False) -> None:
        """Count a pair by its mask uint8 (H, W). With `ignore`, or where the row states it, IGNORE is left out."""
        height, width = mask.shape
        split = str(row.extra.get("split", TRAIN))
        counts = np.bincount(mask.ravel(), minlength=MAX_CLASSES + 1)
        self.sizes[width, height] += 1
        self.splits[split] += 1
        self.showing[split] = self.showing.get(split, _zeros()) + (counts > 0)
        self.pixels += counts
        ignored = int(counts[IGNORE]) if ignore or IGNORE_KEY in row.extra else 0
        self.ignored += ignored
        self.ignoring += ignored > 0
        labelled = mask.size - ignored
        self.damage.append((labelled - int(counts[0])) / labelled if labelled else 0.0)

    @property
    def pairs(self) -> int:
        return len(self.damage)

    @property
    def images(self) -> NDArray[np.int64]:
        """How many pairs show each class id, (256,)."""
        return sum(self.showing.values(), _zeros())


def stats_of(datasets: Iterable[Dataset], *, ignore: bool) -> Stats:
    """Count every pair of these datasets. Raises WetgenError at the first fault."""
    stats = Stats()
    for dataset in datasets:
        for row in dataset.rows:
            stats.add(row, dataset.load(row, ignore=ignore)[1], ignore=ignore)
    return stats


def check_and_count(folder: Path) -> tuple[Report, Stats]:
    """Check every pair of a dataset folder, and count the pairs without faults."""
    stats = Stats()
    report = check(folder, lambda row, image, mask: stats.add(row, mask))
    return report, stats


def damage_bins(damage: list[float]) -> Iterator[tuple[str, int, int]]:
    """The name of each bin, how many images are in it, and the length of its bar in a chart."""
    names = ["none", *(f"up to {100 * end:g} %" for end in BINS)]
    # side="left": a share equal to a bin's upper end belongs to that bin.
    bins = [0 if share == 0 else 1 + int(np.searchsorted(BINS, share, side="left")) for share in damage]
    counts = np.bincount(bins, minlength=len(names)).tolist()
    longest = max(counts)
    for name, count in zip(names, counts, strict=True):
        yield name, count, -(-_BAR * count // longest)  # rounded up, so that one image still shows


def inspect_dataset(folder: Path) -> tuple[str, bool]:
    """Describe a dataset folder, or each one directly inside `folder`. Returns the text, and whether there is no fault.

    Raises WetgenError if there is no dataset folder at all.
    """
    found = [check_and_count(path) for path in dataset_folders(folder)]
    tables = [(report.folder, report.classes) for report, _ in found if report.classes is not None]
    differ = [tables_differ(*tables[0], *other) for other in tables[1:] if other[1] != tables[0][1]]
    faults = sum(len(report.faults) for report, _ in found) + len(differ)
    texts = [render(report, stats) for report, stats in found]
    if len(found) > 1:
        pairs = sum(stats.pairs for _, stats in found)
        texts.append(f"{folder}: {len(found)} datasets, {pairs:,} sound pairs, {_plural(faults, 'fault')}")
    return "\n\n".join([*texts, *map(str, differ)]), faults == 0


def render(report: Report, stats: Stats) -> str:
    """The report and the counts of a dataset folder as text for a terminal."""
    return "\n\n".join(_paragraphs(report, stats))


def _paragraphs(report: Report, stats: Stats) -> Iterator[str]:
    yield f"{report.folder}: {_plural(len(report.rows), 'row')}, {_plural(stats.pairs, 'sound pair')}"
    if stats.pairs:
        yield from _about_pairs(stats, report.classes)
    if report.rows:
        yield from _about_rows(report.rows)
    faults = f"{_plural(len(report.faults), 'fault')}:" if report.faults else "no faults"
    yield "\n".join([faults, *map(str, report.faults)])


def _about_pairs(stats: Stats, classes: ClassTable | None) -> Iterator[str]:
    """Sizes, classes, ignored pixels and damage."""
    sizes, images, total = stats.sizes, stats.images, stats.pixels.sum()
    widths, heights = zip(*sizes.elements(), strict=True)
    common = [f"{width} x {height} ({count:,})" for (width, height), count in sizes.most_common(4)]
    more = f", and {len(sizes) - 4} more" if len(sizes) > 4 else ""
    yield (
        f"sizes (min / median / max): width {_spread(widths)}, height {_spread(heights)}\n"
        f"  most common: {', '.join(common)}{more}"
    )
    names = classes.names if classes is not None else tuple(map(str, range(MAX_CLASSES + 1)))
    wide = max(len("class"), *map(len, names))
    lines = [f"   id  {'class':<{wide}}  {'images':>8}  {'pixels':>9}"]
    for id, name in enumerate(names):
        if classes is not None or images[id]:
            share = f"{100 * stats.pixels[id] / total:.3f} %"
            lines.append(f"  {id:>3}  {name:<{wide}}  {images[id]:>8,}  {share:>9}")
    yield "\n".join(lines)
    if stats.ignored:
        pairs = f"{_plural(stats.ignoring, 'pair')}, as {'its row says' if stats.ignoring == 1 else 'their rows say'}"
        yield (
            f"ignored: {_plural(stats.ignored, 'pixel')} ({100 * stats.ignored / total:.3f} %) of {pairs}\n"
            f"  they are {IGNORE} in the mask, and count as neither damage nor background below"
        )
    lines = [f"  {name:<11}  {count:>7,}  {'#' * length}".rstrip() for name, count, length in damage_bins(stats.damage)]
    yield "\n".join(["damaged share of an image, in images", *lines])


def _about_rows(rows: tuple[Row, ...]) -> Iterator[str]:
    """Captions, scenes and licences."""
    words = Counter(word.strip(".,;:!?()\"'").lower() for row in rows for word in row.text.split())
    words.pop("", None)
    spread = _spread([len(row.text.split()) for row in rows])
    distinct = len({row.text for row in rows})
    yield (
        f"captions: {distinct:,} distinct, words in one (min / median / max) {spread}, {len(words):,} distinct words\n"
        f"  most common: {', '.join(f'{printable(word)} ({count:,})' for word, count in words.most_common(8))}"
    )
    licences = Counter(str(row.extra.get("license", "none stated")) for row in rows)
    lines = [f"  {count:>7,}  {printable(licence)}" for licence, count in licences.most_common()]
    yield "\n".join([f"scenes: {len({row.scene for row in rows}):,}", "licences, in rows", *lines])


def _spread(values: Sequence[int]) -> str:
    return f"{min(values)} / {median(values):g} / {max(values)}"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
