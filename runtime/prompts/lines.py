"""One line of a prompts file: its cells as written, the checked line, and the requests that it stands for."""

import json
import re
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from wetgen.runtime.errors import FaultList, WetgenError, suggestion
from wetgen.runtime.prompts.mentions import mentioned_classes, severity_words, with_severity
from wetgen.runtime.prompts.template import CLASS, SEVERITY, Template, TemplateError, parse_template, permuted

TEXT = "prompt"  # the name of a line's text, beside the options
OPTIONS = ("count", "seed", "negative", "guidance", "plan", "class", "severity", "layout", "photo")
ALIASES = {"text": TEXT}  # dataset folders call it so
MOST_PAIRS = 10**7  # of a line
MOST_LISTED = 4096  # combinations of a text that are looked at one by one; thirty take a millisecond

ClassWords = Mapping[str, Sequence[str]]
"""The bundle's words for each class that it can draw; the first one stands for {class}."""


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
        fill = self._fill(classes[i_class], words)
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

    def _fill(self, asked: str | None, words: ClassWords) -> dict[str, str]:
        fill = {} if asked is None or not words[asked] else {CLASS: words[asked][0]}
        return fill if self.severity is None else {**fill, SEVERITY: severity_words(self.severity)}

    def mentioned_class(self, words: ClassWords) -> str | None:
        """The one class that every expansion of the text mentions.

        None if they mention none, several or different ones, and if they are too many to be looked at.
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

    def try_severity(self, asked: str | None, words: ClassWords) -> None:
        """Raises WetgenError if an expansion of the text has no place for the words of the line's severity."""
        assert self.severity is not None
        fill = self._fill(asked, words)
        for index in range(self.template.count):
            text, used = self.template.expand(index, fill)
            if SEVERITY not in used:
                with_severity(text, self.severity, words)


@dataclass(frozen=True)
class Cell:
    """A value as it was written, which begins at `line` and, in a .txt, at `column`; errors elsewhere name the option.

    `quoted` is for a value of a .txt in which \\" stands for a quote, `typed` for JSON, where a number is no text.
    """

    name: str
    value: Any
    line: int
    column: int | None = None
    quoted: bool = False
    typed: bool = False

    def report(self, faults: FaultList, what: str, *, why: str, fix: str, offset: int = 0) -> None:
        """Adds a fault of the value's character at `offset`."""
        if self.column is not None:
            escapes = self.value.count('"', 0, offset) if self.quoted else 0
            column = self.column + offset + escapes
            faults.add(self.line, f"{self.name}: {what}", why=why, fix=fix, column=column)
            return
        breaks = self.value.count("\n", 0, offset) if offset and not self.typed else 0
        character = f", character {offset + 1}" if offset else ""
        faults.add(self.line + breaks, f"{self.name}{character}: {what}", why=why, fix=fix)

    @property
    def lead(self) -> int:
        """How many blanks stand before a text."""
        return len(self.value) - len(self.value.lstrip())

    @property
    def shown(self) -> str:
        """The value as messages show it."""
        text = self.value.strip() if isinstance(self.value, str) else json.dumps(self.value)
        return repr(text if len(text) <= 40 else f"{text[:40]}...")


@dataclass(frozen=True)
class PromptRow:
    """One line of a prompts file before it is checked: the text and the options that it sets, by name."""

    line: int
    cells: Mapping[str, Cell]


def line_of(row: PromptRow, words: ClassWords, quota: Collection[str] | None, faults: FaultList) -> PromptLine | None:
    """The line that a row describes; None if something is wrong in it, all of which is added to `faults`.

    `quota` are the classes of the command's quota, None without one.
    """
    before = len(faults)
    values = {name: _value(cell, words, faults) for name, cell in row.cells.items()}
    if TEXT not in row.cells:
        faults.add(row.line, "there is no prompt.", why="options alone draw nothing.", fix=_WRITE_TEXT)
    if len(faults) > before:
        return None
    line = PromptLine(line=row.line, text=values.pop(TEXT), classes=values.pop("class", ()), **values)
    for cell, template in ((row.cells[TEXT], line.template), (row.cells.get("negative"), line.negative_template)):
        if cell is not None and template.placeholders:
            _check_placeholders(line, cell, template, words, quota, faults)
    if len(faults) == before and line.severity is not None:
        _check_severity(line, row.cells[TEXT], words, quota, faults)
    return line if len(faults) == before else None


