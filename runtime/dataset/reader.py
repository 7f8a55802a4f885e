"""Reads a dataset folder: images/, masks/, metadata.jsonl and classes.json (Hugging Face imagefolder).

Every check is written once, as a function that raises, returns or yields WetgenError: `Dataset` stops at the first such
fault, `check` collects them all.
"""

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path, PurePosixPath

from wetgen.runtime.dataset.metadata import (
    IMAGES,
    MASKS,
    METADATA,
    SHARDS,
    Row,
    leads_outside,
    lines,
    location,
    read_metadata,
    row_faults,
    row_of,
)
from wetgen.runtime.errors import WetgenError, printable
from wetgen.runtime.files import os_errors
from wetgen.runtime.masks import classes as class_table
from wetgen.runtime.masks.classes import IGNORE_KEY, ClassTable, states_ignore, unknown_ids
from wetgen.runtime.masks.images import Pixels, read_image, read_mask


@dataclass(frozen=True)
class Report:
    """What `check` found: the rows whose keys are valid, and every fault."""

    folder: Path
    classes: ClassTable | None  # None if the class table itself is faulty
    rows: tuple[Row, ...]
    faults: tuple[WetgenError, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no fault."""
        return not self.faults


@dataclass(frozen=True)
class Dataset:
    """A dataset folder with a valid metadata.jsonl, whose files exist. Pixels are checked when they are loaded."""

    folder: Path
    classes: ClassTable
    rows: tuple[Row, ...]
    _files: "Files" = field(repr=False, compare=False)

    @classmethod
    def open(cls, folder: Path) -> "Dataset":
        """Read the class table and metadata.jsonl. Raises WetgenError at the first fault, with file and line."""
        files = Files(folder)
        table, rows, faults = _read_table(folder)
        for fault in faults:
            raise fault
        assert table is not None  # it is None only with a fault
        for row in rows:
            files.locate(row, row.file_name)
            files.locate(row, row.mask_file_name)
        return cls(folder, table, rows, files)

    @classmethod
    def open_many(cls, folder: Path) -> "list[Dataset]":
        """Open `folder`, or each dataset folder directly inside it. Their class tables must agree."""
        datasets = [cls.open(found) for found in dataset_folders(folder)]
        first = datasets[0]
        for other in datasets[1:]:
            if other.classes != first.classes:
                raise tables_differ(first.folder, first.classes, other.folder, other.classes)
        return datasets

    def __len__(self) -> int:
        return len(self.rows)

    def load(self, row: Row, *, ignore: bool = False) -> tuple[Pixels, Pixels]:
        """The pair of a row: image uint8 (H, W, 3) RGB and mask uint8 (H, W). Raises WetgenError with the line.

        With `ignore`, or if the row states it, the mask may contain IGNORE, which means "leave this pixel out".
        """
        image, mask, faults = _read_pair(self._files, row, self.classes, ignore=ignore)
        for fault in faults:
            raise fault
        assert image is not None and mask is not None  # they are None only with a fault
        return image, mask


def dataset_folders(folder: Path) -> list[Path]:
    """`folder` if it has a metadata.jsonl, else its direct subfolders that have one, sorted by name."""
    if (folder / METADATA).exists():
        return [folder]
    with os_errors(folder, "read"):
        found = sorted(path for path in folder.iterdir() if (path / METADATA).exists())
    if not found:
        raise WetgenError(
            f"{folder} is not a dataset folder.",
            why=f"it has no {METADATA}, and neither has any folder directly inside it.",
            fix=f"give a folder with {IMAGES}/, {MASKS}/, {METADATA} and {class_table.FILE_NAME}.",
        )
    return found


def tables_differ(folder: Path, table: ClassTable, other: Path, other_table: ClassTable) -> WetgenError:
    """The error for two dataset folders that cannot be used together."""
    return WetgenError(
        f"{other} and {folder} have different class tables.",
        why=f"one says {', '.join(other_table.names)}; the other says {', '.join(table.names)}.",
        fix=f"change the masks and {class_table.FILE_NAME} of one of them to match the other.",
    )


def check(folder: Path, visit: Callable[[Row, Pixels, Pixels], None] | None = None) -> Report:
    """Read every file of one dataset folder and collect every fault.

    `visit` is called with each sound pair: its row, image uint8 (H, W, 3) and mask uint8 (H, W).
    """
    files = Files(folder)
    table, rows, faults = _read_table(folder)
    for row in rows:
        image, mask, found = _read_pair(files, row, table)
        faults += found
        if visit is not None and not found and image is not None and mask is not None:
            visit(row, image, mask)
    return Report(folder, table, rows, tuple(faults))


def _read_table(folder: Path) -> tuple[ClassTable | None, tuple[Row, ...], list[WetgenError]]:
    """The class table, the rows with valid keys, and every fault of the two files. Opens no image."""
    other = _not_a_dataset(folder)
    if other is not None:
        return None, (), [other]
    faults: list[WetgenError] = []
    table = None
    try:
        table = _find_class_table(folder)
    except WetgenError as fault:
        faults.append(fault)
    rows: list[Row] = []
    try:
        data = read_metadata(folder)
    except WetgenError as fault:
        return table, (), [*faults, fault]
    first_lines: dict[PurePosixPath, int] = {}
    for line in lines(BytesIO(data)):
        found, keys = row_faults(line, folder / METADATA, first_lines)
        faults += found
        if not found:
            rows.append(row_of(line.number, keys))
    return table, tuple(rows), faults


def _not_a_dataset(folder: Path) -> WetgenError | None:
    if not folder.is_dir():
        return WetgenError(f"{folder} is not a dataset folder.", why="there is no such folder.", fix="check the path.")
    if (folder / SHARDS).is_dir() and not (folder / IMAGES).is_dir():
        return WetgenError(
            f"{folder} has its pairs in shards.",
            why=f"`wetgen run --shards` wrote them into {folder / SHARDS}, for programs that read WebDataset.",
            fix=f"unpack them into a dataset folder: wetgen convert {folder} --from webdataset --out FOLDER",
        )
    return None


def _find_class_table(folder: Path) -> ClassTable:
    """The folder's classes.json, or its parent's: several dataset folders may share one."""
    own, shared = folder / class_table.FILE_NAME, folder.resolve().parent / class_table.FILE_NAME
    path = shared if shared.exists() and not own.exists() else own
    with os_errors(path, "read"):
        return ClassTable.load(path)


class Files:
    """The files of one dataset folder. Links that lead out of it are refused."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metadata = folder / METADATA
        self._root = folder.resolve()
        self._inside: set[Path] = set()  # folders known to be inside: resolving them for every row would be slow

    def locate(self, row: Row, name: str) -> Path:
        """The path of a file inside the folder. Raises WetgenError with the row's line if it does not exist."""
        path = self.folder / name
        where = location(self.metadata, row.line)
        try:
            mode = path.lstat().st_mode
            inside = self._is_inside(path, stat.S_ISLNK(mode))
            mode = path.stat().st_mode if inside else mode
        except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
            raise WetgenError(
                f"{where}: the file {printable(name)} is missing.",
                why=f"{error}.",
                fix="restore the file, or delete the row.",
            ) from error
        if not inside:
            raise leads_outside(where, name)
        if not stat.S_ISREG(mode):
            raise WetgenError(
                f"{where}: {printable(name)} is not a file.", why="it is a folder or a device.", fix="name a file."
            )
        return path

    def _is_inside(self, path: Path, link: bool) -> bool:
        if link and not path.resolve().is_relative_to(self._root):
            return False
        if path.parent not in self._inside:
            if not path.parent.resolve().is_relative_to(self._root):
                return False
            self._inside.add(path.parent)
        return True


def _read_pair(
    files: Files, row: Row, classes: ClassTable | None, *, ignore: bool = False
) -> tuple[Pixels | None, Pixels | None, list[WetgenError]]:
    """Image uint8 (H, W, 3), mask uint8 (H, W) and the pair's faults; None for a file that cannot be read."""
    where = location(files.metadata, row.line)
    image = mask = None
    faults: list[WetgenError] = []
    try:
        image = read_image(files.locate(row, row.file_name), f"{where}: {printable(row.file_name)}")
    except WetgenError as fault:
        faults.append(fault)
    mask_name = f"{where}: {printable(row.mask_file_name)}"
    try:
        mask = read_mask(files.locate(row, row.mask_file_name), mask_name)
    except WetgenError as fault:
        faults.append(fault)
    try:
        ignore = states_ignore(row.extra, where) or ignore
    except WetgenError as fault:
        faults.append(fault)
        ignore = True  # whether 255 is allowed is unknown, so it is no second fault
    if mask is not None and classes is not None:
        faults += _id_faults(mask, classes, mask_name, ignore=ignore)
    if image is not None and mask is not None and mask.shape != image.shape[:2]:
        faults.append(_sizes_differ(mask_name, row, image, mask))
    return image, mask, faults


def _id_faults(mask: Pixels, classes: ClassTable, name: str, *, ignore: bool) -> Iterator[WetgenError]:
    """The fault of a mask with unknown ids, if any, with a hint how a row allows IGNORE."""
    fault = unknown_ids(mask, classes, name, ignore=ignore)
    if fault is not None and (mask == class_table.IGNORE).any():
        stated = f'If {class_table.IGNORE} marks pixels to leave out, its row must say "{IGNORE_KEY}": 255.'
        fault = WetgenError(fault.what, why=fault.why, fix=f"{fault.fix} {stated}")
    yield from [fault] if fault is not None else []


def _sizes_differ(mask_name: str, row: Row, image: Pixels, mask: Pixels) -> WetgenError:
    (height, width), (mask_height, mask_width) = image.shape[:2], mask.shape
    fix = "make the mask again at the image's size; if it must be resized, use nearest neighbour to keep the ids."
    if (mask_height, mask_width) == (width, height):
        fix = "width and height are swapped: rotate the mask as the image is (its EXIF orientation counts)."
    return WetgenError(
        f"{mask_name} is {mask_width} x {mask_height}, its image {printable(row.file_name)} is {width} x {height}.",
        why="a mask marks its image pixel by pixel (sizes are width x height).",
        fix=fix,
    )
