"""Latents and pictures larger than the graphs', covered by overlapping windows of the graphs' size.

Bar-Tal et al. 2023 (MultiDiffusion): every window takes a step of its own, and where windows overlap the canvas goes on
with their weighted mean. A DDIM step is affine, so the mean of the latents is the step of the mean prediction.

Draws pairs of any size, and into pictures that are known: the denoiser runs window by window.

What is known is put back after every step, noised as the latent is then (Lugmayr et al. 2022, RePaint, eq. 8a), so that
what is drawn meets it at every level of noise. Arrays stay on the host.

Axes: C h w of a latent, H W of a picture, N windows of all pairs, B the engines' batch.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.graphs import DEEP, Array, Sizes
from wetgen.runtime.bundle.schedule import Plan, Step, StepKind
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
        noises = [each.noise(self._sizes) for each in wanted]
        canvases = [self._latent_canvas(each.cells(self._sizes)) for each in wanted]
        latents = noises
        for place, latents in enumerate(self._walk(wanted, canvases, noises, plan)):
            for number, each in enumerate(wanted):
                if each.known is not None:
                    latents[number] = _put_back(each.known, latents[number], noises[number], alphas[place])
        return latents

    def decode(self, latents: Sequence[Floats]) -> list[Drawn]:
        """Pictures, masks and confidences of latents (C, h, w)."""
        canvases = [self._latent_canvas(latent.shape[1:]) for latent in latents]
        windows = [window for canvas, latent in zip(canvases, latents, strict=True) for window in canvas.cut(latent)]
        parts = [self._engines.decode.run({"latent": part}) for part in self._chunks(windows)]
        made = {name: np.concatenate([part[name] for part in parts])[: len(windows)] for name in parts[0]}
        drawn, start = [], 0
        for canvas in canvases:
            there = slice(start, start := start + len(canvas.corners))
            drawn.append(_put_together(self._picture_canvas(canvas.size), {name: made[name][there] for name in made}))
        return drawn

    def encode(self, images: Sequence[Bytes], masks: Sequence[Bytes]) -> list[Floats]:
        """The latents (C, h, w) of pictures uint8 (H, W, 3) and masks uint8 (H, W), whose sides fit the stride."""
        rows, columns = self._sizes.stride
        canvases = [self._picture_canvas((mask.shape[0] // rows, mask.shape[1] // columns)) for mask in masks]
        feed: dict[str, list[Array]] = {"image": [], "mask": []}
        for canvas, image, mask in zip(canvases, images, masks, strict=True):
            feed["image"] += [window.transpose(1, 2, 0) for window in canvas.cut(image.transpose(2, 0, 1))]
            feed["mask"] += canvas.cut(mask)
        engine = self._engines.encode()
        parts = zip(self._chunks(feed["image"]), self._chunks(feed["mask"]), strict=True)
        latents = np.concatenate([engine.run({"image": image, "mask": mask})["latent"] for image, mask in parts])
        made, start = [], 0
        for canvas in canvases:
            there = slice(start, start := start + len(canvas.corners))
            made.append(self._latent_canvas(canvas.size).join(list(latents[there])))
        return made

    def _walk(
        self, wanted: Sequence[SampleInputs], canvases: Sequence[Canvas], noises: Sequence[Floats], plan: Plan
    ) -> Iterator[list[Floats]]:
        """The latents after each step of the plan; the caller may change them before the next."""
        owners = [place for place, canvas in enumerate(canvases) for _ in canvas.corners]  # of each window
        told = [window for each, canvas in zip(wanted, canvases, strict=True) for window in self._told(each, canvas)]
        chunks = [filled(list(range(s, min(s + self._batch, len(owners)))), self._batch) for s in self._starts(owners)]
        deep: dict[int, Array] = {}
        latents = list(noises)
        for row, step in zip(plan.rows, plan.steps, strict=True):
            windows = [part for canvas, latent in zip(canvases, latents, strict=True) for part in canvas.cut(latent)]
            after: list[Array] = []
            for number, chunk in enumerate(chunks):
                batch = [wanted[owners[place]] for place in chunk]
                feed = self._feed(
                    batch, [windows[place] for place in chunk], [told[place] for place in chunk], row, step
                )
                made = self._engines.denoise[step.kind].run(
                    {**feed, DEEP: deep[number]} if step.cache == "reuse" else feed
                )
                if step.cache == "store":
                    deep[number] = made[DEEP]
                after += list(made["latent_after"])
            latents, start = [], 0
            for canvas in canvases:
                latents.append(canvas.join(after[start : (start := start + len(canvas.corners))]))
            yield latents

    def _feed(
        self, batch: Sequence[SampleInputs], windows: Sequence[Array], told: Sequence[Array], row: int, step: Step
    ) -> dict[str, Array]:
        feed = {
            "latent": np.stack(windows),
            "embedding": embedded(batch, step.guided, self._engines.embed),
            "step": np.array([row], np.int32),
            "guidance": np.array([each.guidance for each in batch], np.float32),
        }
        return {**feed, "conditioning": np.stack(told)} if self._sizes.conditioning_channels else feed

    def _told(self, wanted: SampleInputs, canvas: Canvas) -> list[Array]:
        return canvas.cut(wanted.conditioning(self._sizes))

    def _starts(self, windows: Sequence[object]) -> range:
        return range(0, len(windows), self._batch)

    def _chunks(self, windows: Sequence[Array]) -> list[Array]:
        """Windows in full batches; the last is filled up with its first, so that all run the same arithmetic."""
        return [np.stack(filled(windows[s : s + self._batch], self._batch)) for s in self._starts(windows)]

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


def _put_together(canvas: Canvas, made: Mapping[str, Array]) -> Drawn:
    images = [image.transpose(2, 0, 1) for image in made["image"]]
    image = np.round(canvas.join(images)).astype(np.uint8).transpose(1, 2, 0)
    image = np.ascontiguousarray(image)
    if "mask" not in made:
        return Drawn(image, None, None)
    masks, sure = (list(made[name].astype(np.uint8, copy=False)) for name in ("mask", "confidence"))
    return Drawn(image, *canvas.vote(masks, sure))
