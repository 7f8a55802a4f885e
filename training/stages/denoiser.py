"""The denoiser stage: text encoder and UNet on cached latents, min-SNR weighted, conditioning dropped at random."""

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import UNet2DConditionModel
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor, nn

from wetgen.runtime.sampling.sampler import starting_noise
from wetgen.training.captions import Captions
from wetgen.training.config import DenoiserConfig, TrainConfig
from wetgen.training.data import Photo, Photos, sampling_weights
from wetgen.training.denoiser import condition, random_known
from wetgen.training.diffusion import NoiseSchedule, add_noise, stratified_timesteps, target
from wetgen.training.latents import Latents
from wetgen.training.loop import Stage, trainable
from wetgen.training.losses import min_snr_weight
from wetgen.training.sample import free_conditioning, sample
from wetgen.training.sheets import pair_sheet
from wetgen.training.text_encoder import embed, token_ids
from wetgen.training.vae import JointVAE

SHEET_STEPS = 25
SHEET_PAIRS = 16


class Denoiser(nn.Module):
    """Text encoder and UNet as one module, so that one wrapper serves them on many GPUs."""

    def __init__(self, text_encoder: nn.Module, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.text_encoder, self.unet = text_encoder, unet

    def forward(
        self, ids: Tensor, x: Tensor, timesteps: Tensor, conditioning: Tensor, scales: Tensor | None = None
    ) -> Tensor:
        """Token ids (B, T), noisy latent (B, C, h, w), timesteps (B,), conditioning (B, Cc, h, w) to (B, C, h, w).

        `scales` (B, S) is the embedded guidance scale, for a student of guidance.
        """
        given, text = torch.cat([x, conditioning], 1), embed(self.text_encoder, ids)
        said: Tensor = self.unet(given, timesteps, text, timestep_cond=scales).sample
        return said


class DenoiserStage(Stage):
    """Trains `denoiser` in place, on the latents of a finished VAE."""

    name = "denoiser"

    def __init__(
        self,
        denoiser: Denoiser,
        tokenizer: Tokenizer,
        vae: JointVAE,
        latents: Latents,
        held: Latents,
        photos: Photos,
        schedule: NoiseSchedule,
        config: TrainConfig,
        accelerator: Accelerator,
        settings: DenoiserConfig | None = None,
    ) -> None:
        """`settings` are those of `config` where none are given."""
        self.config, self.accelerator, self.schedule, self.vae = config, accelerator, schedule, vae
        self.settings = config.denoiser if settings is None else settings
        self.budget, self.learning_rate = self.settings.budget, self.settings.learning_rate
        self.samples_per_step = self.settings.batch * accelerator.num_processes
        self.latents, self.held, self.photos, self.tokenizer = latents, held, photos, tokenizer
        self.weights = torch.from_numpy(sampling_weights(photos.training, config.data.balance))
        self.captions = Captions(tokenizer, photos.training)
        self.held_ids = token_ids(tokenizer, [photo.text for photo in photos.validation])
        self.empty = token_ids(tokenizer, [""])
        self.table = torch.from_numpy(schedule.table()).float()
        self.loss_weight = min_snr_weight(self.table.double(), self.settings.min_snr_gamma, schedule.prediction).float()
        self.denoiser = denoiser
        self.net, optimiser = accelerator.prepare(
            denoiser,
            torch.optim.AdamW(
                trainable(denoiser), self.learning_rate, betas=(0.9, 0.99), weight_decay=1e-2, fused=True
            ),
        )
        self.networks, self.optimisers, self.averaged = {"denoiser": self.net}, {"denoiser": optimiser}, denoiser

    def step(self, generator: torch.Generator, share: float) -> dict[str, Tensor]:
        batch = self.settings.batch
        photos = torch.multinomial(self.weights, batch, replacement=True, generator=generator)
        views = torch.randint(self.latents.latent.shape[1], (batch,), generator=generator)
        x0, layout = self.latents.pick(photos, views)
        silent = torch.rand(batch, generator=generator) < self.settings.drop_text
        ids = torch.where(silent.unsqueeze(1), self.empty, self.captions.pick(photos, generator))
        loss = self._loss(self.net, x0, layout, ids, generator)
        optimiser = self.optimisers["denoiser"]
        optimiser.zero_grad()
        self.accelerator.backward(loss)
        gradient = self.accelerator.clip_grad_norm_(trainable(self.denoiser), self.config.gradient_clip)
        optimiser.step()
        return {"loss": loss.detach(), "gradient": gradient}

    def _loss(self, net: nn.Module, x0: Tensor, layout: Tensor, ids: Tensor, generator: torch.Generator) -> Tensor:
        device = self.accelerator.device
        t, eps, x, conditioning = self._noised(x0, layout, generator)
        wanted = target(x0, eps, self.table[t], self.schedule.prediction)
        with self.accelerator.autocast():
            said = net(ids.to(device), x.to(device), t.to(device), conditioning.to(device))
        error = (said.float() - wanted.to(device)).square().mean((1, 2, 3))
        return (self.loss_weight[t].to(device) * error).mean()

    def _noised(self, x0: Tensor, layout: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Timesteps (B,), noise and noisy latent (B, C, h, w), conditioning (B, Cc, h, w) with its parts at random."""
        batch = len(x0)
        t = stratified_timesteps(batch, self.schedule.count, generator)
        eps = torch.randn(x0.shape, generator=generator)
        known = random_known(batch, x0.shape[-1], self.settings.give_known, generator)
        give_layout = torch.rand(batch, generator=generator) < self.settings.give_layout
        return t, eps, add_noise(x0, eps, self.table[t]), condition(x0, layout, give_layout, known)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        return {"loss": float(self._loss(self.denoiser, *self._held_out()))}

    def _held_out(self) -> tuple[Tensor, Tensor, Tensor, torch.Generator]:
        """Latents (N, C, h, w), layouts (N, K, h, w) and token ids (N, T) to validate on; a generator for the rest."""
        count = min(256, len(self.held_ids))
        x0, layout = self.held.pick(torch.arange(count), torch.zeros(count, dtype=torch.long))
        return x0, layout, self.held_ids[:count], torch.Generator().manual_seed(self.config.seed)

    def sheet(self) -> Image.Image:
        prompts = distinct_prompts(self.photos.validation, SHEET_PAIRS)
        image, mask = self.draw(prompts)
        return pair_sheet(image, mask, columns=min(8, len(prompts)))

    @torch.no_grad()
    def draw(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Image (N, 3, H, W) in about [-1, 1] and mask ids (N, H, W) for prompts, from fixed noise."""
        shape = self.latents.latent.shape[2:]
        noise = torch.from_numpy(np.stack([starting_noise(self.config.seed, n, shape) for n in range(len(prompts))]))
        noise = noise.to(self.accelerator.device)
        ids = token_ids(self.tokenizer, prompts).to(noise.device)
        encoder, unet = self.denoiser.text_encoder, self.denoiser.unet
        cond, uncond = embed(encoder, ids), embed(encoder, self.empty.to(noise.device)).expand(len(prompts), -1, -1)
        steps = self.schedule.steps(SHEET_STEPS)
        *_, latent = sample(unet, noise, uncond, cond, steps, self.config.guidance, free_conditioning(unet, noise))
        image, logits = self.vae.decode(latent)
        assert logits is not None
        return image, logits.argmax(1)


def distinct_prompts(photos: tuple[Photo, ...], count: int) -> list[str]:
    """Up to `count` captions, each once, the classes taken in turn so that rare damage is among them."""
    by_kind: dict[tuple[int, ...], list[str]] = {}
    for photo in photos:
        texts = by_kind.setdefault(tuple(photo.classes), [])
        if photo.text not in texts:
            texts.append(photo.text)
    longest = max(map(len, by_kind.values()))
    turns = [texts[n] for n in range(longest) for _, texts in sorted(by_kind.items()) if n < len(texts)]
    return list(dict.fromkeys(turns))[:count]
