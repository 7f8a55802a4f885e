"""Whether painted regions can be recognised by their borders.

    python -m wetgen.benchmarks.quality.borders DATASET --photos PHOTOS

Takes a folder that `wetgen paint` wrote and its photographs. Stretches of the regions' borders, in the painted
pictures, are compared with stretches of borders of the same shape that lie anywhere in the untouched photographs. An
AUC of 0.5 means that the two cannot be told apart, 1.0 that they always can:

- `gradient`: by the mean absolute gradient across the border at 1, 2 and 4 pixels, measured against the gradients
  beside it; nothing is fitted;
- `trained`: by a linear discriminant (Fisher 1936) of these, of the mean step across the border, and of the grain
  inside it against that outside, fitted on all photographs but the one that is scored.

A stretch is LENGTH pixels of one straight side; sides along the edge of the picture have no outside and do not count,
nor do those that other regions lie beside.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

from wetgen.benchmarks.metrics import auc
from wetgen.runtime.bundle.archive import file_sha256
from wetgen.runtime.dataset.reader import Dataset
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.images import read_image
from wetgen.runtime.masks.regions import Box
from wetgen.runtime.masks.rle import region_from_json

LENGTH = 24  # border pixels of a stretch: one alone says little against the grain
DISTANCES = (1, 2, 4)  # pixels on either side that a gradient is taken over
SHIFTS = 2  # borders in the untouched photograph for each region
_BESIDE = range(5, 12)  # pixels outside the border, where the gradients beside it are taken
_OUT, _IN = 15, 8  # pixels that are looked at outside and inside
_LEVELS = 0.25  # of 255, added to both sides of a ratio: less is rounding
_RIDGE = 0.05  # of the mean variance of the features

_Floats = NDArray[np.float64]
_Region = NDArray[np.bool_]
_Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Painted:
    """A painted picture and its photograph, uint8 (H, W, 3), the regions that could change, bool (H, W), its name."""

    image: _Pixels
    photo: _Pixels
    regions: Sequence[_Region]
    name: str


class Stretch(NamedTuple):
    """Pixels (N,) just outside a region, and the step (rows, columns) that leads into it."""

    y: NDArray[np.int64]
    x: NDArray[np.int64]
    step: tuple[int, int]


def border_aucs(pictures: Sequence[Painted], seed: int = 0) -> dict[str, float]:
    """`gradient` and `trained` of painted pictures; raises WetgenError where no border can be looked at."""
    rng = np.random.default_rng(seed)
    features, placed, names = list[_Floats](), list[bool](), list[str]()
    for picture in pictures:
        painted, untouched = _light(picture.image), _light(picture.photo)
        for i, region in enumerate(picture.regions):
            others = [*picture.regions[:i], *picture.regions[i + 1 :]]
            sides = [(painted, stretch, True) for stretch in stretches(region, others)]
            for _ in range(SHIFTS if sides else 0):
                sides += [(untouched, stretch, False) for stretch in stretches(_shifted(region, rng))]
            for light, stretch, is_placed in sides:
                features.append(_features(light, stretch))
                placed.append(is_placed)
                names.append(picture.name)
    if len(set(names)) < 2 or not any(placed):
        raise WetgenError(
            "There are too few borders to compare.",
            why=f"{len(set(names))} photographs have regions whose border lies inside the picture; it takes 2.",
            fix="paint more photographs.",
        )
    x, labels, groups = np.stack(features), np.array(placed), np.array(names)
    gradient = auc(x[:, : len(DISTANCES)].mean(1), labels)
    return {"gradient": round(gradient, 4), "trained": round(auc(_left_out(x, labels, groups), labels), 4)}


def stretches(region: _Region, others: Sequence[_Region] = ()) -> Iterator[Stretch]:
    """The stretches of a region's border, bool (H, W), that have room on both sides and no other region beside them."""
    taken = np.zeros_like(region)
    for other in others:
        taken |= other
    for step in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        ahead = np.roll(region, (-step[0], -step[1]), (0, 1))
        y, x = np.nonzero(~region & ahead)
        along = np.argsort(y if step[0] == 0 else x, kind="stable")
        y, x = y[along], x[along]
        steps = np.arange(-_OUT, _IN + 1)
        rows, columns = y[:, None] + step[0] * steps, x[:, None] + step[1] * steps
        inside = (rows >= 0) & (rows < region.shape[0]) & (columns >= 0) & (columns < region.shape[1])
        free = ~taken[np.clip(rows, 0, region.shape[0] - 1), np.clip(columns, 0, region.shape[1] - 1)]
        room = (inside & free).all(1)
        y, x = y[room], x[room]
        for start in range(0, len(y) - LENGTH + 1, LENGTH):
            yield Stretch(y[start : start + LENGTH], x[start : start + LENGTH], step)


