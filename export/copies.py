"""The check for copies that goes into a bundle: fingerprints of what was trained on, and where a copy begins."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.run.fingerprints import BITS, Fingerprints, distances, fingerprint
from wetgen.training.config import DataConfig
from wetgen.training.data import Photo, load_photos, plain_view, random_views

MOST_TAKEN = 0.002  # share of held-out pictures that may count as copies
# Of copies with noise of 0.01, relit and mirrored, 99 in 100 differ in at most 16 bits and all in 24 (measured on views
# of 1,076 photographs of walls); beyond that, more bits only accuse more honest pictures.
GREATEST_BITS = 24
LEAST_BITS = 12

_PART = 32  # photographs at a time

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class CopyCheck:
    """Fingerprints with their limit, and what was measured when it was chosen."""

    fingerprints: Fingerprints
    measured: Mapping[str, Any]


def check_of_training(photographs: Path, bundle: Bundle) -> CopyCheck:
    """The check for a bundle that was trained on the dataset folder, or folder of them, at `photographs`.

    Fingerprints are taken of the very views that its denoiser was shown, which are functions of the training's seed and
    settings, and of every central square: what a network remembers is what it was shown. The held-out pictures are the
    same views of the validation photographs. Raises WetgenError when the bundle was trained on something else.
    """
    training = bundle.info.get("training") or {}
    if not {"data", "seed"} <= set(training):
        raise WetgenError(
            f"{bundle.folder} does not say which views of photographs it was trained on.",
            why="it was exported from a checkpoint that wetgen-train did not write.",
            fix="add the judge without fingerprints.",
        )
    known = {field.name for field in fields(DataConfig)}
    data = {name: value for name, value in training["data"].items() if name in known}
    config = DataConfig(**{**data, "only": tuple(data.get("only", ()))})
    seed = int(training["seed"])
    photos = load_photos(photographs, config, seed)
    _check_same(photographs, photos.training, bundle)
    return copy_check(_views(photos.training, config, seed), _views(photos.validation, config, seed))


def _check_same(folder: Path, photos: Sequence[Photo], bundle: Bundle) -> None:
    """Raise unless the photographs are, by source and number, those that the bundle names: views follow their order."""
    found = Counter((photo.source, photo.license) for photo in photos)
    stated = {(entry["source"], entry["license"]): entry["pairs"] for entry in bundle.info["trained_on"]}
    if found != stated:
        raise WetgenError(
            f"{folder} is not what {bundle.folder} was trained on.",
            why=f"{found.total()} pairs of {len(found)} sources are for training there; the bundle states "
            f"{sum(stated.values())} of {len(stated)}.",
            fix="give the folder that wetgen-train was given as --data, or add the judge without fingerprints.",
        )


def _views(photos: Sequence[Photo], config: DataConfig, seed: int) -> Iterator[Images]:
    """The central square and the cached views of each photograph, some photographs at a time, (n, S, S, 3)."""
    for start in range(0, len(photos), _PART):
        places = range(start, min(start + _PART, len(photos)))
        seeds = [(seed, n, v) for n in places for v in range(config.views)]
        drawn = random_views([photos[n] for _, n, _ in seeds], config, seeds)
        yield np.stack([*(plain_view(photos[n], config)[0] for n in places), *(image for image, _ in drawn)])


def copy_check(training: Iterable[Images], held_out: Iterable[Images]) -> CopyCheck:
    """The check for copies of `training` pictures, its limit from pictures nobody trained on.

    Both come in parts, uint8 (n, H, W, 3). The limit is just below the distance at which held-out pictures begin to be
    taken for copies. Raises WetgenError where that is too small to find copies, because held-out pictures repeat
    training pictures.
    """
    rng = np.random.default_rng(7)
    hashed = [(fingerprint(part), _of_copies(part, rng)) for part in training]
    hashes = np.concatenate([own for own, _ in hashed])
    apart = np.sort(np.concatenate([_mirrored_too(part, hashes).min(1) for part in held_out]))
    most_bits = min(GREATEST_BITS, int(apart[int(MOST_TAKEN * len(apart))]) - 1)
    if most_bits < LEAST_BITS:
        raise WetgenError(
            "Copies of these training pictures cannot be told from pictures nobody trained on.",
            why=f"the nearest held-out picture differs from one of them in {apart[0]} of {BITS} bits, as copies do.",
            fix="leave out what stands in both parts (wetgen split finds near-duplicates), or add no fingerprints.",
        )
    copied = np.concatenate([bits for _, bits in hashed])
    measured = {
        "pictures": len(hashes),
        "held_out": len(apart),
        "held_out_taken_for_copies": round(float((apart <= most_bits).mean()), 4),
        "copies_found": round(float((copied <= most_bits).mean()), 4),
    }
    return CopyCheck(Fingerprints(hashes, most_bits), measured)


def _mirrored_too(images: Images, hashes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """In how many bits each image, or its mirror image if that is nearer, differs from each fingerprint, (n, N)."""
    nearer: NDArray[np.int64] = np.minimum(
        distances(fingerprint(images), hashes), distances(fingerprint(images[:, :, ::-1]), hashes)
    )
    return nearer


def _of_copies(images: Images, rng: np.random.Generator) -> NDArray[np.int64]:
    """The distance from every fourth image to a copy of it that a check must find.

    Such a copy is mirrored, relit by up to a tenth, and has noise of 0.01 on a scale of 0 to 1.
    """
    chosen = images[::4]
    gain, shift = rng.uniform(0.9, 1.1, (len(chosen), 1, 1, 1)), rng.uniform(-10, 10, (len(chosen), 1, 1, 1))
    noisy = chosen[:, :, ::-1] * gain + shift + rng.normal(0, 2.55, chosen.shape)
    copies = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    own: NDArray[np.int64] = np.diagonal(_mirrored_too(copies, fingerprint(chosen))).copy()
    return own
