"""The torch module behind each graph: its `forward` takes exactly the graph's inputs, in order.

Axes: B pairs, C latent channels, h w latent size, H W image size, T tokens, E width of all keys and values, Cc
conditioning channels, K classes.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

from wetgen.export.graphs.rewrites import lightened
from wetgen.runtime.bundle.graphs import Sizes


class Wrapper(nn.Module):
    """A network behind a graph's declaration: what crosses the border is float32, whatever the network computes in."""

    compute: torch.dtype = torch.float32  # of the network; `precision.lowered` changes both

    def into(self, tensor: Tensor) -> Tensor:
        """A float32 tensor in the network's own type."""
        return tensor.to(self.compute)


def shown(path: str) -> str:
    """A module's path as in the checkpoint, without the wrapper's own name and what rewrites and islands put around."""
    return ".".join(part for part in path.split(".") if part != "module")


class Text(Wrapper):
    """Token ids (B, T) int32 to what the denoiser needs of the text: keys and values of all its layers (B, T, E)."""

    def __init__(self, encoder: nn.Module, projection: nn.Linear) -> None:
        super().__init__()
        self.encoder, self.projection = lightened(encoder), projection

    def forward(self, token_ids: Tensor) -> Tensor:
        return cast(Tensor, self.projection(self.encoder(token_ids.long()).last_hidden_state)).float()


class Encode(Wrapper):
    """Photograph (B, H, W, 3) uint8 to latent (B, C, h, w)."""

    def __init__(self, vae: nn.Module) -> None:
        super().__init__()
        self.vae = lightened(vae)

    def forward(self, image: Tensor) -> Tensor:
        return self._encode(image, None)

    def _encode(self, image: Tensor, mask: Tensor | None) -> Tensor:
        # Bytes become numbers first: TensorRT knows uint8 at the border of a network only.
        pixels = image.float().permute(0, 3, 1, 2) / 127.5 - 1.0  # (B, 3, H, W) in [-1, 1]
        return cast(Tensor, cast(Any, self.vae).encode(self.into(pixels), mask)).float()


class EncodePair(Encode):
    """Photograph (B, H, W, 3) and mask of class ids (B, H, W), both uint8, to latent (B, C, h, w)."""

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        return self._encode(image, mask.long())


class Decode(Wrapper):
    """Latent (B, C, h, w) to picture (B, H, W, 3) uint8."""

    def __init__(self, vae: nn.Module) -> None:
        super().__init__()
        self.vae = lightened(vae)

    def forward(self, latent: Tensor) -> Tensor:
        image, _ = cast(Any, self.vae).decode(self.into(latent))
        return to_bytes(image.float())


class DecodePair(Decode):
    """Latent to picture (B, H, W, 3), mask of class ids and confidence in 255ths (B, H, W), all uint8."""

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        image, logits = cast(Any, self.vae).decode(self.into(latent))  # (B, 3, H, W), (B, K, H, W)
        image, logits = image.float(), logits.float()
        best, mask = logits.max(dim=1)  # (B, H, W) each
        # The softmax of the largest logit is 1 / sum(exp(logit - largest)); the other K - 1 are never needed.
        confidence = 1.0 / torch.exp(logits - best.unsqueeze(1)).sum(dim=1)
        return to_bytes(image), mask.to(torch.uint8), (confidence * 255.0).round().to(torch.uint8)


def to_bytes(image: Tensor) -> Tensor:
    """(B, 3, H, W) float in [-1, 1] to (B, H, W, 3) uint8, rounded to the nearest and clipped."""
    return ((image + 1.0) * 127.5).round().clamp(0.0, 255.0).permute(0, 2, 3, 1).to(torch.uint8)


def text(encoder: nn.Module, projection: nn.Linear) -> Wrapper:
    """The wrapper of the text graph; `projection` is the denoiser's `keys_and_values`."""
    return Text(encoder, projection).eval()


def encode(vae: nn.Module, sizes: Sizes) -> Wrapper:
    """The wrapper of the encode graph, with or without a mask."""
    return (EncodePair if sizes.classes else Encode)(vae).eval()


def decode(vae: nn.Module, sizes: Sizes) -> Wrapper:
    """The wrapper of the decode graph, with or without a mask."""
    return (DecodePair if sizes.classes else Decode)(vae).eval()
