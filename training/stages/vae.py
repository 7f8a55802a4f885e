"""The two stages of the joint VAE: all of it on reconstruction, then the decoder alone with critics.

Recipe: L1, class-balanced cross-entropy and a perceptual distance; noise on the latents and an L2 on their means in
place of a KL term. The second stage adds a critic of pairs and one of pretrained features, each with a fixed share of
the reconstruction's gradient (Esser et al. 2021, eq. 7).
"""

from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from wetgen.training import losses
from wetgen.training.config import Budget, TrainConfig
from wetgen.training.critics import FeatureCritic, PairCritic, feature_matching
from wetgen.training.data import Photos, plain_view, sampling_weights, view
from wetgen.training.dc_vae import DCVAE
from wetgen.training.features import ImageNetFeatures, perceptual_distance
from wetgen.training.latents import to_tensors
from wetgen.training.loop import Stage, trainable
from wetgen.training.sheets import pair_sheet
from wetgen.training.vae import MASK_SCALE, JointVAE

CRITICS_ALONE = 0.01  # share of the decoder's budget in which the critics learn and nobody listens
LARGEST_FACTOR = 500.0
SLOW_FACTOR = 0.02
VALIDATION_PAIRS = 64
HELD_BATCH = 8
FITTED_CROPS = 768
SCALED_VIEWS = 512
SHEET_PAIRS = 8
NOISY = 0.3  # noise of the latents in the validation of robustness


