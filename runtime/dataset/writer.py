"""Writes pairs into a folder: checks and encodes them, writes their files, then their row.

DatasetWriter writes a dataset folder, ShardWriter (shards.py) tar files, and BackgroundWriter does it beside the
drawing. The row is appended last, to a file of JSON lines that can be reopened after a crash.
"""

import errno
import json
import os
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from wetgen.runtime.dataset.metadata import (
    IMAGES,
    MASKS,
    METADATA,
    key_faults,
    lines,
    location,
    named_twice,
    parse,
    row_line,
)
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import TEMPORARY, atomic_write, os_errors, sweep
from wetgen.runtime.masks import classes as class_table
from wetgen.runtime.masks.classes import ClassTable, states_ignore, unknown_ids
from wetgen.runtime.masks.images import Pixels, encode_mask, encode_png, png_text, read_image, read_mask

Keys = dict[str, object]

MAX_NAME = 200  # bytes; leaves room for the suffixes within the 255 bytes of common file systems
REJECTED = "rejected.jsonl"
WAITING = 64  # pairs that may wait for the disk before the drawing does
_MOST_PIXELS = 2**23  # of pictures that may: more than 64 drawn ones, fewer than two photographs
_ENCODERS = 4  # threads; more would wait for each other, because of the interpreter's lock


