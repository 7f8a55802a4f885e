"""A line of a prompts file, checked but not expanded, and the asks that it stands for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wetgen.runtime.asked import asked_classes
from wetgen.runtime.prompts.ask import Ask
from wetgen.runtime.prompts.mixing import nth
from wetgen.runtime.prompts.severity import severity_words, with_severity
from wetgen.runtime.prompts.template import CLASS, SEVERITY, Template, parse_template

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

    def ask(self, number: int, step: int, asked: str | None, words: Words) -> Ask:
        """The ask of the line's pair `number`, which is its `step`-th for the class that a quota asks for."""
        index = nth(step, self.combinations(asked), self.text)
        classes = self._classes(asked)
        index, digit = divmod(index, len(classes))  # the lowest digit, so that classes take turns
        return self._expand(number, index, classes[digit], words)

    def _expand(self, number: int, index: int, asked: str | None, words: Words) -> Ask:
        index, digit = divmod(index, self.template.count)
        fill = self._fill(asked, words)
        text, used = self.template.expand(digit, fill)
        if self.severity is not None and SEVERITY not in used:
            text = with_severity(text, self.severity, words)
        return Ask(
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
            found = asked_classes(self.template.expand(index, fill)[0], words)
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
