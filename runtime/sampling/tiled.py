"""Latents and pictures larger than the graphs', covered by overlapping windows of the graphs' size.

Bar-Tal et al. 2023 (MultiDiffusion): every window takes a step of its own, and where windows overlap the canvas goes on
with their weighted mean. A DDIM step is affine, so the mean of the latents is the step of the mean prediction.

Draws pairs of any size, and into pictures that are known: the denoiser runs window by window.

What is known is put back after every step, noised as the latent is then (Lugmayr et al. 2022, RePaint, eq. 8a), so that
what is drawn meets it at every level of noise. Arrays stay on the host.

Axes: C h w of a latent, H W of a picture, N windows of all pairs, B the engines' batch.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.graphs import Array, Sizes
from wetgen.runtime.bundle.schedule import AFTER, LATENT, Plan, Step, StepKind, walk
from wetgen.runtime.engines import Engine
from wetgen.runtime.sampling.conditioning import Floats, Known, SampleInputs
from wetgen.runtime.sampling.host import embedded

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

    def paste(self, windows: Sequence[Array]) -> Floats:
        """The array float32 (..., H, W) of windows (..., H0, W0) that are equal where they overlap."""
        whole: Floats = np.empty((*windows[0].shape[:-2], *self.shape), np.float32)
        for part, window in zip(self.cut(whole), windows, strict=True):
            part[...] = window
        return whole

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


T = TypeVar("T")


@dataclass(frozen=True)
class _Tiles:
    """The windows of several canvases, one canvas after the other, in batches that are all full."""

    canvases: Sequence[Canvas]
    batch: int

    @property
    def counts(self) -> list[int]:
        """How many windows each canvas has."""
        return [len(canvas.corners) for canvas in self.canvases]

    def batches(self, items: Sequence[T]) -> list[list[T]]:
        """What belongs to the windows, batch by batch; the last batch is filled up with its first item."""
        return [filled(items[i : i + self.batch], self.batch) for i in range(0, len(items), self.batch)]

    def split(self, arrays: Sequence[Array]) -> list[Array]:
        """The windows (B, ..., H0, W0) of arrays (..., H, W), one array for each canvas."""
        canvases = zip(self.canvases, arrays, strict=True)
        return list(map(np.stack, self.batches([window for canvas, array in canvases for window in canvas.cut(array)])))

    def windows(self, batches: Sequence[Array]) -> list[list[Array]]:
        """The windows of each canvas, out of batches (B, ...)."""
        each = (window for batch in batches for window in batch)
        return [list(islice(each, count)) for count in self.counts]

    def merge(self, batches: Sequence[Array]) -> list[Floats]:
        """The arrays (..., H, W) of windows that may differ where they overlap."""
        return [canvas.join(own) for canvas, own in zip(self.canvases, self.windows(batches), strict=True)]

    def paste(self, batches: Sequence[Array]) -> list[Floats]:
        """The arrays (..., H, W) of windows that are equal where they overlap, as `split` gives them."""
        return [canvas.paste(own) for canvas, own in zip(self.canvases, self.windows(batches), strict=True)]


@dataclass(frozen=True)
class CanvasEngines:
    """What a canvas is drawn with: engines of one batch, `embed` from a prompt to its embedding (T, E)."""

    denoise: Mapping[StepKind, Engine]
    decode: Engine
    encode: Callable[[], Engine]  # loaded when it is first asked: only photographs need it
    embed: Callable[[str], Array]
    sizes: Sizes
    batch: int


class Drawn(NamedTuple):
    """A picture uint8 (H, W, 3), its mask of class ids and the confidence in 255ths, both uint8 (H, W) or None."""

    image: Bytes
    mask: Bytes | None
    confidence: Bytes | None


class CanvasSampler:
    """Draws latents of any size, and decodes and encodes them."""

    def __init__(self, engines: CanvasEngines) -> None:
        self._engines, self._sizes, self._batch = engines, engines.sizes, engines.batch

    def draw(self, wanted: Sequence[SampleInputs], plan: Plan, alphas: Sequence[float] = ()) -> list[Floats]:
        """The clean latents (C, h, w) of what is wanted; `alphas`, needed where a picture is known, are alpha-bar after
        each step of the plan."""
        tiles = _Tiles([self._latent_canvas(each.cells(self._sizes)) for each in wanted], self._batch)
        noises = [each.noise(self._sizes) for each in wanted]
        batches = tiles.batches([each for each, n in zip(wanted, tiles.counts, strict=True) for _ in range(n)])
        constant = self._constant(wanted, batches, tiles)

        def run(i: int, step: Step, given: Mapping[str, list[Array]]) -> dict[str, list[Array]]:
            engine, row = self._engines.denoise[step.kind], np.array([plan.rows[i]], np.int32)
            made = []
            for n, batch in enumerate(batches):
                taken = {name: windows[n] for name, windows in given.items()}
                embedding = embedded(batch, step.guided, self._engines.embed)
                made.append(engine.run({**taken, "embedding": embedding, "step": row, **constant[n]}))
            gives = {name: [each[name] for each in made] for name in step.kind.gives}
            latents = tiles.merge(gives[LATENT + AFTER])
            for n, each in enumerate(wanted):
                if each.known is not None:
                    latents[n] = _put_back(each.known, latents[n], noises[n], alphas[i])
            return {**gives, LATENT + AFTER: tiles.split(latents)}

        *_, last = walk(plan.steps, tiles.split(noises), run)
        return tiles.paste(last)

    def _constant(
        self, wanted: Sequence[SampleInputs], batches: Sequence[Sequence[SampleInputs]], tiles: "_Tiles"
    ) -> list[dict[str, Array]]:
        """The inputs of every batch that no step changes."""
        feeds: list[dict[str, Array]] = [
            {"guidance": np.array([each.guidance for each in batch], np.float32)} for batch in batches
        ]
        if self._sizes.conditioning_channels:
            whole = [each.conditioning(self._sizes) for each in wanted]
            for feed, windows in zip(feeds, tiles.split(whole), strict=True):
                feed["conditioning"] = windows
        return feeds

    def decode(self, latents: Sequence[Floats]) -> list[Drawn]:
        """Pictures, masks and confidences of latents (C, h, w)."""
        canvases = [self._latent_canvas(latent.shape[1:]) for latent in latents]
        tiles = _Tiles(canvases, self._batch)
        parts = [self._engines.decode.run({LATENT: part}) for part in tiles.split(latents)]
        made = {name: tiles.windows([part[name] for part in parts]) for name in parts[0]}
        return [
            _put_together(self._picture_canvas(canvas.size), {name: windows[n] for name, windows in made.items()})
            for n, canvas in enumerate(canvases)
        ]

    def encode(self, images: Sequence[Bytes], masks: Sequence[Bytes]) -> list[Floats]:
        """The latents (C, h, w) of pictures uint8 (H, W, 3) and masks uint8 (H, W), whose sides fit the stride."""
        rows, columns = self._sizes.stride
        canvases = [self._picture_canvas((mask.shape[0] // rows, mask.shape[1] // columns)) for mask in masks]
        tiles = _Tiles(canvases, self._batch)
        planes = tiles.split([image.transpose(2, 0, 1) for image in images])  # (B, 3, H0, W0)
        engine = self._engines.encode()
        parts = [
            engine.run({"image": np.ascontiguousarray(part.transpose(0, 2, 3, 1)), "mask": mask})[LATENT]
            for part, mask in zip(planes, tiles.split(masks), strict=True)
        ]
        return _Tiles([self._latent_canvas(canvas.size) for canvas in canvases], self._batch).merge(parts)

    def _latent_canvas(self, cells: tuple[int, ...]) -> Canvas:
        return Canvas((cells[0], cells[1]), (self._sizes.latent_height, self._sizes.latent_width))

    def _picture_canvas(self, cells: tuple[int, int]) -> Canvas:
        return Canvas(cells, (self._sizes.latent_height, self._sizes.latent_width), self._sizes.stride)


class WideSampler:
    """A `Sampler` of pairs of another size than the graphs', all of one; a batch is drawn when it is collected."""

    depth = 1

    def __init__(self, canvas: CanvasSampler, plan: Plan) -> None:
        self._canvas, self._plan = canvas, plan
        self._waiting: deque[Sequence[SampleInputs]] = deque()

    def submit(self, batch: Sequence[SampleInputs]) -> None:
        self._waiting.append(list({id(each): each for each in batch}.values()))  # a filled batch repeats a pair

    def collect(self) -> dict[str, Array]:
        latents = self._canvas.draw(self._waiting.popleft(), self._plan)
        made: dict[str, Array] = {"latent": np.stack(latents)}
        drawn = [each._asdict() for each in self._canvas.decode(latents)]
        return made | {
            name: np.stack([each[name] for each in drawn]) for name in drawn[0] if drawn[0][name] is not None
        }

    def close(self) -> None:
        self._waiting.clear()


def filled(part: Sequence[T], batch: int) -> list[T]:
    """Items repeated from the first to be a full batch, so that every batch runs the same arithmetic."""
    return [*part, *[part[0]] * (batch - len(part))]


def _put_back(known: Known, latent: Floats, noise: Floats, alpha: float) -> Floats:
    """The latent with what is known in its place, noised as the latent is (RePaint, eq. 8a)."""
    there = np.float32(alpha**0.5) * known.latent + np.float32((1 - alpha) ** 0.5) * noise
    made: Floats = np.where(known.where > 0, there, latent).astype(np.float32, copy=False)
    return made


def _put_together(canvas: Canvas, made: Mapping[str, Sequence[Array]]) -> Drawn:
    images = [image.transpose(2, 0, 1) for image in made["image"]]
    image = np.round(canvas.join(images)).astype(np.uint8).transpose(1, 2, 0)
    image = np.ascontiguousarray(image)
    if "mask" not in made:
        return Drawn(image, None, None)
    masks, sure = ([part.astype(np.uint8, copy=False) for part in made[name]] for name in ("mask", "confidence"))
    return Drawn(image, *canvas.vote(masks, sure))
