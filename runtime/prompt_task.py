"""The task of `wetgen run`: a pair for every ask of a prompts file.

Axes: K classes, h w of a latent, H W of a picture.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from wetgen.runtime.asked import asked_classes
from wetgen.runtime.bundle_files import file_sha256
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.finish import Finish
from wetgen.runtime.generator import Generator, Take
from wetgen.runtime.layout_asks import NO_LINE
from wetgen.runtime.layouts import check_layouts, read_layout
from wetgen.runtime.pair import Pair
from wetgen.runtime.pictures import Pixels, read_image
from wetgen.runtime.placing.layout import random_layout
from wetgen.runtime.placing.surfaces import Lines, preference_map
from wetgen.runtime.prompts import Ask, resolve
from wetgen.runtime.prompts.ask import LazyAsks
from wetgen.runtime.prompts.source import source_name
from wetgen.runtime.record import Settings
from wetgen.runtime.stated import stated_mask
from wetgen.runtime.tokenizer import PromptTooLong
from wetgen.runtime.wanted import Floats, Wanted, layout_of

_LAYOUTS = 256  # kept for asks that share them


class Listed(LazyAsks):
    """The asks of plain prompts: pair `index` shows prompt `index % len(prompts)`."""

    def __init__(self, prompts: Sequence[str], count: int = 1) -> None:
        self.prompts, self._total = prompts, count * len(prompts)

    def __len__(self) -> int:
        return self._total

    def at(self, index: int) -> Ask:
        number, place = divmod(index, len(self.prompts))
        return Ask(place + 1, self.prompts[place], number)


class Part(NamedTuple):
    """Pairs that are drawn together: those of one plan, into photographs or not."""

    plan: str
    photos: bool = False


class Layout(NamedTuple):
    """A mask uint8 (H, W) of a pair's size, what the denoiser is told float32 (K, h, w), and what the row says."""

    mask: Pixels
    told: Floats
    said: Mapping[str, object]