class VaeStage(Stage):
    """Trains all of `vae` in place, on reconstruction."""

    name = "vae"
    draws_grain = False  # noise can only do harm to a reconstruction: it waits for critics

    def __init__(self, vae: JointVAE, photos: Photos, config: TrainConfig, accelerator: Accelerator) -> None:
        self.config, self.accelerator, self.crops, self.vae = config, accelerator, Crops(photos, config), vae
        held = [plain_view(photo, config.data) for photo in photos.validation[:VALIDATION_PAIRS]]
        self.held = [to_tensors(held[i : i + HELD_BATCH], accelerator.device) for i in range(0, len(held), HELD_BATCH)]
        self.budget, self.learning_rate = self._budget(), self._learning_rate()
        self.samples_per_step = config.vae.batch * accelerator.num_processes
        device = accelerator.device
        for grain in vae.grain_parts():
            grain.requires_grad_(self.draws_grain)
        self.features = ImageNetFeatures().to(device) if config.vae.perceptual_weight > 0 else None
        optimiser = torch.optim.AdamW(
            self._groups(), self.learning_rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=True
        )
        self.net, optimiser = accelerator.prepare(vae.to(memory_format=torch.channels_last), optimiser)
        self.networks: dict[str, nn.Module] = {"vae": self.net}
        self.optimisers = {"vae": optimiser}
        self.averaged = vae

    def _budget(self) -> Budget:
        return self.config.vae.budget

    def _learning_rate(self) -> float:
        return self.config.vae.learning_rate

    def parameters(self) -> list[nn.Parameter]:
        return trainable(self.vae)

    def _groups(self) -> list[dict[str, Any]]:
        """The linear ways start fitted, with weights a thousand times smaller than the network's; grain starts at none.

        Both move slower than the network: Adam's steps are of one length whatever the gradient's.
        """
        slow = {id(p) for part in self.vae.slow_parts() for p in part.parameters()}
        parameters = self.parameters()
        return [
            {"params": [p for p in parameters if id(p) not in slow]},
            {"params": [p for p in parameters if id(p) in slow], "factor": SLOW_FACTOR},
        ]

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        image, mask = to_tensors(self.crops(rng, self.config.vae.batch), self.accelerator.device)
        return image.contiguous(memory_format=torch.channels_last), mask

    def rebuild(self, joint: Tensor, generator: torch.Generator, encoder: bool) -> tuple[Tensor, Tensor]:
        """Joint channels drawn from noisy latents (B, D, H, W), and the latents' means (B, C, h, w), both float32."""
        with self.accelerator.autocast():
            with torch.set_grad_enabled(encoder):
                mean = self.vae.mean(joint)
            strength = torch.rand(len(joint), 1, 1, 1, generator=generator) * self.config.vae.latent_noise
            noise = (strength * torch.randn(mean.shape, generator=generator)).to(mean.device)
            shift = torch.randint(1 << 16, (2,), generator=generator).tolist()
            rebuilt = self.vae.reconstruct(mean + noise, (shift[0], shift[1]))
        return rebuilt.float(), mean.float()

    def reconstruction(self, rebuilt: Tensor, image: Tensor, mask: Tensor) -> tuple[dict[str, Tensor], Any, Any]:
        """The scalars that make the loss, and the pretrained features of what was drawn and of what is true."""
        shown, logits = self.vae.split(rebuilt)
        parts = {"l1": (shown - image).abs().mean(), "mask": losses.mask_cross_entropy(logits, mask)}
        drawn = real = None
        if self.features is not None:
            with self.accelerator.autocast():
                with torch.no_grad():
                    real = self.features(image)
                drawn = self.features(shown)
            parts["perceptual"] = perceptual_distance(drawn, real)
        return parts, drawn, real

    def total(self, parts: dict[str, Tensor]) -> Tensor:
        weights = {"l1": 1.0, "mask": self.config.vae.mask_weight, "perceptual": self.config.vae.perceptual_weight}
        weights["mean"] = self.config.vae.mean_weight
        return torch.stack([weights[name] * value for name, value in parts.items()]).sum()

    def step(self, generator: torch.Generator, share: float) -> dict[str, Tensor]:
        image, mask = self.batch(generator)
        rebuilt, mean = self.rebuild(self.vae.joint(image, mask), generator, encoder=True)
        parts, _, _ = self.reconstruction(rebuilt, image, mask)
        parts["mean"] = mean.square().mean()
        return self.update(self.total(parts), parts)

    def update(
        self, loss: Tensor, parts: dict[str, Tensor], rebuilt: Tensor | None = None, gradient: Tensor | None = None
    ) -> dict[str, Tensor]:
        """A step down `loss`, or down a `gradient` that was put together at `rebuilt`."""
        self.optimisers["vae"].zero_grad()
        if rebuilt is None:
            self.accelerator.backward(loss)
        else:
            self.accelerator.backward(rebuilt, gradient=gradient)
        parts["gradient"] = self.accelerator.clip_grad_norm_(self.parameters(), self.config.gradient_clip)
        self.optimisers["vae"].step()
        return {"loss": loss.detach(), **{name: value.detach() for name, value in parts.items()}}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Round trip of whole held views: L1, damage IoU, sharpness against the truth; the same of noisy latents."""
        sums: dict[str, float] = {}
        for image, mask in self.held:
            for name, value in self._figures(image, mask).items():
                sums[name] = sums.get(name, 0.0) + value / len(self.held)
        figures = {"l1": sums["l1"], "damage_iou": sums["overlap"] / max(sums["union"], 1e-9)}
        figures |= {"sharp": sums["gradient"] / sums["true_gradient"], "perceptual": sums["perceptual"]}
        figures |= {"noisy_sharp": sums["noisy_gradient"] / sums["true_gradient"]}
        figures |= {"noisy_iou": sums["noisy_overlap"] / max(sums["noisy_union"], 1e-9)}
        return figures

    def _figures(self, image: Tensor, mask: Tensor) -> dict[str, float]:
        with self.accelerator.autocast():
            mean = self.vae.mean(self.vae.joint(image, mask))
            noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0)).to(mean.device)
            clean, noisy = (self.vae.reconstruct(latent).float() for latent in (mean, mean + NOISY * noise))
        (shown, logits), (blurred, blurred_logits) = self.vae.split(clean), self.vae.split(noisy)
        true, drawn, again = mask > 0, logits.argmax(1) > 0, blurred_logits.argmax(1) > 0
        perceptual = 0.0
        if self.features is not None:
            perceptual = float(perceptual_distance(self.features(shown), self.features(image)))
        return {
            "l1": float((shown - image).abs().mean()),
            "overlap": float((true & drawn).sum()), "union": float((true | drawn).sum()),
            "gradient": _gradient(shown), "true_gradient": _gradient(image), "noisy_gradient": _gradient(blurred),
            "noisy_overlap": float((drawn & again).sum()), "noisy_union": float((drawn | again).sum()),
            "perceptual": perceptual,
        }  # fmt: skip

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """True pairs above what comes back of them."""
        image, mask = (part[:SHEET_PAIRS] for part in self.held[0])
        with self.accelerator.autocast():
            shown, logits = self.vae.split(self.vae.reconstruct(self.vae.mean(self.vae.joint(image, mask))).float())
        return pair_sheet(torch.cat([image, shown]), torch.cat([mask, logits.argmax(1)]), columns=len(image))


class DecoderStage(VaeStage):
    """Trains the decoder in place, the encoder frozen, with critics of pairs and of pretrained features."""

    name = "decoder"
    draws_grain = True

    def __init__(self, vae: JointVAE, photos: Photos, config: TrainConfig, accelerator: Accelerator) -> None:
        for part in vae.encoder_parts():
            part.requires_grad_(False)
        super().__init__(vae, photos, config, accelerator)
        settings = config.vae
        critics: dict[str, nn.Module] = {"pair_critic": PairCritic(3 + vae.classes, settings.pair_critic_width)}
        if self.features is not None:
            critics["feature_critic"] = FeatureCritic(settings.feature_critic_width)
        factor = settings.critic_learning_rate / settings.decoder_learning_rate
        for name, critic in critics.items():
            group = {"params": list(critic.parameters()), "factor": factor}
            optimiser = torch.optim.AdamW([group], betas=(0.5, 0.9), weight_decay=0.0, fused=True)
            prepared, optimiser = accelerator.prepare(critic.to(memory_format=torch.channels_last), optimiser)
            self.networks[name], self.optimisers[name] = prepared, optimiser

    def _budget(self) -> Budget:
        return self.config.vae.decoder_budget

    def _learning_rate(self) -> float:
        return self.config.vae.decoder_learning_rate

    def step(self, generator: torch.Generator, share: float) -> dict[str, Tensor]:
        image, mask = self.batch(generator)
        joint = self.vae.joint(image, mask)
        rebuilt, _ = self.rebuild(joint, generator, encoder=False)
        parts, drawn, real = self.reconstruction(rebuilt, image, mask)
        shown, logits = self.vae.split(rebuilt)
        fake = torch.cat([shown, straight_through(logits)], 1)
        taught = self._teach_critics(joint, fake.detach(), drawn, real)
        pull = self.total(parts)
        gradient = _at(pull, rebuilt)
        if share > CRITICS_ALONE:
            gradient = gradient + self._adversarial(gradient.norm(), rebuilt, joint, fake, drawn, parts)
        scalars = self.update(pull, parts, rebuilt, gradient)
        return {**scalars, **taught}

    def _teach_critics(self, joint: Tensor, fake: Tensor, drawn: Any, real: Any) -> dict[str, Tensor]:
        """A step of each critic; its hinge loss is 2 at chance."""
        scalars = {}
        with self.accelerator.autocast():
            true, _ = self.networks["pair_critic"](joint)
            made, _ = self.networks["pair_critic"](fake)
        scalars["pair_critic"] = losses.discriminator_hinge(true.float(), made.float())
        if self.features is not None:
            critic = self.networks["feature_critic"]
            with self.accelerator.autocast():
                pairs = zip(critic(real), critic([m.detach() for m in drawn]), strict=True)
            hinges = [losses.discriminator_hinge(a.float(), b.float()) for a, b in pairs]
            scalars["feature_critic"] = torch.stack(hinges).mean()
        for name, loss in scalars.items():
            self.optimisers[name].zero_grad()
            self.accelerator.backward(loss)
            self.optimisers[name].step()
        return {name: value.detach() for name, value in scalars.items()}

    def _adversarial(
        self, base: Tensor, rebuilt: Tensor, joint: Tensor, fake: Tensor, drawn: Any, parts: dict[str, Tensor]
    ) -> Tensor:
        """The gradient at `rebuilt` of the critics, each a fixed share of `base` long, and of feature matching."""
        settings = self.config.vae
        critics = [network for name, network in self.networks.items() if name != "vae"]
        for critic in critics:
            critic.requires_grad_(False)
        with self.accelerator.autocast():
            with torch.no_grad():
                _, true_maps = self.networks["pair_critic"](joint)
            score, maps = self.networks["pair_critic"](fake)
            heads = self.networks["feature_critic"](drawn) if self.features is not None else []
        parts["fool"] = -score.float().mean()
        terms = [parts["fool"]]
        if heads:
            terms.append(-torch.stack([head.float().mean() for head in heads]).mean())
        gradient = settings.matching_weight * _at(feature_matching(maps, true_maps), rebuilt)
        for term in terms:
            pull = without_mean_colour(_at(term, rebuilt), self.vae.stride)
            factor = (settings.adversarial_weight * base / (pull.norm() + 1e-6)).clamp(max=LARGEST_FACTOR)
            gradient = gradient + factor * pull
        for critic in critics:
            critic.requires_grad_(True)
        return gradient


def without_mean_colour(gradient: Tensor, stride: int) -> Tensor:
    """A gradient (B, D, H, W) that leaves the mean colour of every latent cell alone.

    Critics judge what a picture looks like, not what it shows: they drained the colour from carpets and walls.
    """
    colour = gradient[:, :3]
    smooth = F.interpolate(F.avg_pool2d(colour.contiguous(), stride), scale_factor=stride)
    return torch.cat([colour - smooth, gradient[:, 3:]], 1)


def straight_through(logits: Tensor) -> Tensor:
    """The chosen class as the critic sees true masks, with the softmax's gradient (a straight-through estimate)."""
    soft = logits.softmax(1)
    hard = F.one_hot(soft.argmax(1), soft.shape[1]).permute(0, 3, 1, 2).to(soft.dtype)
    return MASK_SCALE * (hard + soft - soft.detach()) - MASK_SCALE / 2


