"""What a run tells while it trains: a progress line, metrics.jsonl, TensorBoard scalars and sample sheets."""

import json
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter


class Journal:
    """Writes only in the main process; the others get one with folder = None."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.board = None if folder is None else SummaryWriter(str(folder / "tensorboard"))

    def scalars(self, stage: str, step: int, values: dict[str, float]) -> None:
        """Record numbers of a step."""
        if self.folder is None or self.board is None:
            return
        row = {
            "time": round(time.time(), 1),
            "stage": stage,
            "step": step,
            **{k: round(v, 6) for k, v in values.items()},
        }
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        for name, value in values.items():
            self.board.add_scalar(f"{stage}/{name}", value, step)

    def line(self, text: str) -> None:
        """A line that reads the same on a terminal and in a log file."""
        if self.folder is not None:
            print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

    def sheet(self, stage: str, step: int, picture: Image.Image) -> None:
        """Keep a picture of what the stage makes now."""
        if self.folder is None or self.board is None:
            return
        path = self.folder / "sheets" / f"{stage}-{step:07d}.png"
        path.parent.mkdir(exist_ok=True)
        picture.save(path)
        self.board.add_image(stage, np.asarray(picture), step, dataformats="HWC")

    def close(self) -> None:
        if self.board is not None:
            self.board.close()
