import io

import numpy as np
from PIL import Image

from tests.benchmarks.quality.conftest import picture
from wetgen.benchmarks.quality.duplicates import near_duplicates, thumbnail


def stack(*images: np.ndarray) -> np.ndarray:
    return np.stack([thumbnail(image) for image in images])


def recompressed(image: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=40)
    return np.asarray(Image.open(file))


def test_resized_recompressed_relit_and_mirrored_pictures_are_the_same() -> None:
    first = picture(1)
    smaller = np.asarray(Image.fromarray(first).resize((37, 37)))
    relit = np.clip(first.astype(int) // 2 + 60, 0, 255).astype(np.uint8)
    others = stack(smaller, recompressed(first), relit, first[:, ::-1])
    assert {j for _, j, _ in near_duplicates(stack(first), others)} == {0, 1, 2, 3}


def test_different_pictures_are_not() -> None:
    assert near_duplicates(stack(*map(picture, range(40))), stack(*map(picture, range(40, 80)))) == []


def test_flat_pictures_are_nobodys_copies() -> None:
    flat = np.full((48, 48, 3), 90, np.uint8)
    assert near_duplicates(stack(flat), stack(flat)) == []


def test_the_best_match_comes_first() -> None:
    first = picture(3)
    noisy = np.clip(first + np.random.default_rng(0).normal(0, 25, first.shape), 0, 255).astype(np.uint8)
    matches = near_duplicates(stack(first), stack(noisy, first))
    assert [j for _, j, _ in matches] == [1, 0] and matches[0][2] > matches[1][2]
