"""Views by which copies are found: a small grey picture, its damage cut out, its mask, all free of light and contrast.

Axes: N pairs, s pixels a side of the view, V = s * s.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from wetgen.benchmarks.quality.floors import Rows
from wetgen.benchmarks.quality.pairs import Pairs

PICTURE_SIDE = 16  # pixels: a smaller view forgives blur and noise, a larger one tells more places apart
MASK_SIDE = 32
MARGIN = 0.15  # of the damage's larger side, around it on each side
LEAST_CUT = 0.25  # of the picture's side that a cut-out spans
FLAT = 0.5  # levels of 255 that a view must deviate by: the rest is noise, and would match other noise

Seen = Iterator[tuple[int, Rows]]


@dataclass(frozen=True, eq=False)
class Shown:
    """Rows (N, V) of mean 0 and length 1, and the indices of their pairs; pairs with nothing to see have no row."""

    rows: Rows
    indices: NDArray[np.intp]


@dataclass(frozen=True)
class CopyView:
    """A way to look at pairs: `look` gives the index of a pair and what is seen of it (s, s)."""

    name: str
    look: Callable[[Pairs], Seen]
    surely: float
    """Views nearer than this are of one place, whatever other pairs do; 0 where that cannot be said."""
    scale: float
    """Views are suspect that are nearer than this times what unseen pairs keep: smaller for simpler things."""

    def show(self, pairs: Pairs) -> Shown:
        """The view of every pair that has one."""
        found = list(self.look(pairs))
        rows = np.stack([row.ravel() for _, row in found]) if found else np.zeros((0, 1))
        return Shown(rows, np.array([i for i, _ in found], np.intp))


def mirrored(rows: Rows) -> Rows:
    """The rows (N, V) of views flipped left to right."""
    side = round(rows.shape[1] ** 0.5)
    return rows.reshape(-1, side, side)[:, :, ::-1].reshape(len(rows), -1)


def _pictures(pairs: Pairs) -> Seen:
    for i, image in enumerate(pairs.images):
        seen = _relief(image)
        if seen is not None:
            yield i, seen


def _damage(pairs: Pairs) -> Seen:
    for i in np.flatnonzero(pairs.masks.any((1, 2))):
        rows, columns = _square_around(pairs.masks[i] > 0)
        seen = _relief(pairs.images[i][rows, columns])
        if seen is not None:
            yield int(i), seen


def _masks(pairs: Pairs) -> Seen:
    """Masks slightly blurred, so that one that came back a pixel wider or farther is still alike."""
    blur = pairs.size / 64
    for i in np.flatnonzero(pairs.masks.any((1, 2))):
        soft = ndimage.gaussian_filter((pairs.masks[i] > 0).astype(np.float32), blur)
        small = Image.fromarray(soft).resize((MASK_SIDE, MASK_SIDE), Image.Resampling.BOX)
        seen = _unit(np.asarray(small, np.float64), FLAT / 255)
        if seen is not None:
            yield int(i), seen


def _relief(image: NDArray[np.uint8]) -> Rows | None:
    """The small grey copy of an image (H, W, 3) less the quadratic surface that light and shade lay over it."""
    small = Image.fromarray(image).convert("L").resize((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, np.float64)
    surface = _surface(PICTURE_SIDE)
    return _unit(grey - (surface @ (surface.T @ grey.ravel())).reshape(grey.shape), FLAT)


def _surface(side: int) -> Rows:
    """An orthonormal basis (V, 6) of quadratic surfaces."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    powers = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], -1)
    return np.asarray(np.linalg.qr(powers.reshape(side * side, -1))[0])


def _unit(seen: Rows, flat: float) -> Rows | None:
    """Mean 0 and length 1; None where it deviates by less than `flat`."""
    seen = seen - seen.mean()
    length = float(np.linalg.norm(seen))
    return seen / length if length > flat * seen.shape[0] else None


def _square_around(damage: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns of the square around all damage, cut at the picture's edges: squares keep directions."""
    size = len(damage)
    spans = [np.flatnonzero(damage.any(axis)) for axis in (1, 0)]
    side = max((1 + 2 * MARGIN) * max(span[-1] + 1 - span[0] for span in spans), LEAST_CUT * size)
    middles = [(span[0] + span[-1] + 1) / 2 for span in spans]
    first, second = (slice(max(0, round(m - side / 2)), min(size, round(m + side / 2))) for m in middles)
    return first, second


VIEWS = (
    CopyView("image", _pictures, surely=0.3, scale=0.7),  # a correlation of 0.955
    CopyView("damage", _damage, surely=0.3, scale=0.7),
    CopyView("mask", _masks, surely=0.0, scale=0.5),  # straight cracks have equal masks in different places
)
