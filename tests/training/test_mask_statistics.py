"""A checkpoint says how each class looks in the masks that it was trained on."""

import shutil
from pathlib import Path

import pytest

from wetgen.runtime.errors import WetgenError
from wetgen.training.checkpoint import Checkpoint
from wetgen.training.config import TrainConfig
from wetgen.training.data import load_photos
from wetgen.training.mask_statistics import FILE_NAME, measure, to_json


def test_a_finished_run_states_the_statistics_of_its_training_part(
    finished: Path, pairs_folder: Path, tiny: TrainConfig
) -> None:
    photos = load_photos(pairs_folder, tiny.data, tiny.seed)
    expected = to_json(measure((photo.mask for photo in photos.training), photos.table))
    stated = Checkpoint.load(finished / "checkpoint").mask_statistics
    assert to_json(stated) == expected
    assert stated["crack"].elongation[2] > 5 and stated["stain"].elongation[2] < 1.2
    every = measure((photo.mask for photo in (*photos.training, *photos.validation)), photos.table)
    assert stated["stain"].pairs < every["stain"].pairs, "what is held out is not told of"


def test_a_checkpoint_without_statistics_has_none_and_damaged_ones_are_refused(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished / "checkpoint", tmp_path / "checkpoint")
    (folder / FILE_NAME).write_text('{"puddle": {}}')
    with pytest.raises(WetgenError, match=f"{FILE_NAME} cannot be read"):
        _ = Checkpoint.load(folder).mask_statistics
    (folder / FILE_NAME).unlink()
    assert Checkpoint.load(folder).mask_statistics == {}
