"""Cached latents: what the frozen VAE makes of every view, computed once and kept beside the run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from wetgen.training.config import DataConfig
from wetgen.training.data import Photo, random_views
from wetgen.training.vae import JointVAE

BATCH = 32  # views encoded at a time


@dataclass(frozen=True)
class Latents:
    """latent (N, V, C, h, w) float16; layout (N, V, K, h, w) uint8, the share of each class in 255ths."""

    latent: Tensor
    layout: Tensor

    def pick(self, photos: Tensor, views: Tensor) -> tuple[Tensor, Tensor]:
        """float32 latents (B, C, h, w) and layouts (B, K, h, w) of the chosen photographs and views."""
        return self.latent[photos, views].float(), self.layout[photos, views].float() / 255


@torch.no_grad()
def encode_views(
    vae: JointVAE, photos: tuple[Photo, ...], config: DataConfig, seed: int, device: torch.device, bf16: bool
) -> Latents:
    """The latents of `config.views` views of each photograph; view v of photograph n is drawn from (seed, n, v)."""
    latents, layouts = [], []
    seeds = [(seed, n, v) for n in range(len(photos)) for v in range(config.views)]
    for start in range(0, len(seeds), BATCH):
        part = seeds[start : start + BATCH]
        image, mask = to_tensors(random_views([photos[n] for _, n, _ in part], config, part), device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            latent = vae.encode(image, mask)
        latents.append(latent.half().cpu())
        layouts.append(to_layout(mask, vae.classes, vae.stride).cpu())
    shape = (len(photos), config.views)
    return Latents(torch.cat(latents).unflatten(0, shape), torch.cat(layouts).unflatten(0, shape))


def to_tensors(pairs: list[tuple[np.ndarray, np.ndarray]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Views to image (B, 3, H, W) float32 in [-1, 1] and mask (B, H, W) int64."""
    image = torch.from_numpy(np.stack([image for image, _ in pairs])).to(device)
    mask = torch.from_numpy(np.stack([mask for _, mask in pairs])).to(device)
    return image.permute(0, 3, 1, 2).float() / 127.5 - 1, mask.long()


def to_layout(mask: Tensor, classes: int, stride: int) -> Tensor:
    """Mask ids (B, H, W) to the share of each class under each latent cell, (B, K, h, w) uint8 in 255ths."""
    onehot = F.one_hot(mask, classes).permute(0, 3, 1, 2).float()
    return (F.avg_pool2d(onehot, stride) * 255).round().byte()


def cached(path: Path, key: str, make: Callable[[], Latents], *elsewhere: Path) -> Latents:
    """The latents stored under `key` (what they depend on) at `path` or `elsewhere`, or made, stored at `path`."""
    for stored in (path, *elsewhere):
        if stored.is_file():
            with safe_open(stored, "pt") as file:
                if (file.metadata() or {}).get("key") == key:
                    return Latents(**load_file(stored))
    latents = make()
    part = path.with_suffix(".part")
    save_file(
        {"latent": latents.latent.contiguous(), "layout": latents.layout.contiguous()}, part, metadata={"key": key}
    )
    part.replace(path)
    return latents
