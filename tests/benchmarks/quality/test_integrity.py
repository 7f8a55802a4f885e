"""Integrity: each fault is found, counted and named."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.benchmarks.quality.walls import TABLE, WORDS, walls
from wetgen.benchmarks.quality.integrity import folder_integrity, integrity, offending_share
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.runtime.dataset.writer import DatasetWriter


@pytest.fixture
def pairs() -> Pairs:
    return walls(30, 1, 32)


def changed(pairs: Pairs, place: int, image: int | None = None, mask: int | None = None) -> Pairs:
    images, masks = pairs.images.copy(), pairs.masks.copy()
    if image is not None:
        images[place] = image
    if mask is not None:
        masks[place] = mask
    return pairs.with_pixels(images, masks)


def test_sound_pairs_pass(pairs: Pairs) -> None:
    assert integrity(pairs, WORDS) == {"checked": 30, "passed": True, "counts": {}, "offenders": []}


def test_a_picture_of_one_colour_and_an_unknown_id_are_found(pairs: Pairs) -> None:
    found = integrity(changed(changed(pairs, 3, image=9), 5, mask=7), WORDS)
    assert found["passed"] is False and found["counts"]["constant"] == found["counts"]["unknown id"] == 1
    reasons = {offender["pair"]: offender["reasons"] for offender in found["offenders"]}
    assert "one colour" in reasons[pairs.names[3]][0] and "7" in reasons[pairs.names[5]][0]


def test_a_class_that_was_asked_for_must_be_there(pairs: Pairs) -> None:
    place = next(i for i, text in enumerate(pairs.texts) if "crack and a stain" in text)
    found = integrity(changed(pairs, place, mask=0), WORDS)
    assert found["counts"] == {"asked class absent": 2}
    assert found["offenders"] == [
        {"pair": pairs.names[place], "reasons": [f"asked for {n}, none in the mask" for n in ("crack", "stain")]}
    ]


def test_the_same_picture_twice_is_found(pairs: Pairs) -> None:
    found = integrity(pairs.take([0, 1, 2, 1, 1]), WORDS)
    assert found["counts"] == {"repeat": 2}


def test_the_share_stands_beside_that_of_real_pairs(pairs: Pairs) -> None:
    real = walls(40, 2, 32)
    assert not offending_share(pairs, real, WORDS)["flagged"]
    spoiled = pairs.with_pixels(pairs.images, np.zeros_like(pairs.masks))
    figure = offending_share(spoiled, real, WORDS)
    assert figure["flagged"] and figure["value"] > 0.8 and figure["floor"] == 0


@pytest.fixture
def folder(tmp_path: Path, pairs: Pairs) -> Path:
    writer = DatasetWriter(tmp_path / "made", TABLE)
    for number in range(4):
        writer.add(f"{number}", pairs.images[number], pairs.masks[number], {"text": pairs.texts[number], "scene": "s"})
    return tmp_path / "made"


def lossy_picture(folder: Path) -> None:
    file = io.BytesIO()
    Image.open(folder / "images/1.png").save(file, "JPEG")
    (folder / "images/1.png").write_bytes(file.getvalue())


def lossy_mask(folder: Path) -> None:
    file = io.BytesIO()
    Image.open(folder / "masks/1.png").save(file, "JPEG")
    (folder / "masks/1.png").write_bytes(file.getvalue())


def other_size(folder: Path) -> None:
    Image.new("L", (16, 16)).save(folder / "masks/1.png")


def number_that_is_none(folder: Path) -> None:
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    rows[1]["confidence"] = float("nan")
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


FAULTS: list[tuple[Callable[[Path], None], str, str]] = [
    (lossy_picture, "lossy", "loss"),
    (lossy_mask, "file", "lossless"),
    (other_size, "file", "16 x 16"),
    (lambda folder: (folder / "images/1.png").unlink(), "file", "missing"),
    (number_that_is_none, "file", "NaN"),
]


@pytest.mark.parametrize("spoil, kind, said", FAULTS)
def test_faults_of_files_are_found(folder: Path, spoil: Callable[[Path], None], kind: str, said: str) -> None:
    assert folder_integrity(folder)["passed"] and folder_integrity(folder.parent)["checked"] == 4
    spoil(folder)
    found = folder_integrity(folder)
    assert found["passed"] is False and found["counts"] == {kind: 1}
    assert said in found["offenders"][0]["reasons"][0]