_WRITE_TEXT = f"write the text: before the options in a .txt, as '{TEXT}' in a .csv or .jsonl."


def _value(cell: Cell, words: ClassWords, faults: FaultList) -> Any:
    try:
        return _classes(cell, words) if cell.name == "class" else _READERS[cell.name](cell)
    except BadValue as error:
        cell.report(faults, error.what, why=error.why, fix=error.fix, offset=error.offset)
        return None


def _check_placeholders(
    line: PromptLine,
    cell: Cell,
    template: Template,
    words: ClassWords,
    quota: Collection[str] | None,
    faults: FaultList,
) -> None:
    """Every placeholder of a template stands for something."""

    def report(name: str, what: str, *, why: str, fix: str) -> None:
        found = re.search(rf"\{{\s*{name}\s*\}}", cell.value)
        cell.report(faults, what, why=why, fix=fix, offset=0 if found is None else found.start())

    if CLASS in template.placeholders:
        if not line.classes and quota is None:
            report(
                CLASS,
                "{class} stands for no class.",
                why="neither the line nor a quota names one.",
                fix="give the line a class, such as mold or mold|stain, or run with --quota.",
            )
        for name in line.classes or quota or ():
            if not words[name]:
                report(
                    CLASS,
                    f"there is no word for {{class}} '{name}'.",
                    why="the bundle lists none for it.",
                    fix="write the damage out in the text.",
                )
    if SEVERITY in template.placeholders and line.severity is None:
        report(
            SEVERITY,
            "{severity} stands for no severity.",
            why="the line does not set one.",
            fix="give the line a severity from 0 to 1.",
        )


def _check_severity(
    line: PromptLine, cell: Cell, words: ClassWords, quota: Collection[str] | None, faults: FaultList
) -> None:
    """Every expansion has a place for the words of the severity; found now, not in the middle of a run."""
    assert line.severity is not None
    if SEVERITY in line.template.certain:
        return
    if line.template.count > MOST_LISTED:
        cell.report(
            faults,
            f"the place of '{severity_words(line.severity)}' is not clear.",
            why=f"the text has {line.template.count} combinations, and at most {MOST_LISTED} are searched for damage.",
            fix="write {severity} where the words are to stand.",
            offset=cell.lead,
        )
        return
    takes_class = CLASS in line.template.placeholders | line.negative_template.placeholders
    for asked in line.classes or (tuple(quota or ()) if takes_class else (None,)):
        try:
            line.try_severity(asked, words)
        except WetgenError as error:
            cell.report(faults, error.what, why=error.why, fix=error.fix, offset=cell.lead)
            return


class BadValue(Exception):
    """Why an option does not take a value, at a character of it."""

    def __init__(self, what: str, *, why: str, fix: str, offset: int = 0) -> None:
        super().__init__(what)
        self.what, self.why, self.fix, self.offset = what, why, fix, offset


_MOST_FLOAT32 = 2.0**128 - 2.0**104  # the network's guidance is float32
_WHOLE = re.compile(r"[+-]?[0-9]{1,400}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,9})?")


