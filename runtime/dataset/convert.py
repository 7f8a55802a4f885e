"""`wetgen convert`: the dataset folder into another tool's format, and back; and splits by a hash of the scene."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wetgen.runtime.dataset.formats.base import (
    SPLITS,
    DatasetFolderExporter,
    Exporter,
    Importer,
    Names,
    Options,
    Sample,
    portable,
)
from wetgen.runtime.dataset.formats.coco import CocoExporter, CocoImporter
from wetgen.runtime.dataset.formats.parquet import ParquetExporter, ParquetImporter
from wetgen.runtime.dataset.formats.semantic import SemanticExporter, SemanticImporter
from wetgen.runtime.dataset.formats.voc import VocExporter, VocImporter
from wetgen.runtime.dataset.formats.webdataset import WebDatasetExporter, WebDatasetImporter
from wetgen.runtime.dataset.formats.yolo import YoloDetExporter, YoloSegExporter, YoloSegImporter
from wetgen.runtime.dataset.metadata import Row
from wetgen.runtime.dataset.reader import Dataset
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import NewFolder, new_folder, os_errors, read_bytes
from wetgen.runtime.masks.classes import ClassTable

_CONFIDENCE = "confidence_file_name"  # of generated pairs; no other format has a place for such a map


@dataclass(frozen=True)
class Format:
    """How a format is written and read."""

    exporter: Callable[[NewFolder, ClassTable, Options], Exporter]
    importer: Callable[[Path, bool, ClassTable | None], Importer] | None  # None where the format has no masks
    takes_classes: bool = False  # its masks may need a class table from outside


FORMATS: Mapping[str, Format] = {
    "coco": Format(CocoExporter, CocoImporter),
    "yolo-seg": Format(YoloSegExporter, YoloSegImporter),
    "yolo-det": Format(YoloDetExporter, None),
    "voc": Format(VocExporter, VocImporter, takes_classes=True),
    "semantic": Format(SemanticExporter, SemanticImporter, takes_classes=True),
    "webdataset": Format(WebDatasetExporter, WebDatasetImporter, takes_classes=True),
    "parquet": Format(ParquetExporter, ParquetImporter, takes_classes=True),
}


@dataclass(frozen=True)
class Conversion:
    """What a conversion wrote, and what the format could not hold."""

    out: Path
    parts: Mapping[str, int]
    lost: Mapping[str, int]

    def __str__(self) -> str:
        parts = ", ".join(f"{count:,} {part}" for part, count in self.parts.items())
        lines = [f"{self.out}: {sum(self.parts.values()):,} pairs ({parts})"]
        return "\n".join([*lines, *(f"  {count:,} {words}" for words, count in self.lost.items() if count)])


def convert_to(
    name: str,
    source: Path,
    out: Path,
    options: Options,
    *,
    shares: Mapping[str, float] | None = None,
    group: str = "scene",
    ignore: bool = False,
    report: Callable[[int], None] = lambda _: None,
) -> Conversion:
    """Write the dataset folder `source`, or those directly inside it, in the format `name` into the new folder `out`.

    Every pair is checked; the first fault ends the conversion and leaves nothing behind. `ignore` allows IGNORE in the
    masks of rows that do not state it. `report` is called with the number of pairs written so far. The same folders
    give the same bytes. Raises WetgenError.
    """
    datasets = Dataset.open_many(source)
    splits = [split_rows(dataset.rows, shares, group) for dataset in datasets]
    if len({None in parts for parts in splits}) > 1:
        raise WetgenError(
            f"Only some of the datasets in {source} state a split.",
            why="the others would have to be guessed.",
            fix="convert them one by one, or write a split into every row.",
        )
    samples = _samples(datasets, splits, ignore)
    summary = _write(FORMATS[name].exporter, datasets[0].classes, samples, source, out, options, report)
    maps = sum(_CONFIDENCE in row.extra for dataset in datasets for row in dataset.rows)
    return replace(summary, lost={**summary.lost, "confidence maps left out": maps})


def convert_from(
    name: str,
    source: Path,
    out: Path,
    *,
    classes_file: Path | None = None,
    ignore: bool = False,
    report: Callable[[int], None] = lambda _: None,
) -> Conversion:
    """Read the folder `source` in the format `name` and write a dataset folder `out`.

    `classes_file` is a classes.json for formats whose masks do not name their classes. Raises WetgenError.
    """
    chosen = FORMATS[name]
    if chosen.importer is None:
        raise WetgenError(
            f"{name} cannot be read back.", why="it has boxes, and a box is not a mask.", fix="convert the source."
        )
    if classes_file is not None and not chosen.takes_classes:
        raise WetgenError(f"{name} takes no --classes.", why="it names its classes itself.", fix="leave it out.")
    importer = chosen.importer(source, ignore, None if classes_file is None else ClassTable.load(classes_file))
    return _write(DatasetFolderExporter, importer.classes, importer.samples(), source, out, Options(), report)


def _write(
    make: Callable[[NewFolder, ClassTable, Options], Exporter],
    classes: ClassTable,
    samples: Iterable[Sample],
    source: Path,
    out: Path,
    options: Options,
    report: Callable[[int], None],
) -> Conversion:
    if out.resolve() == Path.cwd() or out.resolve().is_relative_to(source.resolve()):
        raise WetgenError(
            f"{out} cannot take a new dataset.",
            why=f"it is the current folder, or it is inside {source} and would become a part of it.",
            fix="choose a folder beside it with --out.",
        )
    parts: Counter[str] = Counter()
    with new_folder(out) as folder:
        exporter = make(folder, classes, options)
        with exporter.open_files:
            for sample in _reading(samples, source):
                exporter.add(sample)
                parts[sample.part] += 1
                report(sum(parts.values()))
            if not parts:
                raise WetgenError("There is nothing to convert.", why="the dataset is empty.", fix="check the path.")
            exporter.close()
    return Conversion(out, {part: parts[part] for part in SPLITS if parts[part]}, dict(exporter.lost))


def _reading(samples: Iterable[Sample], source: Path) -> Iterator[Sample]:
    """The samples; an error of the operating system becomes a WetgenError about the source."""
    iterator = iter(samples)
    while True:
        with os_errors(source, "read"):
            sample = next(iterator, None)
        if sample is None:
            return
        yield sample


def _samples(datasets: list[Dataset], splits: list[list[str | None]], ignore: bool) -> Iterator[Sample]:
    """The pairs of dataset folders. With several folders, their names become part of the samples' names."""
    names = Names()
    for dataset, parts in zip(datasets, splits, strict=True):
        folder = dataset.folder.resolve().name if len(datasets) > 1 else ""
        for row, part in zip(dataset.rows, parts, strict=True):
            try:
                pixels, mask = dataset.load(row, ignore=ignore)
            except WetgenError as error:
                inspect = f"{error.fix} `wetgen inspect {dataset.folder}` lists every fault."
                raise WetgenError(error.what, why=error.why, fix=inspect) from error
            image = portable(read_bytes(dataset.folder / row.file_name), pixels)
            name = names.give(row.file_name, folder)
            metadata: dict[str, object] = {"text": row.text, "scene": row.scene, **row.extra}
            metadata.pop(_CONFIDENCE, None)  # it would name a file that does not exist
            if part is not None:
                metadata["split"] = part
            if name != Path(row.file_name).stem:
                metadata.setdefault("source_file_name", f"{folder}/{row.file_name}".lstrip("/"))
            yield Sample(name, part, image, mask, metadata)


