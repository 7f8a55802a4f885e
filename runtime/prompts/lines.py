"""What one pair is to be, every choice made.

Which line each pair of a run belongs to, computed from its index alone.

A line of a prompts file, checked but not expanded, and the asks that it stands for.

The values of a prompts file's cells: what each option takes, and what is wrong with what it does not take.

From the rows of a prompts file to its lines: what was written is checked where it stands.
"""

import json
import re
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple, Protocol, overload

from wetgen.runtime.errors import Faults, WetgenError, suggestion
from wetgen.runtime.prompts.mentions import mentioned_classes, severity_words, with_severity
from wetgen.runtime.prompts.template import CLASS, SEVERITY, Template, TemplateError, nth, parse_template
from wetgen.runtime.tables import TEXT, Cell, Row


@dataclass(frozen=True)
class PromptRequest:
    """One pair to be drawn. None means: as the run says.

    `line` counts from 1, `number` the pairs of this line that come before, over all rounds. With a `seed` the pair's
    noise is keyed by (seed, number), else by the run's seed and the pair's index. `asked` is the class that must be in
    the mask. `layout` and `photo` are paths as written; `source.resolve` says where they lie.
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
    """Asks that are computed when they are wanted, each from its place."""

    @abstractmethod
    def at(self, index: int) -> PromptRequest:
        """The ask at a place from 0 to the length less 1."""

    @overload
    def __getitem__(self, index: int) -> PromptRequest: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PromptRequest]: ...
    def __getitem__(self, index: int | slice) -> PromptRequest | Sequence[PromptRequest]:
        places = range(len(self))[index]
        return self.at(places) if isinstance(places, int) else [self.at(place) for place in places]


class Turn(NamedTuple):
    """The line at `place` of the list has its pair `number`, the `step`-th of the class `asked` by a quota, or None."""

    place: int
    number: int
    step: int
    asked: str | None


class Share(NamedTuple):
    """How many pairs the line at `place` has in all for the class `asked`."""

    place: int
    asked: str | None
    pairs: int


class Order(Protocol):
    """Turns by index."""

    def __len__(self) -> int: ...

    def turn(self, index: int) -> Turn: ...

    def shares(self) -> Sequence[Share]: ...


class Rounds:
    """The lines in order, each as often in a row as its count says; then all of it again, `rounds` times.

    So more rounds add pairs at the end and change none.
    """

    def __init__(self, counts: Sequence[int], rounds: int) -> None:
        self._counts, self._rounds = counts, rounds
        self._ends = list(accumulate(counts))

    def __len__(self) -> int:
        return self._rounds * self._ends[-1]

    def turn(self, index: int) -> Turn:
        rounds, within = divmod(index, self._ends[-1])
        place = bisect_right(self._ends, within)
        count = self._counts[place]
        number = rounds * count + within - (self._ends[place] - count)
        return Turn(place, number, number, None)

    def shares(self) -> list[Share]:
        return [Share(place, None, self._rounds * count) for place, count in enumerate(self._counts)]


Words = Mapping[str, Sequence[str]]
"""The bundle's words for each class that it can draw; the first one stands for {class}."""

MOST_LISTED = 4096  # combinations of a text that are looked at one by one; a millisecond per thirty


