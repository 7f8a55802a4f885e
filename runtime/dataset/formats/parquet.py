"""Parquet as `datasets` reads it: data/PART-00000-of-00002.parquet, image and mask decoded by load_dataset("parquet").

Columns: image and mask ({bytes, path}: files, as the dataset folder has them, IGNORE 255), text, scene, and the other
keys of the row as JSON in `row`. The file's metadata states the features, so no script is needed; classes.json lies
beside data/.
"""

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from wetgen.runtime.dataset.formats.base import (
    SPLITS,
    Example,
    Incoming,
    Names,
    Options,
    Picture,
    Receiver,
    Writer,
    bad_labels,
    parts_of,
)
from wetgen.runtime.errors import WetgenError, missing
from wetgen.runtime.files import NewFolder, os_errors
from wetgen.runtime.masks.classes import FILE_NAME, ClassTable
from wetgen.runtime.masks.images import decode_mask

_GROUP = 100  # rows to a row group, the least that readers fetch at a time; the Hub's own value for pictures
_FEATURES = {
    "image": {"_type": "Image"},
    "mask": {"_type": "Image"},
    **{name: {"dtype": "string", "_type": "Value"} for name in ("text", "scene", "row")},
}


class ParquetWriter(Writer):
    """Writes shards; they get their names, which state how many there are, in the end."""

    def __init__(self, folder: NewFolder, classes: ClassTable, options: Options) -> None:
        super().__init__(folder, classes, options)
        self._arrow, self._parquet = _pyarrow("pyarrow"), _pyarrow("pyarrow.parquet")
        picture = self._arrow.struct({"bytes": self._arrow.binary(), "path": self._arrow.string()})
        types = {name: picture if name in ("image", "mask") else self._arrow.string() for name in _FEATURES}
        about = json.dumps({"info": {"features": _FEATURES}})
        self._schema = self._arrow.schema(types, metadata={"huggingface": about})
        self._rows: dict[str, list[dict[str, object]]] = {part: [] for part in SPLITS}
        self._files: dict[str, Any] = {}
        self._written: dict[str, int] = {}  # bytes of pictures in the open shard of each part
        self._shards: dict[str, list[Path]] = {part: [] for part in SPLITS}

    def add(self, example: Example) -> None:
        part, mask = example.part, example.mask_file
        others = {key: value for key, value in example.row.items() if key not in ("text", "scene")}
        size = len(example.image) + len(mask)
        if self._written.get(part, 0) and self._written[part] + size > self.options.shard_bytes:
            self._end_shard(part)
        self._rows[part].append(
            {
                "image": {"bytes": example.image, "path": f"{example.name}{example.suffix}"},
                "mask": {"bytes": mask, "path": f"{example.name}.png"},
                "text": example.row["text"],
                "scene": example.row["scene"],
                "row": json.dumps(others, ensure_ascii=False),
            }
        )
        self._written[part] = self._written.get(part, 0) + size
        if len(self._rows[part]) == _GROUP:
            self._flush(part)

    def close(self) -> None:
        for part, shards in self._shards.items():
            self._end_shard(part)
            for number, path in enumerate(shards):
                path.rename(path.with_name(f"{part}-{number:05d}-of-{len(shards):05d}.parquet"))
        table = json.dumps(self.classes.to_json(), indent=1, ensure_ascii=False) + "\n"
        self.folder.write(FILE_NAME, table.encode())

    def release(self) -> None:
        for file in self._files.values():
            file.close()

    def _flush(self, part: str) -> None:
        """Write the rows that wait, as one row group."""
        if part not in self._files:
            path = self.folder.path(f"data/{part}-{len(self._shards[part]):05d}.parquet")
            self._files[part] = self._parquet.ParquetWriter(path, self._schema, compression="none")
            self._shards[part].append(path)
        self._files[part].write_table(self._arrow.Table.from_pylist(self._rows[part], schema=self._schema))
        self._rows[part] = []

    def _end_shard(self, part: str) -> None:
        if self._rows[part]:
            self._flush(part)
        if part in self._files:
            self._files.pop(part).close()
        self._written[part] = 0


def read_parquet(source: Path, ignore: bool, classes: ClassTable | None) -> Incoming:
    """Read data/PART-*.parquet, or *.parquet in `source`; the columns image and mask must hold the files' bytes."""
    arrow = _pyarrow("pyarrow.parquet")
    shards = sorted(source.glob("data/*.parquet")) or sorted(source.glob("*.parquet"))
    if not shards:
        raise WetgenError(f"{source} holds no Parquet files.", why="there is no *.parquet.", fix="check the path.")
    table = ClassTable.load(source / FILE_NAME) if classes is None else classes
    named = [path.stem.partition("-")[0] for path in shards]
    distinct = sorted(set(named))
    parts = dict(zip(distinct, parts_of(distinct, source), strict=True))
    splits = [(path, parts[name]) for path, name in zip(shards, named, strict=True)]
    return Incoming(table, _examples(arrow, splits, Receiver(table, ignore=ignore)))


def _examples(arrow: Any, shards: list[tuple[Path, str | None]], receiver: Receiver) -> Iterator[Example]:
    names = Names()
    for path, split in shards:
        for number, record in enumerate(_records(arrow, path), 1):
            where = f"{path}, row {number}"
            try:
                image, mask = record["image"]["bytes"], record["mask"]["bytes"]
                file_name = record["image"].get("path") or f"{path.stem}-{number:06d}.png"
                row = json.loads(record.get("row") or "{}")
                row |= {key: record[key] for key in ("text", "scene") if record.get(key)}
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise bad_labels(where, f"{type(error).__name__}: {error}") from error
            if not isinstance(image, bytes) or not isinstance(mask, bytes):
                raise bad_labels(where, "it names picture files and does not hold them")
            pixels = decode_mask(mask, f"{where}: its mask")
            name, picture = names.give(Path(file_name).name), Picture.decode(image, where)
            yield receiver.example(name, split, picture, pixels, row, where)


def _records(arrow: Any, path: Path) -> Iterator[dict[str, Any]]:
    try:
        with os_errors(path, "read"), arrow.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_GROUP):
                yield from batch.to_pylist()
    except _pyarrow("pyarrow").ArrowException as error:
        raise bad_labels(str(path), f"the file is damaged or no Parquet ({error})") from error


def _pyarrow(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise missing("pyarrow", extra="convert", needed_to="read and write Parquet") from error
