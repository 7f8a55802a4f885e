"""A student of guidance, exported: its time path, its bundle, and what may be asked of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wetgen.export.bundle import Request, export_bundle
from wetgen.export.graphs import time_tables
from wetgen.export.graphs.denoisers import denoise
from wetgen.export.precision import precision
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.describe import describe_bundle
from wetgen.runtime.bundle.graphs import StepKind
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.sampling.generator import Generator
from wetgen.training.checkpoint import Checkpoint
from wetgen.training.sample import free_conditioning, sample
from wetgen.training.student import distilled, student_of
from wetgen.training.text_encoder import embed, token_ids

PROMPT = "a crack in a wall"


@pytest.fixture(scope="module")
def student_checkpoint(pair_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pair checkpoint with a student in place of its denoiser, whose scale has an effect."""
    folder = tmp_path_factory.mktemp("student") / "checkpoint"
    shutil.copytree(pair_checkpoint, folder)
    student = student_of(Checkpoint.load(pair_checkpoint).unet)
    torch.manual_seed(6)
    torch.nn.init.normal_(student.time_embedding.cond_proj.weight, std=0.2)
    student.save_pretrained(folder / "unet")
    info = json.loads((folder / "wetgen.json").read_text())
    (folder / "wetgen.json").write_text(json.dumps({**info, "guidance_range": [1.0, 4.0]}))
    return folder


@pytest.fixture(scope="module")
def student_bundle(student_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundles") / "student"
    export_bundle(Checkpoint.load(student_checkpoint), folder, Request(("ddim:2",), "student"))
    return Bundle.open(folder)


@pytest.mark.parametrize("scale_shift", [False, True])
@torch.no_grad()
def test_the_tables_of_a_student_end_where_its_scale_enters(scale_shift: bool, small_unet: Any) -> None:
    unet: Any = student_of(small_unet(7, scale_shift, timestep_post_act="silu" if scale_shift else None)).eval()
    torch.nn.init.normal_(unet.time_embedding.cond_proj.weight, std=0.2)
    scales = torch.tensor([1.0, 3.7])
    twin: Any = time_tables.with_time_tables(unet, [999, 333, 0])
    latent, text = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 16)
    for row, timestep in enumerate((999, 333, 0)):
        found = twin(latent, torch.tensor([row], dtype=torch.int32), text, timestep_cond=scales).sample
        for pair, scale in enumerate(scales):
            one = slice(pair, pair + 1)
            expected = distilled(unet, latent[one], timestep, text[one], float(scale), None)
            # Sines of up to 2700 radians, of which float32 knows no more than 1e-4.
            np.testing.assert_allclose(found[one], expected, rtol=0, atol=2e-5)


def test_the_time_path_of_a_student_stays_float32_in_a_float16_network(student_checkpoint: Path) -> None:
    checkpoint = Checkpoint.load(student_checkpoint)
    wrapper = denoise(checkpoint.unet, checkpoint.schedule.steps(2), checkpoint.sizes, StepKind.named("unguided"))
    islands = precision.lowered(wrapper, precision.Precision("float16"))
    assert {path.rpartition(".")[2] for path, why in islands.items() if why == precision.TABLE_REASON} == {
        "time_proj",
        "time_embedding",
    }
    (kept,) = (module for module in wrapper.modules() if isinstance(module, time_tables.GuidedTime))
    assert {parameter.dtype for parameter in kept.parameters()} == {torch.float32}


def test_a_students_bundle_has_one_denoise_graph_and_says_its_range(student_bundle: Bundle) -> None:
    assert {name for name in student_bundle.graphs if "denoise" in name} == {"denoise_unguided"}
    assert student_bundle.guidance_range == (1.0, 4.0)
    assert not student_bundle.plan(None).guided
    assert "guidance  3, from 1 to 4: distilled into the denoiser" in describe_bundle(student_bundle)


@torch.no_grad()
def test_a_students_bundle_draws_what_the_student_draws(student_bundle: Bundle, student_checkpoint: Path) -> None:
    networks, scale = Checkpoint.load(student_checkpoint), 1.7
    (pair,) = Generator(student_bundle, batch=1).generate([PROMPT], seed=5, guidance=scale)
    from wetgen.runtime.sampling.sampler import starting_noise

    noise = torch.from_numpy(starting_noise(5, 0, networks.sizes.latent)[None])
    cond = embed(networks.text_encoder, token_ids(networks.tokenizer, [PROMPT]))
    steps, free = networks.schedule.steps(2), free_conditioning(networks.unet, noise)
    *_, latent = sample(networks.unet, noise, torch.full_like(cond, torch.nan), cond, steps, scale, free)
    image, logits = networks.vae.decode(latent)
    wanted = ((image[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).numpy()
    assert np.abs(pair.image.astype(float) - wanted).max() <= 1
    assert pair.mask is not None and logits is not None
    assert np.mean(pair.mask == logits.argmax(1)[0].numpy()) > 0.995


def test_the_scale_reaches_the_student(student_bundle: Bundle) -> None:
    generator = Generator(student_bundle, batch=2)
    low, high = (next(generator.generate([PROMPT], guidance=scale)).image for scale in (1.0, 4.0))
    assert np.abs(low.astype(int) - high).max() > 5


@pytest.mark.parametrize("scale", [0.5, 4.5, -2.0])
def test_a_scale_that_was_not_learnt_is_refused_with_the_range(student_bundle: Bundle, scale: float) -> None:
    with pytest.raises(WetgenError, match="learnt scales from 1 to 4"):
        Generator(student_bundle, batch=1).generate([PROMPT], guidance=scale)


def test_a_negative_prompt_has_no_place_in_a_student(student_bundle: Bundle) -> None:
    with pytest.raises(WetgenError, match="no use for a negative prompt"):
        Generator(student_bundle, batch=1).generate([PROMPT], negative="a stain")


def test_a_default_scale_outside_the_range_is_not_exported(student_checkpoint: Path, tmp_path: Path) -> None:
    request = Request(("ddim:2",), "student", guidance=7.5)
    with pytest.raises(WetgenError, match="learnt scales from 1 to 4"):
        export_bundle(Checkpoint.load(student_checkpoint), tmp_path / "bundle", request)
    assert not (tmp_path / "bundle").exists()


def test_a_network_that_takes_the_scale_without_saying_which_is_refused(
    student_checkpoint: Path, tmp_path: Path
) -> None:
    shutil.copytree(student_checkpoint, tmp_path / "checkpoint")
    info = json.loads((tmp_path / "checkpoint" / "wetgen.json").read_text())
    del info["guidance_range"]
    (tmp_path / "checkpoint" / "wetgen.json").write_text(json.dumps(info))
    with pytest.raises(WetgenError, match="does not say which guidance scales"):
        export_bundle(Checkpoint.load(tmp_path / "checkpoint"), tmp_path / "bundle", Request(("ddim:2",), "student"))
