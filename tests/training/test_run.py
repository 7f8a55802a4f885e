"""Whole runs at tiny size: the checkpoint they leave, resuming after kill -9, divergence, and starting from others."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from wetgen.runtime.errors import WetgenError
from wetgen.training import checkpoint, pretrained, run
from wetgen.training.checkpoint import Checkpoint
from wetgen.training.cli import cli
from wetgen.training.config import Budget, TrainConfig, load

LONGER = (
    (Path(run.__file__).parent / "configs" / "tiny.toml").read_text().replace("budget.steps = 6", "budget.steps = 25")
)


def train_all(config: TrainConfig, data: Path, out: Path, *, resume: bool = False) -> Path:
    started = run.start(config, data, out, resume=resume)
    try:
        run.train_vae(started)
        run.train_decoder(started)
        return run.train_denoiser(started)
    finally:
        started.journal.close()


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    files = sorted(checkpoint.rglob("*.safetensors"))
    return {f"{path.parent.name}/{name}": value for path in files for name, value in load_file(path).items()}


def test_a_run_leaves_a_checkpoint_that_loads_and_says_where_it_comes_from(finished: Path) -> None:
    checkpoint = Checkpoint.load(finished / "checkpoint")
    assert checkpoint.classes is not None and checkpoint.classes.names == ("background", "crack", "stain")
    assert checkpoint.sizes.latent == (8, 8, 8) and checkpoint.sizes.conditioning_channels == 3 + 8 + 1
    assert checkpoint.unet.config.in_channels == 8 + 12
    assert sum(source["pairs"] for source in checkpoint.info["trained_on"]) > 10
    assert checkpoint.info["words"]["crack"] and checkpoint.info["prompts"]
    assert not list((finished / "checkpoint").rglob("*.bin")), "never pickle"
    card = (finished / "checkpoint" / "MODEL_CARD.md").read_text()
    assert "| tests | CC0 |" in card and "damage_iou" in card and "background, crack, stain" in card


def test_a_run_keeps_sheets_scalars_and_its_resolved_config(finished: Path, tiny: TrainConfig) -> None:
    assert json.loads((finished / "config.json").read_text()) == tiny.to_json()
    assert {p.name.split("-")[0] for p in (finished / "sheets").glob("*.png")} == {"vae", "decoder", "denoiser"}
    stages = {json.loads(line)["stage"] for line in (finished / "metrics.jsonl").read_text().splitlines()}
    assert {"vae-validation", "decoder-validation", "denoiser-validation"} <= stages
    assert list((finished / "tensorboard").glob("events.*"))


def test_the_latents_of_a_checkpoint_have_unit_variance(finished: Path) -> None:
    latent = load_file(finished / "latents-training.safetensors")["latent"].float()
    assert abs(float(latent.mean())) < 0.15 and 0.8 < float(latent.std()) < 1.2, "estimated on other views of 18 pairs"


def test_a_run_killed_outright_and_resumed_reaches_the_weights_of_an_uninterrupted_one(
    pairs_folder: Path, tmp_path: Path
) -> None:
    config = tmp_path / "longer.toml"
    config.write_text(LONGER)
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    state = broken / "state" / "denoiser.safetensors"
    command = ["-m", "wetgen.training.cli", "all", str(config), "--data", str(pairs_folder), "--out", str(broken)]
    process = subprocess.Popen([sys.executable, "-W", "ignore", *command], stderr=subprocess.DEVNULL)
    while not state.exists():
        assert process.poll() is None, "it ended before its first state"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with safe_open(state, "pt") as file:
        step = json.loads(file.metadata()["note"])["step"]
    assert 0 < step < 25, "the kill must fall inside the stage"
    assert not (broken / "checkpoint").exists()
    resumed = weights(train_all(load(config), pairs_folder, broken, resume=True))
    straight = weights(train_all(load(config), pairs_folder, whole))
    assert resumed.keys() == straight.keys()
    for name, value in straight.items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=0, msg=name)


def test_a_second_run_into_the_same_folder_must_say_resume(
    finished: Path, pairs_folder: Path, tiny: TrainConfig
) -> None:
    with pytest.raises(WetgenError, match="holds a run already"):
        run.start(tiny, pairs_folder, finished, resume=False)


def test_resuming_with_another_config_is_refused(finished: Path, pairs_folder: Path, tiny: TrainConfig) -> None:
    with pytest.raises(WetgenError, match="another configuration"):
        train_all(replace(tiny, seed=2), pairs_folder, finished, resume=True)


def test_a_diverging_run_stops_with_its_step(pairs_folder: Path, tiny: TrainConfig, tmp_path: Path) -> None:
    hot = replace(tiny, vae=replace(tiny.vae, learning_rate=1e30))
    with pytest.raises(
        WetgenError, match=r"vae diverged at step 2\b"
    ):  # step 1 sees the weights before the first update
        train_all(hot, pairs_folder, tmp_path / "hot")


def test_the_denoiser_alone_needs_a_vae(pairs_folder: Path, tiny: TrainConfig, tmp_path: Path) -> None:
    started = run.start(tiny, pairs_folder, tmp_path / "new", resume=False)
    with pytest.raises(WetgenError, match="no trained VAE"):
        run.train_denoiser(started)
    started.journal.close()


def test_a_run_may_start_from_a_checkpoint(
    finished: Path, pairs_folder: Path, tiny: TrainConfig, tmp_path: Path
) -> None:
    again = replace(tiny, init=str(finished / "checkpoint"), seed=5)
    checkpoint = Checkpoint.load(train_all(again, pairs_folder, tmp_path / "again"))
    assert checkpoint.sizes == Checkpoint.load(finished / "checkpoint").sizes


def test_a_run_may_start_from_a_stable_diffusion_folder(
    picture_checkpoint: Path, pairs_folder: Path, tiny: TrainConfig, tmp_path: Path
) -> None:
    schedule = replace(tiny.schedule, prediction="eps", zero_terminal_snr=False)
    config = replace(tiny, init=str(picture_checkpoint), schedule=schedule)
    checkpoint = Checkpoint.load(train_all(config, pairs_folder, tmp_path / "run"))
    assert checkpoint.sizes.height == 32 and checkpoint.sizes.latent == (4, 16, 16)
    assert checkpoint.unet.config.in_channels == 4 + 3 + 4 + 1 and checkpoint.sizes.tokens == 12
    image, logits = checkpoint.vae.decode(torch.zeros(1, 4, 16, 16))
    assert image.shape == (1, 3, 32, 32) and logits is not None and logits.shape == (1, 3, 32, 32)


def small_picture_vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
    ).eval()


def test_a_pretrained_picture_vae_draws_the_same_picture_with_classes_added(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pretrained"
    shutil.copytree(finished / "checkpoint", folder)
    (folder / "wetgen.json").unlink()
    shutil.rmtree(folder / "vae")
    old = small_picture_vae()
    old.save_pretrained(folder / "vae")
    joint = pretrained.joint_vae(folder, 3).eval()
    image, mask = torch.rand(2, 3, 16, 16) * 2 - 1, torch.ones(2, 16, 16, dtype=torch.long)
    latent = joint.mean(joint.joint(image, mask))
    torch.testing.assert_close(latent, old.encode(image).latent_dist.mean)
    torch.testing.assert_close(joint.reconstruct(latent)[:, :3], old.decode(latent).sample)


def test_a_pretrained_unet_ignores_the_added_conditioning_at_first(tmp_path: Path) -> None:
    old = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        block_out_channels=(8,),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=2,
    ).eval()
    old.save_pretrained(tmp_path / "unet")
    new = pretrained.denoiser(tmp_path, classes=3, size=16).eval()
    x, text = torch.randn(1, 4, 8, 8), torch.randn(1, 5, 8)
    with torch.no_grad():
        wide = new(torch.cat([x, torch.randn(1, 3 + 4 + 1, 8, 8)], 1), 10, text).sample
        torch.testing.assert_close(wide, old(x, 10, text).sample)


def test_other_architectures_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(WetgenError, match="does not fit"):
        pretrained.take_over(torch.nn.Linear(2, 2), torch.nn.Linear(3, 3))
    with pytest.raises(WetgenError, match="differing weights: bias"):
        pretrained.take_over(torch.nn.Linear(2, 2, bias=False), torch.nn.Linear(2, 2))


def test_a_folder_that_is_no_checkpoint_says_what_it_lacks(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(WetgenError, match=r"lacks model_index.json, vae"):
        Checkpoint.load(tmp_path)


def test_dry_run_prints_the_resolved_config(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["all", "tiny", "--data", "x", "--out", str(tmp_path / "o"), "--dry-run"])
    assert result.exit_code == 0 and json.loads(result.stdout)["data"]["size"] == 32
    assert not (tmp_path / "o").exists()


def test_wrong_data_is_one_message_and_exit_code_1(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["vae", "tiny", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "o")])
    assert result.exit_code == 1 and "why:" in result.stderr and "fix:" in result.stderr


def test_a_finished_vae_serves_another_denoiser_in_bfloat16_too(
    pairs_folder: Path, tiny: TrainConfig, tmp_path: Path
) -> None:
    two = Budget(steps=2)
    tiny = replace(tiny, vae=replace(tiny.vae, budget=two), denoiser=replace(tiny.denoiser, budget=two))
    out, half = tmp_path / "run", replace(tiny, mixed_precision="bf16")
    train_all(half, pairs_folder, out)
    (out / "state" / "denoiser.safetensors").unlink()
    before = weights(out / "vae")
    other = replace(half, denoiser=replace(tiny.denoiser, learning_rate=1e-3, give_layout=0.0))
    train_all(other, pairs_folder, out, resume=True)
    after = weights(out / "vae")
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_denoiser_can_be_trained_on_the_vae_of_another_run(
    finished: Path, tiny: TrainConfig, pairs_folder: Path, tmp_path: Path
) -> None:
    started = run.start(tiny, pairs_folder, tmp_path / "run", resume=False)
    with pytest.raises(WetgenError, match="is not a VAE"):
        run.adopt_vae(started, tmp_path)
    run.adopt_vae(started, finished / "vae")
    taken = Checkpoint.load(run.train_denoiser(started)).vae.state_dict()
    for name, value in Checkpoint.load(finished / "checkpoint").vae.state_dict().items():
        assert torch.equal(taken[name], value), name
    with pytest.raises(WetgenError, match="has a VAE already"):
        run.adopt_vae(started, finished / "vae")
    started.journal.close()


def test_the_vae_that_comes_along_rebuilds_pairs_of_256_pixels() -> None:
    """training/weights/vae-256, for whoever trains a denoiser of these classes without training a VAE."""
    vae = checkpoint.load_vae(Path(run.__file__).parent / "weights" / "vae-256", 10)
    rows, columns = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    inside = (rows - 128) ** 2 + (columns - 128) ** 2 < 60**2
    wall = torch.tensor([0.1, 0.3, 0.0]).view(3, 1, 1).expand(3, 256, 256)  # greenish
    image = torch.where(inside, torch.tensor([0.0, -0.3, -0.6]).view(3, 1, 1), wall)[None]
    mask = torch.where(inside, 2, 0)[None]
    shown, logits = vae.decode(vae.encode(image, mask))
    assert logits is not None and shown.shape == (1, 3, 256, 256)
    assert float((shown - image).abs().mean()) < 0.05, "the L1 of unseen scenes is 0.053, and these are plainer"
    both = ((logits.argmax(1) == 2) & (mask == 2)).sum() / ((logits.argmax(1) == 2) | (mask == 2)).sum()
    assert float(both) > 0.9
