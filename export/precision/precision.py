"""A wrapper's network in float16 or bfloat16, with islands that stay float32. The original network is left alone.

What DESIGN.md keeps in float32 never enters: guidance, the DDIM update and latents are the wrapper's, outside the
network; the table of time projections is an island. Casts stand at the border of each island and nowhere else, and come
out as Cast nodes, so the ONNX file alone says what computes in what.
"""

from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map
from transformers.models.clip.modeling_clip import CLIPAttention

from wetgen.export.graphs.rewrites import PlainRMSNorm
from wetgen.export.graphs.time_tables import GuidedTime, TimeTable
from wetgen.export.graphs.wrappers import Wrapper

FloatType = Literal["float32", "float16", "bfloat16"]
TYPES: dict[FloatType, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}

_NORMS = (nn.GroupNorm, nn.LayerNorm, PlainRMSNorm)
_ATTENTIONS = (Attention, CLIPAttention)

NORM_REASON = "norm: sums over a group; whether TensorRT 11 adds them up in float32 is not documented"
TABLE_REASON = "time table"
LOGITS_REASON = "attention logits"


@dataclass(frozen=True)
class Precision:
    """What a graph's network computes in, and which of its modules (torch path and reason) stay float32 in any case.

    Norms and time tables always do. With `wide_logits` attention does between its projections.
    """

    compute: FloatType = "float32"
    islands: tuple[tuple[str, str], ...] = ()
    wide_logits: bool = False


def lowered(wrapper: Wrapper, precision: Precision) -> dict[str, str]:
    """Turn a wrapper, in place, to `precision`; returns every island by path with its reason, norms and table included.

    The wrapper's parameters may be shared with the checkpoint's networks: it gets its own, and they stay as they are.
    """
    if precision.compute == "float32":
        return {}
    dtype = TYPES[precision.compute]
    reasons = _islands(wrapper, precision)
    inside = tuple(f"{path}." for path in reasons)
    for path, module in wrapper.named_modules():
        if path in reasons or path.startswith(inside):
            continue
        for name, parameter in module._parameters.items():
            if parameter is not None and parameter.is_floating_point():
                module._parameters[name] = nn.Parameter(parameter.detach().to(dtype), requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.is_floating_point() and path:  # the wrapper's own hold the DDIM update
                module._buffers[name] = buffer.to(dtype)
    for path in reasons:
        _replace(wrapper, path, Island(wrapper.get_submodule(path), dtype))
    if precision.wide_logits:
        reasons = {**reasons, **_widen_logits(wrapper, inside)}
    wrapper.compute = dtype
    return reasons


def _islands(wrapper: nn.Module, precision: Precision) -> dict[str, str]:
    """The outermost of: what is asked for, all norms, and the time table."""
    kinds: list[tuple[Any, str]] = [(_NORMS, NORM_REASON), ((TimeTable, GuidedTime), TABLE_REASON)]
    found = {
        path: reason for path, module in wrapper.named_modules() for kind, reason in kinds if isinstance(module, kind)
    }
    found.update(dict(precision.islands))
    return {path: reason for path, reason in found.items() if not any(path.startswith(f"{p}.") for p in found)}


def _widen_logits(wrapper: nn.Module, inside: tuple[str, ...]) -> dict[str, str]:
    paths = [p for p, m in wrapper.named_modules() if isinstance(m, _ATTENTIONS) and not f"{p}.".startswith(inside)]
    for path in paths:
        _replace(wrapper, path, WideLogits(wrapper.get_submodule(path)))
    return dict.fromkeys(paths, LOGITS_REASON)


def _replace(root: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    root.get_submodule(parent)._modules[name] = module


class Island(nn.Module):
    """A float32 module inside a network of a smaller type: casts what enters to float32 and what leaves back."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        # diffusers asks the first parameter of a block for the type to hand it: that of its border, not of its inside.
        self.border = nn.Parameter(torch.zeros((), dtype=dtype), requires_grad=False)
        self.module = module

    def forward(self, *args: Any, **options: Any) -> Any:
        dtype = self.border.dtype

        def wide(value: Any) -> Any:
            return value.float() if isinstance(value, Tensor) and value.dtype == dtype else value

        def back(value: Any) -> Any:
            return value.to(dtype) if isinstance(value, Tensor) and value.dtype == torch.float32 else value

        return tree_map(back, self.module(*tree_map(wide, args), **tree_map(wide, options)))


class WideLogits(nn.Module):
    """An attention whose products of queries and keys, softmax and sum of values are float32, its projections not."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **options: Any) -> Any:
        with _WideDotProduct():
            return self.module(*args, **options)


class _WideDotProduct(TorchFunctionMode):
    """Gives torch's scaled dot product attention float32 tensors, and its result the type that it was called with."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = {} if kwargs is None else kwargs
        if func is not functional.scaled_dot_product_attention:
            return func(*args, **options)
        query = cast(Tensor, args[0] if args else options["query"])

        def wide(value: Any) -> Any:
            return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value

        return func(*tree_map(wide, args), **tree_map(wide, options)).to(query.dtype)
