"""Starting from a diffusers folder: what fits is taken over, added channels start at zero."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn

from wetgen.runtime.errors import WetgenError
from wetgen.training.checkpoint import Checkpoint
from wetgen.training.denoiser import conditioning_channels
from wetgen.training.text_encoder import SentenceEncoder
from wetgen.training.vae import KLVAE, JointVAE


def open_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint at `folder`, or that of the run at `folder`."""
    return Checkpoint.load(_inside(folder))


def _inside(folder: Path) -> Path:
    inside = folder / "checkpoint"
    return inside if inside.is_dir() else folder


def joint_vae(folder: Path, classes: int) -> JointVAE:
    """A joint VAE that draws pictures as the folder's VAE does. One of ours comes whole, with its skip."""
    found = open_checkpoint(folder)
    if found.classes is not None and len(found.classes) == classes:
        return found.vae.train().requires_grad_(True)
    old = AutoencoderKL.from_pretrained(found.folder / "vae")
    if old.config.in_channels != 3:
        raise WetgenError(
            f"The VAE of {folder} cannot be started from.",
            why=f"it takes {old.config.in_channels} channels: neither a picture's 3 nor those of this class table.",
            fix="start from a picture VAE, or from a checkpoint with the same classes.json.",
        )
    new = AutoencoderKL.from_config({**old.config, "in_channels": 3 + classes, "out_channels": 3 + classes})
    take_over(new, old)
    return KLVAE(new, classes)


def text_encoder(folder: Path) -> Any:
    """The folder's text encoder and tokenizer, ready to train on; one that was taught stays as it is."""
    found = open_checkpoint(folder)
    encoder = found.text_encoder
    return encoder.train().requires_grad_(not isinstance(encoder, SentenceEncoder)), found.tokenizer


def denoiser(folder: Path, classes: int, size: int) -> UNet2DConditionModel:
    """The folder's UNet with the channels of our conditioning tensor added, for latents of `size` x `size`."""
    old = UNet2DConditionModel.from_pretrained(_inside(folder) / "unet")
    latent = old.config.out_channels
    channels = latent + conditioning_channels(classes, latent)
    new = UNet2DConditionModel.from_config({**old.config, "in_channels": channels, "sample_size": size})
    take_over(new, old)
    return new


@torch.no_grad()
def take_over(new: nn.Module, old: nn.Module) -> None:
    """Copy weights by name; where a channel axis grew, the added channels are zero and the shared ones copied.

    Raises WetgenError when a weight is missing or the shapes differ in another way than by added channels.
    """
    given, wanted = old.state_dict(), new.state_dict()
    if given.keys() != wanted.keys():
        raise WetgenError(
            "The pretrained network has other layers than the one it should start.",
            why=f"differing weights: {', '.join(sorted(given.keys() ^ wanted.keys())[:5])}.",
            fix="start from a folder of the same architecture.",
        )
    for name, value in wanted.items():
        source = given[name]
        if source.dim() != value.dim() or any(s > v for s, v in zip(source.shape, value.shape, strict=True)):
            raise WetgenError(
                f"The pretrained weight {name} does not fit.",
                why=f"it is {tuple(source.shape)}, needed is {tuple(value.shape)}.",
                fix="start from a folder of the same architecture.",
            )
        value.zero_()
        value[tuple(slice(0, size) for size in source.shape)] = source
