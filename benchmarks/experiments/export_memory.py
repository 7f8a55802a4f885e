"""How much memory exporting takes: `python -m wetgen.benchmarks.experiments.export_memory FOLDER [--size sd15]`.

Writes a random checkpoint in Stable Diffusion's layout into FOLDER, exports it with one plan of two steps, and prints
the export's peak resident memory. With `--size sd15` the networks have Stable Diffusion 1.5's sizes (about 1.07
billion weights, 4.3 GB), and the peak must stay under 12 GB; FOLDER needs 9 GB of disk.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

LIMIT = 12e9  # bytes

_TINY: dict[str, Any] = {
    "unet": {"sample_size": 8, "block_out_channels": (32, 32, 32, 32), "cross_attention_dim": 32},
    "vae": {"block_out_channels": (32, 32, 32, 32), "layers_per_block": 1, "sample_size": 64},
    "text": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2},
}
_SD15: dict[str, Any] = {
    "unet": {"sample_size": 64, "cross_attention_dim": 768},
    "vae": {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "sample_size": 512},
    "text": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
}
SIZES = {"tiny": _TINY, "sd15": _SD15}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--size", type=click.Choice(list(SIZES)), default="tiny", show_default=True)
@click.option("--weights", type=click.Choice(["float32", "float16"]), default="float32", show_default=True)
@click.option("--only-build", is_flag=True, hidden=True)
def main(folder: Path, size: str, weights: str, only_build: bool) -> None:
    """Measure the peak memory of an export in FOLDER."""
    checkpoint = folder / f"{size}-checkpoint"
    if only_build:
        build(checkpoint, size)
        return
    # Both in processes of their own: a child's peak begins with its parent's, and this one stays small.
    own = [sys.executable, "-m", "wetgen.benchmarks.experiments.export_memory"]
    if not checkpoint.exists():
        subprocess.run([*own, str(folder), "--size", size, "--only-build"], check=True)
    bundle = folder / f"{size}-{weights}-bundle"
    export = [sys.executable, "-c", "from wetgen.export.cli import cli; cli()", str(checkpoint), str(bundle)]
    begun = time.monotonic()
    peak = _peak([*export, "--plan", "ddim:2", "--weights", weights, "--force"])
    click.echo(f"{size}, {weights}: peak {peak / 1e9:.2f} GB in {time.monotonic() - begun:.0f} s")
    if peak > LIMIT:
        raise click.ClickException(f"the peak is above {LIMIT / 1e9:.0f} GB")


def _peak(command: list[str]) -> int:
    """Run a command; returns its peak resident memory in bytes (the first child waited for is the one measured)."""
    script = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(done.returncode)"
    )
    done = subprocess.run([sys.executable, "-c", script, *command], stdout=subprocess.PIPE, text=True, check=False)
    *output, peak = done.stdout.strip().splitlines()
    click.echo("\n".join(output))
    if done.returncode != 0:
        raise click.ClickException("the export failed")
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return int(peak) * unit


def build(folder: Path, size: str) -> None:
    """A random checkpoint, saved network by network."""
    from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    sizes = SIZES[size]
    blocks = len(sizes["vae"]["block_out_channels"])
    folder.mkdir(parents=True)
    UNet2DConditionModel(**sizes["unet"]).save_pretrained(folder / "unet")
    AutoencoderKL(
        **sizes["vae"],
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
    ).save_pretrained(folder / "vae")
    tokens = _write_tokenizer(folder / "tokenizer")
    text = CLIPTextConfig(
        **sizes["text"],
        vocab_size=49408,
        max_position_embeddings=77,
        bos_token_id=tokens - 2,
        eos_token_id=tokens - 1,
    )
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    PNDMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        steps_offset=1,
        skip_prk_steps=True,
        set_alpha_to_one=False,
    ).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))


def _write_tokenizer(folder: Path) -> int:
    """CLIP's tokenizer files with letters only; returns the number of tokens."""
    folder.mkdir()
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return len(tokens)


if __name__ == "__main__":
    main()