class JsonLines:
    """A file of JSON lines to append to. One writer at a time. Opening it drops a last line that was cut off."""

    def __init__(self, path: Path) -> None:
        self.path, self._size = path, 0
        if not path.exists():
            return
        whole = True
        with os_errors(path, "read"), path.open("rb") as file:
            for line in lines(file):
                if not line.whole:
                    try:
                        parse(line, path)
                    except WetgenError:
                        break
                self._size, whole = line.end, line.whole
            cut = file.seek(0, os.SEEK_END) > self._size
        if cut:
            with os_errors(path, "written"):
                os.truncate(path, self._size)
        if not whole:
            self.append(b"\n")

    def rows(self) -> Iterator[tuple[Keys, str]]:
        """Yields every row and its location for messages, read from the file one by one."""
        if not self.path.exists():
            return
        with os_errors(self.path, "read"), self.path.open("rb") as file:
            for line in lines(file):
                yield parse(line, self.path), location(self.path, line.number)

    def append(self, line: bytes) -> None:
        """Append a line; one that does not fit on the disk is taken back."""
        self._size = append(self.path, line, self._size)

    def rewrite(self, keep: Callable[[Keys, str], bool]) -> None:
        """Drop the rows that `keep` does not want, all at once."""
        temporary = self.path.with_name(f".{self.path.name}{TEMPORARY}")
        with os_errors(self.path, "written"):
            try:
                with self.path.open("rb") as old, temporary.open("wb") as new:
                    for line in lines(old):
                        if keep(parse(line, self.path), location(self.path, line.number)):
                            new.write(line.content + b"\n")
                    self._size = new.tell()
                os.replace(temporary, self.path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise


def append(path: Path, data: bytes, size: int) -> int:
    """Append to a file of `size` bytes and return its new size; data that does not fit is taken back."""
    with os_errors(path, "written"), path.open("ab", buffering=0) as file:
        if os.fstat(file.fileno()).st_size != size:
            raise WetgenError(
                f"{path} was changed while this program writes it.",
                why="another program writes the same folder.",
                fix="let one program at a time write a folder.",
            )
        try:
            if file.write(data) != len(data):  # the rest did not fit on the disk
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except BaseException:
            with suppress(OSError):
                file.truncate(size)
            raise
    return size + len(data)


class RejectedLog:
    """rejected.jsonl: the attempts of a run that were not kept, each with its row and the reasons."""

    def __init__(self, folder: Path) -> None:
        self.next_try: dict[int, int] = {}  # by index, for pairs with rejected attempts
        self.tries = 0
        self.reasons: Counter[str] = Counter()  # attempts by kind of reason; an attempt may have several
        self._file = JsonLines(folder / REJECTED)
        for row, where in self._file.rows():
            try:
                self._count(row)
            except (ValueError, KeyError, TypeError) as error:
                raise WetgenError(
                    f"{where}, is no row of a rejected try.",
                    why=f"{type(error).__name__}: {error}.",
                    fix="delete the line; its try is then made again.",
                ) from error

    def add(self, row: Mapping[str, object]) -> None:
        """Append the row of an attempt, with its `index`, its `try` and its `reasons` by kind."""
        self._file.append(row_line(row))
        self._count(row)

    def _count(self, row: Mapping[str, object]) -> None:
        # Runs made before there were filters state neither: a pair had one attempt, and only broken ones were rejected.
        index, attempt = int(str(row["index"])), int(str(row.get("try", 0)))
        reasons = row.get("reasons", {"broken": ""})
        self.next_try[index] = max(self.next_try.get(index, 0), attempt + 1)
        self.tries += 1
        self.reasons.update(dict(reasons).keys())  # type: ignore[call-overload]


class Prepared(NamedTuple):
    """A pair, ready to be written."""

    name: str
    pictures: dict[str, bytes]  # PNG files by kind: image, mask and confidence
    row: Keys  # with the names of its files
    line: bytes  # the row as a line of metadata.jsonl


class PairWriter(ABC):
    """Writes a folder of pairs with metadata.jsonl. A process killed at any moment leaves a readable folder.

    A row is added only after its files exist. Opening a folder that has rows resumes it: a last line that was cut off
    is dropped and temporary files are removed. One writer at a time. Without a class table (`classes` None) it writes
    only images: no masks and no classes.json. Only the names of the rows are kept in memory.
    """

    def __init__(self, folder: Path, classes: ClassTable | None) -> None:
        self.folder, self.classes = folder, classes
        folders = [folder, *(folder / name for name in self._folders())]
        for path in folders:
            with os_errors(path, "created"):
                path.mkdir(parents=True, exist_ok=True)
        self._refuse_other_class_table()
        self.names: set[str] = set()  # of the pairs whose row and files exist
        self._lost: set[str] = set()  # of rows without their files, which stay until one of them is written again
        self._metadata = JsonLines(folder / METADATA)
        for row, where in self._metadata.rows():
            name = self._name_of(row, where)
            if name in self.names or name in self._lost:
                raise named_twice(where, f"a picture called {name}", "an earlier line")
            (self.names if self._present(row) else self._lost).add(name)
        if classes is not None:
            table = json.dumps(classes.to_json(), indent=1) + "\n"
            atomic_write(folder / class_table.FILE_NAME, table.encode())
        for path in folders:
            sweep(path)

    def rows(self) -> Iterator[tuple[str, Keys]]:
        """Yields the rows whose files exist by the name of their pair, read one by one."""
        for row, where in self._metadata.rows():
            name = self._name_of(row, where)
            if name in self.names:
                yield name, row

    def add(self, name: str, image: Pixels, mask: Pixels | None, row: Keys, confidence: Pixels | None = None) -> None:
        """Write image uint8 (H, W, 3), mask and confidence uint8 (H, W), and their row, which must have a `text`.

        The files of a synthetic pair state how they were made. A mask may contain IGNORE if the row states it. Raises
        WetgenError for a pair that the reader would refuse, and if the disk fails; ValueError for a bug in the caller:
        an unusable or known name, wrong dtypes or shapes, a mask without a class table or the reverse.
        """
        self.write(self.prepare(name, image, mask, row, confidence))

    def prepare(
        self, name: str, image: Pixels, mask: Pixels | None, row: Keys, confidence: Pixels | None = None
    ) -> Prepared:
        """Check and encode a pair. Touches no file, so threads may prepare pairs in parallel."""
        self._refuse_name(name)
        _refuse_shapes(image, mask, confidence, self.classes)
        layers = {"image": image, "mask": mask, "confidence": confidence}
        where = f"{self.folder / METADATA}, new row {name}"
        keys = self._named(name, row, [kind for kind, layer in layers.items() if layer is not None], where)
        line = row_line(keys)
        ignore = states_ignore(row, where)
        if mask is not None and self.classes is not None:
            fault = unknown_ids(mask, self.classes, f"The new mask {name}", ignore=ignore)
            if fault is not None:
                raise fault
        text = png_text(row)
        pictures = {
            kind: encode_mask(layer, text) if kind == "mask" else encode_png(layer, text)
            for kind, layer in layers.items()
            if layer is not None
        }
        return Prepared(name, pictures, keys, line)

    def write(self, pair: Prepared) -> None:
        """Write a prepared pair: the files, then the row."""
        self._write_pictures(pair)
        if pair.name in self._lost:  # all lost rows are dropped at once: a lost shard has thousands
            self._metadata.rewrite(lambda row, where: self._name_of(row, where) not in self._lost)
            self._lost.clear()
        self._metadata.append(pair.line)
        self.names.add(pair.name)

    def expect(self, indexes: Iterable[int]) -> None:  # noqa: B027 - loose files do not need it
        """Announce the pairs that will be written or given up."""

    def settle(self, index: int) -> None:  # noqa: B027
        """Note that an expected pair will never be written."""

    @abstractmethod
    def pictures(self, row: Keys) -> tuple[Pixels, Pixels | None]:
        """Read the image and the mask of a row again."""

    @abstractmethod
    def _folders(self) -> tuple[str, ...]:
        """The subfolders that writing needs."""

    @abstractmethod
    def _named(self, name: str, row: Keys, kinds: list[str], where: str) -> Keys:
        """The row with the names of its files, of these kinds. Raises WetgenError, with `where`, for a faulty row."""

    @abstractmethod
    def _write_pictures(self, pair: Prepared) -> None: ...

    @abstractmethod
    def _name_of(self, row: Keys, where: str) -> str:
        """The name of a row's pair. Raises WetgenError, with `where`, for a row that cannot be in such a folder."""

    @abstractmethod
    def _present(self, row: Keys) -> bool:
        """Whether the files of a row exist."""

    def _refuse_other_class_table(self) -> None:
        path = self.folder / class_table.FILE_NAME
        earlier = ClassTable.load(path) if path.exists() else self.classes
        if earlier != self.classes:
            ours = "none: no masks would be written" if self.classes is None else ", ".join(self.classes.names)
            theirs = ", ".join(earlier.names) if earlier else "nothing"
            raise WetgenError(
                f"{self.folder} has pairs of another class table.",
                why=f"its {path.name} says {theirs}; the new one is {ours}.",
                fix="choose an empty folder.",
            )

    def _refuse_name(self, name: str) -> None:
        if not 0 < len(name.encode()) <= MAX_NAME or not name.isprintable() or set(name) & set('/\\:*?"<>|'):
            raise ValueError(f"{name!r} cannot be a file name everywhere")
        if name.startswith(".") or name in self.names:
            raise ValueError(f"{name!r} is hidden or exists already")


def _refuse_shapes(image: Pixels, mask: Pixels | None, confidence: Pixels | None, classes: ClassTable | None) -> None:
    if (mask is None) != (classes is None):
        raise ValueError("masks need a class table, and a class table needs masks")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image is uint8 (H, W, 3), not {image.dtype} {image.shape}")
    for kind, layer in (("mask", mask), ("confidence", confidence)):
        if layer is not None and (layer.dtype != np.uint8 or layer.shape != image.shape[:2]):
            raise ValueError(f"the {kind} of {image.shape} is uint8 {image.shape[:2]}, not {layer.dtype} {layer.shape}")


def has_bytes(path: Path) -> bool:
    """Whether the file exists and is not empty (a power cut can leave it empty)."""
    return path.is_file() and path.stat().st_size > 0


CONFIDENCE = "confidence"

# The key and the folder of each file of a pair, in the order of writing: the image last, when the rest exists.
_FILES = {
    "confidence": ("confidence_file_name", CONFIDENCE),
    "mask": ("mask_file_name", MASKS),
    "image": ("file_name", IMAGES),
}


class DatasetWriter(PairWriter):
    """Writes images/, masks/, metadata.jsonl and classes.json, and with `confidence` also confidence/."""

    def __init__(self, folder: Path, classes: ClassTable | None, *, confidence: bool = False) -> None:
        self._confidence = confidence
        super().__init__(folder, classes)

    def pictures(self, row: Keys) -> tuple[Pixels, Pixels | None]:
        image = read_image(self.folder / str(row["file_name"]))
        return image, read_mask(self.folder / str(row["mask_file_name"])) if "mask_file_name" in row else None

    def _folders(self) -> tuple[str, ...]:
        return (IMAGES, *([MASKS] if self.classes is not None else []), *([CONFIDENCE] if self._confidence else []))

    def _named(self, name: str, row: Keys, kinds: list[str], where: str) -> Keys:
        keys: Keys = {_FILES[kind][0]: f"{_FILES[kind][1]}/{name}.png" for kind in kinds}
        if row.keys() & keys.keys():
            raise ValueError("the writer names the files itself")
        keys |= row
        self._name_of(keys, where)
        return keys

    def _write_pictures(self, pair: Prepared) -> None:
        for kind, (key, _) in _FILES.items():
            if kind in pair.pictures:
                atomic_write(self.folder / str(pair.row[key]), pair.pictures[kind])

    def _name_of(self, row: Keys, where: str) -> str:
        for fault in key_faults(row, where, masks=self.classes is not None):
            raise fault
        return PurePosixPath(str(row["file_name"])).stem

    def _present(self, row: Keys) -> bool:
        return all(has_bytes(self.folder / str(row[key])) for key in ("file_name", "mask_file_name") if key in row)


class BackgroundWriter:
    """Writes pairs beside the thread that draws them, and calls `stored`, on that thread, when they are written.

    The first failure is raised by the next `put`, or by `close`.
    """

    def __init__(self, writer: PairWriter, stored: Callable[[Prepared], None]) -> None:
        self._writer, self._stored = writer, stored
        self._encoders = ThreadPoolExecutor(_ENCODERS)
        self._thread = ThreadPoolExecutor(1)  # so that rows come in the order of the pairs, and one file after another
        self._pending: deque[tuple[int, Future[Prepared] | Future[None]]] = deque()  # with their pixels

    def put(self, name: str, image: Pixels, mask: Pixels | None, row: Keys, confidence: Pixels | None) -> None:
        """Hand over a pair, as to `PairWriter.add`; waits while too many are on their way."""
        prepared = self._encoders.submit(self._writer.prepare, name, image, mask, row, confidence)
        self._wait_for(self._thread.submit(self._write, prepared), image.shape[0] * image.shape[1])

    def give_up(self, index: int) -> None:
        """Note that an expected pair will never be written."""
        self._wait_for(self._thread.submit(self._writer.settle, index), 0)

    def close(self) -> None:
        """Write what was handed over."""
        try:
            while self._pending:
                self._tell()
        finally:
            self._encoders.shutdown(wait=True, cancel_futures=True)
            self._thread.shutdown(wait=True, cancel_futures=True)

    def _wait_for(self, written: "Future[Prepared] | Future[None]", pixels: int) -> None:
        self._pending.append((pixels, written))
        while self._pending and (self._pending[0][1].done() or self._too_many()):
            self._tell()

    def _too_many(self) -> bool:
        waiting = len(self._pending)
        return waiting > WAITING or (waiting > 1 and sum(pixels for pixels, _ in self._pending) > _MOST_PIXELS)

    def _write(self, prepared: "Future[Prepared]") -> Prepared:
        pair = prepared.result()
        self._writer.write(pair)
        return pair

    def _tell(self) -> None:
        written = self._pending.popleft()[1].result()
        if written is not None:
            self._stored(written)
