"""`wetgen reproduce`: make a pair again from its row alone, and compare the bytes of its files.

What a row says of how its pair was drawn, read back.

Rows are somebody's files: what does not fit raises KeyError, TypeError or ValueError, or WetgenError with its words.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wetgen.runtime.bundle.archive import file_sha256
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.graphs import Plan
from wetgen.runtime.dataset import shards as tar
from wetgen.runtime.dataset.metadata import METADATA, parse
from wetgen.runtime.dataset.metadata import lines as lines_of
from wetgen.runtime.dataset.shards import SUFFIXES
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import os_errors, read_bytes
from wetgen.runtime.inpaint.backgrounds import Background, cropped
from wetgen.runtime.inpaint.draw import InpaintJob, draw_painted
from wetgen.runtime.inpaint.painter import Painter, PlannedDamage
from wetgen.runtime.masks.cleanup import MaskCleanup
from wetgen.runtime.masks.images import Pixels, decode_image, decode_mask, encode_mask, encode_png, png_text, read_image
from wetgen.runtime.masks.regions import Box
from wetgen.runtime.masks.rle import mask_from_json, region_from_json
from wetgen.runtime.run.record import FILE_NAME, read_record
from wetgen.runtime.run.tasks import postprocess_pair
from wetgen.runtime.sampling.generator import Generator, checked_cells
from wetgen.runtime.sampling.sampler import Pair, SampleInputs, SamplingParams, layout_of, undamaged

StoredRow = Mapping[str, Any]


def drawn_pair(generator: Generator, row: StoredRow, plan: Plan) -> Pair:
    """The pair of a row that was drawn from its prompt, and a layout if it had one."""
    cells = checked_cells(_size(row), generator.bundle.sizes)
    index, attempt = int(row["index"]), int(row["try"])
    layout = None
    if "layout" in row:
        assert generator.bundle.classes is not None  # a bundle that took a layout has some
        layout = layout_of(
            mask_from_json(row["layout"], generator.bundle.classes, f"Row {index}"), generator.bundle.sizes
        )
    inputs = SampleInputs(
        str(row["text"]),
        int(row["seed"]),
        int(row.get("number", index)),
        _params(row),
        attempt,
        layout,
        size=cells,
        index=index,
    )
    return next(generator.sample([inputs], plan, cells=cells))


def painted_pair(generator: Generator, row: StoredRow, plan: Plan, photos: Path | None) -> Pair:
    """The pair of a row that was painted, into a photograph of `photos` or into a surface that is drawn again."""
    sheet = InpaintJob(
        int(row["index"]),
        int(row["try"]),
        int(row["seed"]),
        int(row.get("number", row["index"])),
        str(row["text"]),
        _params(row),
        Background(_background(generator, row, plan, photos), row["background"]),
        list(_planned(generator, row)),
    )
    painter, attempts = Painter(generator, plan, detail=int(row["detail"])), iter([(sheet.index, sheet.attempt)])
    return next(draw_painted(generator, painter, lambda _: [sheet], attempts, at_once=1, judge=False))


def _params(row: StoredRow) -> SamplingParams:
    return SamplingParams(str(row["plan"]), float(row["guidance"]), str(row["negative"]))


def _planned(generator: Generator, row: StoredRow) -> Iterator[PlannedDamage]:
    table, where = generator.bundle.classes, f"Row {row['index']}"
    assert table is not None
    for stated in row["painted"]:
        region = region_from_json(stated["where"], where) if "where" in stated else None
        mask, severity = mask_from_json(stated["mask"], table, where), stated.get("severity")
        box = Box(*stated["box"])
        yield PlannedDamage(str(stated["class"]), str(stated["prompt"]), box, mask, region, severity)


def _background(generator: Generator, row: StoredRow, plan: Plan, photos: Path | None) -> Pixels:
    said, sizes = row["background"], generator.bundle.sizes
    cells = checked_cells(_size(row), generator.bundle.sizes)
    if "photo" in said:
        image = read_image(_photograph(said, photos))
        return cropped(image, sizes.pixels(cells)) if said.get("cropped") else image
    wanted = SampleInputs(
        str(said["prompt"]),
        int(said["seed"]),
        int(said["number"]),
        _params({**said, "plan": plan.name}),
        int(said["try"]),
        undamaged(sizes, cells),
        size=cells,
    )
    canvas = generator.tiled(plan)
    return canvas.decode(canvas.draw([wanted], plan))[0].image


def _photograph(said: StoredRow, photos: Path | None) -> Path:
    """Where the photograph of a row lies now, if it is still the same."""
    name = str(said["photo"])
    path = Path(name) if photos is None else photos / name
    if not path.is_file():
        raise WetgenError(
            f"The photograph {name} is needed to make this pair again.",
            why=f"{path} is not there.",
            fix="say with --photos which folder it lies in.",
        )
    if file_sha256(path) != said["sha256"]:
        raise WetgenError(
            f"{path} is not the photograph that was painted in.",
            why="its hash is another than the row's.",
            fix="say with --photos where the one lies that was.",
        )
    return path


def _size(row: StoredRow) -> tuple[int, int] | None:
    if "size" not in row:
        return None
    width, height = row["size"]
    return int(width), int(height)


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


def make_again(
    row: StoredRow, bundle: Bundle, photos: Path | None, *, device: str, batch: int, threads: int | None
) -> Pair:
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
        return postprocess_pair(pair, {}, bundle, MaskCleanup(**tidy))
    except (KeyError, TypeError, ValueError) as error:
        raise WetgenError(
            f"{where} does not say how its pair was drawn.",
            why=f"{type(error).__name__}: {error}.",
            fix="only pairs that wetgen drew can be made again, from rows that nobody changed.",
        ) from error


def compare(dataset: Path, row: StoredRow, pair: Pair) -> list[Compared]:
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


def _stored(dataset: Path, row: StoredRow) -> Iterator[tuple[str, bytes]]:
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
