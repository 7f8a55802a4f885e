"""Latents and pictures larger than the graphs', covered by overlapping windows of the graphs' size.

Bar-Tal et al. 2023 (MultiDiffusion): every window takes a step of its own, and where windows overlap the canvas goes on
with their weighted mean. A DDIM step is affine, so the mean of the latents is the step of the mean prediction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.graphs import Array
from wetgen.runtime.wanted import Floats

N = TypeVar("N", bound=np.generic)
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Canvas:
    """`size` (h, w) covered by windows of `window` (h, w), which overlap by half a window at least.

    With `grain` both are counted in units of (rows, columns): the corners of a latent's windows and of its picture's
    then lie at the same places.
    """

    size: tuple[int, int]
    window: tuple[int, int]
    grain: tuple[int, int] = (1, 1)

    @cached_property
    def corners(self) -> tuple[tuple[int, int], ...]:
        """(top, left) of every window, row by row."""
        tops, lefts = (
            [start * grain for start in _starts(size, window)]
            for size, window, grain in zip(self.size, self.window, self.grain, strict=True)
        )
        return tuple((top, left) for top in tops for left in lefts)

    @property
    def shape(self) -> tuple[int, int]:
        """The size of the whole, in single rows and columns."""
        return self.size[0] * self.grain[0], self.size[1] * self.grain[1]

    def cut(self, whole: NDArray[N]) -> list[NDArray[N]]:
        """The windows (..., H0, W0) of an array (..., H, W)."""
        height, width = self._window
        return [whole[..., top : top + height, left : left + width] for top, left in self.corners]

    def join(self, windows: Sequence[Array]) -> Floats:
        """The array float32 (..., H, W) of windows (..., H0, W0): their mean, weighted towards their middles."""
        if len(self.corners) == 1:
            return windows[0].astype(np.float32, copy=False)
        made: Floats = np.zeros((*windows[0].shape[:-2], *self.shape), np.float32)
        for place, window in zip(self.cut(made), windows, strict=True):
            place += self._weights * window.astype(np.float32, copy=False)
        made /= self._total
        return made

    def vote(self, masks: Sequence[NDArray[np.uint8]], sure: Sequence[NDArray[np.uint8]]) -> tuple[Bytes, Bytes]:
        """Class ids and confidence uint8 (H, W) of those of the windows (H0, W0): each votes with its confidence."""
        if len(self.corners) == 1:
            return masks[0], sure[0]
        votes = {int(id): np.zeros(self.shape, np.float32) for id in np.unique(np.stack(masks))}
        for class_id, tally in votes.items():
            for place, mask, weight in zip(self.cut(tally), masks, sure, strict=True):
                place += self._weights * weight * (mask == class_id)
        ids = np.array(sorted(votes), np.uint8)
        tallies = np.stack([votes[id] for id in sorted(votes)])
        best = tallies.argmax(0)
        confidence = np.take_along_axis(tallies, best[None], 0)[0] / self._total
        return ids[best], np.round(confidence).astype(np.uint8)

    @property
    def _window(self) -> tuple[int, int]:
        return self.window[0] * self.grain[0], self.window[1] * self.grain[1]

    @cached_property
    def _weights(self) -> Floats:
        rows, columns = (np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)) for n in self._window)
        made: Floats = np.outer(rows, columns).astype(np.float32)
        made /= made.max()
        return made

    @cached_property
    def _total(self) -> Floats:
        total: Floats = np.zeros(self.shape, np.float32)
        for place in self.cut(total):
            place += self._weights
        return total


def _starts(size: int, window: int) -> list[int]:
    """Where windows begin that cover `size`: even gaps of at most half a window."""
    assert size >= window, "a canvas is no smaller than its windows"
    gaps = -(-(size - window) // max(1, window // 2))
    return [round(place * (size - window) / max(1, gaps)) for place in range(gaps + 1)]
