"""Rewrites of a network that compute the same numbers with less work; each replaces a submodule, never a forward.

Axes: B batch, C channels, N tokens, h w size of a feature map.
"""

import copy
from typing import Any, cast

import torch
from diffusers.models.activations import GEGLU
from diffusers.models.normalization import RMSNorm
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn
from torch.nn import functional as F


def lightened(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode with cheaper upsampling and gated feed-forwards; weights are shared, not copied."""
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    copied = copy.deepcopy(network, shared).eval()
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            cheaper = _cheaper(child)
            if cheaper is not None:
                setattr(parent, name, cheaper)
    return copied


def _cheaper(module: nn.Module) -> nn.Module | None:
    if type(module) is Upsample2D and _is_nearest_then_3x3(module):
        return UpsampleOnce(cast(nn.Conv2d, module.conv))
    if type(module) is nn.ConvTranspose2d and _is_three_strides_wide(module):
        return PatchesOut(module)
    if type(module) is RMSNorm:
        return PlainRMSNorm(module)
    if type(module) is GEGLU:
        return SplitGeglu(cast(nn.Linear, module.proj))
    return None


def _is_nearest_then_3x3(module: Any) -> bool:
    conv = module.conv
    plain = module.use_conv and not module.use_conv_transpose and module.interpolate and module.norm is None
    return bool(plain and isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3) and conv.padding == (1, 1))


def _is_three_strides_wide(module: nn.ConvTranspose2d) -> bool:
    stride = module.stride[0]
    settings = (module.stride, module.kernel_size, module.padding, module.output_padding, module.dilation)
    wanted = ((stride, stride), (3 * stride, 3 * stride), (stride, stride), (0, 0), (1, 1))
    return stride > 1 and settings == wanted and module.groups == 1


class PatchesOut(nn.Module):
    """A transposed convolution three strides wide as a 3x3 convolution that gives each patch of stride x stride.

    The skip around the decoder is 1 % of its operations, and took 5 % of its time as a transposed convolution.
    """

    def __init__(self, transposed: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.stride = transposed.stride[0]
        s, (given, drawn) = self.stride, transposed.weight.shape[:2]
        # Patch i is drawn by latent i - 1 with the last third of the kernel, by i with the middle, by i + 1 with the
        # first: tap by tap the thirds are in reverse.
        thirds = transposed.weight.detach().reshape(given, drawn, 3, s, 3, s).flip(2, 4)
        weight = thirds.permute(1, 3, 5, 0, 2, 4).reshape(drawn * s * s, given, 3, 3)
        self.weight = _frozen(weight.contiguous())
        self.bias = None if transposed.bias is None else _frozen(transposed.bias.repeat_interleave(s * s))

    def forward(self, latent: Tensor) -> Tensor:
        return F.pixel_shuffle(F.conv2d(latent, self.weight, self.bias, padding=1), self.stride)


class UpsampleOnce(nn.Module):
    """Nearest-neighbour doubling followed by a 3x3 convolution, as one transposed 4x4 convolution of stride 2.

    Of the 9 taps on an output pixel only 4 fall on different input pixels; summing the weights of those that share one
    beforehand leaves 4 products of 9.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        # Doubling is a transposed convolution with a 2x2 block of ones, and one convolution after another is one with
        # their kernels convolved: the 3x3 kernel (mirrored, as transposed convolutions are) with the block.
        weight = conv.weight.transpose(0, 1).flip(2, 3)  # (C, C', 3, 3)
        padded = F.pad(weight, (1, 1, 1, 1))
        summed = padded[..., 1:, 1:] + padded[..., :-1, 1:] + padded[..., 1:, :-1] + padded[..., :-1, :-1]
        self.weight = nn.Parameter(summed, requires_grad=False)  # (C, C', 4, 4)
        self.bias = conv.bias

    def forward(self, hidden: Tensor, output_size: int | None = None) -> Tensor:
        return F.conv_transpose2d(hidden, self.weight, self.bias, stride=2, padding=1)


class PlainRMSNorm(nn.Module):
    """diffusers' RMSNorm in plain operators, in float32: exporters fuse the usual spelling of it into an operator of
    opset 23 that not every engine has.
    """

    def __init__(self, norm: RMSNorm) -> None:
        super().__init__()
        self.eps, self.weight, self.bias = norm.eps, norm.weight, norm.bias

    def forward(self, hidden: Tensor) -> Tensor:
        squares = (hidden * hidden).sum(-1, keepdim=True) / hidden.shape[-1]
        normed: Tensor = hidden / (squares + self.eps).sqrt()
        normed = normed if self.weight is None else normed * self.weight
        return normed if self.bias is None else normed + self.bias


class SplitGeglu(nn.Module):
    """GEGLU with one projection for the values and one for the gate, so that nothing is copied apart afterwards."""

    def __init__(self, projection: nn.Linear) -> None:
        super().__init__()
        (weight, gate_weight), (bias, gate_bias) = projection.weight.chunk(2), projection.bias.chunk(2)
        self.weight, self.gate_weight = _frozen(weight), _frozen(gate_weight)  # (width, C) each
        self.bias, self.gate_bias = _frozen(bias), _frozen(gate_bias)

    def forward(self, hidden: Tensor) -> Tensor:
        gate = F.gelu(F.linear(hidden, self.gate_weight, self.gate_bias))
        return F.linear(hidden, self.weight, self.bias) * gate


def _frozen(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach(), requires_grad=False)


def share_halves(unet: Any) -> None:
    """Compute once, in place, what the uncond and cond halves of the batch have in common.

    They see the same latent and differ in the text only, so they are equal up to the first cross-attention.
    """
    unet.conv_in = FirstHalf(unet.conv_in)
    block = unet.down_blocks[0]
    block.resnets[0] = FirstHalf(block.resnets[0])
    attention = getattr(block, "attentions", [None])[0]
    if isinstance(attention, Transformer2DModel):
        attention.norm, attention.proj_in = FirstHalf(attention.norm), FirstHalf(attention.proj_in)
        layer = cast(Any, attention.transformer_blocks[0])
        layer.norm1, layer.attn1 = FirstHalf(layer.norm1), FirstHalf(layer.attn1)


class FirstHalf(nn.Module):
    """A module applied to the first half of a batch whose halves are equal, and its result written twice.

    Not `halved` it is the module itself, for a batch that has no halves.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module, self.halved = module, True

    def forward(self, batch: Tensor, *args: Any, **options: Any) -> Tensor:
        if not self.halved:
            return cast(Tensor, self.module(batch, *args, **options))
        half = self.module(batch[: batch.shape[0] // 2], *args, **options)
        return torch.cat([half, half])
