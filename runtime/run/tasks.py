"""What a run draws: a request for each pair, and the task that turns requests into pairs.

`PromptTask` is the task of `wetgen run`: it draws each request from noise, or paints its damage into a photograph or
into an undamaged surface that is drawn first. `postprocess_pair` makes the pair that is stored of the drawn one.

Axes: K classes, h w of a latent, H W of a picture.
"""

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from wetgen.runtime.bundle.archive import file_sha256
from wetgen.runtime.bundle.bundle import Bundle, check_layouts
from wetgen.runtime.bundle.graphs import Plan
from wetgen.runtime.bundle.tokenizer import PromptTooLong
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.layouts.layout import random_layout
from wetgen.runtime.layouts.surfaces import SurfaceLines, preference_map
from wetgen.runtime.masks.classes import IGNORE
from wetgen.runtime.masks.cleanup import MaskCleanup
from wetgen.runtime.masks.images import Pixels, read_image
from wetgen.runtime.masks.resize import read_layout
from wetgen.runtime.masks.rle import mask_to_json
from wetgen.runtime.prompts.lines import LazyRequests, PromptRequest
from wetgen.runtime.prompts.read import resolve, source_name
from wetgen.runtime.prompts.text import mentioned_classes
from wetgen.runtime.run.record import RunConfig
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.sampler import (
    Floats,
    Pair,
    SampleInputs,
    SamplingParams,
    class_faults,
    layout_of,
    undamaged,
)

if TYPE_CHECKING:
    from wetgen.runtime.inpaint.backgrounds import Background
    from wetgen.runtime.inpaint.draw import InpaintJob

NO_LINE = 0  # of a request whose prompt stands in no file
_LAYOUTS = 256  # kept for requests that share them


class RetryQueue(Iterator[tuple[int, int]]):
    """Yields (index, try), the next to be drawn; a rejected pair comes again before new ones.

    It may yield more after it ran out: when its last pairs are rejected, they are to be drawn again.
    """

    def __init__(self, missing: Iterable[tuple[int, int]], tries: int) -> None:
        """`missing` gives each index with the try it begins with; a pair has so many `tries`, from 0 on."""
        self._new, self._again, self._tries = iter(missing), deque[tuple[int, int]](), tries

    def __next__(self) -> tuple[int, int]:
        return self._again.popleft() if self._again else next(self._new)

    def reject(self, index: int, attempt: int) -> bool:
        """Draw a pair again, unless this was its last try; returns whether it was."""
        last = attempt + 1 >= self._tries
        if not last:
            self._again.append((index, attempt + 1))
        return last


class Task(Protocol):
    """Draws pairs 0 to `total` - 1. `details` is what run.json says of it beside the config.

    Pairs are grouped; all pairs of a batch come from one group, because they share a plan.
    """

    config: RunConfig
    details: Mapping[str, object]

    @property
    def groups(self) -> Sequence[Hashable]:
        """Every group that has pairs, in their order, once the task has begun."""

    @property
    def total(self) -> int: ...

    @property
    def pixels(self) -> tuple[int, int] | None:
        """The size (H, W) of every pair, once it has begun; None where they may differ."""

    def begin(self, generator: Generator) -> None:
        """Take the generator to draw with; raises WetgenError for all that is not possible with it."""

    def group_of(self, index: int) -> Hashable:
        """The group of a pair."""

    def draw(self, group: Hashable, attempts: Iterator[tuple[int, int]], *, judge: bool) -> Iterator[Pair]:
        """Yield the pairs of the attempts (index, try), all of one group, with what their rows say.

        When the attempts run out they are asked again after the pairs drawn last: some may be to be drawn again.
        """


@dataclass(frozen=True)
class PairRequest:
    """One pair of a run, nothing left open: what it shows, what its noise follows from, and how it is drawn.

    With a `photo` its damage is painted into that photograph; with a `surface`, a prompt, into an undamaged picture
    that is drawn first. `metadata` is what its row says of it beside the rest.
    """

    index: int
    line: int  # of the prompts file
    prompt: str
    seed: int
    number: int  # the noise follows from seed, number and try
    params: SamplingParams
    own_negative: bool = False  # the line has a negative prompt of its own
    asked: str | None = None  # the class that must be in the mask
    severity: float | None = None
    layout: str | None = None
    photo: str | None = None
    surface: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)

    @property
    def scene_prompt(self) -> str:
        """The prompt of the whole scene, damage and all."""
        return self.prompt if self.surface is None else self.surface

    @property
    def group(self) -> "Group":
        return Group(self.params.plan, self.photo is not None or self.surface is not None)

    @property
    def checked(self) -> Hashable:
        """What its checks depend on: requests that are equal in it need one check."""
        places = (self.asked, self.layout, self.severity is None, self.photo)
        return (self.prompt, self.surface, self.params, self.own_negative, places)


