"""What the networks are trained to make small."""

from torch import Tensor
from torch.nn import functional as F

# Min-SNR alone gives the timesteps near pure noise no weight, and with zero terminal SNR the last one exactly none:
# nothing would teach the step that sampling starts with and that lays the picture out.
LEAST_X0_WEIGHT = 0.1


def mask_cross_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of (B, K, H, W) logits against (B, H, W) ids, the background and the damage counting half each.

    Damage covers a few per cent of the pixels: unweighted, a mask without any is nearly right.
    """
    each = F.cross_entropy(logits, mask, reduction="none")
    damage = (mask > 0).to(each.dtype)
    return 0.5 * _mean_where(each, damage) + 0.5 * _mean_where(each, 1 - damage)


def _mean_where(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1)


def discriminator_hinge(real: Tensor, fake: Tensor) -> Tensor:
    """The critic's hinge loss (Lim and Ye 2017)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def min_snr_weight(alphas_cumprod: Tensor, gamma: float, prediction: str) -> Tensor:
    """Loss weight of each timestep, (T,): Min-SNR (Hang et al. 2023), min(SNR, gamma) on x0, turned to the target.

    x0-error = v-error / (SNR + 1) = eps-error / SNR, each squared.
    """
    snr = alphas_cumprod / (1 - alphas_cumprod)
    return _on_target(snr.clamp(max=gamma).clamp(min=LEAST_X0_WEIGHT), snr, prediction)


def truncated_snr_weight(alphas_cumprod: Tensor, prediction: str) -> Tensor:
    """Loss weight of each timestep, (T,): max(SNR, 1) on x0 (Salimans and Ho 2022, section 4), turned to the target.

    On v it runs from 1 through 1/2, where SNR = 1, back to 1: no step of a sampler is left untaught.
    """
    snr = alphas_cumprod / (1 - alphas_cumprod)
    return _on_target(snr.clamp(min=1.0), snr, prediction)


def _on_target(on_x0: Tensor, snr: Tensor, prediction: str) -> Tensor:
    """A weight of x0's error as that of the predicted one's: x0-error = v-error / (SNR + 1) = eps-error / SNR."""
    return {"x0": on_x0, "v": on_x0 / (snr + 1), "eps": on_x0 / snr.clamp(min=1e-8)}[prediction]
