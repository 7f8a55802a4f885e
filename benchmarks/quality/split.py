"""Train, validation and test parts of real photographs: no photograph, claim or near-duplicate on two sides.

The part is in `split` of each row, which `wetgen-train` and `wetgen eval` follow, so that generator, judge,
filters and segmenters are all blind to the same test pictures.
"""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgen.benchmarks.quality.duplicates import near_duplicates, thumbnail
from wetgen.runtime.dataset.metadata import METADATA, Row
from wetgen.runtime.dataset.reader import Dataset
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import atomic_write, os_errors
from wetgen.runtime.masks import classes as class_table

PARTS = ("train", "validation", "test")
DUPLICATES_NAME = "near-duplicates.jsonl"
PROMPTS_NAME = "train-prompts.txt"


@dataclass(frozen=True)
class Item:
    """The facts about a pair that decide its part."""

    group: str
    kinds: tuple[int, ...]  # the classes in its mask, or (0,) for none
    thumbnail: NDArray[np.float32]


@dataclass(frozen=True)
class Shares:
    """How much goes where: by share, or with `folds` > 0 fold number `fold` is the test part."""

    test: float = 0.3
    validation: float = 0.1
    folds: int = 0
    fold: int = 0

    def __post_init__(self) -> None:
        fair = self.validation > 0 and self.test >= 0 and self.test + self.validation < 1
        if not fair or self.folds == 1 or not 0 <= self.fold < max(1, self.folds):
            raise WetgenError(
                "These shares give no split.",
                why=f"test {self.test:g}, validation {self.validation:g}, fold {self.fold} of {self.folds}; train and "
                "validation each need some, folds are at least 2 and counted from 0.",
                fix="for example --test 0.3 --validation 0.1, or --folds 3 --fold 0.",
            )


def groups_of(folder: str, rows: Sequence[Row]) -> list[str]:
    """The group of each row: rows that share a scene or a claim belong together, over any chain of those."""
    owner: dict[Hashable, Hashable] = {}

    def root(name: Hashable) -> Hashable:
        while owner.setdefault(name, name) != name:
            name = owner[name]
        return name

    for row in rows:
        if "claim" in row.extra:
            first, second = sorted((str(root(f"{folder}/{row.scene}")), str(root(f"claim {row.extra['claim']}"))))
            owner[second] = first
    return [str(root(f"{folder}/{row.scene}")) for row in rows]


def assign(items: Sequence[Item], shares: Shares, seed: int) -> list[str]:
    """The part of each item: whole groups, every class spread by the shares."""
    if shares.folds:
        folds = spread_groups(items, [1 / shares.folds] * shares.folds, seed)
        kept = [i for i, fold in enumerate(folds) if fold != shares.fold]
        inner = spread_groups([items[i] for i in kept], [1 - shares.validation, shares.validation], seed)
        parts = ["test"] * len(items)
        for i, part in zip(kept, inner, strict=True):
            parts[i] = PARTS[part]
        return parts
    sizes = [1 - shares.validation - shares.test, shares.validation, *([shares.test] if shares.test else [])]
    return [PARTS[part] for part in spread_groups(items, sizes, seed)]


def spread_groups(items: Sequence[Item], shares: Sequence[float], seed: int) -> list[int]:
    """Assign whole groups, the largest first, each to the part that brings the classes' shares nearest to `shares`."""
    kinds = sorted({kind for item in items for kind in item.kinds})
    counts: dict[str, NDArray[np.float64]] = {}
    for item in items:
        row = counts.setdefault(item.group, np.zeros(len(kinds) + 1))
        row[[kinds.index(kind) for kind in item.kinds]] += 1
        row[-1] += 1  # pictures count too, whatever they show
    total = np.maximum(sum(counts.values()), 1)
    filled = np.zeros((len(shares), len(kinds) + 1))
    placed: dict[str, int] = {}
    for group in sorted(counts, key=lambda name: (-counts[name][-1], _digest(seed, name))):
        # Only the part that receives changes, so its change of squared deviation decides.
        before = filled / total - np.array(shares)[:, None]
        after = before + counts[group] / total
        placed[group] = int((after**2 - before**2).sum(1).argmin())
        filled[placed[group]] += counts[group]
    return [placed[item.group] for item in items]


