"""The VAE stage: reconstruction, mask cross-entropy, KL, and a patch discriminator that joins part-way."""

from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from wetgen.training import losses
from wetgen.training.config import TrainConfig
from wetgen.training.data import Photos, plain_view, random_views, sampling_weights
from wetgen.training.discriminator import PatchDiscriminator
from wetgen.training.latents import to_tensors
from wetgen.training.loop import Stage
from wetgen.training.sheets import pair_sheet
from wetgen.training.state import trainable
from wetgen.training.vae import MASK_SCALE, JointVAE

FITTED_VIEWS = 512  # the linear skip and the latents' scale are fitted to so many views
VALIDATION_PAIRS = 64
CHUNK = 32  # views at a time where no gradient is needed
CPU = torch.device("cpu")
CRITIC_FACTOR = 4.0  # the critic learns this much faster than what it judges (Heusel et al. 2017)


class VaeStage(Stage):
    """Trains `vae` in place."""

    name = "vae"

    def __init__(self, vae: JointVAE, photos: Photos, config: TrainConfig, accelerator: Accelerator) -> None:
        self.config, self.accelerator, self.draw = config, accelerator, Draw(photos, config)
        self.budget, self.learning_rate = config.vae.budget, config.vae.learning_rate
        self.samples_per_step = config.vae.batch * accelerator.num_processes
        self.vae = vae
        critic = PatchDiscriminator(3 + vae.classes, config.vae.discriminator_width)
        self.net, self.critic, optimiser, critic_optimiser = accelerator.prepare(
            vae,
            critic,
            torch.optim.AdamW(trainable(vae), self.learning_rate, weight_decay=1e-2, fused=True),
            torch.optim.AdamW([{"params": trainable(critic), "factor": CRITIC_FACTOR}], betas=(0.5, 0.9), fused=True),
        )
        self.networks = {"vae": self.net, "critic": self.critic}
        self.optimisers = {"vae": optimiser, "critic": critic_optimiser}
        self.averaged = vae
        checked = [plain_view(photo, config.data) for photo in photos.validation[:VALIDATION_PAIRS]]
        self.checked = to_tensors(checked, accelerator.device)

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Fresh views of photographs drawn with class balance."""
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        return to_tensors(self.draw(rng, self.config.vae.batch), self.accelerator.device)

    def step(self, generator: torch.Generator, share: float) -> dict[str, Tensor]:
        settings = self.config.vae
        image, mask = self.batch(generator)
        joint = self.vae.joint(image, mask)
        noise = torch.randn(self._latent_shape(image), generator=generator).to(image.device)
        with self.accelerator.autocast():
            rebuilt, mean, logvar = self.net(joint, noise, settings.least_posterior_std)
        shown, logits = self.vae.split(rebuilt)
        parts = {
            "l1": (shown - image).abs().mean(),
            "mask": losses.mask_cross_entropy(logits, mask),
            "kl": losses.kl_to_standard_normal(mean, logvar),
        }
        loss = parts["l1"] + settings.mask_weight * parts["mask"] + settings.kl_weight * parts["kl"]
        adversarial = share >= settings.adversarial_start and settings.adversarial_weight > 0
        fake = torch.cat([shown, _as_onehot(logits)], 1) if adversarial else None
        if fake is not None:
            with self.accelerator.autocast():
                parts["fool"] = -self.critic(fake).float().mean()
            loss = loss + settings.adversarial_weight * _balance(loss, parts["fool"], rebuilt) * parts["fool"]
        self.optimisers["vae"].zero_grad()
        self.accelerator.backward(loss)
        parts["gradient"] = self.accelerator.clip_grad_norm_(trainable(self.vae), self.config.gradient_clip)
        self.optimisers["vae"].step()
        if fake is not None:
            parts["critic"] = self._teach_critic(joint, fake.detach())
        return {"loss": loss.detach(), **{name: value.detach() for name, value in parts.items()}}

    def _teach_critic(self, real: Tensor, fake: Tensor) -> Tensor:
        self.optimisers["critic"].zero_grad()
        with self.accelerator.autocast():
            on_real, on_fake = self.critic(torch.cat([real, fake])).float().chunk(2)
        loss = losses.discriminator_hinge(on_real, on_fake)
        self.accelerator.backward(loss)
        self.optimisers["critic"].step()
        return loss

    def _latent_shape(self, image: Tensor) -> tuple[int, int, int, int]:
        stride = self.vae.stride
        channels = self.vae.net.config.latent_channels
        return (len(image), channels, image.shape[2] // stride, image.shape[3] // stride)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        image, mask = self.checked
        shown, logits = self.vae.decode(self.vae.encode(image, mask))
        assert logits is not None
        said, true = logits.argmax(1) > 0, mask > 0
        overlap, union = (said & true).sum(), (said | true).sum()
        right = (logits.argmax(1) == mask).float().mean()
        return {
            "l1": float((shown - image).abs().mean()),
            "damage_iou": float(overlap / union),
            "mask_right": float(right),
        }

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        image, mask = (part[:12] for part in self.checked)
        shown, logits = self.vae.decode(self.vae.encode(image, mask))
        assert logits is not None
        rows = [(image, mask), (shown, logits.argmax(1))]
        return pair_sheet(torch.cat([r[0] for r in rows]), torch.cat([r[1] for r in rows]), columns=len(image))


def _balance(loss: Tensor, fool: Tensor, rebuilt: Tensor) -> Tensor:
    """The factor that makes the critic pull as hard as the other losses (Esser et al. 2021, eq. 7)."""
    (ours,) = torch.autograd.grad(loss, rebuilt, retain_graph=True)
    (critics,) = torch.autograd.grad(fool, rebuilt, retain_graph=True)
    return (ours.norm() / (critics.norm() + 1e-8)).detach()


def _as_onehot(logits: Tensor) -> Tensor:
    """The chosen class as the critic sees true masks, with the softmax's gradient (a straight-through estimate)."""
    soft = logits.softmax(1)
    hard = F.one_hot(soft.argmax(1), soft.shape[1]).permute(0, 3, 1, 2).to(soft.dtype)
    return MASK_SCALE * (hard + soft - soft.detach()) - MASK_SCALE / 2


