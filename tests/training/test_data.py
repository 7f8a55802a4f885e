"""Photographs and views: what a crop keeps, how thin damage survives, and that nothing depends on order."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from wetgen.runtime.dataset.reader import Dataset
from wetgen.runtime.dataset.writer import DatasetWriter
from wetgen.runtime.errors import WetgenError
from wetgen.training.config import TrainConfig
from wetgen.training.data import Photo, load_photos, plain_view, sampling_weights, view


def photo(mask: np.ndarray, text: str = "a crack") -> Photo:
    image = np.repeat((mask > 0).astype(np.uint8)[..., None] * 200, 3, axis=2)
    return Photo(image, mask.astype(np.uint8), text, "s", "tests", "CC0")


def test_a_scene_never_stands_on_both_sides_of_the_split(pairs_folder: Path, tiny: TrainConfig) -> None:
    photos = load_photos(pairs_folder, tiny.data, tiny.seed)
    assert not {p.scene for p in photos.training} & {p.scene for p in photos.validation}
    assert len(photos.training) + len(photos.validation) == 24


def test_a_folder_of_folders_is_read_whole_or_by_name(pairs_folder: Path, tiny: TrainConfig) -> None:
    assert len(load_photos(pairs_folder.parent, tiny.data, tiny.seed).training) > 0
    with pytest.raises(WetgenError, match="no dataset cellars"):
        load_photos(pairs_folder.parent, replace(tiny.data, only=("cellars",)), tiny.seed)


def test_masks_that_leave_pixels_out_are_refused_by_their_line(pairs_folder: Path, tiny: TrainConfig, tmp_path) -> None:
    folder = Path(shutil.copytree(pairs_folder, tmp_path / "walls"))
    table, mask = Dataset.open(folder).classes, np.zeros((48, 40), np.uint8)
    row = {"text": "a wall", "scene": "house-99", "ignore_id": 255}
    DatasetWriter(folder, table).add("whole", np.zeros((48, 40, 3), np.uint8), mask, row)
    assert len(load_photos(folder, tiny.data, tiny.seed).training) > 0  # no pixel is left out
    mask[3, 4] = 255
    DatasetWriter(folder, table).add("marked", np.zeros((48, 40, 3), np.uint8), mask, {**row, "scene": "house-100"})
    with pytest.raises(WetgenError, match=r"line 26: pixels of its mask are marked 255(.|\n)*without --ignore-below"):
        load_photos(folder, tiny.data, tiny.seed)


def test_a_thin_crack_survives_being_made_smaller(tiny: TrainConfig) -> None:
    mask = np.zeros((96, 96), np.uint8)
    mask[:, 47:49] = 1  # 2 of 96 pixels, two thirds of one at 32
    assert set(plain_view(photo(mask), tiny.data)[1].any(0).nonzero()[0]) <= {15, 16}
    assert plain_view(photo(mask), tiny.data)[1].any()


def test_image_and_mask_stay_on_top_of_each_other(tiny: TrainConfig) -> None:
    mask = np.zeros((80, 64), np.uint8)
    mask[20:50, 10:35] = 2
    for seed in range(20):
        image, label = view(photo(mask), tiny.data, np.random.default_rng(seed))
        assert image.shape == (32, 32, 3)
        agree = ((image[..., 0] > 100) == (label > 0)).mean()
        assert agree > 0.95, "only pixels on the damage's edge may differ after resampling"


def test_every_view_shows_the_damage_its_caption_names(tiny: TrainConfig) -> None:
    mask = np.zeros((90, 90), np.uint8)
    mask[2:8, 2:8] = 1  # in a corner, where most crops miss it
    assert all(view(photo(mask), tiny.data, np.random.default_rng(seed))[1].any() for seed in range(40))


def test_pictures_whose_caption_has_a_side_are_not_flipped(tiny: TrainConfig) -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 4:14] = 1
    whole = replace(tiny.data, smallest_crop=1.0)
    sides = {
        bool(view(photo(mask, "a crack on the left"), whole, np.random.default_rng(s))[1][:, :16].any())
        for s in range(20)
    }
    assert sides == {True}
    sides = {bool(view(photo(mask), whole, np.random.default_rng(s))[1][:, :16].any()) for s in range(20)}
    assert sides == {True, False}


def test_full_balance_gives_every_class_the_same_share() -> None:
    masks = [np.full((2, 2), 1)] * 6 + [np.full((2, 2), 2)] * 2 + [np.zeros((2, 2))]
    photos = tuple(photo(mask) for mask in masks)
    weights = sampling_weights(photos, 1.0)
    np.testing.assert_allclose([weights[:6].sum(), weights[6:8].sum(), weights[8]], 1 / 3, rtol=1e-12)
    np.testing.assert_allclose(sampling_weights(photos, 0.0), 1 / 9, rtol=1e-12)
