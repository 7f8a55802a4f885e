"""A dataset folder that is hard to carry over: holes, hairlines, regions that touch by corners, odd names."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.masks.images import Pixels, encode_png

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # `datasets` reads it when it is imported; nothing is to be fetched

H, W = 24, 36  # not square, so that a swap of width and height shows
CLASSES = ClassTable(("background", "crack", "water stain", "mold"))


def hard_mask(seed: int) -> Pixels:
    """uint8 (H, W): a ring with an island in its hole, a diagonal hairline, single pixels, both edges touched."""
    mask = np.zeros((H, W), np.uint8)
    mask[2:13, 3:16] = 1
    mask[4:11, 5:14] = 0
    mask[6:9, 8:11] = 1 + seed % 3
    mask[7, 9] = 0
    for step in range(9):
        mask[13 + step, 18 + step] = 2
    mask[0, W - 1] = mask[H - 1, 0] = 3
    mask[H - 4 :, W - 3 :] = 2
    mask[15 + seed % 4, 4:12:2] = 3  # four regions of one pixel
    return mask


def picture(seed: int) -> Pixels:
    """uint8 (H, W, 3), smooth enough that JPEG keeps it nearly."""
    x, y = np.meshgrid(np.arange(W), np.arange(H))
    return np.stack([x * 5 + seed, y * 8, (x + y) * 3], -1).astype(np.uint8)


Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a dataset folder of `count` pairs, their images of `kinds` in turn; other keys go into every row."""

    def build(
        count: int = 6,
        name: str = "made",
        ignore: bool = False,
        kinds: tuple[str, ...] = ("png", "jpg"),
        **keys: object,
    ) -> Path:
        folder = tmp_path / name
        for part in ("images", "masks"):
            (folder / part).mkdir(parents=True)
        rows = []
        for i in range(count):
            suffix = kinds[i % len(kinds)]
            Image.fromarray(picture(i)).save(folder / "images" / f"pair {i}.{suffix}")
            mask = hard_mask(i)
            if ignore:
                mask[12, 20:30] = 255
            (folder / "masks" / f"{i}.png").write_bytes(encode_png(mask))
            rows.append(
                {
                    "file_name": f"images/pair {i}.{suffix}",
                    "mask_file_name": f"masks/{i}.png",
                    "text": f"a wäll, no. {i} \u2028 <b>",
                    "scene": f"house {i // 2}",
                    "license": "CC0" if i % 3 else "MIT",
                    "seed": i,
                    **keys,
                }
            )
        write_rows(folder, rows)
        (folder / "classes.json").write_text(json.dumps(CLASSES.to_json()))
        return folder

    return build


def write_rows(folder: Path, rows: list[dict[str, object]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "metadata.jsonl").write_text(text, encoding="utf-8")


def read_rows(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").split("\n") if line]
