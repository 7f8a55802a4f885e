"""The joint VAE: one latent holds picture and mask, so they cannot drift apart.

Axes: B pairs, H W image size, K classes, D = 3 + K joint channels, C latent channels, h w = H/stride, W/stride.

Around diffusers' AutoencoderKL run a pixel-unshuffle, which halves the network's cost at equal stride, and a linear
skip that starts as the principal components of the training patches while the network's last layers start at zero: at
step 0 the whole is a fair autoencoder and every step refines it.
"""

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional as F

from wetgen.training.config import VaeConfig

LOGIT_GAIN = 4.0  # the skip returns masks near -1 and 1; as logits that would be an unsure softmax
MASK_SCALE = 2.0  # a one-hot mask channel spans this much, about the span of a picture's [-1, 1]


class LinearSkip(nn.Module):
    """A strided convolution in, patches of stride x stride pixels to C numbers, and an overlapping transposed one out.

    Each patch is drawn from the 3 x 3 latents around it: from its own alone, patches would meet in visible edges.
    """

    def __init__(self, channels: int, latent_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.into = nn.Conv2d(channels, latent_channels, stride, stride)
        self.out = nn.ConvTranspose2d(latent_channels, channels, 3 * stride, stride, padding=stride)

    @torch.no_grad()
    def fit_into(self, joint: Tensor, whitening: float) -> None:
        """Start the way in as the principal components of the patches of `joint` (N, D, H, W), float32.

        A component of variance s^2 is divided by s^whitening; all are then scaled to unit variance on average, so that
        with whitening < 1 small components stay small and cost the denoiser little.
        """
        flat = _patches(joint, self.stride)
        mean = flat.mean(0)
        variances, vectors = torch.linalg.eigh((flat - mean).T @ (flat - mean) / len(flat))
        count = self.into.out_channels
        variances, vectors = variances.flip(0)[:count].clamp(min=1e-8), vectors.flip(1)[:, :count]
        scale = variances ** (-whitening / 2)
        scale = scale / (variances * scale**2).mean().sqrt()
        basis = vectors * scale  # (D s s, C)
        self.into.weight.copy_(basis.T.reshape(self.into.weight.shape))
        self.into.bias.copy_(-(mean @ basis))

    @torch.no_grad()
    def fit_out(self, latent: Tensor, wanted: Tensor) -> None:
        """Make the way out the least-squares one from `latent` (N, C, h, w) to `wanted` (N, D, H, W), both float32.

        Latents with the noise of training give the Wiener filter: components that drown in it are drawn less.
        """
        s, channels = self.stride, wanted.shape[1]
        bias = wanted.mean((0, 2, 3))
        around = _neighbours(latent)
        patches = _patches(wanted - bias.view(1, -1, 1, 1), s)
        gram = around.T @ around
        ridge = 1e-4 * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
        weight = torch.linalg.solve(gram + ridge, around.T @ patches)  # (C 3 3, D s s)
        # Latent (i, j) of a neighbourhood lies above the patch in block (2 - i, 2 - j) of its own kernel.
        blocks = weight.reshape(-1, 3, 3, channels, s, s).flip(1, 2)
        self.out.weight.copy_(blocks.permute(0, 3, 1, 4, 2, 5).reshape(self.out.weight.shape))
        self.out.bias.copy_(bias)


def _patches(joint: Tensor, stride: int) -> Tensor:
    """(N, D, H, W) to float64 rows of its patches, (N h w, D s s)."""
    return F.unfold(joint.double(), stride, stride=stride).transpose(1, 2).flatten(0, 1)


def _neighbours(latent: Tensor) -> Tensor:
    """(N, C, h, w) to float64 rows of the 3 x 3 latents around each, zeros beyond the border, (N h w, C 3 3)."""
    return F.unfold(latent.double(), 3, padding=1).transpose(1, 2).flatten(0, 1)


class JointVAE(nn.Module):
    """Picture and mask to one latent and back. With classes = 0 it is a plain image VAE."""

    def __init__(self, net: AutoencoderKL, classes: int, skip: LinearSkip | None = None) -> None:
        super().__init__()
        self.net, self.classes, self.skip = net, classes, skip
        self.unshuffle = round((net.config.in_channels / (3 + classes)) ** 0.5)
        self.stride = self.unshuffle * 2 ** (len(net.config.block_out_channels) - 1)

    def joint(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Image (B, 3, H, W) in [-1, 1] and mask ids (B, H, W) int64 to (B, D, H, W)."""
        if not self.classes:
            return image
        assert mask is not None
        onehot = F.one_hot(mask, self.classes).permute(0, 3, 1, 2).to(image.dtype)
        return torch.cat([image, MASK_SCALE * onehot - MASK_SCALE / 2], 1)

    def moments(self, joint: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the unscaled latent, each (B, C, h, w)."""
        net = self.net
        hidden = net.encoder(F.pixel_unshuffle(joint, self.unshuffle))
        if net.quant_conv is not None:
            hidden = net.quant_conv(hidden)
        mean, logvar = hidden.chunk(2, 1)
        return (mean if self.skip is None else mean + self.skip.into(joint)), logvar

    def reconstruct(self, latent: Tensor) -> Tensor:
        """The unscaled latent (B, C, h, w) to joint channels (B, D, H, W)."""
        joint = self.refine(latent)
        return joint if self.skip is None else joint + self.skip.out(latent)

    def refine(self, latent: Tensor) -> Tensor:
        """The network's own part of the joint channels: all of them, or what it adds to the skip's."""
        net = self.net
        hidden = latent if net.post_quant_conv is None else net.post_quant_conv(latent)
        return F.pixel_shuffle(net.decoder(hidden), self.unshuffle)

    def split(self, joint: Tensor) -> tuple[Tensor, Tensor | None]:
        """Joint channels to image (B, 3, H, W) and class logits (B, K, H, W), or None without classes."""
        return joint[:, :3], (LOGIT_GAIN * joint[:, 3:] if self.classes else None)

    def forward(self, joint: Tensor, noise: Tensor, least_std: float) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruct through a sampled latent: joint channels, posterior mean and log variance.

        `noise` is standard normal, (B, C, h, w); the latent gets at least `least_std` of it.
        """
        mean, logvar = self.moments(joint)
        mean, logvar = mean.float(), logvar.float().clamp(-30.0, 20.0)
        std = (0.5 * logvar).exp().clamp(min=least_std)
        return self.reconstruct(mean + std * noise).float(), mean, logvar

    def encode(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """The latent (B, C, h, w) the denoiser works on: the posterior's mean, shifted and scaled to unit variance."""
        mean, _ = self.moments(self.joint(image, mask))
        return (mean - (self.net.config.shift_factor or 0.0)) * self.net.config.scaling_factor

    def decode(self, latent: Tensor) -> tuple[Tensor, Tensor | None]:
        """A denoiser's latent to image (B, 3, H, W) in about [-1, 1] and class logits (B, K, H, W)."""
        return self.split(
            self.reconstruct(latent / self.net.config.scaling_factor + (self.net.config.shift_factor or 0.0))
        )


def build(config: VaeConfig, classes: int) -> JointVAE:
    """An untrained joint VAE. With the skip, the network's last layers start at zero."""
    channels = (3 + classes) * config.unshuffle**2
    blocks = len(config.widths)
    net = AutoencoderKL(
        in_channels=channels,
        out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        block_out_channels=config.widths,
        layers_per_block=config.layers,
        latent_channels=config.latent_channels,
        norm_num_groups=min(32, *config.widths),
        scaling_factor=1.0,
    )
    if not config.skip:
        return JointVAE(net, classes)
    nn.init.zeros_(net.quant_conv.weight)
    nn.init.zeros_(net.decoder.conv_out.weight)
    nn.init.zeros_(net.decoder.conv_out.bias)
    with torch.no_grad():
        net.quant_conv.bias.copy_(torch.tensor([0.0, -6.0]).repeat_interleave(config.latent_channels))
    stride = config.unshuffle * 2 ** (blocks - 1)
    return JointVAE(net, classes, LinearSkip(3 + classes, config.latent_channels, stride))