class Group(NamedTuple):
    """Pairs that are drawn together: those of one plan, painted or not."""

    plan: str
    painted: bool


class Requests(Protocol):
    """The requests of a run by index, each computed when it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> PairRequest: ...

    def check(self, request: PairRequest) -> None:
        """Raise WetgenError for a request that there cannot be in a run of this kind."""


class PromptRequests:
    """A request for each prompt of a file; what its line leaves open is as the run says."""

    def __init__(self, prompts: Sequence[PromptRequest], config: RunConfig) -> None:
        self._prompts, self._config = prompts, config

    def __len__(self) -> int:
        return len(self._prompts)

    def __getitem__(self, index: int) -> PairRequest:
        given, config = self._prompts[index], self._config
        seed, number = (config.seed, index) if given.seed is None else (given.seed, given.number)
        params = SamplingParams(
            config.plan if given.plan is None else given.plan,
            config.guidance if given.guidance is None else given.guidance,
            config.negative if given.negative is None else given.negative,
        )
        own_negative, placed = given.negative is not None, (given.asked, given.severity, given.layout, given.photo)
        return PairRequest(index, given.line, given.text, seed, number, params, own_negative, *placed)

    def check(self, request: PairRequest) -> None: ...


class Listed(LazyRequests):
    """Plain prompts: pair `index` shows prompt `index % len(prompts)`."""

    def __init__(self, prompts: Sequence[str], count: int = 1) -> None:
        self.prompts, self._total = prompts, count * len(prompts)

    def __len__(self) -> int:
        return self._total

    def at(self, index: int) -> PromptRequest:
        number, i = divmod(index, len(self.prompts))
        return PromptRequest(i + 1, self.prompts[i], number)


class ResolvedLayout(NamedTuple):
    """A mask uint8 (H, W) of a pair's size, the denoiser's input float32 (K, h, w), and what the row says of it."""

    mask: Pixels
    shares: Floats
    metadata: Mapping[str, object]


@dataclass
class PromptTask:
    """A pair for every request; `source` is the prompts file, beside which the files lie that it names.

    `cells` is (h, w) of the latents, None the bundle's. Where a request has a severity and no layout of its own, a
    layout of that severity is drawn for it, on the surfaces that `lines` bound.
    """

    requests: Requests
    config: RunConfig
    source: str = "-"
    truncate: bool = False
    cells: tuple[int, int] | None = None
    lines: SurfaceLines | None = None
    details: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.total = len(self.requests)

    def begin(self, generator: Generator) -> None:
        self.generator, self.bundle = generator, generator.bundle
        self._file_layout = lru_cache(maxsize=_LAYOUTS)(self._read_layout)
        # Needed when a pair is drawn, and again when its row is written.
        self._own_layout = lru_cache(maxsize=_LAYOUTS)(self._draw_layout)
        # The pairs of a family share one.
        self._surface = lru_cache(maxsize=2 * generator.batch)(self._draw_surface)
        groups: dict[Hashable, None] = {}
        seen: set[Hashable] = set()
        for index in range(self.total):
            request = self.requests[index]
            groups.setdefault(request.group)
            if request.checked not in seen:
                seen.add(request.checked)
                self._check(request)
        self.groups = list(groups)

    @property
    def pixels(self) -> tuple[int, int]:
        return self.bundle.sizes.pixels(self.cells)

    def group_of(self, index: int) -> Hashable:
        return self.requests[index].group

    def draw(self, group: Hashable, attempts: Iterator[tuple[int, int]], *, judge: bool) -> Iterator[Pair]:
        assert isinstance(group, Group)
        plan = self.bundle.plan(group.plan)
        if group.painted:
            pairs = self._paint(plan, attempts, judge)
        else:
            pairs = self.generator.sample(map(self._inputs, attempts), plan, cells=self.cells, judge=judge)
        for pair in pairs:
            yield self._postprocess(pair)

    def _inputs(self, attempt: tuple[int, int]) -> SampleInputs:
        """Returns the model inputs for a pair (index, try)."""
        request = self.requests[attempt[0]]
        layout = self._layout(request)
        return SampleInputs(
            request.prompt,
            request.seed,
            request.number,
            request.params,
            attempt[1],
            None if layout is None else layout.shares,
            size=self.cells,
            index=request.index,
        )

    def _postprocess(self, pair: Pair) -> Pair:
        request = self.requests[pair.index]
        if request.surface is not None:  # its metadata went with it
            return postprocess_pair(pair, {}, self.bundle, self.config.tidy)
        layout = self._layout(request)
        asked, mask = [] if request.asked is None else [request.asked], None if layout is None else layout.mask
        metadata = self._metadata(request, layout)
        return postprocess_pair(pair, metadata, self.bundle, self.config.tidy, asked=asked, layout=mask)

    def _metadata(self, request: PairRequest, layout: ResolvedLayout | None) -> dict[str, object]:
        """What the row of a pair says of its request."""
        metadata: dict[str, object] = {} if request.number == request.index else {"number": request.number}
        metadata |= {} if request.asked is None else {"class": request.asked}
        metadata |= {} if request.severity is None else {"severity": request.severity}
        metadata |= {} if self.cells is None else {"size": list(reversed(self.pixels))}
        if layout is not None and request.photo is None:  # the row lists what is painted into a photograph
            metadata["layout"] = dict(layout.metadata)
        return {**metadata, **request.metadata}

    # Layouts

    def _layout(self, request: PairRequest) -> ResolvedLayout | None:
        """The layout of a pair: its own, or one drawn for its severity or for its photograph."""
        if request.layout is not None:
            return self._file_layout(request.layout)
        if request.severity is None and request.photo is None:
            return None
        return self._own_layout(request.index)

    def _draw_layout(self, index: int) -> ResolvedLayout:
        request, table = self.requests[index], self.bundle.classes
        assert table is not None  # check_layouts has seen to it
        names, lines = self._classes(request), self.lines or SurfaceLines()
        noise, statistics = (request.seed, request.number), self.bundle.mask_statistics
        mask = random_layout(*noise, self.pixels, names, statistics, table, request.severity, lines)
        return self._resolved(mask, {})

    def _read_layout(self, name: str) -> ResolvedLayout:
        path = resolve(name, self.source)
        assert self.bundle.classes is not None
        mask = read_layout(path, self.bundle.classes, self.pixels)
        file = path.name if Path(name).is_absolute() else name  # a row says nothing of the machine
        return self._resolved(mask, {"file": file, "sha256": file_sha256(path)})

    def _resolved(self, mask: Pixels, metadata: Mapping[str, object]) -> ResolvedLayout:
        assert self.bundle.classes is not None
        shares = layout_of(mask, self.bundle.sizes)
        return ResolvedLayout(mask, shares, {**metadata, **mask_to_json(mask, self.bundle.classes)})

    def _classes(self, request: PairRequest) -> tuple[str, ...]:
        """The classes that a request is about."""
        if request.asked is not None:
            return (request.asked,)
        return mentioned_classes(request.scene_prompt, self.bundle.words)

    # Checks

    def _check(self, request: PairRequest) -> None:
        """Raise WetgenError, naming the line, for a request that the bundle cannot draw."""
        prompt = request.scene_prompt
        try:
            self.requests.check(request)
            self._check_layout(request)
            self.generator.check(request.params, [prompt], truncate=self.truncate)
        except PromptTooLong as error:
            runs_own = error.prompt != prompt and not request.own_negative
            where = "The negative prompt" if runs_own else self._where(request)
            raise WetgenError(f"{where}: {error.what}", why=error.why, fix=error.fix) from error
        except WetgenError as error:
            raise WetgenError(f"{self._where(request)}: {error.what}", why=error.why, fix=error.fix) from error

    def _check_layout(self, request: PairRequest) -> None:
        """Raise WetgenError for a layout that cannot be read or drawn, and for a photograph that is not there."""
        if request.layout is None and request.severity is None and request.photo is None:
            return
        check_layouts(self.bundle)
        if request.photo is not None:
            read_image(resolve(request.photo, self.source), request.photo)
        if request.layout is not None:
            self._file_layout(request.layout)
        elif not (names := self._classes(request)):
            raise WetgenError(
                f"A {'severity' if request.photo is None else 'photograph'} is given, and no damage for it.",
                why="neither the prompt nor a class option names one.",
                fix="name a damage, or give a layout.",
            )
        else:
            for name in names:
                preference_map(
                    name, self.pixels, self.lines or SurfaceLines()
                )  # raises where no surface has a place for it

    def _where(self, request: PairRequest) -> str:
        if request.line == NO_LINE:
            return str(request.layout)
        return f"{source_name(self.source)}, line {request.line}"

    # Painted pairs

    def _paint(self, plan: Plan, attempts: Iterator[tuple[int, int]], judge: bool) -> Iterator[Pair]:
        from wetgen.runtime.inpaint.draw import draw_painted
        from wetgen.runtime.inpaint.painter import Painter

        def jobs(batch: Sequence[tuple[int, int]]) -> "list[InpaintJob]":
            return [self._job(index, attempt) for index, attempt in batch]

        painter, batch = Painter(self.generator, plan), self.generator.batch
        return draw_painted(self.generator, painter, jobs, attempts, at_once=batch, judge=judge)

    def _job(self, index: int, attempt: int) -> "InpaintJob":
        """Returns what is painted for a pair (index, try): the damage of its layout, into its background."""
        from wetgen.runtime.inpaint.damage import damages_in_mask
        from wetgen.runtime.inpaint.draw import InpaintJob

        request = self.requests[index]
        layout, metadata = self._layout(request), dict[str, object]()
        planned = [] if layout is None else damages_in_mask(layout.mask, self.bundle, request.prompt, request.severity)
        if request.surface is None:
            background = self._photograph(str(request.photo))
        else:
            background = self._surface(request.surface, request.seed, request.number, request.params, attempt)
            metadata = {**request.metadata, **({} if request.asked is None else {"class": request.asked})}
            metadata |= {} if self.cells is None else {"size": list(reversed(self.pixels))}
            metadata |= {} if request.severity is None else {"severity": request.severity}
        key = (request.seed, request.number, request.params, attempt)
        return InpaintJob(SampleInputs(request.prompt, *key, index=index), background, planned, metadata=metadata)

    def _photograph(self, name: str) -> "Background":
        """The middle of a photograph, at the size of the run's pictures."""
        from wetgen.runtime.inpaint.backgrounds import Background, cropped

        path = resolve(name, self.source)
        image = cropped(read_image(path, name), self.pixels)
        return Background(image, {"photo": name, "sha256": file_sha256(path), "cropped": True})

    def _draw_surface(self, prompt: str, seed: int, number: int, params: SamplingParams, attempt: int) -> "Background":
        """The undamaged picture of a scene: that of its first try that came out undamaged, whichever pair asks."""
        from wetgen.runtime.inpaint.backgrounds import draw_surfaces

        plan, clean = self.bundle.plan(params.plan), undamaged(self.bundle.sizes, self.cells)
        for earlier in range(attempt + 1):
            surface = SampleInputs(prompt, seed, number, params, earlier, clean, size=self.cells)
            (drawn,) = draw_surfaces(self.generator.tiled(plan), plan, [surface])
            if not drawn.damaged:
                break
        return drawn


