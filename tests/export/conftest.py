"""A tiny checkpoint of pairs with random weights, exported once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from tests.once import once
from wetgen.export.bundle import Request, export_bundle
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.masks.classes import ClassTable
from wetgen.training import denoiser, text_encoder
from wetgen.training.checkpoint import Checkpoint, save
from wetgen.training.config import Budget, DenoiserConfig, TextConfig
from wetgen.training.diffusion import NoiseSchedule
from wetgen.training.vae import KLVAE, LinearSkip

CLASSES = ClassTable(("background", "crack", "stain"))
PROMPTS = ["a crack in a wall", "a stain on the ceiling"]
PLANS = ("ddim:3", "ddim:2")
BUDGET = Budget(steps=1)


@pytest.fixture(scope="session")
def pair_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained joint checkpoint: 32 x 32 pictures, 8 x 8 latents, conditioning, v-prediction."""
    return once(tmp_path_factory, "pair-checkpoint", _save_pairs)


def _save_pairs(folder: Path) -> None:
    torch.manual_seed(0)
    text = TextConfig(tokens=16, vocabulary=300, width=32, layers=1, heads=2)
    tokenizer = text_encoder.train_tokenizer(PROMPTS, text)
    joint = _kl_vae()
    _shake(joint)
    save(
        folder,
        vae=joint,
        text_encoder=text_encoder.build(text, tokenizer),
        tokenizer=tokenizer,
        unet=denoiser.build(DenoiserConfig(budget=BUDGET, widths=(16, 32), head_width=8), 4, len(CLASSES), 32, 8),
        schedule=NoiseSchedule(),
        classes=CLASSES,
        info={
            "config": {"seed": 1},
            "trained_on": [{"source": "random numbers", "license": "CC0-1.0", "pairs": 0}],
            "words": {"crack": ["crack"], "stain": ["stain"]},
            "prompts": PROMPTS,
            "guidance": 3.0,
        },
    )


def _kl_vae() -> KLVAE:
    """The VAE with the most kinds of layers: an attention, norms of groups, a linear skip around it all."""
    net = AutoencoderKL(
        in_channels=24,
        out_channels=24,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(16, 32),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=16,
        scaling_factor=1.0,
    )
    return KLVAE(net, len(CLASSES), LinearSkip(6, 4, 4))


def _shake(module: torch.nn.Module) -> None:
    """Weights that start at zero would hide what is multiplied by them."""
    for parameter in module.parameters():
        if not parameter.detach().any():
            torch.nn.init.normal_(parameter, std=0.1)


@pytest.fixture(scope="session")
def pair_bundle(pair_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The pair checkpoint, exported with two plans."""

    def export(folder: Path) -> None:
        export_bundle(Checkpoint.load(pair_checkpoint), folder, Request(PLANS, "pairs"))

    return Bundle.open(once(tmp_path_factory, "pair-bundle", export))


@pytest.fixture(scope="session")
def small_unet() -> Callable[..., UNet2DConditionModel]:
    """Makes a denoiser of two levels for latents (4, 8, 8) and texts of width 16, by its seed and way to take time."""

    def make(seed: int, scale_shift: bool, **more: Any) -> UNet2DConditionModel:
        torch.manual_seed(seed)
        return UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(16, 32),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=2,
            norm_num_groups=8,
            resnet_time_scale_shift="scale_shift" if scale_shift else "default",
            time_embedding_act_fn="silu" if scale_shift else None,
            **more,
        )

    return make


@pytest.fixture(scope="session")
def networks(pair_checkpoint: Path) -> Any:
    """The loaded pair checkpoint, for tests that look at single networks."""
    return Checkpoint.load(pair_checkpoint)
