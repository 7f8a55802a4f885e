"""The distill stage: a student of guidance learns what its teacher says guided, on the denoiser's own samples.

Axes: B pairs, C latent channels, h w latent size, T tokens, Cc conditioning channels.
"""

from dataclasses import replace

import torch
from accelerate import Accelerator
from tokenizers import Tokenizer
from torch import Tensor, nn

from wetgen.training.config import TrainConfig
from wetgen.training.data import Photos
from wetgen.training.diffusion import NoiseSchedule
from wetgen.training.latents import Latents
from wetgen.training.losses import truncated_snr_weight
from wetgen.training.stages.denoiser import Denoiser, DenoiserStage
from wetgen.training.student import SINUSOIDS, guidance_embedding
from wetgen.training.vae import JointVAE


class DistillStage(DenoiserStage):
    """Trains the UNet of `student` in place (Meng et al. 2023, eq. 2, algorithm 1); its text encoder is the teacher's.

    Noise levels and what is given of layout and known latent are drawn as for the denoiser; no caption is dropped, for
    a student is never asked without its prompt.
    """

    name = "distill"

    def __init__(
        self,
        student: Denoiser,
        teacher: Denoiser,
        tokenizer: Tokenizer,
        vae: JointVAE,
        latents: Latents,
        held: Latents,
        photos: Photos,
        schedule: NoiseSchedule,
        config: TrainConfig,
        accelerator: Accelerator,
    ) -> None:
        ours = config.distill
        settings = replace(
            config.denoiser, budget=ours.budget, batch=ours.batch, learning_rate=ours.learning_rate, drop_text=0.0
        )
        super().__init__(
            student, tokenizer, vae, latents, held, photos, schedule, config, accelerator, settings=settings
        )
        self.teacher = teacher
        self.loss_weight = truncated_snr_weight(self.table.double(), schedule.prediction).float()

    def _loss(self, net: nn.Module, x0: Tensor, layout: Tensor, ids: Tensor, generator: torch.Generator) -> Tensor:
        student, _ = self._errors(net, x0, layout, ids, generator)
        return student.mean()

    def _errors(
        self, net: nn.Module, x0: Tensor, layout: Tensor, ids: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Weighted squared errors (B,) of the student against the guided teacher, and of the teacher not guided."""
        device, ours = self.accelerator.device, self.config.distill
        t, _, x, conditioning = self._noised(x0, layout, generator)
        share = torch.rand(len(x0), generator=generator)
        scale = (ours.least_guidance + (ours.greatest_guidance - ours.least_guidance) * share).to(device)
        weight, empty = self.loss_weight[t].to(device), self.empty.expand_as(ids).to(device)
        ids, x, t, conditioning = (each.to(device) for each in (ids, x, t, conditioning))
        with torch.no_grad(), self.accelerator.autocast():
            both = self.teacher(*(torch.cat(halves) for halves in ((empty, ids), (x, x), (t, t), (conditioning,) * 2)))
        uncond, cond = both.float().chunk(2)
        wanted = uncond + scale.view(-1, 1, 1, 1) * (cond - uncond)  # (B, C, h, w)
        with self.accelerator.autocast():
            said = net(ids, x, t, conditioning, guidance_embedding(scale, SINUSOIDS))
        return weight * _squared(said.float(), wanted), weight * _squared(cond, wanted)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """The loss, and what share of the effect of guidance is still missing: 1 at step 0, 0 when all is there."""
        x0, layout, ids, generator = self._held_out()
        student, untaught = self._errors(self.denoiser, x0, layout, ids, generator)
        return {"loss": float(student.mean()), "missing": float(student.sum() / untaught.sum())}


def _squared(found: Tensor, wanted: Tensor) -> Tensor:
    return (found - wanted).square().mean((1, 2, 3))