def postprocess_pair(
    pair: Pair,
    metadata: Mapping[str, object],
    bundle: Bundle,
    cleanup: MaskCleanup,
    *,
    asked: Sequence[str] = (),
    layout: Pixels | None = None,
) -> Pair:
    """Add metadata, agreement with the `layout` uint8 (H, W) it was given, and the cleaned mask to a pair.

    A class `asked` for that the mask lacks is a fault, as is one that the prompt names and that cleaning took out.
    """
    row, drawn, table = {**pair.metadata, **metadata}, pair.mask, bundle.classes
    if drawn is None or table is None:
        return replace(pair, metadata=row)
    if layout is not None:
        row |= layout_agreement(drawn, layout)
    mask = drawn
    if cleanup != MaskCleanup():
        mask, changed = cleanup(drawn, pair.confidence)
        row["tidy"] = {**cleanup.to_row(), "changed": changed}
        if cleanup.marks_ignored:
            row["ignore_id"] = IGNORE
    if pair.broken:
        return replace(pair, mask=mask, metadata=row)
    named = () if mask is drawn else mentioned_classes(pair.prompt, bundle.words)
    lost = [name for name in named if not class_faults([name], drawn, table)]
    faults = (*pair.faults, *class_faults([*lost, *asked], mask, table))
    return replace(pair, mask=mask, metadata=row, faults=tuple(dict.fromkeys(faults)))


def layout_agreement(mask: Pixels, layout: Pixels) -> dict[str, float]:
    """The share of pixels on which a mask and its layout, both uint8 (H, W), agree, and their mean IoU over the
    damage classes of the layout, or over the background of one that shows none; 4 digits."""
    classes = [int(class_id) for class_id in np.unique(layout) if class_id] or [0]
    ious = [
        float(((mask == each) & (layout == each)).sum() / ((mask == each) | (layout == each)).sum()) for each in classes
    ]
    return {"layout_agreement": round(float((mask == layout).mean()), 4), "layout_iou": round(float(np.mean(ious)), 4)}
