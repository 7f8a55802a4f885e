"""The dataset folder: images/, masks/, metadata.jsonl and classes.json (Hugging Face imagefolder).

Every check of a folder is written once, as a function that raises, returns or yields WetgenError: `Dataset` stops at
the first such fault, `check` collects them all.
"""

import errno
import json
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from wetgen.runtime import classes as class_table
from wetgen.runtime.classes import ClassTable
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import atomic_write, os_errors, read_bytes, sweep
from wetgen.runtime.metadata import (
    IMAGES,
    MASKS,
    METADATA,
    Line,
    Row,
    key_faults,
    leads_outside,
    lines,
    named_twice,
    parse,
    place,
    read_metadata,
    row_faults,
    row_of,
    shown,
)
from wetgen.runtime.pictures import Pixels, encode_png, read_image, read_mask

MAX_NAME = 200  # bytes; leaves room for the suffixes within the 255 bytes of common file systems


@dataclass(frozen=True)
class Report:
    """What `check` found: the rows that are in order as text, and every fault."""

    folder: Path
    classes: ClassTable | None  # None where the class table itself is at fault
    rows: tuple[Row, ...]
    faults: tuple[WetgenError, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


@dataclass(frozen=True)
class Dataset:
    """A dataset folder whose table is sound and whose files exist; pixels are checked as they are loaded."""

    folder: Path
    classes: ClassTable
    rows: tuple[Row, ...]
    _files: "_Files" = field(repr=False, compare=False)

    @classmethod
    def open(cls, folder: Path) -> "Dataset":
        """Read the class table and metadata.jsonl; raises WetgenError at the first fault, naming file and line."""
        files = _Files(folder)
        table, rows, faults = _read_table(folder)
        for fault in faults:
            raise fault
        assert table is not None  # it is None only together with a fault
        for row in rows:
            files.locate(row, row.file_name)
            files.locate(row, row.mask_file_name)
        return cls(folder, table, rows, files)

    @classmethod
    def open_many(cls, folder: Path) -> "list[Dataset]":
        """Open `folder`, or each dataset folder directly inside it; their class tables must agree."""
        datasets = [cls.open(found) for found in dataset_folders(folder)]
        first = datasets[0]
        for other in datasets[1:]:
            if other.classes != first.classes:
                raise tables_differ(first.folder, first.classes, other.folder, other.classes)
        return datasets

    def __len__(self) -> int:
        return len(self.rows)

    def load(self, row: Row, *, ignore: bool = False) -> tuple[Pixels, Pixels]:
        """The pair of a row: image uint8 (H, W, 3) RGB and mask uint8 (H, W); raises WetgenError naming the line.

        With `ignore` the mask may hold IGNORE, which stands for "leave this pixel out".
        """
        image, mask, faults = _read_pair(self._files, row, self.classes, ignore=ignore)
        for fault in faults:
            raise fault
        assert image is not None and mask is not None  # they are None only together with a fault
        return image, mask


def dataset_folders(folder: Path) -> list[Path]:
    """`folder` itself if it has a metadata.jsonl, else its direct subfolders that have one, sorted by name."""
    if (folder / METADATA).exists():
        return [folder]
    with os_errors(folder, "read"):
        found = sorted(path for path in folder.iterdir() if (path / METADATA).exists())
    if not found:
        raise WetgenError(
            f"{folder} is no dataset folder.",
            why=f"it holds no {METADATA}, and neither does any folder directly inside it.",
            fix=f"give a folder with {IMAGES}/, {MASKS}/, {METADATA} and {class_table.FILE_NAME}.",
        )
    return found


def tables_differ(folder: Path, table: ClassTable, other: Path, other_table: ClassTable) -> WetgenError:
    """The fault of two dataset folders that cannot be used together."""
    return WetgenError(
        f"{other} and {folder} have different class tables.",
        why=f"one says {', '.join(other_table.names)}; the other says {', '.join(table.names)}.",
        fix=f"bring masks and {class_table.FILE_NAME} of one of them in line with the other.",
    )


def check(folder: Path, visit: Callable[[Row, Pixels, Pixels], None] | None = None) -> Report:
    """Read every file of one dataset folder and collect every fault.

    `visit` is called with each sound pair: its row, image uint8 (H, W, 3) and mask uint8 (H, W).
    """
    files = _Files(folder)
    table, rows, faults = _read_table(folder)
    for row in rows:
        image, mask, found = _read_pair(files, row, table)
        faults += found
        if visit is not None and not found and image is not None and mask is not None:
            visit(row, image, mask)
    return Report(folder, table, rows, tuple(faults))


class DatasetWriter:
    """Writes a dataset folder, one pair at a time; a process killed at any moment leaves a readable folder.

    A row is added only after its files stand under their names. Opening a folder that holds rows resumes it: a last
    line that was cut off is dropped and temporary files are removed. One writer at a time. Without a class table
    (`classes` None) it writes images only: no masks and no classes.json.
    """

    def __init__(self, folder: Path, classes: ClassTable | None) -> None:
        self.folder, self.classes = folder, classes
        self._metadata = folder / METADATA
        self._known: dict[str, dict[str, object]] = {}  # rows by name, their files present
        self._lost: set[str] = set()  # names whose row stands although a file is missing
        self._prepare_folders()
        self._refuse_other_class_table()
        self._resume()
        if classes is not None:
            table = json.dumps(classes.to_json(), indent=1) + "\n"
            atomic_write(folder / class_table.FILE_NAME, table.encode())

    def existing(self) -> dict[str, dict[str, object]]:
        """The rows whose files exist, by name (the image's file name without its suffix)."""
        return dict(self._known)

    def add(self, name: str, image: Pixels, mask: Pixels | None, row: dict[str, object]) -> None:
        """Write image uint8 (H, W, 3), mask uint8 (H, W) and their row, which must hold a `text`.

        Raises WetgenError for what the reader would refuse and for a failing disk. ValueError (a bug in the caller):
        an unusable or known name, wrong dtypes or shapes, a mask without a class table or the reverse.
        """
        self._refuse_name(name)
        self._refuse_pixels(name, image, mask)
        keys = {"file_name": f"{IMAGES}/{name}.png"}
        if mask is not None:
            keys["mask_file_name"] = f"{MASKS}/{name}.png"
        if row.keys() & {"file_name", "mask_file_name"}:
            raise ValueError("the writer names the files itself")
        keyed: dict[str, object] = {**keys, **row}
        for fault in key_faults(keyed, f"{self._metadata}, new row {name}", masks=mask is not None):
            raise fault
        line = json.dumps(keyed, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        if mask is not None:
            atomic_write(self.folder / keys["mask_file_name"], encode_png(mask))
        atomic_write(self.folder / keys["file_name"], encode_png(image))
        self._write_row(name, line)
        self._known[name] = keyed

    def _prepare_folders(self) -> None:
        for path in [self.folder, self.folder / IMAGES, *([self.folder / MASKS] if self.classes is not None else [])]:
            with os_errors(path, "created"):
                path.mkdir(parents=True, exist_ok=True)
            sweep(path)

    def _refuse_other_class_table(self) -> None:
        path = self.folder / class_table.FILE_NAME
        there = ClassTable.load(path) if path.exists() else self.classes
        if there != self.classes:
            ours = "none: no masks would be written" if self.classes is None else ", ".join(self.classes.names)
            raise WetgenError(
                f"{self.folder} holds pairs of another class table.",
                why=f"{path.name} there says {', '.join(there.names) if there else 'nothing'}; the new one is {ours}.",
                fix="choose an empty folder.",
            )

    def _resume(self) -> None:
        """Take up the rows that stand, and leave metadata.jsonl ending after a whole line."""
        data = read_bytes(self._metadata) if self._metadata.exists() else b""
        kept = data
        files = _Files(self.folder)
        for line in lines(data):
            try:
                keys = parse(line, self._metadata)
            except WetgenError:
                if line.whole:
                    raise
                kept = data[: line.start]
                continue
            where = place(self._metadata, line.number)
            for fault in key_faults(keys, where, masks=self.classes is not None):
                raise fault
            self._take_up(files, line.number, keys)
        if kept and not kept.endswith(b"\n"):
            kept += b"\n"
        if kept != data:
            atomic_write(self._metadata, kept)
        self._size = len(kept)

    def _take_up(self, files: "_Files", number: int, keys: dict[str, object]) -> None:
        name = PurePosixPath(str(keys["file_name"])).stem
        if name in self._known or name in self._lost:
            raise named_twice(place(self._metadata, number), f"a picture called {name}", "an earlier line")
        named = [str(keys[key]) for key in ("file_name", "mask_file_name") if key in keys]
        if all(files.present(file_name) for file_name in named):
            self._known[name] = keys
        else:
            self._lost.add(name)

    def _write_row(self, name: str, line: bytes) -> None:
        if name in self._lost:  # its old row still stands and gives way to the new one
            data = read_bytes(self._metadata)
            others = (data[old.start : old.end] for old in lines(data) if self._name_in(old) != name)
            kept = b"".join([*others, line])
            atomic_write(self._metadata, kept)
            self._size = len(kept)
            self._lost.remove(name)
        else:
            self._size = _append(self._metadata, line, self._size)

    def _name_in(self, line: "Line") -> str:
        return PurePosixPath(str(parse(line, self._metadata)["file_name"])).stem

    def _refuse_name(self, name: str) -> None:
        if not 0 < len(name.encode()) <= MAX_NAME or not name.isprintable() or set(name) & set('/\\:*?"<>|'):
            raise ValueError(f"{name!r} cannot be a file name everywhere")
        if name.startswith(".") or name in self._known:
            raise ValueError(f"{name!r} is hidden or exists already")

    def _refuse_pixels(self, name: str, image: Pixels, mask: Pixels | None) -> None:
        if (mask is None) != (self.classes is None):
            raise ValueError("masks need a class table, and a class table needs masks")
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"an image is uint8 (H, W, 3), not {image.dtype} {image.shape}")
        if mask is None or self.classes is None:
            return
        if mask.dtype != np.uint8 or mask.shape != image.shape[:2]:
            raise ValueError(f"the mask of {image.shape} is uint8 {image.shape[:2]}, not {mask.dtype} {mask.shape}")
        fault = unknown_ids(mask, self.classes, f"The new mask {name}")
        if fault is not None:
            raise fault


def unknown_ids(mask: Pixels, classes: ClassTable, name: str, *, ignore: bool = False) -> WetgenError | None:
    """The fault of a mask uint8 (H, W) with ids outside the class table, if there is one; `ignore` allows IGNORE."""
    counts = np.bincount(mask.ravel(), minlength=256)
    if ignore:
        counts[class_table.IGNORE] = 0
    unknown = [int(id) for id in np.flatnonzero(counts) if id >= len(classes)]
    if not unknown:
        return None
    listed = ", ".join(f"{id} ({counts[id]:,} pixels)" for id in unknown[:8]) + (", ..." if len(unknown) > 8 else "")
    fix = "correct the mask, or the class table if it lacks a class."
    if unknown == [255] and counts[0] + counts[255] == mask.size:
        fix = "this looks like a binary mask of 0 and 255: replace 255 by the id of its class."
    return WetgenError(
        f"{name} has class ids that the class table lacks: {listed}.",
        why=f"the table's ids are 0 to {len(classes) - 1}.",
        fix=fix,
    )


def _read_table(folder: Path) -> tuple[ClassTable | None, tuple[Row, ...], list[WetgenError]]:
    """The class table, the rows in order as text, and every fault of the two files; opens no picture."""
    if not folder.is_dir():
        fault = WetgenError(f"{folder} is no dataset folder.", why="there is no such folder.", fix="check the path.")
        return None, (), [fault]
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
    for line in lines(data):
        found, keys = row_faults(line, folder / METADATA, first_lines)
        faults += found
        if not found:
            rows.append(row_of(line.number, keys))
    return table, tuple(rows), faults


def _find_class_table(folder: Path) -> ClassTable:
    """The folder's classes.json, or its parent's: the folders of several sources may share one."""
    own, shared = folder / class_table.FILE_NAME, folder.resolve().parent / class_table.FILE_NAME
    path = shared if shared.exists() and not own.exists() else own
    with os_errors(path, "read"):
        return ClassTable.load(path)


class _Files:
    """The files of one dataset folder; refuses links that lead out of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metadata = folder / METADATA
        self._root = folder.resolve()
        self._inside: set[Path] = set()  # folders known to lie inside: resolving them for every row would be slow

    def locate(self, row: Row, name: str) -> Path:
        """The path of a file that exists inside the folder; raises WetgenError naming the row's line."""
        path = self.folder / name
        where = place(self.metadata, row.line)
        try:
            mode = path.lstat().st_mode
            inside = self._is_inside(path, stat.S_ISLNK(mode))
            mode = path.stat().st_mode if inside else mode
        except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links
            raise WetgenError(
                f"{where}: the file {shown(name)} is missing.",
                why=f"{error}.",
                fix="restore the file, or delete the row.",
            ) from error
        if not inside:
            raise leads_outside(where, name)
        if not stat.S_ISREG(mode):
            raise WetgenError(
                f"{where}: {shown(name)} is no file.", why="it is a folder or a device.", fix="name a file."
            )
        return path

    def present(self, name: str) -> bool:
        """Whether the file exists and is not empty, as a power cut may leave it."""
        path = self.folder / name
        return path.is_file() and path.stat().st_size > 0

    def _is_inside(self, path: Path, link: bool) -> bool:
        if link and not path.resolve().is_relative_to(self._root):
            return False
        if path.parent not in self._inside:
            if not path.parent.resolve().is_relative_to(self._root):
                return False
            self._inside.add(path.parent)
        return True


def _read_pair(
    files: _Files, row: Row, classes: ClassTable | None, *, ignore: bool = False
) -> tuple[Pixels | None, Pixels | None, list[WetgenError]]:
    """Image uint8 (H, W, 3), mask uint8 (H, W) and the pair's faults; None for a picture that cannot be read."""
    where = place(files.metadata, row.line)
    image = mask = None
    faults: list[WetgenError] = []
    try:
        image = read_image(files.locate(row, row.file_name), f"{where}: {shown(row.file_name)}")
    except WetgenError as fault:
        faults.append(fault)
    mask_name = f"{where}: {shown(row.mask_file_name)}"
    try:
        mask = read_mask(files.locate(row, row.mask_file_name), mask_name)
    except WetgenError as fault:
        faults.append(fault)
    if mask is not None and classes is not None:
        fault_or_none = unknown_ids(mask, classes, mask_name, ignore=ignore)
        faults += [fault_or_none] if fault_or_none is not None else []
    if image is not None and mask is not None and mask.shape != image.shape[:2]:
        faults.append(_sizes_differ(mask_name, row, image, mask))
    return image, mask, faults


def _sizes_differ(mask_name: str, row: Row, image: Pixels, mask: Pixels) -> WetgenError:
    (height, width), (mask_height, mask_width) = image.shape[:2], mask.shape
    fix = "make the mask again at the image's size; nearest neighbour keeps class ids when it must be resized."
    if (mask_height, mask_width) == (width, height):
        fix = "width and height are swapped: rotate the mask as the image is (its EXIF orientation counts)."
    return WetgenError(
        f"{mask_name} is {mask_width} x {mask_height}, its image {shown(row.file_name)} is {width} x {height}.",
        why="a mask marks its image pixel by pixel (sizes are width x height).",
        fix=fix,
    )


def _append(path: Path, line: bytes, size: int) -> int:
    """Append a line to a file of `size` bytes and return its new size; a line that does not fit is taken back."""
    with os_errors(path, "written"), path.open("ab", buffering=0) as file:
        if os.fstat(file.fileno()).st_size != size:
            raise WetgenError(
                f"{path} was changed while this program writes it.",
                why="another program writes the same folder.",
                fix="let one program at a time write a folder.",
            )
        try:
            if file.write(line) != len(line):  # the part that still fitted on the disk
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except BaseException:
            with suppress(OSError):
                file.truncate(size)
            raise
    return size + len(line)