def _digest(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()


def drop_duplicates(items: Sequence[Item], parts: Sequence[str]) -> dict[int, tuple[int, float]]:
    """By item of train and validation to drop: the item of a later part that it repeats, and their correlation."""
    dropped: dict[int, tuple[int, float]] = {}
    for part, later in (("train", ("validation", "test")), ("validation", ("test",))):
        mine = [i for i, name in enumerate(parts) if name == part]
        others = [i for i, name in enumerate(parts) if name in later]
        if mine and others:
            first, second = (np.stack([items[i].thumbnail for i in side]) for side in (mine, others))
            for i, j, correlation in near_duplicates(first, second):
                dropped.setdefault(mine[i], (others[j], correlation))
    return dropped


def write_split(real: Path, out: Path, shares: Shares, seed: int, say: Callable[[str], None]) -> None:
    """Split the dataset folders of `real` and write them to `out` with `split` in every row; files are linked.

    A source is split by itself, so each part sees each source.
    """
    datasets = Dataset.open_many(real)
    if out.exists() and any(out.iterdir()):
        raise WetgenError(f"{out} is not empty.", why="a split never overwrites files.", fix="choose a new --out.")
    items, rows, parts = [], [], []
    for dataset in datasets:
        own = _items(dataset)
        items += own
        rows += [(dataset, row) for row in dataset.rows]
        parts += assign(own, shares, seed)
    dropped = drop_duplicates(items, parts)
    for dataset in datasets:
        kept = [
            (row, part)
            for i, ((owner, row), part) in enumerate(zip(rows, parts, strict=True))
            if owner is dataset and i not in dropped
        ]
        _write(dataset, kept, out / dataset.folder.name if len(datasets) > 1 else out)
        say(f"{dataset.folder.name}: {_counted([part for _, part in kept])}")
    listed = [
        {"dropped": _name(rows[i]), "split": parts[i], "repeats": _name(rows[j]), "correlation": round(correlation, 4)}
        for i, (j, correlation) in dropped.items()
    ]
    atomic_write(out / DUPLICATES_NAME, "".join(json.dumps(row) + "\n" for row in listed).encode())
    say(f"near-duplicates across parts left out: {len(dropped)}, listed in {out / DUPLICATES_NAME}")


def _items(dataset: Dataset) -> list[Item]:
    groups = groups_of(dataset.folder.name, dataset.rows)
    items = []
    for row, group in zip(dataset.rows, groups, strict=True):
        image, mask = dataset.load(row)
        kinds = tuple(int(id) for id in np.unique(mask) if id not in (0, class_table.IGNORE)) or (0,)
        items.append(Item(group, kinds, thumbnail(image)))
    return items


def _name(row: tuple[Dataset, Row]) -> str:
    return f"{row[0].folder.name}/{row[1].file_name}"


def _counted(parts: Sequence[str]) -> str:
    counts = Counter(parts)
    return ", ".join(f"{counts[part]} {part}" for part in PARTS)


def _write(dataset: Dataset, rows: Sequence[tuple[Row, str]], out: Path) -> None:
    """The folder with these rows, and the captions of its train part as prompts for a generator.

    metadata.jsonl, which makes it a dataset folder, comes last.
    """
    lines = []
    for row, part in rows:
        for name in (row.file_name, row.mask_file_name):
            _link(dataset.folder / name, out / name)
        keys = {
            "file_name": row.file_name,
            "mask_file_name": row.mask_file_name,
            "text": row.text,
            "scene": row.scene,
            **row.extra,
            "split": part,
        }
        lines.append(json.dumps(keys, ensure_ascii=False))
    prompts = "".join(f"{' '.join(row.text.split())}\n" for row, part in rows if part == "train")
    atomic_write(out / PROMPTS_NAME, prompts.encode())
    table = json.dumps(dataset.classes.to_json(), indent=1) + "\n"
    atomic_write(out / class_table.FILE_NAME, table.encode())
    atomic_write(out / METADATA, ("\n".join(lines) + "\n").encode())


def _link(source: Path, target: Path) -> None:
    """Hard-link where the file system can, copy where it cannot."""
    with os_errors(target, "written"):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
