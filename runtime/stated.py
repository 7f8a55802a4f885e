"""Masks as rows state them, so that a row alone makes its pair again: a run-length string for every class."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.classes import ClassTable
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.formats.rle import compress, counts_of, decompress, pixels_of
from wetgen.runtime.pictures import MAX_PIXELS, Pixels


def stated_mask(mask: Pixels, table: ClassTable) -> dict[str, object]:
    """A mask of class ids uint8 (H, W) for JSON: its size and, by class name, COCO's compressed run lengths."""
    present = [int(class_id) for class_id in np.unique(mask) if class_id]
    return {
        "size": [mask.shape[1], mask.shape[0]],
        "classes": {table.names[class_id]: compress(counts_of(mask == class_id)) for class_id in present},
    }


def stated_region(region: NDArray[np.bool_]) -> dict[str, object]:
    """A region bool (H, W) for JSON."""
    return {"size": [region.shape[1], region.shape[0]], "pixels": compress(counts_of(region))}


def mask_of(stated: object, table: ClassTable, where: str) -> Pixels:
    """The mask uint8 (H, W) that `stated_mask` stated; raises WetgenError, which says where, for anything else."""
    try:
        size, classes = _parts(stated, "classes")
        mask = np.zeros(size, np.uint8)
        for name, runs in dict(classes).items():
            mask[pixels_of(decompress(runs), *size)] = table.names.index(name)
        return mask
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _unreadable(where, error) from error


def region_of(stated: object, where: str) -> NDArray[np.bool_]:
    """The region bool (H, W) that `stated_region` stated; raises WetgenError for anything else."""
    try:
        size, runs = _parts(stated, "pixels")
        return pixels_of(decompress(str(runs)), *size)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _unreadable(where, error) from error


def _parts(stated: object, what: str) -> tuple[tuple[int, int], Any]:
    if not isinstance(stated, Mapping):
        raise TypeError(f"it is a {type(stated).__name__}")
    width, height = (int(side) for side in stated["size"])
    if min(width, height) < 1 or width * height > MAX_PIXELS:
        raise ValueError(f"its size is {width} x {height}")
    return (height, width), stated[what]


def _unreadable(where: str, error: Exception) -> WetgenError:
    return WetgenError(
        f"{where}: the mask that it states cannot be read.",
        why=f"{type(error).__name__}: {error}.",
        fix="the row was changed; restore metadata.jsonl.",
    )
