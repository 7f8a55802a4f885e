"""`wetgen reproduce`: makes a pair again from its row alone, and compares the bytes of its files.

Anybody may have changed a row: reading one raises KeyError, TypeError or ValueError, which `make_again` explains.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wetgen.runtime.bundle.archive import file_sha256
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.graphs import Plan
from wetgen.runtime.dataset import shards
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
from wetgen.runtime.sampling.sampler import Floats, Pair, SampleInputs, SamplingParams, layout_of, undamaged

StoredRow = Mapping[str, Any]


def drawn_pair(generator: Generator, row: StoredRow, plan: Plan) -> Pair:
    """The pair of a row that was drawn from its prompt, and a layout if it had one."""
    cells, layout = checked_cells(_size(row), generator.bundle.sizes), None
    if "layout" in row:
        assert generator.bundle.classes is not None  # a bundle that took a layout has some
        mask = mask_from_json(row["layout"], generator.bundle.classes, f"Row {row['index']}")
        layout = layout_of(mask, generator.bundle.sizes)
    return next(generator.sample([_inputs(row, row["text"], plan, layout, cells)], plan, cells=cells))


def painted_pair(generator: Generator, row: StoredRow, plan: Plan, photos: Path | None) -> Pair:
    """The pair of a row that was painted, into a photograph of `photos` or into a surface that is drawn again."""
    background = Background(_background(generator, row, plan, photos), row["background"])
    job = InpaintJob(_inputs(row, row["text"], plan, None, None), background, list(_planned(generator, row)))
    painter, attempts = Painter(generator, plan, detail=int(row["detail"])), iter([(int(row["index"]), 0)])
    return next(draw_painted(generator, painter, lambda _: [job], attempts, at_once=1, judge=False))


def _inputs(
    row: StoredRow, prompt: object, plan: Plan, layout: Floats | None, cells: tuple[int, int] | None
) -> SampleInputs:
    """The model inputs that the row of a pair, or of a background, states."""
    return SampleInputs(
        str(prompt),
        int(row["seed"]),
        int(row["number"] if "number" in row else row["index"]),
        SamplingParams(plan.name, float(row["guidance"]), str(row["negative"])),
        int(row["try"]),
        layout,
        size=cells,
        index=int(row.get("index", 0)),
    )


def _planned(generator: Generator, row: StoredRow) -> Iterator[PlannedDamage]:
    table, where = generator.bundle.classes, f"Row {row['index']}"
    assert table is not None
    for stated in row["painted"]:
        region = region_from_json(stated["where"], where) if "where" in stated else None
        mask, severity = mask_from_json(stated["mask"], table, where), stated.get("severity")
        box = Box(*stated["box"])
        yield PlannedDamage(str(stated["class"]), str(stated["prompt"]), box, mask, region, severity)


def _background(generator: Generator, row: StoredRow, plan: Plan, photos: Path | None) -> Pixels:
    background, sizes = row["background"], generator.bundle.sizes
    cells = checked_cells(_size(row), sizes)
    if "photo" in background:
        image = read_image(_photograph(background, photos))
        return cropped(image, sizes.pixels(cells)) if background.get("cropped") else image
    inputs = _inputs(background, background["prompt"], plan, undamaged(sizes, cells), cells)
    canvas = generator.tiled(plan)
    return canvas.decode(canvas.draw([inputs], plan))[0].image


def _photograph(background: StoredRow, photos: Path | None) -> Path:
    """The path of a row's photograph, which must not have changed."""
    name = str(background["photo"])
    path = Path(name) if photos is None else photos / name
    if not path.is_file():
        raise WetgenError(
            f"The photograph {name} is needed to make this pair again.",
            why=f"{path} does not exist.",
            fix="give its folder with --photos.",
        )
    if file_sha256(path) != background["sha256"]:
        raise WetgenError(
            f"{path} is not the photograph of this pair.",
            why="its hash is not the one in the row.",
            fix="give the folder of the original with --photos.",
        )
    return path


def _size(row: StoredRow) -> tuple[int, int] | None:
    if "size" not in row:
        return None
    width, height = row["size"]
    return int(width), int(height)


class Compared(NamedTuple):
    """A stored file of a pair, and how it differs from the same made again; None if they are equal."""

    kind: str
    difference: str | None


def find_row(dataset: Path, index: int) -> dict[str, object]:
    """The row of the pair with this index; raises WetgenError if there is none."""
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

    Raises WetgenError if another bundle drew it, if its photograph is missing, and for a row that is not complete.
    """
    try:
        if row["bundle_sha256"] != bundle.hash:
            raise WetgenError(
                f"{bundle.folder} is not the bundle that drew this pair.",
                why=f"its hash is {bundle.hash[:12]}..., the row names {str(row['bundle_sha256'])[:12]}...",
                fix="give the bundle that did with --bundle.",
            )
        plan = bundle.plan(str(row["plan"]))
        with Generator(bundle, device=device, batch=batch, threads=threads) as generator:
            painted = "painted" in row
            pair = painted_pair(generator, row, plan, photos) if painted else drawn_pair(generator, row, plan)
        tidy = {name: value for name, value in dict(row.get("tidy", {})).items() if name != "changed"}
        return postprocess_pair(pair, {}, bundle, MaskCleanup(**tidy))
    except (KeyError, TypeError, ValueError) as error:
        raise WetgenError(
            f"Row {row.get('index')} does not say how its pair was drawn.",
            why=f"{type(error).__name__}: {error}.",
            fix="only pairs that wetgen drew can be made again, from rows that nobody changed.",
        ) from error


def compare(dataset: Path, row: StoredRow, pair: Pair) -> list[Compared]:
    """Compares each file of the pair with the same made again, byte for byte."""
    text, stored, compared = png_text(row), _stored(dataset, row), []
    for kind, pixels in (("image", pair.image), ("mask", pair.mask), ("confidence", pair.confidence)):
        if pixels is not None:
            data = encode_mask(pixels, text) if kind == "mask" else encode_png(pixels, text)
            difference = _difference(kind, stored[kind], data, pixels) if kind in stored else "it does not exist"
            compared.append(Compared(kind, difference))
    return compared


def how_drawn(dataset: Path) -> dict[str, Any]:
    """The device, batch and threads of the run that wrote the folder, or the usual ones without its run.json."""
    record = read_record(dataset) if (dataset / FILE_NAME).is_file() else {}
    return {name: record.get(name, usual) for name, usual in (("device", "cpu"), ("batch", 1), ("threads", None))}


def _stored(dataset: Path, row: StoredRow) -> dict[str, bytes]:
    """The files of a pair that exist, by kind."""
    if "shard" in row:
        names = {kind: f"{row['key']}.{suffix}" for kind, suffix in SUFFIXES.items()}
        found = shards.read(dataset / str(row["shard"]), list(names.values()))
        return {kind: found[name] for kind, name in names.items() if name in found}
    keys = {"image": "file_name", "mask": "mask_file_name", "confidence": "confidence_file_name"}
    return {kind: read_bytes(dataset / str(row[key])) for kind, key in keys.items() if key in row}


def _difference(kind: str, stored: bytes, data: bytes, pixels: Pixels) -> str | None:
    """How far a stored file differs from the one made again; None if it does not."""
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
