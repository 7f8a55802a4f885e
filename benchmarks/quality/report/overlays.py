"""Pictures beside their masks, for looking at: rows of panels with a line of words under each."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.runtime.dataset.sheet import Tile, contact_sheet
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.masks.images import encode_png


def case_sheet(pairs: Pairs, listed: Sequence[Mapping[str, Any]]) -> bytes:
    """PNG: each listed picture under its true mask, then under the predicted one."""
    tiles = []
    for case in listed:
        i = int(case["index"])
        predicted = np.asarray(Image.open(io.BytesIO(base64.b64decode(case["mask"]))))
        tiles.append(Tile(pairs.images[i], pairs.masks[i], f"truth: {pairs.texts[i]}"))
        tiles.append(Tile(pairs.images[i], predicted, f"predicted, IoU {case['iou']:.2f}"))
    return _sheet(tiles, pairs.table)


def match_sheet(synthetic: Pairs, train: Pairs, closest: Sequence[tuple[int, int, float]]) -> bytes:
    """PNG: synthetic pairs, each followed by the training pair it lies nearest to: places of both, and distance."""
    tiles = []
    for i, j, distance in closest:
        tiles.append(Tile(synthetic.images[i], synthetic.masks[i], f"made: {synthetic.texts[i]}"))
        tiles.append(Tile(train.images[j], train.masks[j], f"trained on, distance {distance:.3g}"))
    return _sheet(tiles, synthetic.table)


def _sheet(tiles: Sequence[Tile], table: ClassTable) -> bytes:
    return encode_png(contact_sheet(tiles, table))
