"""`wetgen run --counterfactual`: families of pairs that differ in one thing, linked by an id in their rows.

clean       the surface of each prompt without damage, and with it
severity    without damage, and at five severities, each of which holds the damage of the ones before
OLD=NEW     each prompt, and the same with one word changed, from the same noise

Where damage comes and goes, it is painted into the same undamaged picture: all else is equal to the byte.
"""

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from wetgen.runtime.bundle.schedule import Plan
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.inpaint.backgrounds import Background, Surface, draw_surfaces
from wetgen.runtime.inpaint.damage import damages_in_mask
from wetgen.runtime.inpaint.draw import InpaintJob, draw_painted
from wetgen.runtime.inpaint.painter import Painter
from wetgen.runtime.prompts import PromptRequest
from wetgen.runtime.prompts.lines import LazyRequests
from wetgen.runtime.prompts.mentions import mentioned_classes, with_severity
from wetgen.runtime.run.tasks import Layout, Part, PromptTask
from wetgen.runtime.sampling.conditioning import undamaged
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.pair import Pair, SamplingParams

STEPS = (0.2, 0.4, 0.6, 0.8, 1.0)  # of severity
_SEVERITY = 0.6  # of damage whose severity nobody says
_CLEAN = "a surface without damage"


class Member(NamedTuple):
    """One of a family: what its row calls it, and its severity; None is without damage."""

    name: str
    severity: float | None


def task_of(kind: str, task: PromptTask) -> PromptTask:
    """The task with a family in place of each of its pairs; raises WetgenError for a kind that there is not."""
    given = {name: getattr(task, name) for name in ("asks", "settings", "source", "truncate", "size", "lines", "how")}
    if kind == "clean":
        return FamilyTask(**given, members=(Member("clean", None), Member("damaged", _SEVERITY)), keep_severity=True)
    if kind == "severity":
        steps = [Member(f"severity {step:g}", step) for step in STEPS]
        return FamilyTask(**given, members=(Member("clean", None), *steps))
    old, equals, new = kind.partition("=")
    if not (equals and old.strip() and new.strip()):
        raise WetgenError(
            f"There is no counterfactual '{kind}'.",
            why="it is clean, severity, or a word and what it becomes.",
            fix="write --counterfactual clean, --counterfactual severity, or --counterfactual white=grey",
        )
    return SwapTask(**given, old=old.strip(), new=new.strip())