@dataclass
class PromptTask:
    """A pair for every ask; `source` is the prompts file, beside which the files lie that it names.

    `size` is (width, height) in pixels, None the bundle's. Where an ask has a severity and no layout of its own, a
    layout of that severity is drawn for it, on the surfaces that `lines` bound.
    """

    asks: Sequence[Ask]
    settings: Settings
    source: str = "-"
    truncate: bool = False
    size: tuple[int, int] | None = None
    lines: Lines = field(default_factory=Lines)
    how: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.total = len(self.asks)
        self._file_layout = lru_cache(maxsize=_LAYOUTS)(self._read_layout)
        # Asked for when it is drawn, and again when its row is written.
        self._own_layout = lru_cache(maxsize=_LAYOUTS)(self._draw_layout)

    def begin(self, generator: Generator) -> None:
        self.generator, self.bundle = generator, generator.bundle
        self.finish = Finish(self.bundle, self.settings.tidy)
        self.cells = generator.cells(self.size)
        self.pixels = self.bundle.sizes.pixels(self.cells)
        self._parts: dict[Hashable, None] = {}
        seen: set[tuple[object, ...]] = set()
        for ask in self.asks:
            self._parts.setdefault(self._part(ask))
            facts = (
                ask.text,
                ask.negative,
                ask.guidance,
                ask.plan,
                ask.asked,
                ask.layout,
                ask.severity is None,
                ask.photo,
            )
            if facts not in seen:
                seen.add(facts)
                self.check(ask)

    def parts(self) -> Sequence[Hashable]:
        return list(self._parts)

    def part_of(self, index: int) -> Hashable:
        return self._part(self.asks[index])

    def draw(self, part: Hashable, take: Take, *, judge: bool) -> Iterator[Pair]:
        assert isinstance(part, Part)
        for pair in self.drawn(part, take, judge=judge):
            yield self.finished(pair)

    def drawn(self, part: Part, take: Take, *, judge: bool) -> Iterator[Pair]:
        """The pairs that `take` names, as they are drawn."""
        plan = self.bundle.plan(part.plan)
        return self.generator.draw_wanted(self.wanted, take, plan, cells=self.cells, judge=judge)

    def wanted(self, index: int, attempt: int) -> Wanted:
        """What the pair of an index is to be, at a try."""
        ask = self.asks[index]
        layout = self.layout(index)
        told = None if layout is None else layout.told
        seed, number = self.key(index)
        return Wanted(ask.text, seed, number, self.guidance(ask), self.negative(ask), attempt, told, size=self.cells)

    def finished(self, pair: Pair) -> Pair:
        """A drawn pair with what its row says."""
        ask, layout = self.asks[pair.index], self.layout(pair.index)
        said = self.said(pair.index, layout)
        return self.finish(
            pair, said, asked=[] if ask.asked is None else [ask.asked], layout=None if layout is None else layout.mask
        )

    def said(self, index: int, layout: Layout | None) -> dict[str, object]:
        """What the row of a pair says of its ask."""
        ask = self.asks[index]
        said: dict[str, object] = {}
        if self.key(index)[1] != index:
            said["number"] = self.key(index)[1]
        said |= {} if ask.asked is None else {"class": ask.asked}
        said |= {} if ask.severity is None else {"severity": ask.severity}
        said |= {} if self.size is None else {"size": list(self.size)}
        if layout is not None and ask.photo is None:  # what is painted into a photograph its row says otherwise
            said["layout"] = dict(layout.said)
        return said

    def key(self, index: int) -> tuple[int, int]:
        """The seed and number that a pair's noise follows from."""
        ask = self.asks[index]
        return (self.settings.seed, index) if ask.seed is None else (ask.seed, ask.number)

    def guidance(self, ask: Ask) -> float:
        return self.settings.guidance if ask.guidance is None else ask.guidance

    def negative(self, ask: Ask) -> str:
        return self.settings.negative if ask.negative is None else ask.negative

    def names(self, ask: Ask) -> tuple[str, ...]:
        """The classes that an ask is about."""
        return asked_classes(ask.text, self.bundle.words) if ask.asked is None else (ask.asked,)

    def layout(self, index: int) -> Layout | None:
        """The layout of a pair: that of its ask, or one drawn for its severity or for its photograph."""
        ask = self.asks[index]
        if ask.layout is not None:
            return self._file_layout(ask.layout)
        if ask.severity is None and ask.photo is None:
            return None
        return self._own_layout(index)

    def _draw_layout(self, index: int) -> Layout:
        ask = self.asks[index]
        return self.drawn_layout(ask, self.key(index), ask.severity)

    def drawn_layout(self, ask: Ask, key: tuple[int, int], severity: float | None) -> Layout:
        """A layout of the classes of an ask, drawn at random from a seed and number."""
        table, statistics = self.bundle.classes, self.bundle.mask_statistics
        assert table is not None  # check_layouts has seen to it
        return self._layout(
            random_layout(*key, self.pixels, self.names(ask), statistics, table, severity, self.lines), {}
        )

    def check(self, ask: Ask) -> None:
        """Raise WetgenError, naming the line, for an ask that the bundle cannot draw."""
        try:
            plan, scale = self.bundle.plan(self._plan(ask)), self.guidance(ask)
            negative = self.negative(ask)
            self.generator.check([negative, ask.text], plan, [scale], truncate=self.truncate, negative=bool(negative))
            self.check_layout(ask)
        except PromptTooLong as error:
            runs_own = error.prompt != ask.text and ask.negative is None
            place = "The negative prompt" if runs_own else self._where(ask)
            raise WetgenError(f"{place}: {error.what}", why=error.why, fix=error.fix) from error
        except WetgenError as error:
            raise WetgenError(f"{self._where(ask)}: {error.what}", why=error.why, fix=error.fix) from error

    def check_layout(self, ask: Ask) -> None:
        """Raise WetgenError for a layout that cannot be read or drawn, and for a photograph that is not there."""
        if ask.layout is None and ask.severity is None and ask.photo is None:
            return
        check_layouts(self.bundle)
        if ask.photo is not None:
            read_image(resolve(ask.photo, self.source), ask.photo)
        if ask.layout is not None:
            self._file_layout(ask.layout)
        elif not self.names(ask):
            raise WetgenError(
                f"A {'severity' if ask.photo is None else 'photograph'} is given, and no damage for it.",
                why="neither the prompt nor a class option names one.",
                fix="name a damage, or give a layout.",
            )
        else:
            for name in self.names(ask):
                preference_map(name, self.pixels, self.lines)  # raises where the surfaces have no place for it

    def _where(self, ask: Ask) -> str:
        return str(ask.layout) if ask.line == NO_LINE else f"{source_name(self.source)}, line {ask.line}"

    def _part(self, ask: Ask) -> Part:
        return Part(self._plan(ask), ask.photo is not None)

    def _plan(self, ask: Ask) -> str:
        return self.settings.plan if ask.plan is None else ask.plan

    def _read_layout(self, name: str) -> Layout:
        path = resolve(name, self.source)
        assert self.bundle.classes is not None
        mask = read_layout(path, self.bundle.classes, self.pixels)
        said = path.name if Path(name).is_absolute() else name  # a row is to say nothing of the machine
        return self._layout(mask, {"file": said, "sha256": file_sha256(path)})

    def _layout(self, mask: Pixels, said: Mapping[str, object]) -> Layout:
        assert self.bundle.classes is not None
        told = layout_of(mask, self.bundle.sizes)
        return Layout(mask, told, {**said, **stated_mask(mask, self.bundle.classes)})
