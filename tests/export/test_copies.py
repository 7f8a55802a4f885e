"""The check for copies: of the views that training showed, with a limit below what held-out pictures keep."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from wetgen.export import copies
from wetgen.export.copies import GREATEST_BITS, check_of_training, copy_check
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.dataset.writer import DatasetWriter
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import ClassTable
from wetgen.training.config import DataConfig
from wetgen.training.data import load_photos, random_views

TABLE = ClassTable(("background", "crack"))
Images = NDArray[np.uint8]


def walls(count: int, size: int, seed: int) -> Images:
    """Pictures with the spectrum of photographs, amplitude 1 / f, uint8 (N, S, S, 3)."""
    rng = np.random.default_rng(seed)
    frequency = np.fft.fftfreq(size) * size
    fall = 1 / np.maximum(np.hypot(frequency[:, None], frequency), 1)
    grey = np.fft.ifft2(np.fft.fft2(rng.standard_normal((count, size, size))) * fall).real
    grey = 120 + 30 * grey / grey.std((1, 2), keepdims=True)
    return np.clip(np.rint(grey[..., None] + [6, 0, -9]), 0, 255).astype(np.uint8)


def parts(images: Images, size: int = 32) -> Iterator[Images]:
    for start in range(0, len(images), size):
        yield images[start : start + size]


def test_copies_are_found_and_held_out_pictures_are_not_taken_for_them():
    training = walls(200, 32, 1)
    check = copy_check(parts(training), parts(walls(60, 32, 2)))
    assert check.measured == {
        "pictures": 200,
        "held_out": 60,
        "held_out_taken_for_copies": 0.0,
        "copies_found": check.measured["copies_found"],
    }
    assert check.measured["copies_found"] > 0.98
    assert check.fingerprints.most_bits <= GREATEST_BITS and len(check.fingerprints) == 200
    assert check.fingerprints.nearest(training[7]) == (0, 7)


def test_the_limit_is_just_below_the_nearest_held_out_picture():
    """Held-out pictures that lie between a copy and another picture pull the limit down."""
    training, others = walls(200, 32, 1), walls(60, 32, 2)
    near = np.rint(0.72 * training[:60].astype(float) + 0.28 * others).astype(np.uint8)
    check = copy_check(parts(training), parts(near))
    nearest = min(check.fingerprints.nearest(image)[0] for image in near)
    assert check.fingerprints.most_bits == nearest - 1 < GREATEST_BITS


def test_one_in_many_held_out_pictures_may_be_a_copy():
    """A near-duplicate that nobody found must not end the search for copies."""
    training = walls(200, 32, 1)
    held_out = np.concatenate([walls(999, 32, 2), training[:1]])
    check = copy_check(parts(training), parts(held_out))
    assert check.measured["held_out_taken_for_copies"] == 0.001 and check.measured["copies_found"] > 0.98


def test_held_out_pictures_that_repeat_training_pictures_are_refused():
    training = walls(50, 32, 1)
    for held_out in (training[:20], training[:20, :, ::-1]):
        with pytest.raises(WetgenError, match="cannot be told from pictures nobody trained on") as caught:
            copy_check(parts(training), parts(held_out))
        assert "differs from one of them in 0 of 256 bits" in caught.value.why


# Of a bundle's own training


CONFIG = DataConfig(size=32, views=3)
SEED = 4


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder of 40 larger pictures that are not square, 10 of them for validation."""
    folder = tmp_path_factory.mktemp("photographs")
    writer = DatasetWriter(folder, TABLE)
    for number, wall in enumerate(walls(40, 96, 3)):
        mask = np.zeros((72, 96), np.uint8)
        mask[20:40, 30:60] = 1
        part = "validation" if number % 4 == 0 else "train"
        row = {"text": "a crack", "scene": f"s{number}", "source": "made", "license": "CC0-1.0", "split": part}
        writer.add(f"{number:03d}", wall[:72], mask, row)
    return folder


def bundle(**changed: Any) -> Bundle:
    """As much of a bundle as the check looks at."""
    info = {
        "training": {"seed": SEED, "data": {"size": 32, "views": 3, "only": [], "of_a_later_version": 1}},
        "trained_on": [{"source": "made", "license": "CC0-1.0", "pairs": 30}],
    }
    return cast(Bundle, SimpleNamespace(folder=Path("bundle"), info={**info, **changed}))


def test_the_views_that_training_showed_are_known(photographs: Path, monkeypatch: pytest.MonkeyPatch):
    """View v of photograph n is drawn from (seed, n, v), in training as here, however many are taken at a time."""
    monkeypatch.setattr(copies, "_PART", 7)
    check = check_of_training(photographs, bundle())
    assert check.measured["pictures"] == 30 * 4 and check.measured["held_out"] == 10 * 4
    photos = load_photos(photographs, CONFIG, SEED).training
    seeds = [(SEED, n, v) for n in range(30) for v in range(3)]
    shown = random_views([photos[n] for _, n, _ in seeds], CONFIG, seeds)
    assert [check.fingerprints.nearest(image)[0] for image, _ in shown] == [0] * 90
    # Views of another seed are cut elsewhere: were those known, the test above would say nothing.
    other = random_views([photos[n] for _, n, _ in seeds], CONFIG, [(9, n, v) for _, n, v in seeds])
    assert np.median([check.fingerprints.nearest(image)[0] for image, _ in other]) > 12


def test_a_bundle_trained_on_something_else_is_refused(photographs: Path):
    with pytest.raises(WetgenError, match="is not what bundle was trained on") as caught:
        check_of_training(photographs, bundle(trained_on=[{"source": "made", "license": "CC0-1.0", "pairs": 31}]))
    assert "30 pairs of 1 sources are for training there; the bundle states 31 of 1" in caught.value.why


@pytest.mark.parametrize("training", [{}, None, {"seed": 1}])
def test_a_bundle_that_does_not_say_how_it_was_trained_is_refused(photographs: Path, training: object):
    with pytest.raises(WetgenError, match="does not say which views"):
        check_of_training(photographs, bundle(training=training))
