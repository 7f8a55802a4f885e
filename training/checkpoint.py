"""A checkpoint: a diffusers folder in safetensors, plus the class table and what wetgen must know. Never pickle.

Layout: model_index.json, vae/, text_encoder/, tokenizer/, unet/, scheduler/, classes.json, wetgen.json,
mask_statistics.json. A folder without wetgen.json is read as a plain Stable-Diffusion-shaped one: pictures only, no
masks.
"""

import ctypes
import gc
import hashlib
import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderDC, AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn
from transformers import CLIPTextModel
from transformers.utils.logging import disable_progress_bar

from wetgen.runtime.bundle.graphs import Sizes
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import FILE_NAME as CLASSES_NAME
from wetgen.runtime.masks.classes import ClassStatistics, ClassTable
from wetgen.training.card import CARD_NAME
from wetgen.training.dc_vae import DCVAE, UNSHUFFLE
from wetgen.training.denoiser import cross_attentions
from wetgen.training.diffusion import NoiseSchedule
from wetgen.training.mask_statistics import FILE_NAME as STATISTICS_NAME
from wetgen.training.mask_statistics import read_statistics, to_json
from wetgen.training.text_encoder import SentenceEncoder
from wetgen.training.vae import KLVAE, JointVAE, LinearSkip

INFO_NAME = "wetgen.json"
RANGE_KEY = "guidance_range"
SKIP_NAME = "linear_skip.safetensors"  # of wetgen 0.1, around an AutoencoderKL
WAYS_NAME = "linear_ways.safetensors"  # around an AutoencoderDC
PARTS = ("vae", "text_encoder", "unet")


class Checkpoint:
    """The networks of a folder, each loaded when first asked for, in float32 and evaluation mode."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def load(cls, folder: Path) -> "Checkpoint":
        """Open a folder; raises WetgenError when parts are missing."""
        missing = [p for p in ("model_index.json", *PARTS, "tokenizer", "scheduler") if not (folder / p).exists()]
        if missing:
            raise WetgenError(
                f"{folder} is not a checkpoint.",
                why=f"it lacks {', '.join(missing)}.",
                fix="give the checkpoint/ folder of a wetgen-train run, or a diffusers folder.",
            )
        return cls(folder)

    def release(self, part: str) -> None:
        """Forget a loaded network, to bound memory; asking for it again loads it again."""
        self.__dict__.pop(part, None)
        return_memory()

    @cached_property
    def info(self) -> dict[str, Any]:
        """wetgen.json: config, trained_on, words, prompts, guidance; empty for a plain diffusers folder.

        A student of guidance has the least and the greatest scale that it learnt as guidance_range.
        """
        path = self.folder / INFO_NAME
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}

    @cached_property
    def guidance_range(self) -> tuple[float, float] | None:
        """The least and the greatest guidance scale that a student learnt; None where guidance stays outside.

        Raises WetgenError for a network that takes the scale in a checkpoint that does not say which.
        """
        unet = json.loads((self.folder / "unet" / "config.json").read_text(encoding="utf-8"))
        if unet.get("time_cond_proj_dim") is None:
            return None
        if RANGE_KEY not in self.info:
            raise WetgenError(
                f"{self.folder} does not say which guidance scales its denoiser knows.",
                why=f"its unet takes the scale as an input (time_cond_proj_dim), and {INFO_NAME} has no {RANGE_KEY}.",
                fix=f'write a {INFO_NAME} with "{RANGE_KEY}": [least, greatest], or use a checkpoint of '
                "wetgen-train distill.",
            )
        least, greatest = self.info[RANGE_KEY]
        return float(least), float(greatest)

    @cached_property
    def classes(self) -> ClassTable | None:
        """The class table, or None for a generator without masks."""
        return ClassTable.load(self.folder / CLASSES_NAME) if self.info else None

    @cached_property
    def mask_statistics(self) -> dict[str, ClassStatistics]:
        """How each class looks in the masks it was trained on; empty where that was not measured."""
        path = self.folder / STATISTICS_NAME
        return read_statistics(path, self.classes) if path.is_file() else {}

    @cached_property
    def vae(self) -> JointVAE:
        return load_vae(self.folder / "vae", len(self.classes) if self.classes else 0)

    @cached_property
    def text_encoder(self) -> nn.Module:
        return load_text(self.folder / "text_encoder")

    @cached_property
    def unet(self) -> UNet2DConditionModel:
        unet: UNet2DConditionModel = UNet2DConditionModel.from_pretrained(self.folder / "unet")
        return unet.eval().requires_grad_(False)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return load_tokenizer(self.folder / "tokenizer")

    @cached_property
    def schedule(self) -> NoiseSchedule:
        """The noise schedule, read from scheduler_config.json as diffusers' DDIMScheduler understands it."""
        return schedule_from(DDIMScheduler.from_pretrained(self.folder / "scheduler").config)

    @cached_property
    def sizes(self) -> Sizes:
        """Every size the graphs share, from the configs alone: no weights are loaded."""
        vae, unet, text = (
            json.loads((self.folder / p / "config.json").read_text(encoding="utf-8")) for p in PARTS_OF_SIZES
        )
        classes = len(self.classes) if self.classes else 0
        unshuffle = round((vae["in_channels"] / (3 + classes)) ** 0.5)
        levels = len(vae.get("block_out_channels") or vae["encoder_block_out_channels"])
        stride = unshuffle * 2 ** (levels - 1)
        text = text.get("text_config", text)
        latent, size = vae["latent_channels"], unet["sample_size"]
        return Sizes(
            height=size * stride,
            width=size * stride,
            latent_channels=latent,
            latent_height=size,
            latent_width=size,
            tokens=text["max_position_embeddings"],
            text_width=_prompt_width(unet),
            classes=classes,
            conditioning_channels=unet["in_channels"] - latent,
            deep_channels=_deep_channels(unet),
        )


