"""`wetgen convert`: the dataset folder into another tool's format, and back."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from wetgen.runtime.classes import ClassTable
from wetgen.runtime.dataset import Dataset
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import os_errors, read_bytes
from wetgen.runtime.formats.coco import CocoWriter, read_coco
from wetgen.runtime.formats.dataset_folder import DatasetFolderWriter
from wetgen.runtime.formats.example import SPLITS, Example, Incoming, Options, portable
from wetgen.runtime.formats.names import Names
from wetgen.runtime.formats.new_folder import NewFolder, new_folder
from wetgen.runtime.formats.parquet import ParquetWriter, read_parquet
from wetgen.runtime.formats.semantic import SemanticWriter, read_semantic
from wetgen.runtime.formats.splits import split_rows
from wetgen.runtime.formats.voc import VocWriter, read_voc
from wetgen.runtime.formats.webdataset import WebDatasetWriter, read_webdataset
from wetgen.runtime.formats.writer import Writer
from wetgen.runtime.formats.yolo import YoloDetWriter, YoloSegWriter, read_yolo_seg
from wetgen.runtime.metadata import Row
from wetgen.runtime.pictures import Pixels

Tell = Callable[[int], None]
Reader = Callable[[Path, bool, ClassTable | None], Incoming]


_CONFIDENCE = "confidence_file_name"  # of generated pairs; no format here has a place for such a map


@dataclass(frozen=True)
class Format:
    """How a format is written and read, and whether its masks need a class table from outside."""

    writer: Callable[[NewFolder, ClassTable, Options], Writer]
    read: Reader | None  # None where the format holds no masks
    takes_classes: bool = False


FORMATS: Mapping[str, Format] = {
    "coco": Format(CocoWriter, read_coco),
    "yolo-seg": Format(YoloSegWriter, read_yolo_seg),
    "yolo-det": Format(YoloDetWriter, None),
    "voc": Format(VocWriter, read_voc, takes_classes=True),
    "semantic": Format(SemanticWriter, read_semantic, takes_classes=True),
    "webdataset": Format(WebDatasetWriter, read_webdataset, takes_classes=True),
    "parquet": Format(ParquetWriter, read_parquet, takes_classes=True),
}


@dataclass(frozen=True)
class Summary:
    """What a conversion wrote, and what the format could not take."""

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
    tell: Tell = lambda _: None,
) -> Summary:
    """Write the dataset folder `source`, or those directly inside it, in the format `name` into the new folder `out`.

    Every pair is checked on its way; the first fault ends the conversion and leaves nothing behind. `ignore` allows
    IGNORE in the masks of rows that do not state it. `tell` is called with the number of pairs written so far. The same
    folders give the same bytes. Raises WetgenError.
    """
    datasets = Dataset.open_many(source)
    splits = [split_rows(dataset.rows, shares, group) for dataset in datasets]
    if len({None in parts for parts in splits}) > 1:
        raise WetgenError(
            f"Only some of the datasets in {source} state a split.",
            why="the others would have to be guessed.",
            fix="convert them one by one, or write a split into every row.",
        )
    examples = _examples(datasets, splits, ignore)
    summary = _write(FORMATS[name].writer, datasets[0].classes, examples, source, out, options, tell)
    maps = sum(_CONFIDENCE in row.extra for dataset in datasets for row in dataset.rows)
    return replace(summary, lost={**summary.lost, "confidence maps left out": maps})


def convert_from(
    name: str,
    source: Path,
    out: Path,
    *,
    classes_file: Path | None = None,
    ignore: bool = False,
    tell: Tell = lambda _: None,
) -> Summary:
    """Read the folder `source` in the format `name` and write a dataset folder `out`.

    `classes_file` is a classes.json for formats whose masks do not name their classes. Raises WetgenError.
    """
    chosen = FORMATS[name]
    if chosen.read is None:
        raise WetgenError(
            f"{name} cannot be read back.", why="it holds boxes, and a box is not a mask.", fix="convert the source."
        )
    if classes_file is not None and not chosen.takes_classes:
        raise WetgenError(f"{name} takes no --classes.", why="it names its classes itself.", fix="leave it out.")
    incoming = chosen.read(source, ignore, None if classes_file is None else ClassTable.load(classes_file))
    return _write(DatasetFolderWriter, incoming.classes, incoming.examples, source, out, Options(), tell)


def _write(
    make: Callable[[NewFolder, ClassTable, Options], Writer],
    classes: ClassTable,
    examples: Iterable[Example],
    source: Path,
    out: Path,
    options: Options,
    tell: Tell,
) -> Summary:
    _refuse_inside(out, source)
    parts: Counter[str] = Counter()
    with new_folder(out) as folder:
        writer = make(folder, classes, options)
        try:
            for example in _reading(examples, source):
                writer.add(example)
                parts[example.part] += 1
                tell(sum(parts.values()))
            if not parts:
                raise WetgenError("There is nothing to convert.", why="the dataset is empty.", fix="check the path.")
            writer.close()
        finally:
            writer.release()
    return Summary(out, {part: parts[part] for part in SPLITS if parts[part]}, dict(writer.lost))


def _reading(examples: Iterable[Example], source: Path) -> Iterator[Example]:
    """The examples, with errors of the operating system told as those of the source."""
    iterator = iter(examples)
    while True:
        with os_errors(source, "read"):
            example = next(iterator, None)
        if example is None:
            return
        yield example


def _refuse_inside(out: Path, source: Path) -> None:
    if out.resolve() == Path.cwd() or out.resolve().is_relative_to(source.resolve()):
        raise WetgenError(
            f"{out} is no place for a new dataset.",
            why=f"it is the current folder, or lies inside {source}, of which it would become a part.",
            fix="choose a folder beside it with --out.",
        )


def _examples(datasets: list[Dataset], splits: list[list[str | None]], ignore: bool) -> Iterator[Example]:
    """The pairs of dataset folders; several folders are told apart by their names."""
    names = Names()
    for dataset, parts in zip(datasets, splits, strict=True):
        folder = dataset.folder.resolve().name if len(datasets) > 1 else ""
        for row, part in zip(dataset.rows, parts, strict=True):
            pixels, mask = _load(dataset, row, ignore)
            image = portable(read_bytes(dataset.folder / row.file_name), pixels)
            name = names.give(row.file_name, folder)
            keys: dict[str, object] = {"text": row.text, "scene": row.scene, **row.extra}
            keys.pop(_CONFIDENCE, None)  # it would name a file that is not there
            if part is not None:
                keys["split"] = part
            if name != Path(row.file_name).stem:
                keys.setdefault("source_file_name", f"{folder}/{row.file_name}".lstrip("/"))
            yield Example(name, part, image, mask, keys)


def _load(dataset: Dataset, row: Row, ignore: bool) -> tuple[Pixels, Pixels]:
    try:
        return dataset.load(row, ignore=ignore)
    except WetgenError as error:
        inspect = f"{error.fix} `wetgen inspect {dataset.folder}` lists every fault."
        raise WetgenError(error.what, why=error.why, fix=inspect) from error
