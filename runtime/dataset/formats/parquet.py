"""Parquet as `datasets` reads it: data/PART-00000-of-00002.parquet, image and mask decoded by load_dataset("parquet").

Columns: image and mask ({bytes, path}: the dataset folder's files, IGNORE is 255), text, scene, and the other keys of
the row as JSON in `row`. The file's metadata states the features, so no script is needed. classes.json is beside data/.
"""

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from wetgen.runtime.dataset.formats.base import SPLITS, Exporter, Importer, Options, Sample, bad_labels, parts_of
from wetgen.runtime.errors import WetgenError, missing
from wetgen.runtime.files import NewFolder, os_errors
from wetgen.runtime.masks.classes import FILE_NAME, ClassTable
from wetgen.runtime.masks.images import decode_image, decode_mask

_GROUP = 100  # rows of a row group, the least that readers fetch at a time; the Hub's own value for images
_FEATURES = {
    "image": {"_type": "Image"},
    "mask": {"_type": "Image"},
    **{name: {"dtype": "string", "_type": "Value"} for name in ("text", "scene", "row")},
}


class ParquetExporter(Exporter):
    """Writes shards. They are renamed in the end, because their names state how many there are."""

    def __init__(self, folder: NewFolder, classes: ClassTable, options: Options) -> None:
        super().__init__(folder, classes, options)
        self._arrow, self._parquet = _pyarrow("pyarrow"), _pyarrow("pyarrow.parquet")
        picture = self._arrow.struct({"bytes": self._arrow.binary(), "path": self._arrow.string()})
        types = {name: picture if name in ("image", "mask") else self._arrow.string() for name in _FEATURES}
        about = json.dumps({"info": {"features": _FEATURES}})
        self._schema = self._arrow.schema(types, metadata={"huggingface": about})
        self._rows: dict[str, list[dict[str, object]]] = {part: [] for part in SPLITS}
        self._files: dict[str, Any] = {}
        self._written: dict[str, int] = {}  # bytes of images and masks in the open shard of each part
        self._shards: dict[str, list[Path]] = {part: [] for part in SPLITS}

    def add(self, sample: Sample) -> None:
        part, mask = sample.part, sample.mask_file
        others = {key: value for key, value in sample.metadata.items() if key not in ("text", "scene")}
        size = len(sample.image) + len(mask)
        if self._written.get(part, 0) and self._written[part] + size > self.options.shard_bytes:
            self._end_shard(part)
        self._rows[part].append(
            {
                "image": {"bytes": sample.image, "path": f"{sample.name}{sample.suffix}"},
                "mask": {"bytes": mask, "path": f"{sample.name}.png"},
                "text": sample.metadata["text"],
                "scene": sample.metadata["scene"],
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
        self.write_classes()

    def _flush(self, part: str) -> None:
        """Write the collected rows as one row group."""
        if part not in self._files:
            path = self.folder.path(f"data/{part}-{len(self._shards[part]):05d}.parquet")
            writer = self._parquet.ParquetWriter(path, self._schema, compression="none")
            self._files[part] = self.open_files.enter_context(writer)
            self._shards[part].append(path)
        self._files[part].write_table(self._arrow.Table.from_pylist(self._rows[part], schema=self._schema))
        self._rows[part] = []

    def _end_shard(self, part: str) -> None:
        if self._rows[part]:
            self._flush(part)
        if part in self._files:
            self._files.pop(part).close()
        self._written[part] = 0


class ParquetImporter(Importer):
    """Reads data/PART-*.parquet, or *.parquet in `source`. The columns image and mask must hold the files' bytes."""

    def __init__(self, source: Path, ignore: bool, classes: ClassTable | None) -> None:
        _pyarrow("pyarrow.parquet")  # a missing package is reported first
        shards = sorted(source.glob("data/*.parquet")) or sorted(source.glob("*.parquet"))
        if not shards:
            raise WetgenError(f"{source} has no Parquet files.", why="there is no *.parquet.", fix="check the path.")
        super().__init__(source, ClassTable.load(source / FILE_NAME) if classes is None else classes, ignore=ignore)
        parts = [path.stem.partition("-")[0] for path in shards]
        distinct = sorted(set(parts))
        splits = dict(zip(distinct, parts_of(distinct, source), strict=True))
        self._shards = [(path, splits[part]) for path, part in zip(shards, parts, strict=True)]

    def samples(self) -> Iterator[Sample]:
        for path, split in self._shards:
            for number, record in enumerate(_records(path), 1):
                where = f"{path}, row {number}"
                try:
                    image, mask = record["image"]["bytes"], record["mask"]["bytes"]
                    file_name = record["image"].get("path") or f"{path.stem}-{number:06d}.png"
                    row = json.loads(record.get("row") or "{}")
                    row |= {key: record[key] for key in ("text", "scene") if record.get(key)}
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    raise bad_labels(where, f"{type(error).__name__}: {error}") from error
                if not isinstance(image, bytes) or not isinstance(mask, bytes):
                    raise bad_labels(where, "it names image files and does not contain them")
                pixels = decode_mask(mask, f"{where}: its mask")
                picture = image, decode_image(image, where)
                yield self.sample(Path(file_name).name, split, picture, pixels, row, where)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with os_errors(path, "read"), _pyarrow("pyarrow.parquet").ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_GROUP):
                yield from batch.to_pylist()
    except _pyarrow("pyarrow").ArrowException as error:
        raise bad_labels(str(path), f"the file is damaged or not Parquet ({error})") from error


def _pyarrow(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise missing("pyarrow", extra="convert", needed_to="read and write Parquet") from error
