"""Sheets of pairs while training: each picture above the same picture with its mask laid over."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from wetgen.runtime.classes import colour


def pair_sheet(image: Tensor, mask: Tensor, columns: int) -> Image.Image:
    """image (N, 3, H, W) in [-1, 1] and mask ids (N, H, W) to a grid of `columns` pairs a row."""
    pictures = ((image.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    ids = mask.cpu().numpy()
    palette = np.array([colour(id) for id in range(256)], np.uint8)
    marked = np.where((ids > 0)[..., None], (pictures * 0.45 + palette[ids] * 0.55).astype(np.uint8), pictures)
    cells = np.concatenate([pictures, marked], 1)  # (N, 2H, W, 3)
    rows = [np.concatenate(list(cells[i : i + columns]), 1) for i in range(0, len(cells) - len(cells) % columns, columns)]
    return Image.fromarray(np.concatenate(rows, 0))


def as_uint8(image: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] to uint8 of the same shape, as the decode graph rounds it."""
    return ((image.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
