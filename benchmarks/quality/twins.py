"""Pairs drawn twice from the same noise, with one word of the prompt swapped."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.sampling.generator import Generator


def bundle_hash(bundle: Path) -> str:
    """What tells one bundle from another."""
    return Bundle.open(bundle).hash


def open_generator(bundle: Path, size: int) -> Generator:
    """The generator of pairs of `size` pixels; raises WetgenError for a bundle of another size or without masks."""
    opened = Bundle.open(bundle)
    if opened.classes is None or (opened.sizes.height, opened.sizes.width) != (size, size):
        raise WetgenError(
            f"{bundle} does not draw pairs of {size} x {size} pixels.",
            why=f"it draws {opened.sizes.width} x {opened.sizes.height}, "
            f"{'with' if opened.classes else 'without'} masks.",
            fix="give the bundle that drew the synthetic pairs, and no --size.",
        )
    return Generator(opened)


def draw(generator: Generator, prompts: Sequence[str], seed: int) -> Pairs:
    """A pair for each prompt; its noise depends on its place and the seed, never on the prompt."""
    table = generator.bundle.classes
    assert table is not None
    pairs = sorted(generator.generate(list(prompts), seed=seed), key=lambda pair: pair.index)
    masks = [pair.mask for pair in pairs if pair.mask is not None]
    names = tuple(str(pair.index) for pair in pairs)
    texts = tuple(pair.prompt for pair in pairs)
    images = np.stack([pair.image for pair in pairs])
    return Pairs(table, images, np.stack(masks), texts, names, ("drawn",) * len(pairs), names, ("",) * len(pairs))
