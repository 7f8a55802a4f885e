"""What all tests share: the option that rewrites golden files, and a folder in Stable Diffusion's layout."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes is the machine's business, not the test's.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")

# On networks this small a second thread costs more than it brings, many times more on a busy machine.
os.environ["OMP_NUM_THREADS"] = "1"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite tests/golden/ with what the code gives; review the diff"
    )


@pytest.fixture(scope="session")
def picture_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in Stable Diffusion's layout: eps-prediction, PNDM's settings, CLIP's tokenizer, no class table."""
    import torch
    from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

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