def _prompt_width(unet: dict[str, Any]) -> int:
    """The keys and values of all attentions to the text, side by side: all that the steps need of a prompt."""
    with torch.device("meta"):  # shapes alone, no memory
        built: Any = UNet2DConditionModel.from_config(unet)
    return sum(layer.to_k.out_features + layer.to_v.out_features for layer in cross_attentions(built))


def _deep_channels(unet: dict[str, Any]) -> int:
    """The channels with which features enter the last block upwards, at the latent's size; 0 if they don't."""
    widths, size = unet["block_out_channels"], unet["sample_size"]
    # An odd size on the way down makes the blocks upwards ask for sizes that the graphs of parts do not know.
    whole = len(widths) > 1 and size % 2 ** (len(widths) - 1) == 0
    return int(widths[1]) if whole else 0


def return_memory() -> None:
    """Give freed memory back to the system: glibc keeps gigabytes of it, in pieces, after large networks."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


PARTS_OF_SIZES = ("vae", "unet", "text_encoder")

_PREDICTIONS = {"v_prediction": "v", "epsilon": "eps", "sample": "x0"}


def schedule_from(config: Any) -> NoiseSchedule:
    """diffusers' scheduler settings as a NoiseSchedule; raises WetgenError for one it cannot express."""
    curve, spacing = config["beta_schedule"], config["timestep_spacing"]
    if curve not in ("linear", "scaled_linear") or spacing not in ("trailing", "leading") or config["trained_betas"]:
        raise WetgenError(
            f"The checkpoint's noise schedule ({curve}, {spacing}) is not supported.",
            why="wetgen knows the linear and scaled_linear curves with trailing or leading timesteps.",
            fix="save the scheduler with one of those, if the networks were trained with it.",
        )
    return NoiseSchedule(
        curve=curve,
        count=config["num_train_timesteps"],
        beta_start=config["beta_start"],
        beta_end=config["beta_end"],
        zero_terminal_snr=config["rescale_betas_zero_snr"],
        prediction=_PREDICTIONS[config["prediction_type"]],
        spacing=spacing,
        offset=config["steps_offset"],
        ends_clean=config["set_alpha_to_one"],
    )


def scheduler_of(schedule: NoiseSchedule) -> DDIMScheduler:
    """The same schedule as diffusers' DDIMScheduler."""
    return DDIMScheduler(
        num_train_timesteps=schedule.count,
        beta_start=schedule.beta_start,
        beta_end=schedule.beta_end,
        beta_schedule=schedule.curve,
        clip_sample=False,
        set_alpha_to_one=schedule.ends_clean,
        steps_offset=schedule.offset,
        prediction_type={ours: theirs for theirs, ours in _PREDICTIONS.items()}[schedule.prediction],
        timestep_spacing=schedule.spacing,
        rescale_betas_zero_snr=schedule.zero_terminal_snr,
    )


def load_text(folder: Path) -> nn.Module:
    """A text_encoder/ part, frozen."""
    disable_progress_bar()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    network = SentenceEncoder if config["model_type"] == "electra" else CLIPTextModel
    encoder: nn.Module = network.from_pretrained(folder, dtype=torch.float32)
    return encoder.eval().requires_grad_(False)