@dataclass
class FamilyTask(PromptTask):
    """Pair `index` is member `index % len(members)` of the family of ask `index // len(members)`.

    With `keep_severity` an ask's own severity is that of every damaged member.
    """

    members: Sequence[Member] = ()
    keep_severity: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.total = len(self.asks) * len(self.members)

    def begin(self, generator: Generator) -> None:
        super().begin(generator)
        self._clean = undamaged(self.bundle.sizes, self.cells)
        self._backgrounds = lru_cache(maxsize=2 * generator.batch)(self._background)

    def part_of(self, index: int) -> Hashable:
        return super().part_of(index // len(self.members))

    def check_layout(self, ask: PromptRequest) -> None:
        _refuse_photo(ask)
        if ask.severity is not None and not self.keep_severity:
            raise WetgenError(
                "A severity is given, and --counterfactual severity draws all of them.",
                why="one of the two says how severe the damage is.",
                fix="leave the severity out of the line.",
            )
        super().check_layout(ask if ask.layout is not None else replace(ask, severity=_SEVERITY))

    def draw(self, part: Hashable, attempts: Iterator[tuple[int, int]], *, judge: bool) -> Iterator[Pair]:
        assert isinstance(part, Part)
        plan = self.bundle.plan(part.plan)
        painter, batch = Painter(self.generator, plan), self.generator.batch

        def sheets(named: Sequence[tuple[int, int]]) -> list[InpaintJob]:
            return [self._sheet(plan, index, attempt) for index, attempt in named]

        for pair in draw_painted(self.generator, painter, sheets, attempts, at_once=batch, judge=judge):
            yield self.finish(pair, {})

    def _sheet(self, plan: Plan, index: int, attempt: int) -> InpaintJob:
        family, place = divmod(index, len(self.members))
        ask, member, (seed, number) = self.asks[family], self.members[place], self.key(family)
        background = self._backgrounds(plan.name, family, attempt)
        how = SamplingParams(number, plan.name, self.guidance(ask), self.negative(ask))
        said: dict[str, object] = {
            "scene": f"{seed}-{number}",
            "counterfactual": {"family": f"{seed}-{number}", "member": member.name, "prompt": ask.text},
        }
        said |= {} if ask.asked is None else {"class": ask.asked}
        said |= {} if self.size is None else {"size": list(self.size)}
        if member.severity is None:
            return InpaintJob(index, attempt, seed, number, _CLEAN, how, background, [], metadata=said)
        severity = ask.severity if self.keep_severity and ask.severity is not None else member.severity
        said["severity"] = severity
        layout = self._member_layout(ask, (seed, number), severity)
        text = ask.text if ask.severity is not None else self._graded(ask.text, severity)
        planned = damages_in_mask(layout.mask, self.bundle, text, severity)
        return InpaintJob(index, attempt, seed, number, text, how, background, planned, metadata=said)

    def _member_layout(self, ask: PromptRequest, key: tuple[int, int], severity: float) -> Layout:
        return self._file_layout(ask.layout) if ask.layout is not None else self.drawn_layout(ask, key, severity)

    def _graded(self, text: str, severity: float) -> str:
        """The prompt with the words of a severity, where it names the damage."""
        return with_severity(text, severity, self.bundle.words) if mentioned_classes(text, self.bundle.words) else text

    def _background(self, plan: str, family: int, attempt: int) -> Background:
        """The undamaged picture of a family: that of its first try that came out undamaged, whoever asks."""
        ask, (seed, number) = self.asks[family], self.key(family)
        scale, negative, steps = self.guidance(ask), self.negative(ask), self.bundle.plan(plan)
        for earlier in range(attempt + 1):
            surface = Surface(ask.text, seed, number, earlier, scale, negative, self.cells)
            (made,) = draw_surfaces(self.generator.tiled(steps), steps, [surface], self._clean)
            if not made.damaged:
                break
        return made


@dataclass
class SwapTask(PromptTask):
    """Pairs 2i and 2i + 1 are those of ask i as it is and with one word changed, drawn from the same noise."""

    old: str = ""
    new: str = ""

    def __post_init__(self) -> None:
        self.asks = Swapped(self.asks, self.old, self.new)
        super().__post_init__()

    def key(self, index: int) -> tuple[int, int]:
        ask = self.asks[index]
        return (self.settings.seed, index // 2) if ask.seed is None else (ask.seed, ask.number)

    def said(self, index: int, layout: Layout | None) -> dict[str, object]:
        seed, number = self.key(index)
        member = f"{self.old}={self.new}" if index % 2 else "as asked"
        family = {"family": f"{seed}-{number}", "member": member}
        return {**super().said(index, layout), "scene": f"{seed}-{number}", "counterfactual": family}

    def check_layout(self, ask: PromptRequest) -> None:
        _refuse_photo(ask)
        super().check_layout(ask)

    def check(self, ask: PromptRequest) -> None:
        super().check(ask)
        if not _word(self.old).search(ask.text) and not _word(self.new).search(ask.text):
            raise WetgenError(
                f"{self.source}, line {ask.line}: '{self.old}' does not stand in the prompt.",
                why=f"it is {ask.text!r}, and --counterfactual {self.old}={self.new} changes that word.",
                fix="name a word of every prompt, or draw the others in a run of their own.",
            )


def _refuse_photo(ask: PromptRequest) -> None:
    if ask.photo is not None:
        raise WetgenError(
            "A photograph has no counterfactual.",
            why="--counterfactual draws the undamaged picture itself.",
            fix="use `wetgen paint`, which keeps the photograph as it is.",
        )


class Swapped(LazyRequests):
    """Each ask twice: as it is, and with one word changed."""

    def __init__(self, asks: Sequence[PromptRequest], old: str, new: str) -> None:
        self._asks, self._old, self._new = asks, _word(old), new

    def __len__(self) -> int:
        return 2 * len(self._asks)

    def at(self, index: int) -> PromptRequest:
        place, changed = divmod(index, 2)
        ask = self._asks[place]
        return replace(ask, text=self._old.sub(lambda _: self._new, ask.text)) if changed else ask


def _word(word: str) -> "re.Pattern[str]":
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
