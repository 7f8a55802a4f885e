from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.quality.conftest import WriteFolder
from wetgen.benchmarks.quality.evaluation import Material, gather
from wetgen.benchmarks.quality.pairs import load_pairs
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.images import encode_mask


def real(write_folder: WriteFolder, kinds: tuple[int, ...] = (1, 2), scenes: int = 60, **how: object) -> Path:
    pairs = [(number, kinds[number % len(kinds)], f"place {number % scenes}") for number in range(60)]
    return write_folder("real", pairs, **how)


def synthetic(write_folder: WriteFolder, kinds: tuple[int, ...] = (1, 2), count: int = 24, **how: object) -> Path:
    return write_folder("made", [(1000 + i, kinds[i % len(kinds)], str(i)) for i in range(count)], **how)


def gathered(made: Path, known: Path, test: Path | None = None, size: int | None = None) -> Material:
    return gather(made, known, test, None, size, 0, id)


def test_real_pairs_are_split_by_group(write_folder: WriteFolder) -> None:
    material = gathered(synthetic(write_folder), real(write_folder, scenes=20))
    groups = [set(part.groups) for part in (material.train, material.validation, material.test)]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    assert len(material.train) + len(material.validation) + len(material.test) == 60


def test_stated_splits_are_followed(write_folder: WriteFolder) -> None:
    keys = [{"split": "train" if i < 40 else "validation" if i < 48 else "test"} for i in range(60)]
    material = gathered(synthetic(write_folder), real(write_folder, keys=keys))
    assert (len(material.train), len(material.validation), len(material.test)) == (40, 8, 12)


def test_a_test_folder_takes_the_place_of_the_test_part(write_folder: WriteFolder) -> None:
    apart = write_folder("apart", [(500 + i, 1 + i % 2, f"far {i}") for i in range(11)] + [(3, 1, "far")])
    material = gathered(synthetic(write_folder), real(write_folder), apart)
    assert set(material.test.sources) == {"apart"} and len(material.test) == 12
    # One of its pictures also stands in the real folder, under another scene: there it goes.
    assert material.dropped == 1 and len(material.train) + len(material.validation) == 59


def test_pictures_are_compared_at_the_size_of_the_synthetic_ones(write_folder: WriteFolder) -> None:
    material = gathered(synthetic(write_folder, side=24), real(write_folder))
    assert material.train.images.shape[1:] == (24, 24, 3)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("one scene", "has 1 scene"),
        ("no overlap", "share no class"),
        ("few synthetic", "too few synthetic pairs: 3"),
        ("few real", "too few real pairs"),
        ("undamaged", "No class of damage"),
        ("some stated", "Only 1 of 60 rows"),
        ("small", "smaller than 48 pixels"),
    ],
)
def test_faults_are_said(fault: str, message: str, write_folder: WriteFolder) -> None:
    made = synthetic(write_folder, kinds=(2,), count=3 if fault == "few synthetic" else 24)
    known = {
        "one scene": lambda: real(write_folder, scenes=1),
        "no overlap": lambda: real(write_folder, kinds=(1,)),
        "few real": lambda: write_folder("real", [(i, 1, str(i)) for i in range(12)]),
        "undamaged": lambda: real(write_folder, kinds=(0,)),
        "some stated": lambda: real(write_folder, keys=[{"split": "test"}, *[{}] * 59]),
        "small": lambda: real(write_folder, side=24),
    }.get(fault, lambda: real(write_folder))()
    with pytest.raises(WetgenError, match=message):
        gathered(made, known)


def test_mixed_sizes_need_a_size(write_folder: WriteFolder, tmp_path: Path) -> None:
    for number, side in enumerate((24, 48)):
        write_folder(f"both/{number}", [(1000 + 50 * number + i, 1 + i % 2, str(i)) for i in range(12)], side=side)
    with pytest.raises(WetgenError, match="different sizes"):
        gathered(tmp_path / "both", real(write_folder))
    assert gathered(tmp_path / "both", tmp_path / "real", size=24).synthetic.size == 24


def test_an_unknown_split_is_refused(write_folder: WriteFolder) -> None:
    with pytest.raises(WetgenError, match="its split is 'dev'"):
        load_pairs(real(write_folder, keys=[{"split": "dev"}] * 60), 24)


def test_masks_that_leave_pixels_out_are_refused_by_their_line(write_folder: WriteFolder) -> None:
    folder = write_folder("marked", [(1, 1, "a"), (2, 1, "b")], keys=[{}, {"ignore_id": 255}])
    assert len(load_pairs(folder, 48)) == 2  # no pixel is left out
    mask = np.zeros((48, 48), np.uint8)
    mask[3, 4] = 255
    (folder / "masks/001.png").write_bytes(encode_mask(mask))
    with pytest.raises(WetgenError, match=r"line 2: pixels of its mask are marked 255"):
        load_pairs(folder, 48)
