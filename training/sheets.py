"""Sheets of pairs while training: each picture above the same picture with its mask laid over."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from wetgen.runtime.dataset.sheet import overlay


def as_bytes(image: Tensor) -> NDArray[np.uint8]:
    """(B, 3, H, W) in [-1, 1] to uint8 (B, H, W, 3), rounded as the decode graph rounds it."""
    levels = ((image.clamp(-1, 1) + 1) * 127.5).round()
    return levels.permute(0, 2, 3, 1).cpu().numpy().astype(np.uint8)


def pair_sheet(image: Tensor, mask: Tensor, columns: int) -> Image.Image:
    """image (N, 3, H, W) in [-1, 1] and mask ids (N, H, W) to a grid of `columns` pairs a row."""
    pictures, ids = as_bytes(image), mask.cpu().numpy()
    marked = np.stack([overlay(*pair) for pair in zip(pictures, ids, strict=True)])
    cells = np.concatenate([pictures, marked], 1)  # (N, 2H, W, 3)
    columns = min(columns, len(cells))
    blank = np.zeros((-len(cells) % columns, *cells.shape[1:]), np.uint8)
    rows = np.split(np.concatenate([cells, blank]), -(-len(cells) // columns))
    return Image.fromarray(np.concatenate([np.concatenate(list(row), 1) for row in rows]))
