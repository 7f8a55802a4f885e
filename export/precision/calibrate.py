"""What happens inside a network, operator by operator: the largest values, and rounding to the type of a device.

A torch module on a CPU, and ONNX Runtime on a CPU even more so, computes float16 graphs partly in float32, so that an
overflow that gives inf on a GPU goes unseen. Here every operator's result is rounded, and what runs into inf is named.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

_MOVES = {torch.ops.aten._to_copy.default, torch.ops.aten.clone.default}  # casts are what they are; copies are exact

_MASKED = -1e30  # what attention must not see is set to about the least number of its type


@dataclass
class Ranges:
    """The largest magnitudes seen, by module path ("" is the whole): in what its own code computes, and at its border.

    A NaN or an infinity counts as infinity.
    """

    inside: dict[str, float] = field(default_factory=dict)
    border: dict[str, float] = field(default_factory=dict)


@contextmanager
def measured(network: nn.Module) -> Iterator[Ranges]:
    """Record the ranges of a float32 network while it runs in the block; attention logits are among them."""
    ranges = Ranges()
    with _Places(network, ranges) as places, _attention_apart(), _Measuring(places, ranges.inside):
        yield ranges


@contextmanager
def rounded(network: nn.Module) -> Iterator[list[str]]:
    """Round every result of a float16 or bfloat16 operator of the network, sums inside an operator being float32.

    Attention is taken apart, so its logits are rounded too. Gives a list that holds the path of the module that first
    computed something that is not finite, once one has.
    """
    first: list[str] = []
    with _Places(network, None) as places, _attention_apart(), _Rounding(places, first):
        yield first


@contextmanager
def _attention_apart() -> Iterator[None]:
    """Attention as products and a softmax in the type of its inputs; left alone, torch casts small types up there."""
    before = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()  # type: ignore[no-untyped-call]
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)  # of the CPU too, whatever its name says
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(before)


class _Places:
    """Knows which module's code runs: the innermost whose forward is under way."""

    def __init__(self, network: nn.Module, ranges: Ranges | None) -> None:
        self._network, self._ranges, self._hooks = network, ranges, list[Any]()
        self._stack = [""]

    @property
    def current(self) -> str:
        return self._stack[-1]

    def __enter__(self) -> "_Places":
        for path, module in self._network.named_modules():
            self._hooks.append(module.register_forward_pre_hook(self._enters(path), with_kwargs=True))
            self._hooks.append(module.register_forward_hook(self._leaves(path), with_kwargs=True))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _enters(self, path: str) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            self._stack.append(path)

        return hook

    def _leaves(self, path: str) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            self._stack.pop()
            if self._ranges is not None:
                _widen(self._ranges.border, path, (args, kwargs, output))

        return hook


class _Measuring(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, places: _Places, inside: dict[str, float]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._places, self._inside = places, inside

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **({} if kwargs is None else kwargs))
        if not func.is_view:
            _widen(self._inside, self._places.current, output)
        return output


class _Rounding(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, places: _Places, first: list[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._places, self._first = places, first

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = {} if kwargs is None else kwargs
        given = [leaf for leaf in tree_leaves((args, options)) if isinstance(leaf, Tensor)]
        small = {tensor.dtype for tensor in given} & {torch.float16, torch.bfloat16}
        if not small or func.is_view or func in _MOVES:
            output = func(*args, **options)
        else:
            (dtype,) = small
            wide = func(*tree_map(_wide, args), **tree_map(_wide, options))
            output = tree_map(lambda value: _narrow(value, dtype), wide)
        if not self._first and any(_overflows(leaf) for leaf in _floats(output)):
            self._first.append(self._places.current)
        return output


def _wide(value: Any) -> Any:
    small = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if small else value


def _narrow(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.dtype == torch.float32 else value


def _floats(value: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor) and leaf.is_floating_point())


def _overflows(tensor: Tensor) -> bool:
    """Whether it holds a NaN or inf. -inf does not count: masks of attention are made of it, to no harm."""
    return bool(tensor.numel()) and not float(tensor.amax()) < torch.inf  # a NaN is every maximum, and compares false


def _widen(seen: dict[str, float], path: str, values: Any) -> None:
    with _disable_current_modes():  # what is computed here is not the network's
        for tensor in _floats(values):
            if tensor.numel():
                seen[path] = max(seen.get(path, 0.0), _magnitude(tensor.detach()))


def _magnitude(tensor: Tensor) -> float:
    """The largest magnitude, what is masked out left aside; a NaN is infinite."""
    least, largest = map(float, torch.aminmax(tensor))
    if least < _MASKED:
        least, largest = map(float, torch.aminmax(torch.where(tensor < _MASKED, 0.0, tensor)))
    magnitude = max(abs(least), abs(largest))
    return magnitude if magnitude < torch.inf else torch.inf
