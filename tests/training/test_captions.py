"""Photographs with several captions: all are read and kept, and every sample draws one."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from wetgen.runtime.errors import WetgenError
from wetgen.training.captions import Captions
from wetgen.training.config import TrainConfig
from wetgen.training.data import Photo, load_photos
from wetgen.training.run import Run
from wetgen.training.text_encoder import token_ids, train_tokenizer

BLANK = np.zeros((4, 4), np.uint8)
WALL = Photo(np.zeros((4, 4, 3), np.uint8), BLANK, "a wall", "s", "tests", "CC0")
MORE = ("crack in wall", "wall, cracked", "is there a crack?")


def captioned(source: Path, folder: Path, captions: object) -> Path:
    """A copy of a dataset folder whose third row has these captions."""
    shutil.copytree(source, folder)
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    rows[2]["captions"] = captions
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_every_caption_of_a_photograph_is_drawn_as_often(tiny: TrainConfig) -> None:
    photos = [WALL, replace(WALL, text="a crack", more=MORE), replace(WALL, text="a floor")]
    tokenizer = train_tokenizer([caption for photo in photos for caption in photo.captions], tiny.text)
    captions = Captions(tokenizer, photos)
    picked = captions.pick(torch.tensor([1] * 8000 + [0, 2]), torch.Generator().manual_seed(3))
    assert picked[-2:].tolist() == token_ids(tokenizer, ["a wall", "a floor"]).tolist()
    for ids in token_ids(tokenizer, photos[1].captions):
        share = (picked[:8000] == ids).all(1).float().mean().item()
        assert share == pytest.approx(0.25, abs=0.02)  # four standard errors of 8,000 draws
    again = captions.pick(torch.tensor([1] * 8000 + [0, 2]), torch.Generator().manual_seed(3))
    assert torch.equal(picked, again)


def test_single_captions_draw_no_random_number(tiny: TrainConfig) -> None:
    captions = Captions(train_tokenizer(["a wall"], tiny.text), [WALL, WALL])
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    captions.pick(torch.tensor([0, 1, 1]), generator)
    assert torch.equal(generator.get_state(), before)


def test_captions_are_read_and_stored_with_the_pixels(pairs_folder: Path, tiny: TrainConfig, tmp_path: Path) -> None:
    folder = captioned(pairs_folder, tmp_path / "walls", list(MORE))
    read, stored, again = (
        load_photos(folder, tiny.data, tiny.seed, store) for store in (None, tmp_path / "p", tmp_path / "p")
    )
    assert sum(photo.more == MORE for photo in (*read.training, *read.validation)) == 1
    for photos in (stored, again):
        assert photos.captions == read.captions
        assert [photo.more for photo in photos.validation] == [photo.more for photo in read.validation]


@pytest.mark.parametrize("captions", ["a crack", [""], [3]])
def test_captions_that_are_no_sentences_are_refused(
    captions: object, pairs_folder: Path, tiny: TrainConfig, tmp_path: Path
) -> None:
    folder = captioned(pairs_folder, tmp_path / "walls", captions)
    with pytest.raises(WetgenError, match="line 3: captions is not a list of sentences"):
        load_photos(folder, tiny.data, tiny.seed)


def test_a_side_in_any_caption_forbids_mirroring() -> None:
    assert not replace(WALL, more=MORE).sided
    assert replace(WALL, more=(*MORE, "cracked on the Left")).sided


def test_captions_bind_the_denoiser_and_leave_the_vae_alone(
    pairs_folder: Path, tiny: TrainConfig, tmp_path: Path
) -> None:
    plain, spoken = (
        Run(tiny, tmp_path, load_photos(folder, tiny.data, tiny.seed), None, None)  # type: ignore[arg-type]
        for folder in (pairs_folder, captioned(pairs_folder, tmp_path / "walls" / pairs_folder.name, list(MORE)))
    )
    same = {stage: plain.key(stage) == spoken.key(stage) for stage in ("vae", "decoder", "denoiser", "distill")}
    assert same == {"vae": True, "decoder": True, "denoiser": False, "distill": False}
