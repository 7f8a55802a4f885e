"""Surfaces from photographs: a folder of textures with an INDEX.jsonl, used by option and never shipped."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from wetgen.runtime.errors import WetgenError
from wetgen.training.scenes.noise import Field

INDEX = "INDEX.jsonl"
SPAN = 1.5  # pictures that one photograph covers; it is mirrored beyond
# Which surface a kind of photograph may stand for; a floor's texture is no wall's.
_SURFACES = {
    "plaster": ("plaster", "ceiling"),
    "wallpaper": ("wallpaper",),
    "concrete": ("concrete wall", "concrete floor"),
    "wood_floor": ("wooden floor",),
    "carpet": ("carpet",),
}


@dataclass(frozen=True)
class Photograph:
    """A texture that may be painted on: its file in the folder, the surfaces it can be, its mean colour."""

    file: str
    surfaces: tuple[str, ...]
    rgb: tuple[float, float, float]


def read_index(folder: Path) -> tuple[Photograph, ...]:
    """The usable photographs of a folder: clean ones whose licence is stated for the very asset.

    Raises WetgenError when the index is missing or broken, or nothing in it can be used.
    """
    try:
        rows = [json.loads(line) for line in (folder / INDEX).read_text(encoding="utf-8").splitlines() if line]
        usable = [row for row in rows if row["clean_base"] and row["licence_basis"] == "stated_for_asset"]
        kinds = [(str(row["file"]), _SURFACES[row["kind"]]) for row in usable if row["kind"] in _SURFACES]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WetgenError(
            f"{folder} is no folder of textures.",
            why=f"{INDEX} cannot be read: {error!r}.",
            fix="give a folder whose INDEX.jsonl has file, kind, clean_base and licence_basis in every row.",
        ) from error
    if not kinds:
        raise WetgenError(
            f"{folder} has no usable texture.",
            why=f"no row of {INDEX} is clean, licensed for the asset and of a kind among {', '.join(_SURFACES)}.",
            fix="leave --textures out, or add such textures.",
        )
    return tuple(Photograph(file, surfaces, _mean(folder, file)) for file, surfaces in sorted(kinds))


def _mean(folder: Path, file: str) -> tuple[float, float, float]:
    red, green, blue = (round(float(value), 4) for value in _pixels(folder, file, 64).mean((0, 1)))
    return red, green, blue


@lru_cache(maxsize=48)
def _pixels(folder: Path, file: str, side: int) -> Field:
    """The photograph (side, side, 3) float32 in [0, 1], reduced by area."""
    try:
        with Image.open(folder / file) as opened:
            small = opened.convert("RGB").resize((side, side), Image.Resampling.BOX)
    except OSError as error:
        raise WetgenError(
            f"{folder / file} cannot be read.",
            why=f"{error}.",
            fix="give the folder of textures the scene was drawn with, as --textures.",
        ) from error
    return np.asarray(small, np.float32) / 255


def lay(folder: Path, file: str, a: Field, b: Field) -> Field:
    """The photograph's colours (n, n, 3) at surface coordinates a, b in pictures, mirrored at its borders."""
    side = int(len(a) * SPAN)
    photo = _pixels(folder, file, side)
    columns, rows = (_mirrored(value / SPAN, side) for value in (a, b))
    return photo[rows, columns]


def _mirrored(value: Field, side: int) -> np.ndarray:
    folded = np.abs((value + 1) % 2 - 1)
    return np.minimum((folded * side).astype(np.int32), side - 1)
