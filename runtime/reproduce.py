"""`wetgen reproduce`: make a pair again from its row alone, and compare the bytes of its files."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wetgen.runtime import tar
from wetgen.runtime.bundle import Bundle
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import os_errors, read_bytes
from wetgen.runtime.finish import Finish
from wetgen.runtime.generator import Generator
from wetgen.runtime.metadata import METADATA, parse
from wetgen.runtime.metadata import lines as lines_of
from wetgen.runtime.pair import Pair
from wetgen.runtime.pictures import Pixels, decode_image, decode_mask, encode_mask, encode_png
from wetgen.runtime.provenance import png_text
from wetgen.runtime.recipes import Row, drawn_pair, painted_pair
from wetgen.runtime.record import FILE_NAME, read_record
from wetgen.runtime.shards import SUFFIXES
from wetgen.runtime.tidy import Tidy

_KEYS = {"image": "file_name", "mask": "mask_file_name", "confidence": "confidence_file_name"}


class Compared(NamedTuple):
    """A file of the pair beside the same made again: `difference` says how far they differ, None that they do not."""

    kind: str
    difference: str | None


def find_row(dataset: Path, index: int) -> dict[str, object]:
    """The row of the pair of an index; raises WetgenError when there is none."""
    path = dataset / METADATA
    with os_errors(path, "read"), path.open("rb") as file:
        for line in lines_of(file):
            row = parse(line, path)
            if row.get("index") == index:
                return row
    raise WetgenError(
        f"{dataset} has no pair {index}.",
        why=f"no row of {METADATA} has that index.",
        fix="give the `index` of a row; pairs that were given up have none.",
    )


def make_again(row: Row, bundle: Bundle, photos: Path | None, *, device: str, batch: int, threads: int | None) -> Pair:
    """The pair of a row.

    Raises WetgenError for another bundle than drew it, for photographs that lack, and for a row that does not say how.
    """
    where = f"Row {row.get('index')}"
    try:
        if row["bundle_sha256"] != bundle.hash:
            raise WetgenError(
                f"{bundle.folder} is not the bundle that drew this pair.",
                why=f"its hash is {bundle.hash[:12]}..., the row names {str(row['bundle_sha256'])[:12]}...",
                fix="give the one that did with --bundle.",
            )
        plan = bundle.plan(str(row["plan"]))
        with Generator(bundle, device=device, batch=batch, threads=threads) as generator:
            painted = "painted" in row
            pair = painted_pair(generator, row, plan, photos) if painted else drawn_pair(generator, row, plan)
        tidy = {name: value for name, value in dict(row.get("tidy", {})).items() if name != "changed"}
        return Finish(bundle, Tidy(**tidy))(pair, {})
    except (KeyError, TypeError, ValueError) as error:
        raise WetgenError(
            f"{where} does not say how its pair was drawn.",
            why=f"{type(error).__name__}: {error}.",
            fix="only pairs that wetgen drew can be made again, from rows that nobody changed.",
        ) from error


def compare(dataset: Path, row: Row, pair: Pair) -> list[Compared]:
    """Each file of the pair beside the same made again, byte for byte."""
    text = png_text(row)
    made: dict[str, tuple[bytes, Pixels]] = {"image": (encode_png(pair.image, text), pair.image)}
    if pair.mask is not None:
        made["mask"] = encode_mask(pair.mask, text), pair.mask
    if pair.confidence is not None:
        made["confidence"] = encode_png(pair.confidence, text), pair.confidence
    stored = dict(_stored(dataset, row))
    return [
        Compared(kind, _difference(kind, stored[kind], *made[kind]) if kind in stored else "it is not there")
        for kind in made
    ]


def how_drawn(dataset: Path) -> dict[str, Any]:
    """The device, batch and threads of the run that wrote the folder, or the usual ones without its run.json."""
    if not (dataset / FILE_NAME).is_file():
        return {"device": "cpu", "batch": 1, "threads": None}
    record = read_record(dataset)
    return {name: record.get(name, usual) for name, usual in (("device", "cpu"), ("batch", 1), ("threads", None))}


def _stored(dataset: Path, row: Row) -> Iterator[tuple[str, bytes]]:
    if "shard" in row:
        names = {kind: f"{row['key']}.{suffix}" for kind, suffix in SUFFIXES.items()}
        found = tar.read(dataset / str(row["shard"]), list(names.values()))
        yield from ((kind, found[name]) for kind, name in names.items() if name in found)
        return
    for kind, key in _KEYS.items():
        if key in row:
            yield kind, read_bytes(dataset / str(row[key]))


def _difference(kind: str, stored: bytes, data: bytes, pixels: Pixels) -> str | None:
    """How far a stored file differs from the one made again; None where it does not."""
    if stored == data:
        return None
    before = decode_mask(stored, kind) if pixels.ndim == 2 else decode_image(stored, kind)
    if before.shape != pixels.shape:
        return f"it has the shape {before.shape}, made again {pixels.shape}"
    if np.array_equal(before, pixels):
        return "its pixels are equal, its bytes are not: it was saved again, or its row was changed"
    apart = np.abs(before.astype(int) - pixels.astype(int))
    share = float((apart.reshape(*apart.shape[:2], -1).max(-1) > 0).mean())
    return f"{share:.2%} of its pixels differ, by up to {int(apart.max())} levels"


def rows_text(row: Mapping[str, object]) -> str:
    """The pair in a line, for people."""
    return f"pair {row['index']}: {row['text']!r}, seed {row['seed']}, try {row['try']}, plan {row['plan']}"