class Draw:
    """Draws views of the training photographs with class balance."""

    def __init__(self, photos: Photos, config: TrainConfig) -> None:
        self.photos, self.config = photos.training, config.data
        self.weights = sampling_weights(photos.training, config.data.balance)

    def __call__(self, rng: np.random.Generator, count: int) -> list[Any]:
        """`count` views, (image, mask) each."""
        chosen = [self.photos[n] for n in rng.choice(len(self.weights), count, p=self.weights)]
        return random_views(chosen, self.config, rng.integers(2**63, size=count).tolist())


@torch.no_grad()
def fit_skip(vae: JointVAE, photos: Photos, config: TrainConfig) -> None:
    """Start the linear skip from the training photographs."""
    if vae.skip is not None:
        image, mask = to_tensors(Draw(photos, config)(np.random.default_rng(config.seed), FITTED_VIEWS), CPU)
        vae.skip.fit_into(vae.joint(image, mask), config.vae.whitening)
        fit_way_out(vae, photos, config, config.vae.least_posterior_std)


@torch.no_grad()
def fit_way_out(vae: JointVAE, photos: Photos, config: TrainConfig, noise_std: float) -> None:
    """Make the skip's way out draw best, beside the network's part, from latents with noise of `noise_std`."""
    if vae.skip is None:
        return
    generator = torch.Generator().manual_seed(config.seed)
    pairs = Draw(photos, config)(np.random.default_rng(config.seed + 1), FITTED_VIEWS)
    latents, wanted = [], []
    for start in range(0, len(pairs), CHUNK):
        image, mask = to_tensors(pairs[start : start + CHUNK], next(vae.parameters()).device)
        joint = vae.joint(image, mask)
        mean, _ = vae.moments(joint)
        latent = mean + noise_std * torch.randn(mean.shape, generator=generator).to(mean.device)
        latents.append(latent.cpu())
        wanted.append((joint - vae.refine(latent)).cpu())
    vae.skip.fit_out(torch.cat(latents), torch.cat(wanted))


@torch.no_grad()
def set_latent_scale(vae: JointVAE, photos: Photos, config: TrainConfig, device: torch.device) -> None:
    """Record the shift and scale that give the training latents mean 0 and variance 1."""
    rng = np.random.default_rng(config.seed)
    pairs = Draw(photos, config)(rng, FITTED_VIEWS)
    means = []
    for start in range(0, len(pairs), CHUNK):
        image, mask = to_tensors(pairs[start : start + CHUNK], device)
        means.append(vae.moments(vae.joint(image, mask))[0])
    latents = torch.cat(means)
    vae.net.register_to_config(shift_factor=float(latents.mean()), scaling_factor=float(1 / latents.std()))