@dataclass(frozen=True, slots=True)
class Line:
    """`text` and `negative` are templates, `classes` the alternatives of the option class, empty where it is unsaid."""

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

    @property
    def placeholders(self) -> frozenset[str]:
        return self.template.placeholders | self.negative_template.placeholders

    def combinations(self, asked: str | None = None) -> int:
        """How many asks differ by more than their number: classes times text times negative.

        `asked` is the class that a quota asks for; the line's own alternatives are no choice then.
        """
        return len(self._classes(asked)) * self.template.count * self.negative_template.count

    def ask(self, number: int, step: int, asked: str | None, words: Words) -> PromptRequest:
        """The ask of the line's pair `number`, which is its `step`-th for the class that a quota asks for."""
        index = nth(step, self.combinations(asked), self.text)
        classes = self._classes(asked)
        index, digit = divmod(index, len(classes))  # the lowest digit, so that classes take turns
        return self._expand(number, index, classes[digit], words)

    def _expand(self, number: int, index: int, asked: str | None, words: Words) -> PromptRequest:
        index, digit = divmod(index, self.template.count)
        fill = self._fill(asked, words)
        text, used = self.template.expand(digit, fill)
        if self.severity is not None and SEVERITY not in used:
            text = with_severity(text, self.severity, words)
        return PromptRequest(
            line=self.line,
            text=text,
            number=number,
            seed=self.seed,
            negative=None if self.negative is None else self.negative_template.expand(index, fill)[0],
            guidance=self.guidance,
            plan=self.plan,
            asked=asked,
            severity=self.severity,
            layout=self.layout,
            photo=self.photo,
        )

    def _classes(self, asked: str | None) -> tuple[str | None, ...]:
        return (self.classes or (None,)) if asked is None else (asked,)

    def _fill(self, asked: str | None, words: Words) -> dict[str, str]:
        fill = {} if asked is None or not words[asked] else {CLASS: words[asked][0]}
        return fill if self.severity is None else {**fill, SEVERITY: severity_words(self.severity)}

    def said_class(self, words: Words) -> str | None:
        """The one class that every expansion of the text asks for by its words.

        None where they ask for none, for several or for different ones, and where they are too many to be looked at.
        """
        if self.template.count > MOST_LISTED or CLASS in self.template.placeholders:
            return None
        fill, first = self._fill(None, words), None
        for index in range(self.template.count):
            found = mentioned_classes(self.template.expand(index, fill)[0], words)
            if len(found) != 1 or first not in (None, found[0]):
                return None
            first = found[0]
        return first

    def try_severity(self, asked: str | None, words: Words) -> None:
        """Raise WetgenError if an expansion of the text has no place for the words of the line's severity."""
        assert self.severity is not None
        fill = self._fill(asked, words)
        for index in range(self.template.count):
            text, used = self.template.expand(index, fill)
            if SEVERITY not in used:
                with_severity(text, self.severity, words)


MOST_PAIRS = 10**7  # of a line
_MOST_FLOAT32 = 2.0**128 - 2.0**104  # the network's guidance is float32
_WHOLE = re.compile(r"[+-]?[0-9]{1,400}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,9})?")


class Wrong(Exception):
    """Why a value is none, at a character of it."""

    def __init__(self, what: str, *, why: str, fix: str, offset: int = 0) -> None:
        super().__init__(what)
        self.what, self.why, self.fix, self.offset = what, why, fix, offset


def read_value(name: str, cell: Cell, words: Words) -> Any:
    """The value of the option (or the text) `name`, of the type that `Line` has for it. Raises Wrong."""
    return _classes(cell, words) if name == "class" else _READERS[name](cell)


def _whole(least: int, most: int, meaning: str) -> Callable[[Cell], int]:
    """A reader of whole numbers from `least` to `most`."""

    def read(cell: Cell) -> int:
        value = cell.value
        if not cell.typed and _WHOLE.fullmatch(value.strip()):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise Wrong(f"{_shown(cell)} is no whole number.", why=f"{meaning}.", fix="write one, such as 3.")
        if not least <= value <= most:
            why = f"it runs from {least} to {most}; {meaning}."
            raise Wrong(f"{_shown(cell)} is out of range.", why=why, fix="write a number in that range.")
        return value

    return read


def _number(least: float, most: float, limits: str) -> Callable[[Cell], float]:
    """A reader of numbers from `least` to `most`."""

    def read(cell: Cell) -> float:
        value = cell.value
        if not cell.typed and (_NUMBER.fullmatch(value.strip()) or value.strip().lower() in ("nan", "inf", "-inf")):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            fix = "write one with a point, such as 0.8." if not cell.typed else "write one without quotes, such as 0.8."
            raise Wrong(f"{_shown(cell)} is no number.", why=f"{limits}.", fix=fix)
        if not least <= value <= most:  # not so for NaN either
            raise Wrong(f"{_shown(cell)} is out of range.", why=f"{limits}.", fix="write a number in that range.")
        return float(value)

    return read


