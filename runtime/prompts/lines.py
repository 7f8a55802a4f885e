"""The checked lines of a prompts file, and the requests that they stand for, each computed when it is needed."""

import hashlib
import json
import sys
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import overload

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.prompts.quota import LineShare, Quota
from wetgen.runtime.prompts.text import (
    CLASS,
    SEVERITY,
    ClassWords,
    Template,
    mentioned_classes,
    parse_template,
    permuted,
    placeholder_texts,
    with_severity,
)

SEED_LIMIT = 2**63  # Philox takes 64-bit words; half of the range keeps seeds valid as signed integers elsewhere
MOST_LISTED = 4096  # combinations of a text that are looked at one by one; thirty take a millisecond


@dataclass(frozen=True)
class PromptRequest:
    """One pair to be drawn, with every choice made. None means: as the run says.

    `line` counts from 1; `number` counts the pairs of this line that come before, over all rounds. With a `seed` the
    noise of the pair is keyed by (seed, number), else by the seed of the run and the index of the pair. `asked` is the
    class that must be in the mask. `layout` and `photo` are paths as written; `read.resolve` says where the files lie.
    """

    line: int
    text: str
    number: int
    seed: int | None = None
    negative: str | None = None
    guidance: float | None = None
    plan: str | None = None
    asked: str | None = None
    severity: float | None = None
    layout: str | None = None
    photo: str | None = None


class LazyRequests(Sequence[PromptRequest]):
    """A sequence whose requests are computed when they are needed, each from its index."""

    @abstractmethod
    def at(self, index: int) -> PromptRequest:
        """The request at an index from 0 to the length less 1."""

    @overload
    def __getitem__(self, index: int) -> PromptRequest: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PromptRequest]: ...
    def __getitem__(self, index: int | slice) -> PromptRequest | Sequence[PromptRequest]:
        found = range(len(self))[index]
        return self.at(found) if isinstance(found, int) else [self.at(i) for i in found]


@dataclass(frozen=True, slots=True)
class PromptLine:
    """A checked line. `text` and `negative` are templates; `classes` are the alternatives of the option `class`."""

    line: int
    text: str
    count: int = 1
    seed: int | None = None
    negative: str | None = None
    guidance: float | None = None
    plan: str | None = None
    classes: tuple[str, ...] = ()
    severity: float | None = None
    layout: str | None = None
    photo: str | None = None

    @property
    def template(self) -> Template:
        return parse_template(self.text)

    @property
    def negative_template(self) -> Template:
        return parse_template("" if self.negative is None else self.negative)

    def combinations(self, asked: str | None = None) -> int:
        """How many requests differ by more than their number: classes times text times negative.

        `asked` is the class of a quota; it takes the place of the line's own alternatives.
        """
        return len(self._classes(asked)) * self.template.count * self.negative_template.count

    def request(self, number: int, step: int, asked: str | None, words: ClassWords) -> PromptRequest:
        """The request for the line's pair `number`, which is its `step`-th for the class `asked` of a quota."""
        classes = self._classes(asked)
        index = permuted(step, self.combinations(asked), self.text)
        index, i_class = divmod(index, len(classes))  # the lowest digit, so that classes take turns
        i_negative, i_text = divmod(index, self.template.count)
        fill = placeholder_texts(classes[i_class], self.severity, words)
        text, used = self.template.expand(i_text, fill)
        if self.severity is not None and SEVERITY not in used:
            text = with_severity(text, self.severity, words)
        return PromptRequest(
            line=self.line,
            text=text,
            number=number,
            seed=self.seed,
            negative=None if self.negative is None else self.negative_template.expand(i_negative, fill)[0],
            guidance=self.guidance,
            plan=self.plan,
            asked=classes[i_class],
            severity=self.severity,
            layout=self.layout,
            photo=self.photo,
        )

    def _classes(self, asked: str | None) -> tuple[str | None, ...]:
        return (self.classes or (None,)) if asked is None else (asked,)

    def mentioned_class(self, words: ClassWords) -> str | None:
        """The one class that every expansion of the text mentions.

        None if they mention none, several or different ones, and if they are too many to be looked at.
        """
        if self.template.count > MOST_LISTED or CLASS in self.template.placeholders:
            return None
        fill, first = placeholder_texts(None, self.severity, words), None
        for index in range(self.template.count):
            found = mentioned_classes(self.template.expand(index, fill)[0], words)
            if len(found) != 1 or first not in (None, found[0]):
                return None
            first = found[0]
        return first

    def try_severity(self, asked: str | None, words: ClassWords) -> None:
        """Raises WetgenError if an expansion of the text has no place for the words of the line's severity."""
        assert self.severity is not None
        fill = placeholder_texts(asked, self.severity, words)
        for index in range(self.template.count):
            text, used = self.template.expand(index, fill)
            if SEVERITY not in used:
                with_severity(text, self.severity, words)


