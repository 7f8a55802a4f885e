"""What a plan loses: its pictures and masks against those of the long trajectory on the same noise.

Axes: P pairs, C latent channels, h w latent size, H W image size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from wetgen.export.reference import decoded
from wetgen.export.search.trajectories import Distance
from wetgen.export.verify import psnr
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.graphs import JUDGE
from wetgen.runtime.bundle.targets import DEFAULT_TARGET
from wetgen.runtime.engines.ort import Engine, open_engine
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.prompts.text import mentioned_classes
from wetgen.runtime.run.filters import agreement


@dataclass(frozen=True)
class Pictures:
    """Images uint8 (P, H, W, 3) and, for a generator that draws them, masks uint8 (P, H, W)."""

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8] | None

    @classmethod
    def of(cls, vae: Any, latents: Tensor) -> "Pictures":
        """Decode latents (P, C, h, w) in float32, one by one: activations of pictures are large."""
        parts = [decoded(vae, latent[None].numpy()) for latent in latents]
        masks = [mask for _, mask, _ in parts if mask is not None]
        return cls(np.concatenate([image for image, _, _ in parts]), np.concatenate(masks) if masks else None)


@dataclass(frozen=True)
class Loss:
    """Means over pairs. `judge` is the mean agreement of a judge with the masks, where there is one to be asked."""

    latent_distance: float
    psnr_db: float
    mask_agreement: float | None
    judge: float | None

    def to_json(self) -> dict[str, float]:
        figures = {"latent_distance": self.latent_distance, "psnr_db": self.psnr_db}
        named = {**figures, "mask_agreement": self.mask_agreement, "judge": self.judge}
        return {name: float(f"{value:.4g}") for name, value in named.items() if value is not None}


def quality(loss: Loss, yardstick: Loss) -> float:
    """How much of the long trajectory's masks a plan keeps, relative to what the yardstick keeps.

    It is the quotient of both mask agreements. A generator without masks has the variance of the long trajectory's
    latents in place of its mask pixels: the share that is kept is one less the squared distance.
    """
    if loss.mask_agreement is not None and yardstick.mask_agreement is not None:
        return loss.mask_agreement / yardstick.mask_agreement
    return (1 - loss.latent_distance**2) / (1 - yardstick.latent_distance**2)


def loss_of(latents: Tensor, pictures: Pictures, wanted_latents: Tensor, wanted: Pictures, judge: float | None) -> Loss:
    """What pictures lose against the wanted ones of the same noise."""
    pairs = zip(pictures.images, wanted.images, strict=True)
    agreeing = None
    if pictures.masks is not None and wanted.masks is not None:
        agreeing = float(np.mean(pictures.masks == wanted.masks))
    return Loss(
        Distance.between(latents, wanted_latents).relative,
        float(np.mean([psnr(image, other) for image, other in pairs])),
        agreeing,
        judge,
    )


class JudgeOf:
    """The judge of an exported bundle, asked about pictures of prompts."""

    def __init__(self, folder: Path, table: ClassTable | None, size: tuple[int, int]) -> None:
        """Raises WetgenError for a bundle without a judge, or with one for other pictures."""
        bundle = Bundle.open(folder)
        if not bundle.has_judge or bundle.classes != table or (bundle.sizes.height, bundle.sizes.width) != size:
            raise WetgenError(
                f"{folder} cannot judge the pictures of this checkpoint.",
                why="it has no judge, or its pictures have other classes or another size.",
                fix="give a bundle that `wetgen judge` wrote for this checkpoint, or leave --judge out.",
            )
        held = bundle.targets[DEFAULT_TARGET]
        self._bundle = bundle
        self._engine: Engine = open_engine(bundle.graphs[JUDGE], held.files[JUDGE], device="cpu", batch=1)

    def score(self, prompts: Sequence[str], pictures: Pictures) -> float | None:
        """The mean agreement of masks with what the judge sees; None where it knows nothing of what they show."""
        assert pictures.masks is not None and self._bundle.classes is not None, "a judge is of bundles with masks"
        found = []
        for prompt, image, mask in zip(prompts, pictures.images, pictures.masks, strict=True):
            seen = self._engine.run({"image": image[None]})["mask"][0].astype(np.uint8)
            asked = mentioned_classes(prompt, self._bundle.words)
            found.append(agreement(mask, seen, self._bundle.classes, self._bundle.judge_knows, asked).value)
        known = [value for value in found if value is not None]
        return float(np.mean(known)) if known else None


def decode_flops(vae: Any, latent: Tensor) -> float:
    """The floating-point operations of decoding a latent (1, C, h, w)."""
    with FlopCounterMode(display=False) as counter:
        decoded(vae, latent.numpy())
    return float(counter.get_total_flops())