def _text(cell: Cell) -> str:
    if not isinstance(cell.value, str):
        raise Wrong(f"{_shown(cell)} is no text.", why=f"it is {kind_of(cell.value)}.", fix="put it into quotes.")
    return cell.value.strip()


def _name(meaning: str) -> Callable[[Cell], str]:
    """A reader of texts that may not be empty."""

    def read(cell: Cell) -> str:
        text = _text(cell)
        if not text:
            raise Wrong("it is empty.", why=f"it is {meaning}.", fix="write it, or leave it out.")
        return text

    return read


def _template(cell: Cell) -> str:
    text = _text(cell)
    try:
        parse_template(text)
    except TemplateError as error:
        offset = lead(cell) + error.offset
        raise Wrong(error.what, why=error.why, fix=error.fix, offset=offset) from error
    return text


def _prompt(cell: Cell) -> str:
    text = _template(cell)
    if not text:
        fix = f"write the text: before the options in a .txt, as '{TEXT}' in a .csv or .jsonl."
        raise Wrong("there is none.", why="options alone draw nothing.", fix=fix)
    if parse_template(text).may_be_blank:
        why = "one of its expansions is empty, and an empty prompt asks for nothing."
        raise Wrong("it may come out empty.", why=why, fix="write something outside the alternatives.")
    return text


def _classes(cell: Cell, words: Words) -> tuple[str, ...]:
    """The alternatives of `mold|stain`, all of them classes of the bundle."""
    if not isinstance(cell.value, str):
        why = f"it is {kind_of(cell.value)}; alternatives are written mold|stain."
        raise Wrong(f"{_shown(cell)} is no class.", why=why, fix="write the class's name in quotes.")
    names, at = [], 0
    for part in cell.value.split("|"):
        name = part.strip()
        if name not in words:
            offset = at + len(part) - len(part.lstrip())
            raise _unknown_class(name, words, offset)
        names.append(name)
        at += len(part) + 1
    return tuple(names)


def _unknown_class(name: str, words: Words, offset: int = 0) -> Wrong:
    """The fault of a name that is no class; one of a class's words, such as "mould", is answered with the class."""
    why = f"the bundle draws {', '.join(words)}." if words else "the bundle draws no masks."
    by_word = mentioned_classes(name, words)
    fix = (
        "leave the class out." if not words else f"did you mean '{by_word[0]}'?" if by_word else suggestion(name, words)
    )
    return Wrong(f"there is no class '{name}'." if name else "a name is empty.", why=why, fix=fix, offset=offset)


def _seed(cell: Cell) -> int:
    from wetgen.runtime.noise import SEED_LIMIT  # it needs numpy, which --help must not wait for

    return _whole(0, SEED_LIMIT - 1, "the line's noise is drawn from it")(cell)


_READERS: dict[str, Callable[[Cell], Any]] = {
    TEXT: _prompt,
    "count": _whole(1, MOST_PAIRS, "so many pairs are drawn of the line"),
    "seed": _seed,
    "negative": _template,
    "guidance": _number(-_MOST_FLOAT32, _MOST_FLOAT32, "it scales the prompt's pull and must be finite"),
    "plan": _name("the name of a plan"),
    "severity": _number(0, 1, "it runs from 0, the least, to 1, the most"),
    "layout": _name("the path of a mask"),
    "photo": _name("the path of a photograph"),
}


def lead(cell: Cell) -> int:
    """How many blanks stand before a text."""
    return len(cell.value) - len(cell.value.lstrip())


def _shown(cell: Cell) -> str:
    return repr(_cut(cell.raw.strip()))


