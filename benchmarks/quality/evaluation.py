"""What an evaluation compares: real train, validation and test pairs, and synthetic ones, all of one size."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wetgen.benchmarks.quality.duplicates import thumbnail
from wetgen.benchmarks.quality.pairs import Pairs, common_size, load_pairs
from wetgen.benchmarks.quality.split import Item, Shares, assign, drop_duplicates
from wetgen.runtime.errors import WetgenError

# Real pairs; below these no figure means anything. Figures that need more validation pairs say so themselves.
LEAST = {"train": 20, "validation": 1, "test": 10}
LEAST_SYNTHETIC = 20
LEAST_GROUPS = 3  # one for each part
VALIDATION_BESIDE_TEST = 0.2  # of the real pairs, when test pairs come from elsewhere


@dataclass(frozen=True, eq=False)
class Material:
    """The pairs of an evaluation; `dropped` counts near-duplicates left out of train and validation."""

    train: Pairs
    validation: Pairs
    test: Pairs
    synthetic: Pairs
    unfiltered: Pairs | None
    dropped: int

    @property
    def digest(self) -> str:
        """Everything the figures depend on."""
        parts = (self.train, self.validation, self.test, self.synthetic, self.unfiltered)
        return "/".join(part.digest if part is not None else "none" for part in parts)


def gather(
    synthetic: Path,
    real: Path,
    test: Path | None,
    unfiltered: Path | None,
    size: int | None,
    seed: int,
    say: Callable[[str], None],
) -> Material:
    """Read, split and check; raises WetgenError for whatever would make the figures mean nothing.

    Real pairs follow the `split` of their rows where every row states one; else they are split by group here. With
    `test`, real pairs are only trained and validated on.
    """
    side = common_size(synthetic) if size is None else size
    drawn = load_pairs(synthetic, side)
    known = load_pairs(real, side)
    kept_apart = None if test is None else load_pairs(test, side)
    raw = None if unfiltered is None else load_pairs(unfiltered, side)
    for other in (known, kept_apart, raw):
        same_table(drawn, other)
    parts = _parts(known, kept_apart is not None, seed, real)
    if kept_apart is not None:  # the real folder's own test part stays unused: the given one takes its place
        inside = [i for i, part in enumerate(parts) if part != "test"]
        known, parts = known.take(inside) + kept_apart, [parts[i] for i in inside] + ["test"] * len(kept_apart)
    chosen, dropped = _held(known, parts)
    material = Material(**chosen, synthetic=drawn, unfiltered=raw, dropped=dropped)
    _check(material)
    counts = ", ".join(f"{len(pairs)} {name}" for name, pairs in chosen.items())
    say(f"real pairs: {counts}; {dropped} near-duplicates left out; {len(drawn)} synthetic; {side} pixels")
    return material


def real_parts(real: Path, size: int, seed: int) -> dict[str, Pairs]:
    """The parts of real photographs alone, as an evaluation with the same seed has them."""
    known = load_pairs(real, size)
    return _held(known, _parts(known, False, seed, real))[0]


def _held(known: Pairs, parts: list[str]) -> tuple[dict[str, Pairs], int]:
    """The pairs of each part without near-duplicates of a later one, and how many those were."""
    dropped = drop_duplicates(_items(known), parts)
    indices = {name: [i for i, part in enumerate(parts) if part == name and i not in dropped] for name in LEAST}
    return {name: known.take(listed) for name, listed in indices.items()}, len(dropped)


def _parts(known: Pairs, elsewhere: bool, seed: int, folder: Path) -> list[str]:
    stated = sum(bool(part) for part in known.parts)
    if stated == len(known):
        return list(known.parts)
    if stated:
        raise WetgenError(
            f"Only {stated} of {len(known)} rows of {folder} state their split.",
            why="pairs without one could be on both sides.",
            fix="split the whole folder with `wetgen split`, or remove `split` from every row.",
        )
    if len(set(known.groups)) < LEAST_GROUPS:
        raise WetgenError(
            f"{folder} has {len(set(known.groups))} scene(s).",
            why="all pictures of a scene belong on one side of a split, so no test part is possible.",
            fix="bring photographs of more places, and give each place its own `scene` in metadata.jsonl.",
        )
    return assign(_items(known), Shares(test=0, validation=VALIDATION_BESIDE_TEST) if elsewhere else Shares(), seed)


def _items(pairs: Pairs) -> list[Item]:
    return [
        Item(group, tuple(int(id) for id in np.unique(mask) if id) or (0,), thumbnail(image))
        for group, image, mask in zip(pairs.groups, pairs.images, pairs.masks, strict=True)
    ]


def same_table(first: Pairs, other: Pairs | None) -> None:
    """Raise WetgenError when two sets of pairs have different class tables."""
    if other is not None and other.table != first.table:
        raise WetgenError(
            "Real and synthetic pairs have different class tables.",
            why=f"one says {', '.join(first.table.names)}; the other says {', '.join(other.table.names)}.",
            fix="bring masks and classes.json of one of them in line with the other.",
        )


def _check(material: Material) -> None:
    for name, least in LEAST.items():
        pairs = getattr(material, name)
        if len(pairs) < least:
            raise WetgenError(
                f"There are too few real pairs: {len(pairs)} in the {name} part.",
                why=f"at least {least} are needed there; fewer give figures that mean nothing.",
                fix="bring more photographs, or split them otherwise with `wetgen split`.",
            )
    if len(material.synthetic) < LEAST_SYNTHETIC:
        raise WetgenError(
            f"There are too few synthetic pairs: {len(material.synthetic)}.",
            why=f"at least {LEAST_SYNTHETIC} are needed.",
            fix="generate more with `wetgen run --count`.",
        )
    names = material.train.table.names
    real = set(material.train.classes) & set(material.test.classes)
    if not real:
        raise WetgenError(
            "No class of damage is in both the real train and the real test pairs.",
            why=f"train shows {_named(material.train)}; test shows {_named(material.test)}.",
            fix="bring more photographs of each class, from more scenes.",
        )
    if not real & set(material.synthetic.classes):
        raise WetgenError(
            "Synthetic and real pairs share no class of damage.",
            why=f"real: {', '.join(names[id] for id in sorted(real))}; synthetic: {_named(material.synthetic)}.",
            fix="generate pairs for prompts of the classes in the photographs.",
        )


def _named(pairs: Pairs) -> str:
    return ", ".join(pairs.table.names[id] for id in pairs.classes) or "none"
