"""Latents and pictures larger than the graphs', covered by overlapping windows of the graphs' size.

Bar-Tal et al. 2023 (MultiDiffusion): every window takes a step of its own. Where windows overlap, the next step starts
from their weighted mean. A step is affine, so the mean of the latents is the step of the mean prediction.

The pixels of a picture that are known are put back after every step, noised as the latent is then (Lugmayr et al. 2022,
RePaint, eq. 8a). So the drawn pixels fit them at every level of noise. Arrays stay on the host.

Axes: C h w of a latent, H W of a picture, N windows of all pairs, B the engines' batch.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.graphs import AFTER, LATENT, Array, Plan, Step, walk
from wetgen.runtime.sampling.sampler import Bytes, Floats, HostEngines, Known, SampleInputs, embedded, pad_batch

N = TypeVar("N", bound=np.generic)


@dataclass(frozen=True)
class TileGrid:
    """`size` (h, w) covered by windows of `window` (h, w), which overlap by at least half a window.

    With `grain` both are counted in units of (rows, columns), so that the windows of a picture have their corners where
    those of its latent have them.
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

    def split(self, whole: NDArray[N]) -> list[NDArray[N]]:
        """The windows (..., H0, W0) of an array (..., H, W)."""
        height, width = self._window
        return [whole[..., top : top + height, left : left + width] for top, left in self.corners]

    def merge(self, windows: Sequence[Array]) -> Floats:
        """The array float32 (..., H, W) of windows (..., H0, W0): their mean, in which the middle of a window counts
        most."""
        if len(self.corners) == 1:
            return windows[0].astype(np.float32, copy=False)
        whole: Floats = np.zeros((*windows[0].shape[:-2], *self.shape), np.float32)
        for part, window in zip(self.split(whole), windows, strict=True):
            part += self._weights * window.astype(np.float32, copy=False)
        whole /= self._total
        return whole

    def paste(self, windows: Sequence[Array]) -> Floats:
        """The array float32 (..., H, W) of windows (..., H0, W0) that are equal where they overlap."""
        whole: Floats = np.empty((*windows[0].shape[:-2], *self.shape), np.float32)
        for part, window in zip(self.split(whole), windows, strict=True):
            part[...] = window
        return whole

    def vote(self, masks: Sequence[NDArray[np.uint8]], sure: Sequence[NDArray[np.uint8]]) -> tuple[Bytes, Bytes]:
        """Class ids and confidence uint8 (H, W). Each window (H0, W0) votes for its class with its confidence."""
        if len(self.corners) == 1:
            return masks[0], sure[0]
        votes = {int(id): np.zeros(self.shape, np.float32) for id in np.unique(np.stack(masks))}
        for class_id, tally in votes.items():
            for part, mask, weight in zip(self.split(tally), masks, sure, strict=True):
                part += self._weights * weight * (mask == class_id)
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
        weights: Floats = np.outer(rows, columns).astype(np.float32)
        weights /= weights.max()
        return weights

    @cached_property
    def _total(self) -> Floats:
        total: Floats = np.zeros(self.shape, np.float32)
        for part in self.split(total):
            part += self._weights
        return total


