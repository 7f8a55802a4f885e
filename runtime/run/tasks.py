"""What a run is asked to draw, whatever the command: a number of pairs, and how they come about.

The task of `wetgen run`: a pair for every ask of a prompts file.

Axes: K classes, h w of a latent, H W of a picture.

`wetgen run --layouts DIR`: every mask of a folder is shown by as many pairs, each with a prompt that fits it.

From a drawn pair to the pair that is stored: what is said of it, and its tidied mask.

Asks of a prompts file that name a photograph: their damage is painted into it, at the size of the run's pictures.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import cycle
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.archive import file_sha256
from wetgen.runtime.bundle.bundle import Bundle, check_layouts
from wetgen.runtime.bundle.schedule import Plan
from wetgen.runtime.bundle.tokenizer import PromptTooLong
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import os_errors
from wetgen.runtime.inpaint.backgrounds import Background, cropped
from wetgen.runtime.inpaint.damage import damages_in_mask
from wetgen.runtime.inpaint.draw import InpaintJob, draw_painted
from wetgen.runtime.inpaint.painter import Painter
from wetgen.runtime.layouts.layout import random_layout
from wetgen.runtime.layouts.surfaces import SurfaceLines, preference_map
from wetgen.runtime.layouts.write import SHEET_NAME
from wetgen.runtime.masks.classes import IGNORE, ClassTable, unknown_ids
from wetgen.runtime.masks.cleanup import MaskCleanup
from wetgen.runtime.masks.images import Pixels, read_image, read_mask
from wetgen.runtime.masks.resize import read_layout
from wetgen.runtime.masks.rle import mask_to_json
from wetgen.runtime.prompts import PromptRequest, resolve
from wetgen.runtime.prompts.lines import LazyRequests
from wetgen.runtime.prompts.mentions import mentioned_classes
from wetgen.runtime.prompts.read import source_name
from wetgen.runtime.run.record import RunConfig
from wetgen.runtime.sampling.conditioning import Floats, SampleInputs, layout_of
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.pair import Pair, SamplingParams, broken, missing_class


class Task(Protocol):
    """Pairs 0 to `total` - 1. `how` is what run.json shall say of it beside the settings.

    A pair belongs to a part, and parts are drawn one after the other: what a batch shares is the same in all of one.
    """

    total: int
    how: Mapping[str, object]

    @property
    def pixels(self) -> tuple[int, int] | None:
        """The size (H, W) of every pair, once it has begun; None where they may differ."""

    def begin(self, generator: Generator) -> None:
        """Take the generator to draw with; raises WetgenError for all that is not possible with it."""

    def parts(self) -> Sequence[Hashable]:
        """Every part that has pairs, in their order."""

    def part_of(self, index: int) -> Hashable:
        """The part of a pair."""

    def draw(self, part: Hashable, attempts: Iterator[tuple[int, int]], *, judge: bool) -> Iterator[Pair]:
        """Yield the pairs that `attempts` name, (index, try), all of one part, with what else their rows say."""


_LAYOUTS = 256  # kept for asks that share them


class Listed(LazyRequests):
    """The asks of plain prompts: pair `index` shows prompt `index % len(prompts)`."""

    def __init__(self, prompts: Sequence[str], count: int = 1) -> None:
        self.prompts, self._total = prompts, count * len(prompts)

    def __len__(self) -> int:
        return self._total

    def at(self, index: int) -> PromptRequest:
        number, place = divmod(index, len(self.prompts))
        return PromptRequest(place + 1, self.prompts[place], number)


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

    asks: Sequence[PromptRequest]
    settings: RunConfig
    source: str = "-"
    truncate: bool = False
    size: tuple[int, int] | None = None
    lines: SurfaceLines = field(default_factory=SurfaceLines)
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

    def draw(self, part: Hashable, attempts: Iterator[tuple[int, int]], *, judge: bool) -> Iterator[Pair]:
        assert isinstance(part, Part)
        for pair in self.drawn(part, attempts, judge=judge):
            yield self.finished(pair)

    def drawn(self, part: Part, attempts: Iterator[tuple[int, int]], *, judge: bool) -> Iterator[Pair]:
        """The pairs of the attempts, as they are drawn."""
        plan = self.bundle.plan(part.plan)
        return self.generator.sample(map(self.inputs, attempts), plan, cells=self.cells, judge=judge)

    def inputs(self, attempt: tuple[int, int]) -> SampleInputs:
        """Returns the model inputs for a pair (index, try)."""
        index, again = attempt
        ask, layout = self.asks[index], self.layout(index)
        seed, number = self.key(index)
        return SampleInputs(
            ask.text,
            seed,
            number,
            self.guidance(ask),
            self.negative(ask),
            again,
            None if layout is None else layout.told,
            size=self.cells,
            index=index,
        )

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

    def guidance(self, ask: PromptRequest) -> float:
        return self.settings.guidance if ask.guidance is None else ask.guidance

    def negative(self, ask: PromptRequest) -> str:
        return self.settings.negative if ask.negative is None else ask.negative

    def names(self, ask: PromptRequest) -> tuple[str, ...]:
        """The classes that an ask is about."""
        return mentioned_classes(ask.text, self.bundle.words) if ask.asked is None else (ask.asked,)

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

    def drawn_layout(self, ask: PromptRequest, key: tuple[int, int], severity: float | None) -> Layout:
        """A layout of the classes of an ask, drawn at random from a seed and number."""
        table, statistics = self.bundle.classes, self.bundle.mask_statistics
        assert table is not None  # check_layouts has seen to it
        return self._layout(
            random_layout(*key, self.pixels, self.names(ask), statistics, table, severity, self.lines), {}
        )

    def check(self, ask: PromptRequest) -> None:
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

    def check_layout(self, ask: PromptRequest) -> None:
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

    def _where(self, ask: PromptRequest) -> str:
        return str(ask.layout) if ask.line == NO_LINE else f"{source_name(self.source)}, line {ask.line}"

    def _part(self, ask: PromptRequest) -> Part:
        return Part(self._plan(ask), ask.photo is not None)

    def _plan(self, ask: PromptRequest) -> str:
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
        return Layout(mask, told, {**said, **mask_to_json(mask, self.bundle.classes)})


SUFFIX = ".png"
NO_LINE = 0  # of an ask whose prompt stands in no file


def layout_asks(
    folder: Path, bundle: Bundle, count: int, prompts: Sequence[PromptRequest] | None
) -> list[PromptRequest]:
    """`count` asks for every mask in a folder, in the order of their names.

    Each takes its turn of the `prompts` that ask for just the classes in the mask; with None the prompt is those
    classes' words, or that of an undamaged surface. Raises WetgenError for a mask that is none, for one whose classes
    no prompt asks for, and for a prompt that has a layout of its own.
    """
    check_layouts(bundle)
    masks = {path: _classes_in(path, bundle) for path in mask_files(folder)}
    if prompts is None:
        fitting = {names: [PromptRequest(NO_LINE, _words(names, bundle), 0)] for names in masks.values()}
    else:
        fitting = _by_classes(prompts, bundle)
    for path, names in masks.items():
        if names not in fitting:
            raise _no_prompt(path, names)
    turns = {names: cycle(asks) for names, asks in fitting.items()}
    files = [(str(path.absolute()), names) for path, names in masks.items()] * count
    # Numbered by the layouts' order, so that a seed of the prompt's own gives each another picture.
    return [replace(next(turns[names]), layout=file, number=number) for number, (file, names) in enumerate(files)]


def mask_files(folder: Path) -> list[Path]:
    """The PNG files of a folder, by name, but for the sheet that `wetgen layouts` puts beside them.

    Raises WetgenError when there are none.
    """
    with os_errors(folder, "read"):
        files = (path for path in folder.iterdir() if path.name != SHEET_NAME)
        found = sorted(path for path in files if path.suffix.lower() == SUFFIX and path.is_file())
    if not found:
        raise WetgenError(
            f"{folder} holds no layouts.",
            why=f"no {SUFFIX} file lies directly in it.",
            fix="put masks of class ids there, one a file, or draw some: wetgen layouts --out DIR --count 20",
        )
    return found


def _classes_in(path: Path, bundle: Bundle) -> tuple[str, ...]:
    assert bundle.classes is not None  # check_layouts has seen to it
    mask = read_mask(path)
    fault = unknown_ids(mask, bundle.classes, str(path))
    if fault is not None:
        raise fault
    return tuple(bundle.classes.names[int(class_id)] for class_id in np.unique(mask) if class_id)


def _by_classes(prompts: Sequence[PromptRequest], bundle: Bundle) -> dict[tuple[str, ...], list[PromptRequest]]:
    """The prompts by the classes that they are about, which stand in the order of the class table."""
    assert bundle.classes is not None
    found: dict[tuple[str, ...], list[PromptRequest]] = {}
    for ask in prompts:
        if ask.layout is not None:
            raise WetgenError(
                f"Line {ask.line} of the prompts has the layout {ask.layout}, and --layouts gives others.",
                why="a pair shows one layout.",
                fix="leave out one of the two.",
            )
        asked = (ask.asked,) if ask.asked is not None else mentioned_classes(ask.text, bundle.words)
        found.setdefault(tuple(name for name in bundle.classes.names if name in asked), []).append(ask)
    return found


def _words(names: tuple[str, ...], bundle: Bundle) -> str:
    words = [bundle.words[name][0] if bundle.words.get(name) else name for name in names]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words) or "an undamaged wall"


def _no_prompt(path: Path, names: tuple[str, ...]) -> WetgenError:
    shown = " and ".join(names) or "no damage"
    return WetgenError(
        f"No prompt fits the layout {path}.",
        why=f"it shows {shown}, and no prompt asks for just that.",
        fix="add such a prompt, or leave --prompts out: then a layout's classes are its prompt.",
    )


class Finish:
    """Finishes the pairs of one run."""

    def __init__(self, bundle: Bundle, tidy: MaskCleanup) -> None:
        self._bundle, self._tidy = bundle, tidy

    def __call__(
        self,
        pair: Pair,
        said: Mapping[str, object],
        *,
        asked: Sequence[str] = (),
        layout: NDArray[np.uint8] | None = None,
    ) -> Pair:
        """The pair with what its row says, how far its mask agrees with the `layout` uint8 (H, W) it was given, and its
        mask tidied; with a fault for each class `asked` for that is missing, or named by the prompt and tidied away."""
        table = self._bundle.classes
        if pair.mask is None or table is None:
            return replace(pair, metadata={**pair.metadata, **said})
        told = {**pair.metadata, **said, **({} if layout is None else layout_agreement(pair.mask, layout))}
        mask = pair.mask
        if self._tidy:
            tidied = self._tidy(mask, pair.confidence)
            mask, told["tidy"] = tidied.mask, {**self._tidy.to_row(), "changed": tidied.changed}
            if self._tidy.marks_ignored:
                told["ignore_id"] = IGNORE
        faults = pair.faults
        if not broken(faults):
            named = [
                name for name in mentioned_classes(pair.prompt, self._bundle.words) if _shows(pair.mask, name, table)
            ]
            lacking = [name for name in (*named, *asked) if not _shows(mask, name, table)]
            faults = tuple(dict.fromkeys([*faults, *map(missing_class, lacking)]))
        return replace(pair, mask=mask, faults=faults, metadata=told)


def _shows(mask: NDArray[np.uint8], name: str, table: ClassTable) -> bool:
    return bool((mask == table.names.index(name)).any())


def layout_agreement(mask: NDArray[np.uint8], layout: NDArray[np.uint8]) -> dict[str, float]:
    """The share of pixels on which a mask and its layout, both uint8 (H, W), agree, and their mean IoU over the
    damage classes of the layout, or over the background of one that shows none; 4 digits."""
    classes = [int(class_id) for class_id in np.unique(layout) if class_id] or [0]
    ious = [
        float(((mask == each) & (layout == each)).sum() / ((mask == each) | (layout == each)).sum()) for each in classes
    ]
    return {"layout_agreement": round(float((mask == layout).mean()), 4), "layout_iou": round(float(np.mean(ious)), 4)}


class PhotoTask(PromptTask):
    """A task of asks of which some name a photograph, whose middle is taken at the pictures' size."""

    def drawn(self, part: Part, attempts: Iterator[tuple[int, int]], *, judge: bool) -> Iterator[Pair]:
        if not part.photos:
            return super().drawn(part, attempts, judge=judge)
        plan = self.bundle.plan(part.plan)

        def sheets(named: Sequence[tuple[int, int]]) -> list[InpaintJob]:
            return [self._sheet(plan, index, attempt) for index, attempt in named]

        painter, batch = Painter(self.generator, plan), self.generator.batch
        return draw_painted(self.generator, painter, sheets, attempts, at_once=batch, judge=judge)

    def _sheet(self, plan: Plan, index: int, attempt: int) -> InpaintJob:
        ask, layout = self.asks[index], self.layout(index)
        assert ask.photo is not None and layout is not None  # the checks have seen to both
        path = resolve(ask.photo, self.source)
        image = cropped(read_image(path, ask.photo), self.pixels)
        background = Background(image, {"photo": ask.photo, "sha256": file_sha256(path), "cropped": True})
        seed, number = self.key(index)
        how = SamplingParams(number, plan.name, self.guidance(ask), self.negative(ask))
        planned = damages_in_mask(layout.mask, self.bundle, ask.text, ask.severity)
        return InpaintJob(index, attempt, seed, number, ask.text, how, background, planned)