def read_painted(dataset: Path, photos: Path) -> list[Painted]:
    """The painted pictures of a folder of `wetgen paint`; raises WetgenError for rows of other folders and for
    photographs that are not there or not the same."""
    read = Dataset.open(dataset)
    found = []
    for row in read.rows:
        background = row.extra.get("background")
        if not isinstance(background, dict) or "photo" not in background or "cropped" in background:
            raise WetgenError(
                f"{dataset} holds pairs that were not painted into photographs.",
                why=f"row {row.file_name} names none.",
                fix="give a folder that `wetgen paint` wrote.",
            )
        path = photos / str(background["photo"])
        photo = read_image(path)
        if file_sha256(path) != background.get("sha256"):
            raise WetgenError(
                f"{path} is not the photograph that was painted in.",
                why=f"its hash is not that of {row.file_name}'s row.",
                fix="give the folder of the photographs as they were.",
            )
        image, _ = read.load(row, ignore=True)
        painted: Any = row.extra.get("painted", [])
        regions = [_region(picture, photo.shape[:2], f"{dataset}, {row.file_name}") for picture in painted]
        found.append(Painted(image, photo, regions, path.name))
    return found


def _region(painted: Mapping[str, Any], size: tuple[int, ...], where: str) -> _Region:
    """What a row says could change for one damage, bool (H, W)."""
    region = np.zeros(size, bool)
    if "grown_to" in painted:
        region[Box(*painted["grown_to"]).slices] = True
    else:
        region[Box(*painted["box"]).slices] = region_from_json(painted["where"], where) if "where" in painted else True
    return region


def _shifted(region: _Region, rng: np.random.Generator) -> _Region:
    """The region anywhere in its picture."""
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    part = region[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    top = int(rng.integers(region.shape[0] - part.shape[0], endpoint=True))
    left = int(rng.integers(region.shape[1] - part.shape[1], endpoint=True))
    shifted = np.zeros_like(region)
    shifted[top : top + part.shape[0], left : left + part.shape[1]] = part
    return shifted


def _light(picture: _Pixels) -> _Floats:
    return picture.astype(np.float64).mean(-1)


def _features(light: _Floats, stretch: Stretch) -> _Floats:
    """Logarithms of ratios: the gradients, the step, and the grain inside to that outside."""
    steps = np.arange(-_OUT, _IN + 1)
    profile = light[stretch.y[:, None] + stretch.step[0] * steps, stretch.x[:, None] + stretch.step[1] * steps]

    def across(away: int, distance: int) -> _Floats:
        """The gradient (N,) across a line so many pixels outside the border."""
        edge = _OUT - away  # the last pixel outside that line
        return profile[:, edge + 1 : edge + 1 + distance].mean(1) - profile[:, edge + 1 - distance : edge + 1].mean(1)

    found = []
    for distance in DISTANCES:
        beside = np.mean([np.abs(across(away, distance)).mean() for away in _BESIDE])
        found.append(_ratio(float(np.abs(across(0, distance)).mean()), float(beside)))
    far = DISTANCES[-1]
    beside = np.mean([abs(across(away, far).mean()) for away in _BESIDE])
    found.append(_ratio(abs(float(across(0, far).mean())), float(beside)))
    grain = np.abs(np.diff(profile, axis=1))
    found.append(_ratio(float(grain[:, _OUT + 1 :].mean()), float(grain[:, _OUT - _IN : _OUT].mean())))
    return np.array(found)


def _ratio(one: float, other: float) -> float:
    return float(np.log((one + _LEVELS) / (other + _LEVELS)))


def _left_out(x: _Floats, placed: NDArray[np.bool_], groups: NDArray[np.str_]) -> _Floats:
    """The discriminant's score (N,) of each stretch (N, F), fitted on the photographs that it is not of."""
    scores = np.zeros(len(x))
    for name in sorted(set(groups)):
        test = groups == name
        one, other = x[~test & placed], x[~test & ~placed]
        centred = np.concatenate([one - one.mean(0), other - other.mean(0)])
        spread = centred.T @ centred / len(centred)
        spread += _RIDGE * np.trace(spread) / len(spread) * np.eye(len(spread))
        direction = np.linalg.solve(spread, one.mean(0) - other.mean(0))
        scores[test] = (x[test] - (one.mean(0) + other.mean(0)) / 2) @ direction
    return scores


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--photos", type=click.Path(path_type=Path), required=True, help="The photographs that were painted in.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the places in the untouched photographs.")
def main(dataset: Path, photos: Path, seed: int) -> None:
    """Print how well the borders of painted regions can be told from borders that are none, as AUCs in JSON."""
    pictures = read_painted(dataset, photos)
    found = border_aucs(pictures, seed)
    placed = sum(
        1
        for picture in pictures
        for i, region in enumerate(picture.regions)
        for _ in stretches(region, [*picture.regions[:i], *picture.regions[i + 1 :]])
    )
    click.echo(json.dumps({"pictures": len(pictures), "stretches": placed, **found}))


if __name__ == "__main__":
    main()