_WHOLE = 1e-9  # shares written in decimals add up to 1 within this


def parse_shares(text: str) -> dict[str, float]:
    """Parses "train=0.8,validation=0.1,test=0.1"; the shares must add up to 1."""
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        try:
            share = float(number)
        except ValueError:
            share = -1
        if name.strip() not in SPLITS or name.strip() in shares or not 0 <= share <= 1:
            raise _unusable(text, f"{part.strip()!r} is not a share of {', '.join(SPLITS)}, or is given twice")
        shares[name.strip()] = share
    if abs(sum(shares.values()) - 1) > _WHOLE:
        raise _unusable(text, f"the shares add up to {sum(shares.values()):g}")
    return {name: shares[name] for name in SPLITS if name in shares}


def split_rows(rows: Sequence[Row], shares: Mapping[str, float] | None, group: str) -> list[str | None]:
    """Returns the split of each row: its own `split` if every row has one, else by a hash of its group, else None.

    `group` is the key whose equal values stay together: `scene`, or another key that every row has. A row's split
    depends only on its group and the shares, so added rows move no others. Raises WetgenError if only some rows state a
    split, if they do and shares are given as well, and for rows without a group.
    """
    stated = [row for row in rows if "split" in row.extra]
    if not stated:
        return [None if shares is None else _drawn(_group(row, group), shares) for row in rows]
    if len(stated) < len(rows):
        raise WetgenError(
            f"{len(stated)} of {len(rows)} rows state a split.",
            why="the others would have to be guessed.",
            fix='write "split" into every row, or into none and use --split.',
        )
    if shares is not None:
        raise WetgenError(
            "The rows state their split already.",
            why="a new split could put test images into training.",
            fix='leave --split out, or delete "split" from the rows.',
        )
    for row in rows:
        if row.extra["split"] not in SPLITS:
            raise WetgenError(
                f"metadata.jsonl, line {row.line}: {row.extra['split']!r} is not a split.",
                why=f"splits are called {', '.join(SPLITS)}.",
                fix="correct the row.",
            )
    return [str(row.extra["split"]) for row in rows]


def _drawn(group: str, shares: Mapping[str, float]) -> str:
    """The split of a group: its hash is a number in [0, 1), of which each split has a range as long as its share."""
    number = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") / 2**64
    end = 0.0
    for name, share in shares.items():
        end += share
        if number < end:
            return name
    return [name for name, share in shares.items() if share > 0][-1]  # the sum of the shares may be just below 1


def _group(row: Row, key: str) -> str:
    if key == "scene":
        return row.scene
    value = row.extra.get(key)
    if not isinstance(value, str | int) or value == "":
        raise WetgenError(
            f"metadata.jsonl, line {row.line}: there is no {key} to group by.",
            why="a row without a group could be separated from those it belongs to.",
            fix=f'write "{key}" into every row, or group by scene.',
        )
    return str(value)


def _unusable(text: str, why: str) -> WetgenError:
    return WetgenError(
        f"--split {text} cannot be used.", why=f"{why}.", fix="--split train=0.8,validation=0.1,test=0.1"
    )
