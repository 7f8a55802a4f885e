"""What all tests share: how they run, the option that rewrites golden files, a folder in Stable Diffusion's layout."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.once import once

# How long an example takes is the machine's business, not the test's. `--hypothesis-profile thorough` looks further.
settings.register_profile("few", max_examples=30, deadline=None)
settings.register_profile("thorough", max_examples=500, deadline=None)
settings.load_profile("few")

# One process, one thread: on networks this small a second thread costs more than it brings, many times more on a busy
# machine. Set before anything imports a library that reads them, and handed down to every process that a test starts.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
os.environ["TOKENIZERS_PARALLELISM"] = "false"

# Whoever starts the tests with Ctrl-C ignored (`make test &` in a script, nohup, cron) hands that down to every process
# that they start; the tests of Ctrl-C would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What a machine of the CI may lack. Anything else that is skipped there is a hole in the tests.
MAY_SKIP = ("gpu: ", "root: ")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite tests/golden/ with what the code gives; review the diff"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Keep each of several workers, and the commands that it runs, on one core: they ask how many they may use."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker.startswith("gw") and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker[2:]) % len(cores)]})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """With CI=true, a skipped test fails unless its reason is one of MAY_SKIP."""
    report = yield
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        _fail_unless_allowed(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """The same for whole files, such as those that `importorskip` leaves."""
    report = yield
    if os.environ.get("CI") == "true" and report.skipped:
        _fail_unless_allowed(report)
    return report


def _fail_unless_allowed(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = (
        report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else str(report.longrepr)
    )
    if not reason.startswith(MAY_SKIP):
        report.outcome, report.longrepr = "failed", f"skipped where CI=true: {reason}"


@pytest.fixture(scope="session")
def picture_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in Stable Diffusion's layout: eps-prediction, PNDM's settings, CLIP's tokenizer, no class table."""
    return once(tmp_path_factory, "tiny-sd", _write_stable_diffusion)


def _write_stable_diffusion(folder: Path) -> None:
    import torch
    from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(1)
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