def _at(term: Tensor, rebuilt: Tensor) -> Tensor:
    """The gradient of a scalar at the picture; the graph stays for the other terms."""
    (gradient,) = torch.autograd.grad(term, rebuilt, retain_graph=True)
    return gradient


def _gradient(image: Tensor) -> float:
    grey = image.float().mean(1)
    across, down = (grey[:, :, 1:] - grey[:, :, :-1]).abs().mean(), (grey[:, 1:] - grey[:, :-1]).abs().mean()
    return float(across + down) / 2


class Crops:
    """Draws square crops of views of the training photographs, with class balance."""

    def __init__(self, photos: Photos, config: TrainConfig) -> None:
        self.photos, self.data, self.side = photos.training, config.data, config.vae.crop
        self.cumulative = sampling_weights(photos.training, config.data.balance).cumsum()

    def __call__(self, rng: np.random.Generator, count: int) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        """`count` pairs of image (S, S, 3) and mask (S, S), uint8."""
        chosen = np.searchsorted(self.cumulative, rng.random(count) * self.cumulative[-1])
        return [self._crop(int(i), rng) for i in chosen]

    def _crop(self, i: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        image, mask = view(self.photos[i], self.data, rng)
        top, left = rng.integers(0, self.data.size - self.side + 1, 2)
        window = slice(top, top + self.side), slice(left, left + self.side)
        return image[window], mask[window]


def fit_linear(vae: DCVAE, photos: Photos, config: TrainConfig) -> None:
    """Start the linear ways of an untrained VAE from crops of the training photographs."""
    crops = Crops(photos, config)(np.random.default_rng(config.seed), FITTED_CROPS)
    vae.fit_linear(vae.joint(*to_tensors(crops, torch.device("cpu"))), torch.Generator().manual_seed(config.seed))


@torch.no_grad()
def set_latent_scale(vae: JointVAE, photos: Photos, config: TrainConfig, device: torch.device) -> None:
    """Record the scale that gives the training latents a mean square of 1 over all channels."""
    rng, squares = np.random.default_rng(config.seed), []
    chosen = rng.choice(len(photos.training), min(SCALED_VIEWS, len(photos.training)), replace=False)
    for start in range(0, len(chosen), HELD_BATCH):
        views = [view(photos.training[int(i)], config.data, rng) for i in chosen[start : start + HELD_BATCH]]
        squares += list(vae.mean(vae.joint(*to_tensors(views, device))).square().mean((1, 2, 3)).tolist())
    vae.net.register_to_config(scaling_factor=float(np.mean(squares) ** -0.5))