class PromptFile(LazyRequests):
    """The requests of pairs 0, 1, 2, ... It holds the lines of the file, whatever the number of pairs.

    `names` is what errors call the source, `lines` the checked lines. They come in order, each as often in a row as its
    count says, and then all again, `rounds` times: more rounds add pairs at the end and change none. With a `quota` the
    lines are drawn so that each class gets its number of pairs.
    """

    def __init__(
        self,
        names: str,
        lines: Sequence[PromptLine],
        words: ClassWords,
        rounds: int = 1,
        quota: Mapping[str, int] | None = None,
    ) -> None:
        """Raises WetgenError for a quota that the lines cannot meet, and for more pairs than a run can have."""
        self.names, self.lines, self.words, self._rounds = names, lines, words, rounds
        self._ends = list(accumulate(line.count for line in lines))
        self._stated = "" if quota is None else json.dumps(quota)
        self._quota = None if quota is None else Quota(quota, _lines_by_class(lines, quota, words, names))
        self._total = rounds * self._ends[-1] if quota is None else sum(quota.values())
        if self._total > sys.maxsize:
            raise WetgenError(
                f"{names} asks for {self._total} pairs.", why="no run has so many.", fix="lower the counts."
            )

    def __len__(self) -> int:
        return self._total

    def at(self, index: int) -> PromptRequest:
        if self._quota is not None:
            i, number, step, asked = self._quota.turn(index)
            return self.lines[i].request(number, step, asked, self.words)
        rounds, within = divmod(index, self._ends[-1])
        i = bisect_right(self._ends, within)
        number = (rounds + 1) * self.lines[i].count + within - self._ends[i]
        return self.lines[i].request(number, number, None, self.words)

    def shares(self) -> list[LineShare]:
        """How many pairs each line has, by the classes of the quota."""
        if self._quota is not None:
            return self._quota.shares()
        return [LineShare(i, None, self._rounds * line.count) for i, line in enumerate(self.lines)]

    @property
    def lines_sha256(self) -> str:
        """A hash of what the lines say; comments, line numbers and the kind of file do not count."""
        names = [field.name for field in fields(PromptLine) if field.name != "line"]
        said = (json.dumps([getattr(line, name) for name in names]) + "\n" for line in self.lines)
        return hashlib.sha256("".join(said).encode()).hexdigest()

    @property
    def sha256(self) -> str:
        """A hash of all that decides the requests, whatever the rounds: the lines and the quota."""
        return hashlib.sha256(f"{self.lines_sha256}\n{self._stated}".encode()).hexdigest()


def _lines_by_class(
    lines: Sequence[PromptLine], quota: Mapping[str, int], words: ClassWords, name: str
) -> dict[str, dict[int, int]]:
    """For each class of a quota the lines that can draw it: their counts by index.

    They are the lines that name the class with their option; those with {class} in the text and no option, for every
    class; and those without an option whose text mentions this class and no other. Raises WetgenError for a class that
    no line can draw.
    """
    found: dict[str, dict[int, int]] = {asked: {} for asked in quota}
    for i, line in enumerate(lines):
        for asked in _drawable(line, quota, words):
            found[asked][i] = line.count
    for asked, weights in found.items():
        if not weights:
            raise WetgenError(
                f"No line of {name} can draw the quota's class '{asked}'.",
                why="a line draws a class if its option or {class} names it, or if its text mentions that class alone.",
                fix="add a line such as: a white wall with {class}",
            )
    return found


def _drawable(line: PromptLine, quota: Mapping[str, int], words: ClassWords) -> Sequence[str]:
    if line.classes:
        return [asked for asked in quota if asked in line.classes]
    if CLASS in line.template.placeholders:
        return list(quota)
    mentioned = line.mentioned_class(words)
    return [asked for asked in quota if asked == mentioned]