def _whole(least: int, most: int, meaning: str) -> Callable[[Cell], int]:
    """A reader of whole numbers from `least` to `most`."""

    def read(cell: Cell) -> int:
        value = cell.value
        if not cell.typed and _WHOLE.fullmatch(value.strip()):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadValue(f"{cell.shown} is no whole number.", why=f"{meaning}.", fix="write one, such as 3.")
        if not least <= value <= most:
            why = f"it must be from {least} to {most}; {meaning}."
            raise BadValue(f"{cell.shown} is out of range.", why=why, fix="write a number in that range.")
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
            raise BadValue(f"{cell.shown} is no number.", why=f"{limits}.", fix=fix)
        if not least <= value <= most:  # not so for NaN either
            raise BadValue(f"{cell.shown} is out of range.", why=f"{limits}.", fix="write a number in that range.")
        return float(value)

    return read


def _text(cell: Cell) -> str:
    if not isinstance(cell.value, str):
        raise BadValue(f"{cell.shown} is no text.", why=f"it is {json_kind(cell.value)}.", fix="put it into quotes.")
    return cell.value.strip()


def _name(meaning: str) -> Callable[[Cell], str]:
    """A reader of texts that must not be empty."""

    def read(cell: Cell) -> str:
        text = _text(cell)
        if not text:
            raise BadValue("it is empty.", why=f"it is {meaning}.", fix="write it, or leave it out.")
        return text

    return read


def _template(cell: Cell) -> str:
    text = _text(cell)
    try:
        parse_template(text)
    except TemplateError as error:
        raise BadValue(error.what, why=error.why, fix=error.fix, offset=cell.lead + error.offset) from error
    return text


def _prompt(cell: Cell) -> str:
    text = _template(cell)
    if not text:
        raise BadValue("there is none.", why="options alone draw nothing.", fix=_WRITE_TEXT)
    if parse_template(text).may_be_blank:
        why = "one of its expansions is empty, and an empty prompt asks for nothing."
        raise BadValue("it may come out empty.", why=why, fix="write something outside the alternatives.")
    return text


def _classes(cell: Cell, words: ClassWords) -> tuple[str, ...]:
    """The alternatives of `mold|stain`, all of them classes of the bundle."""
    if not isinstance(cell.value, str):
        why = f"it is {json_kind(cell.value)}; alternatives are written mold|stain."
        raise BadValue(f"{cell.shown} is no class.", why=why, fix="write the class's name in quotes.")
    names, at = [], 0
    for part in cell.value.split("|"):
        name = part.strip()
        if name not in words:
            raise _unknown_class(name, words, at + len(part) - len(part.lstrip()))
        names.append(name)
        at += len(part) + 1
    return tuple(names)


def _unknown_class(name: str, words: ClassWords, offset: int) -> BadValue:
    """The error for a name that is no class; one of a class's words, such as "mould", is answered with the class."""
    why = f"the bundle draws {', '.join(words)}." if words else "the bundle draws no masks."
    by_word = mentioned_classes(name, words)
    known = f"did you mean '{by_word[0]}'?" if by_word else suggestion(name, words)
    fix = known if words else "leave the class out."
    return BadValue(f"there is no class '{name}'." if name else "a name is empty.", why=why, fix=fix, offset=offset)


def _seed(cell: Cell) -> int:
    from wetgen.runtime.noise import SEED_LIMIT  # it needs numpy, which --help must not wait for

    return _whole(0, SEED_LIMIT - 1, "the noise of the line is drawn from it")(cell)


_READERS: dict[str, Callable[[Cell], Any]] = {
    TEXT: _prompt,
    "count": _whole(1, MOST_PAIRS, "so many pairs are drawn of the line"),
    "seed": _seed,
    "negative": _template,
    "guidance": _number(-_MOST_FLOAT32, _MOST_FLOAT32, "it scales the effect of the prompt and must be finite"),
    "plan": _name("the name of a plan"),
    "severity": _number(0, 1, "it must be from 0, the least, to 1, the most"),
    "layout": _name("the path of a mask"),
    "photo": _name("the path of a photograph"),
}


def json_kind(value: object) -> str:
    """What JSON calls a value."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    names: dict[type, str] = {str: "text", int: "a whole number", float: "a number", list: "a list", dict: "an object"}
    return names[type(value)]