def _cut(text: str, most: int = 40) -> str:
    return text if len(text) <= most else text[:most] + "..."


def line_of(row: Row, words: Words, quota: Collection[str] | None, faults: Faults) -> Line | None:
    """The line that a row describes, or None with everything that is wrong in it told to `faults`.

    `quota` are the classes of the command's quota, None without one.
    """
    before = len(faults)
    values = {name: _value(name, cell, words, faults) for name, cell in row.cells.items()}
    if TEXT not in row.cells:
        faults.add(
            (row.line, 1),
            "there is no prompt.",
            why="options alone draw nothing.",
            fix=f"write the text: before the options in a .txt, as '{TEXT}' in a .csv or .jsonl.",
        )
    if len(faults) > before:
        return None
    line = Line(
        line=row.line,
        text=values.pop(TEXT),
        classes=values.pop("class", ()),
        **values,
    )
    _check_placeholders(line, row, words, quota, faults)
    if len(faults) == before and line.severity is not None:
        _check_severity(line, row, words, quota, faults)
    return line if len(faults) == before else None


def _value(name: str, cell: Cell, words: Words, faults: Faults) -> Any:
    try:
        return read_value(name, cell, words)
    except Wrong as wrong:
        faults.add(cell.place(wrong.offset), f"{name}: {wrong.what}", why=wrong.why, fix=wrong.fix)
        return None


def _check_placeholders(line: Line, row: Row, words: Words, quota: Collection[str] | None, faults: Faults) -> None:
    for cell, template in ((row.cells[TEXT], line.template), (row.cells.get("negative"), line.negative_template)):
        if cell is None:
            continue
        if CLASS in template.placeholders and not line.classes and quota is None:
            faults.add(
                _where(cell, CLASS),
                "{class} stands for no class.",
                why="neither the line nor a quota says one.",
                fix="give the line a class, such as mold or mold|stain, or run with --quota.",
            )
        for name in _candidates(line, quota) if CLASS in template.placeholders else ():
            if name is not None and not words[name]:
                faults.add(
                    _where(cell, CLASS),
                    f"there is no word for {{class}} '{name}'.",
                    why="the bundle lists none for it.",
                    fix="write the damage out in the text.",
                )
        if SEVERITY in template.placeholders and line.severity is None:
            faults.add(
                _where(cell, SEVERITY),
                "{severity} stands for no severity.",
                why="the line says none.",
                fix="give the line a severity from 0 to 1.",
            )


def _check_severity(line: Line, row: Row, words: Words, quota: Collection[str] | None, faults: Faults) -> None:
    """Every expansion has a place for the severity's words; found now, and not in the middle of a run."""
    assert line.severity is not None
    if SEVERITY in line.template.certain:
        return
    place = row.cells[TEXT].place(lead(row.cells[TEXT]))
    if line.template.count > MOST_LISTED:
        faults.add(
            place,
            f"the place of '{severity_words(line.severity)}' is not clear.",
            why=f"the text has {line.template.count} combinations, and at most {MOST_LISTED} are searched for damage.",
            fix="write {severity} where the words are to stand.",
        )
        return
    for asked in _candidates(line, quota):
        try:
            line.try_severity(asked, words)
        except WetgenError as error:
            faults.add(place, error.what, why=error.why, fix=error.fix)
            return


def _candidates(line: Line, quota: Collection[str] | None) -> tuple[str | None, ...]:
    """The classes that the line's {class} may stand for."""
    if line.classes or CLASS not in line.placeholders:
        return line.classes or (None,)
    return tuple(quota or ())


def _where(cell: Cell, name: str) -> tuple[int, int]:
    """The place of a placeholder's first mention."""
    found = re.search(rf"\{{\s*{name}\s*\}}", cell.value)
    return cell.place(0 if found is None else found.start())


def kind_of(value: object) -> str:
    """What JSON calls a value."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    names: dict[type, str] = {str: "text", int: "a whole number", float: "a number", list: "a list", dict: "an object"}
    return names[type(value)]
