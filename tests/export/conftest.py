"""Two tiny checkpoints with random weights, one of pairs and one in Stable Diffusion's layout, exported once each."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from wetgen.export.bundle import Request, export_bundle
from wetgen.runtime.bundle import Bundle
from wetgen.runtime.classes import ClassTable
from wetgen.training import denoiser, text_encoder, vae
from wetgen.training.checkpoint import Checkpoint, save
from wetgen.training.config import Budget, DenoiserConfig, TextConfig, VaeConfig
from wetgen.training.diffusion import NoiseSchedule

CLASSES = ClassTable(("background", "crack", "stain"))
PROMPTS = ["a crack in a wall", "a stain on the ceiling"]
PLANS = ("ddim:3", "ddim:2")
BUDGET = Budget(steps=1)


@pytest.fixture(scope="session")
def pair_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained joint checkpoint: 32 x 32 pictures, 8 x 8 latents, conditioning, v-prediction."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("pairs") / "checkpoint"
    text = TextConfig(tokens=16, vocabulary=300, width=32, layers=1, heads=2)
    tokenizer = text_encoder.train_tokenizer(PROMPTS, text)
    joint = vae.build(VaeConfig(budget=BUDGET, widths=(16, 32), latent_channels=4), len(CLASSES))
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
    return folder


def _shake(module: torch.nn.Module) -> None:
    """Weights that start at zero would hide what is multiplied by them."""
    for parameter in module.parameters():
        if not parameter.detach().any():
            torch.nn.init.normal_(parameter, std=0.1)


@pytest.fixture(scope="session")
def picture_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in Stable Diffusion's layout: eps-prediction, PNDM's settings, CLIP's tokenizer, no class table."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("sd") / "tiny-sd"
    levels = ("CrossAttnDownBlock2D", "DownBlock2D"), ("UpBlock2D", "CrossAttnUpBlock2D")
    UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=levels[0],
        up_block_types=levels[1],
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=8,
    ).save_pretrained(folder / "unet")
    AutoencoderKL(
        block_out_channels=(16, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=8,
    ).save_pretrained(folder / "vae")
    schedule = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
    PNDMScheduler(**schedule, skip_prk_steps=True, set_alpha_to_one=False).save_pretrained(folder / "scheduler")
    words = _clip_tokenizer(folder / "tokenizer")
    CLIPTextModel(
        CLIPTextConfig(
            vocab_size=words,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=12,
            bos_token_id=words - 2,
            eos_token_id=words - 1,
        )
    ).save_pretrained(folder / "text_encoder")
    index = {"_class_name": "StableDiffusionPipeline", "safety_checker": [None, None]}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def _clip_tokenizer(folder: Path) -> int:
    """vocab.json and merges.txt as CLIP has them: letters, letters that end a word, merges, start and end."""
    folder.mkdir(parents=True)
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "we", "wet</w>", "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: place for place, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\nw e\nwe t</w>\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 12, "pad_token": "<|endoftext|>"})
    )
    return len(tokens)


@pytest.fixture(scope="session")
def pair_bundle(pair_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The pair checkpoint, exported with two plans."""
    folder = tmp_path_factory.mktemp("bundles") / "pairs"
    export_bundle(Checkpoint.load(pair_checkpoint), folder, Request(PLANS, "pairs"))
    return Bundle.open(folder)


@pytest.fixture(scope="session")
def networks(pair_checkpoint: Path) -> Any:
    """The loaded pair checkpoint, for tests that look at single networks."""
    return Checkpoint.load(pair_checkpoint)
