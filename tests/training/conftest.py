"""A small dataset folder of two damage classes, and the tiny config, shared by the training tests."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from accelerate.state import AcceleratorState

from tests.once import once
from wetgen.runtime.dataset.writer import DatasetWriter
from wetgen.runtime.masks.classes import ClassTable
from wetgen.training import run
from wetgen.training.config import TrainConfig, load

TABLE = ClassTable(("background", "crack", "stain"))


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    """accelerate allows one precision a process; the tests train in both, and tests of other folders train too."""
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


@pytest.fixture(scope="session")
def pairs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pairs of 12 scenes: grey walls with a dark line (crack) or a brown disc (stain), every sixth undamaged."""
    return once(tmp_path_factory, "training-pairs", _write_pairs)


def _write_pairs(folder: Path) -> None:
    rng = np.random.default_rng(0)
    writer = DatasetWriter(folder, TABLE)
    rows, columns = np.mgrid[:48, :40]
    for n in range(24):
        image = np.full((48, 40, 3), 150 + 5 * (n % 10), np.uint8)
        mask = np.zeros((48, 40), np.uint8)
        text = "a clean grey wall"
        if n % 6:
            line, (y, x) = n % 2, rng.integers(12, 28, 2)
            where = abs(columns - x) < 2 if line else (rows - y) ** 2 + (columns - x) ** 2 < 80
            mask[where] = 1 if line else 2
            image[where] = (40, 40, 40) if line else (140, 100, 50)
            text = "a dark crack in a grey wall" if line else "a brown stain on a grey wall"
        writer.add(
            f"{n:03d}", image, mask, {"text": text, "scene": f"house-{n // 2}", "license": "CC0", "source": "tests"}
        )


@pytest.fixture(scope="session")
def tiny() -> TrainConfig:
    return load(Path("tiny"))


@pytest.fixture(scope="session")
def finished(pairs_folder: Path, tiny: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny run."""

    def train(out: Path) -> None:
        AcceleratorState._reset_state(True)
        started = run.start(tiny, pairs_folder, out, resume=False)
        try:
            run.train_vae(started)
            run.train_decoder(started)
            run.train_denoiser(started)
        finally:
            started.journal.close()

    return once(tmp_path_factory, "finished-run", train)
