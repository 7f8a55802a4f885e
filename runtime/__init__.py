"""wetgen's runtime: from a bundle and prompts to image-mask pairs, with numpy and one engine.

    from wetgen.runtime import Generator

    for pair in Generator.open().generate(["black mold in a bathroom corner"], seed=7):
        pair.image, pair.mask

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wetgen.runtime.errors import WetgenError as WetgenError
    from wetgen.runtime.sampling.generator import Generator as Generator
    from wetgen.runtime.sampling.sampler import Pair as Pair

__all__ = ["Generator", "Pair", "WetgenError"]

_HOMES = {
    "Generator": "wetgen.runtime.sampling.generator",
    "Pair": "wetgen.runtime.sampling.sampler",
    "WetgenError": "wetgen.runtime.errors",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