def load_tokenizer(folder: Path) -> Tokenizer:
    """A tokenizer.json, or a tokenizer kept in CLIP's two files."""
    path = folder / "tokenizer.json"
    return Tokenizer.from_file(str(path)) if path.is_file() else _slow_clip_tokenizer(folder)


def save_text(folder: Path, encoder: Any, tokenizer: Tokenizer) -> None:
    """A text encoder and its tokenizer in one folder: what a run keeps before there is a checkpoint."""
    disable_progress_bar()
    encoder.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))


def _slow_clip_tokenizer(folder: Path) -> Tokenizer:
    """A tokenizer kept as vocab.json and merges.txt, as Stable Diffusion folders have it."""
    from transformers import CLIPTokenizerFast

    fast = CLIPTokenizerFast.from_pretrained(folder)
    tokenizer = fast.backend_tokenizer
    length = fast.model_max_length
    tokenizer.enable_padding(pad_id=fast.pad_token_id, pad_token=fast.pad_token, length=length)
    tokenizer.enable_truncation(length)
    return tokenizer


def save(
    folder: Path,
    *,
    vae: JointVAE,
    text_encoder: Any,
    tokenizer: Tokenizer,
    unet: UNet2DConditionModel,
    schedule: NoiseSchedule,
    classes: ClassTable,
    info: dict[str, Any],
    card: str = "",
    mask_statistics: Mapping[str, ClassStatistics] | None = None,
) -> None:
    """Write a whole checkpoint beside `folder` and put it in its place: a reader never sees half of one."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_vae(part / "vae", vae)
    disable_progress_bar()
    text_encoder.save_pretrained(part / "text_encoder")
    unet.save_pretrained(part / "unet")
    scheduler_of(schedule).save_pretrained(part / "scheduler")
    (part / "tokenizer").mkdir()
    tokenizer.save(str(part / "tokenizer" / "tokenizer.json"))
    (part / CLASSES_NAME).write_text(json.dumps(classes.to_json(), indent=1) + "\n", encoding="utf-8")
    (part / INFO_NAME).write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
    if mask_statistics:
        text = json.dumps(to_json(mask_statistics), indent=1)
        (part / STATISTICS_NAME).write_text(text + "\n", encoding="utf-8")
    if card:
        (part / CARD_NAME).write_text(card, encoding="utf-8")
    (part / "model_index.json").write_text(
        json.dumps(_model_index(vae, text_encoder), indent=1) + "\n", encoding="utf-8"
    )
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def load_vae(folder: Path, classes: int) -> JointVAE:
    """A vae/ part, frozen."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    vae: JointVAE
    if config["_class_name"] == "AutoencoderDC":
        ways = load_file(folder / WAYS_NAME)
        side = ways["grain.0.noise"].shape[-1] * UNSHUFFLE
        vae = DCVAE(AutoencoderDC.from_pretrained(folder), classes, side)
        vae.load_state_dict(ways, strict=False)
    else:
        vae = KLVAE(AutoencoderKL.from_pretrained(folder), classes)
        if (folder / SKIP_NAME).is_file():
            vae.skip = LinearSkip(3 + classes, vae.net.config.latent_channels, vae.stride)
            vae.skip.load_state_dict(load_file(folder / SKIP_NAME))
    return vae.eval().requires_grad_(False)


def encoder_digest(vae: JointVAE) -> str:
    """sha256 over what encodes, and the latents' scale: what cached latents depend on of a VAE."""
    digest = hashlib.sha256(repr(vae.net.config.scaling_factor).encode())
    for part in vae.encoder_parts():
        for value in part.state_dict().values():
            digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()


def part_digest(folder: Path) -> str:
    """sha256 over every file of a part: what cached latents depend on of a VAE, and a student of its teacher."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def save_vae(folder: Path, vae: JointVAE) -> None:
    """The vae/ part: diffusers' network and, beside it, what wetgen's VAE adds to it."""
    vae.net.save_pretrained(folder)
    if isinstance(vae, DCVAE):
        ways = {name: value.contiguous() for name, value in vae.state_dict().items() if not name.startswith("net.")}
        save_file(ways, folder / WAYS_NAME)
    elif isinstance(vae, KLVAE) and vae.skip is not None:
        save_file({name: value.contiguous() for name, value in vae.skip.state_dict().items()}, folder / SKIP_NAME)


def _model_index(vae: JointVAE, text_encoder: nn.Module) -> dict[str, Any]:
    text_class = "ElectraModel" if isinstance(text_encoder, SentenceEncoder) else "CLIPTextModel"
    return {
        "_class_name": "StableDiffusionPipeline",
        "vae": ["diffusers", type(vae.net).__name__],
        "text_encoder": ["transformers", text_class],
        "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
    }
