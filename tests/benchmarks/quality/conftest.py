"""Small dataset folders on disk."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from wetgen.runtime.dataset.writer import DatasetWriter
from wetgen.runtime.masks.classes import ClassTable

TABLE = ClassTable(("background", "crack", "stain"))
WriteFolder = Callable[..., Path]


def picture(seed: int, side: int = 48) -> np.ndarray:
    """A blotchy picture uint8 (side, side, 3) that no other seed's resembles."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return np.kron(coarse, np.ones((side // 6, side // 6, 1), np.uint8))


@pytest.fixture
def write_folder(tmp_path: Path) -> WriteFolder:
    """Writes a dataset folder of pairs: seed of the picture, class of its damage, scene, further keys of the row."""

    def write(
        name: str, pairs: Sequence[tuple[int, int, str]], side: int = 48, keys: Sequence[dict[str, object]] = ()
    ) -> Path:
        writer = DatasetWriter(tmp_path / name, TABLE)
        for number, (seed, kind, scene) in enumerate(pairs):
            mask = np.zeros((side, side), np.uint8)
            mask[side // 4 : side // 2, side // 4 : side // 2] = kind
            extra = keys[number] if keys else {}
            text = f"a wall with a {TABLE.names[kind]}" if kind else "a wall"
            writer.add(f"{number:03d}", picture(seed, side), mask, {"text": text, "scene": scene, **extra})
        return tmp_path / name

    return write
