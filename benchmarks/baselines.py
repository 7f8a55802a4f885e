"""The same sampling written with diffusers and torch: what the runtime is measured against."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from wetgen.runtime.noise import starting_noise
from wetgen.training.checkpoint import Checkpoint, scheduler_of
from wetgen.training.sample import free_conditioning
from wetgen.training.sheets import as_bytes
from wetgen.training.text_encoder import embed, token_ids


class DiffusersSampler:
    """Text encoder, UNet, DDIMScheduler and VAE of a checkpoint, called as a diffusers pipeline calls them."""

    def __init__(self, checkpoint: Checkpoint, steps: int, guidance: float) -> None:
        self.parts, self.steps, self.guidance = checkpoint, steps, guidance
        self.scheduler = scheduler_of(checkpoint.schedule)

    @torch.inference_mode()
    def generate(self, prompts: Sequence[str], seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Image (B, H, W, 3) and mask (B, H, W), pair i from the runtime's noise of (seed, i)."""
        parts = self.parts
        noise = np.stack([starting_noise(seed, n, parts.sizes.latent) for n in range(len(prompts))])
        embedding = embed(parts.text_encoder, token_ids(parts.tokenizer, ["", *prompts]))
        both = torch.cat([embedding[:1].expand(len(prompts), -1, -1), embedding[1:]])  # (2B, T, E)
        latent = self.denoise(torch.from_numpy(noise), both)
        image, logits = parts.vae.decode(latent)
        assert logits is not None
        return as_bytes(image), logits.argmax(1).to(torch.uint8).numpy()

    @torch.inference_mode()
    def denoise(self, latent: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """The guided loop from noise (B, C, h, w), with embeddings (2B, T, E) as [uncond, cond]."""
        unet, scheduler = self.parts.unet, self.scheduler
        scheduler.set_timesteps(self.steps)
        extra = free_conditioning(unet, latent)
        for timestep in scheduler.timesteps:
            given = latent if extra is None else torch.cat([latent, extra], 1)
            said = unet(torch.cat([given, given]), timestep, embedding).sample
            uncond, cond = said.chunk(2)
            latent = scheduler.step(uncond + self.guidance * (cond - uncond), timestep, latent).prev_sample
        return latent