def _starts(size: int, window: int) -> list[int]:
    """Where windows begin that cover `size`: even gaps of at most half a window."""
    assert size >= window, "a grid is no smaller than its windows"
    gaps = -(-(size - window) // max(1, window // 2))
    return [round(i * (size - window) / max(1, gaps)) for i in range(gaps + 1)]


T = TypeVar("T")


@dataclass(frozen=True)
class _Tiles:
    """The windows of several grids, one grid after the other, in batches that are all full."""

    grids: Sequence[TileGrid]
    batch: int

    @property
    def counts(self) -> list[int]:
        """How many windows each grid has."""
        return [len(grid.corners) for grid in self.grids]

    def batches(self, items: Sequence[T]) -> list[list[T]]:
        """What belongs to the windows, batch by batch; the last batch is filled up with its first item."""
        return [pad_batch(items[i : i + self.batch], self.batch) for i in range(0, len(items), self.batch)]

    def split(self, arrays: Sequence[Array]) -> list[Array]:
        """The windows (B, ..., H0, W0) of arrays (..., H, W), one array for each grid."""
        grids = zip(self.grids, arrays, strict=True)
        return list(map(np.stack, self.batches([window for grid, array in grids for window in grid.split(array)])))

    def windows(self, batches: Sequence[Array]) -> list[list[Array]]:
        """The windows of each grid, out of batches (B, ...)."""
        each = (window for batch in batches for window in batch)
        return [list(islice(each, count)) for count in self.counts]

    def merge(self, batches: Sequence[Array]) -> list[Floats]:
        """The arrays (..., H, W) of windows that may differ where they overlap."""
        return [grid.merge(own) for grid, own in zip(self.grids, self.windows(batches), strict=True)]

    def paste(self, batches: Sequence[Array]) -> list[Floats]:
        """The arrays (..., H, W) of windows that are equal where they overlap, as `split` gives them."""
        return [grid.paste(own) for grid, own in zip(self.grids, self.windows(batches), strict=True)]


class Drawn(NamedTuple):
    """A picture uint8 (H, W, 3), its mask of class ids and the confidence in 255ths, both uint8 (H, W) or None."""

    image: Bytes
    mask: Bytes | None
    confidence: Bytes | None


class TiledGraphs:
    """Draws, decodes and encodes at any size, window by window."""

    def __init__(self, engines: HostEngines) -> None:
        self._engines, self._sizes, self._batch = engines, engines.sizes, engines.batch

    def draw(self, pairs: Sequence[SampleInputs], plan: Plan, alphas: Sequence[float] = ()) -> list[Floats]:
        """The clean latents (C, h, w) of these pairs. `alphas` holds alpha-bar after each step of the plan; only pairs
        with known pixels need it."""
        tiles = _Tiles([self._latent_grid(pair.cells(self._sizes)) for pair in pairs], self._batch)
        noises = [pair.noise(self._sizes) for pair in pairs]
        batches = tiles.batches([pair for pair, n in zip(pairs, tiles.counts, strict=True) for _ in range(n)])
        constant = self._constant(pairs, batches, tiles)

        def run(i: int, step: Step, given: Mapping[str, list[Array]]) -> dict[str, list[Array]]:
            engine, row = self._engines.denoise[step.kind], np.array([plan.rows[i]], np.int32)
            outputs = []
            for n, batch in enumerate(batches):
                taken = {name: windows[n] for name, windows in given.items()}
                embedding = embedded(batch, step.guided, self._engines.embed)
                outputs.append(engine.run({**taken, "embedding": embedding, "step": row, **constant[n]}))
            gives = {name: [each[name] for each in outputs] for name in step.kind.gives}
            latents = tiles.merge(gives[LATENT + AFTER])
            for n, pair in enumerate(pairs):
                if pair.known is not None:
                    latents[n] = _put_back(pair.known, latents[n], noises[n], alphas[i])
            return {**gives, LATENT + AFTER: tiles.split(latents)}

        *_, last = walk(plan.steps, tiles.split(noises), run)
        return tiles.paste(last)

    def _constant(
        self, pairs: Sequence[SampleInputs], batches: Sequence[Sequence[SampleInputs]], tiles: "_Tiles"
    ) -> list[dict[str, Array]]:
        """The inputs of every batch that no step changes."""
        feeds: list[dict[str, Array]] = [
            {"guidance": np.array([pair.params.guidance for pair in batch], np.float32)} for batch in batches
        ]
        if self._sizes.conditioning_channels:
            whole = [pair.conditioning(self._sizes) for pair in pairs]
            for feed, windows in zip(feeds, tiles.split(whole), strict=True):
                feed["conditioning"] = windows
        return feeds

    def decode(self, latents: Sequence[Floats]) -> list[Drawn]:
        """Pictures, masks and confidences of latents (C, h, w)."""
        grids = [self._latent_grid(latent.shape[1:]) for latent in latents]
        tiles = _Tiles(grids, self._batch)
        parts = [self._engines.decode.run({LATENT: part}) for part in tiles.split(latents)]
        outputs = {name: tiles.windows([part[name] for part in parts]) for name in parts[0]}
        return [
            _put_together(self._picture_grid(grid.size), {name: windows[n] for name, windows in outputs.items()})
            for n, grid in enumerate(grids)
        ]

    def encode(self, images: Sequence[Bytes], masks: Sequence[Bytes]) -> list[Floats]:
        """The latents (C, h, w) of pictures uint8 (H, W, 3) and masks uint8 (H, W), whose sides fit the stride."""
        rows, columns = self._sizes.stride
        grids = [self._picture_grid((mask.shape[0] // rows, mask.shape[1] // columns)) for mask in masks]
        tiles = _Tiles(grids, self._batch)
        planes = tiles.split([image.transpose(2, 0, 1) for image in images])  # (B, 3, H0, W0)
        engine = self._engines.encode()
        parts = [
            engine.run({"image": np.ascontiguousarray(part.transpose(0, 2, 3, 1)), "mask": mask})[LATENT]
            for part, mask in zip(planes, tiles.split(masks), strict=True)
        ]
        return _Tiles([self._latent_grid(grid.size) for grid in grids], self._batch).merge(parts)

    def _latent_grid(self, cells: tuple[int, ...]) -> TileGrid:
        return TileGrid((cells[0], cells[1]), (self._sizes.latent_height, self._sizes.latent_width))

    def _picture_grid(self, cells: tuple[int, int]) -> TileGrid:
        return TileGrid(cells, (self._sizes.latent_height, self._sizes.latent_width), self._sizes.stride)


class TiledSampler:
    """A `Sampler` of pairs of another size than the graphs', the same for all. `collect` draws a batch."""

    depth = 1

    def __init__(self, graphs: TiledGraphs, plan: Plan) -> None:
        self._graphs, self._plan = graphs, plan
        self._waiting: deque[Sequence[SampleInputs]] = deque()

    def submit(self, batch: Sequence[SampleInputs]) -> None:
        self._waiting.append(list({id(each): each for each in batch}.values()))  # a filled batch repeats a pair

    def collect(self) -> dict[str, Array]:
        latents = self._graphs.draw(self._waiting.popleft(), self._plan)
        drawn = [each._asdict() for each in self._graphs.decode(latents)]
        names = [name for name in drawn[0] if drawn[0][name] is not None]
        return {LATENT: np.stack(latents), **{name: np.stack([each[name] for each in drawn]) for name in names}}


def _put_back(known: Known, latent: Floats, noise: Floats, alpha: float) -> Floats:
    """The latent with the known cells put back, noised as the latent is (RePaint, eq. 8a)."""
    noised = np.float32(alpha**0.5) * known.latent + np.float32((1 - alpha) ** 0.5) * noise
    whole: Floats = np.where(known.where > 0, noised, latent).astype(np.float32, copy=False)
    return whole


def _put_together(grid: TileGrid, outputs: Mapping[str, Sequence[Array]]) -> Drawn:
    images = [image.transpose(2, 0, 1) for image in outputs["image"]]
    image = np.round(grid.merge(images)).astype(np.uint8).transpose(1, 2, 0)
    image = np.ascontiguousarray(image)
    if "mask" not in outputs:
        return Drawn(image, None, None)
    masks, sure = ([part.astype(np.uint8, copy=False) for part in outputs[name]] for name in ("mask", "confidence"))
    return Drawn(image, *grid.vote(masks, sure))
