"""What the text of a prompt says: its alternatives and placeholders, the classes it mentions, and how severe they are.

A template, `a {white|cream} ceiling with {class}`, is parsed into a tree whose expansions are numbered. Nothing is
listed: the number of expansions is a product of sums, and expansion i is found from i by division. The order in which a
line goes through its combinations is a permutation that needs no memory.

The text encoder knows no numbers, so a severity becomes words in the prompt.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from itertools import count as counting

from wetgen.runtime.errors import WetgenError, suggestion

ClassWords = Mapping[str, Sequence[str]]
"""The bundle's words for each class that it can draw; the first one stands for {class}."""

CLASS, SEVERITY = "class", "severity"
PLACEHOLDERS = (CLASS, SEVERITY)
MOST_DEEP = 20  # braces within braces; more is a mistake, or an attack on the stack
_TOKEN = re.compile(r"[^{}|]+|[{}|]")


class BadText(Exception):
    """Why a text cannot be what it should be, at the character `offset`."""

    def __init__(self, what: str, *, why: str, fix: str, offset: int = 0) -> None:
        super().__init__(what)
        self.what, self.why, self.fix, self.offset = what, why, fix, offset


@dataclass(frozen=True)
class Placeholder:
    name: str


class Variant:
    """Alternatives; the expansions of the first are numbered before those of the next."""

    def __init__(self) -> None:
        self.runs: list[_Run] = [[]]

    @cached_property
    def count(self) -> int:
        return sum(map(_count, self.runs))


_Part = str | Placeholder | Variant
_Run = list[_Part]  # the first variant is the lowest digit of an expansion's number


class Template:
    """A parsed text. `count` is the number of its expansions, `placeholders` are the names that must be filled in."""

    def __init__(self, text: str, run: _Run) -> None:
        self.text, self._run = text, run
        self.count = _count(run)
        self.placeholders = frozenset(_placeholders(run))

    @cached_property
    def certain(self) -> frozenset[str]:
        """The placeholders that every expansion has."""
        return frozenset(name for name in self.placeholders if _always(name, self._run))

    @property
    def may_be_blank(self) -> bool:
        """Whether an expansion may be nothing but blanks."""
        return _may_be_blank(self._run)

    def expand(self, index: int, fill: Mapping[str, str]) -> tuple[str, frozenset[str]]:
        """Expansion number `index`, and the placeholders in it.

        Several blanks in a row, such as an empty alternative leaves, become one; a text without braces stays as it is.
        """
        if self._run == [self.text]:
            return self.text, frozenset()
        parts = list(_expanded(self._run, index))
        text = "".join(part if isinstance(part, str) else fill[part.name] for part in parts)
        return " ".join(text.split()), frozenset(part.name for part in parts if isinstance(part, Placeholder))


@lru_cache(maxsize=4096)
def parse_template(text: str) -> Template:
    """The template of a text without blanks around it. Raises BadText."""
    return Template(text, _Parser(text).run() if "{" in text or "}" in text else [text])


class _Parser:
    """Reads a text from left to right; `_open` are the variants that are not closed yet, with their offsets.

    Outside braces {{ and }} are literal. Inside, every brace opens or closes, so that `{a|{b|c}}` can be written.
    """

    def __init__(self, text: str) -> None:
        self._text, self._outer = text, list[_Part]()
        self._open: list[tuple[int, Variant]] = []

    def run(self) -> _Run:
        at = 0
        while token := _TOKEN.match(self._text, at):
            mark = token[0]
            at = token.end()
            if not self._open and mark in "{}" and self._text.startswith(mark, at):
                self._parts.append(mark)
                at += 1
            elif mark == "{":
                self._begin(token.start())
            elif mark == "}":
                self._end(token.start())
            elif mark == "|" and self._open:
                self._open[-1][1].runs.append([])
            else:
                self._parts.append(mark)
        if self._open:
            raise BadText(
                "this { is never closed.",
                why="braces hold alternatives, {white|cream}, or a placeholder, {class}.",
                fix="close it with }; write {{ for a literal brace.",
                offset=self._open[-1][0],
            )
        return self._outer

    @property
    def _parts(self) -> _Run:
        return self._open[-1][1].runs[-1] if self._open else self._outer

    def _begin(self, at: int) -> None:
        if len(self._open) == MOST_DEEP:
            what = f"braces are nested more than {MOST_DEEP} deep."
            raise BadText(what, why="nobody could read that.", fix="write several lines instead.", offset=at)
        self._open.append((at, Variant()))

    def _end(self, at: int) -> None:
        if not self._open:
            raise BadText(
                "this } closes nothing.",
                why="there is no { before it; {{ and }} are literal braces.",
                fix="write }} for a literal brace, and { {a|b}|c} if alternatives begin with alternatives.",
                offset=at,
            )
        begin, choice = self._open.pop()
        self._parts.append(choice if len(choice.runs) > 1 else _placeholder(self._text[begin + 1 : at], begin))


def _placeholder(inside: str, at: int) -> Placeholder:
    name = inside.strip()
    if name in PLACEHOLDERS:
        return Placeholder(name)
    raise BadText(
        f"there is no placeholder {{{name}}}." if name else "these braces are empty.",
        why=f"braces hold alternatives, {{white|cream}}, or a placeholder: {', '.join(PLACEHOLDERS)}.",
        fix=suggestion(name, PLACEHOLDERS) if name else "leave them out, or write {{}} for literal braces.",
        offset=at,
    )


def _count(run: _Run) -> int:
    return math.prod(part.count for part in run if isinstance(part, Variant))


def _expanded(run: _Run, index: int) -> Iterator[str | Placeholder]:
    """The parts of expansion `index` of a run."""
    for part in run:
        if not isinstance(part, Variant):
            yield part
            continue
        index, digit = divmod(index, part.count)
        for inner in part.runs:
            if digit < _count(inner):
                yield from _expanded(inner, digit)
                break
            digit -= _count(inner)


def _placeholders(run: _Run) -> Iterator[str]:
    for part in run:
        if isinstance(part, Placeholder):
            yield part.name
        elif isinstance(part, Variant):
            for inner in part.runs:
                yield from _placeholders(inner)


def _always(name: str, run: _Run) -> bool:
    return Placeholder(name) in run or any(
        all(_always(name, inner) for inner in part.runs) for part in run if isinstance(part, Variant)
    )


def _may_be_blank(run: _Run) -> bool:
    return all(
        any(map(_may_be_blank, part.runs)) if isinstance(part, Variant) else isinstance(part, str) and not part.strip()
        for part in run
    )


_GOLDEN = 618033988749894848204586834365638, 10**33  # (sqrt(5) - 1) / 2 as a fraction, for counts beyond floats


def permuted(step: int, count: int, text: str) -> int:
    """Which of `count` combinations the `step`-th pair of a line takes: each comes once before any comes again.

    (a * step + b) mod count is a bijection if a and count have no common divisor. With a near count / golden ratio
    successive steps lie far apart (Weyl's sequence of the number that is hardest to approximate), so that every
    alternative comes early. b is a hash of the text, so that similar lines begin at different combinations.
    """
    if count == 1:
        return 0
    a, b = _mixing(count, text)
    return (a * step + b) % count


@lru_cache(maxsize=4096)
def _mixing(count: int, text: str) -> tuple[int, int]:
    near = (count * _GOLDEN[0] + _GOLDEN[1] // 2) // _GOLDEN[1]
    a = next(a for away in counting() for a in (near + away, near - away) if a > 0 and math.gcd(a, count) == 1)
    return a, int.from_bytes(sha256(text.encode()).digest(), "big") % count


# Where a negation ends: at punctuation and at words that begin a new thought ("no cracks but a stain").
_CLAUSE = re.compile(
    r"[,.;:!?()\n]|\b(?:but|with|though|although|yet|only|and\s+(?:a|an|the|some|one))\b", re.IGNORECASE
)
_NEGATION = re.compile(r"\b(?:no|not|without|never|free\s+(?:of|from)|zero|neither)\b", re.IGNORECASE)


def mentioned_classes(prompt: str, words: ClassWords) -> tuple[str, ...]:
    """The classes whose words occur in the prompt, in the order of `words`.

    Words match as a whole and in any case, the longest first ("rust stain" is no "rust" if another class lists it).
    What a clause negates ("no mold", "without cracks or stains", "mold-free") does not count.
    """
    owners, pattern = _listed(tuple((name, tuple(listed)) for name, listed in words.items()))
    if not owners:
        return ()
    found = {owners[_normal(prompt[start:end])] for start, end in _mentions(prompt, pattern)}
    return tuple(name for name in words if name in found)


def first_mention(prompt: str, words: ClassWords) -> tuple[int, int] | None:
    """Start and end of the first damage word that `mentioned_classes` would find in the prompt, or None."""
    owners, pattern = _listed(tuple((name, tuple(listed)) for name, listed in words.items()))
    return next(_mentions(prompt, pattern), None) if owners else None


def _mentions(prompt: str, pattern: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Start and end of every damage word that is not negated, clause by clause."""
    begin = 0
    for end, after in [*(separator.span() for separator in _CLAUSE.finditer(prompt)), (len(prompt), 0)]:
        for match in pattern.finditer(_affirmed(prompt[begin:end])):
            yield begin + match.start(), begin + match.end()
        begin = after


@lru_cache(maxsize=8)  # every pair needs the words of its bundle
def _listed(words: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[dict[str, str], re.Pattern[str]]:
    """The class of every normalised word, and the pattern that finds the words in a clause."""
    owners = {_normal(word): name for name, listed in words for word in listed}
    longest_first = sorted(owners, key=len, reverse=True)
    pattern = rf"\b(?:{'|'.join(map(_spaced, longest_first))})\b(?![\s-]+free\b)"
    return owners, re.compile(pattern, re.IGNORECASE)


def _affirmed(clause: str) -> str:
    """The part of a clause before its first negation."""
    return _NEGATION.split(clause, maxsplit=1)[0]


def _normal(word: str) -> str:
    return re.sub(r"[\s-]+", " ", word.strip().lower())


def _spaced(word: str) -> str:
    """A pattern for a normalised word, whose parts may be joined by spaces or hyphens."""
    return r"[\s-]+".join(map(re.escape, word.split(" ")))


# Words of the captions that the networks were trained on, for strength and for size.
_STEPS = ((0.2, "slight small"), (0.4, "slight"), (0.6, "moderate"), (0.8, "severe"))
_MOST = "severe large"
# What comes before the damage word in a noun phrase with an article: "a brown water stain".
_PHRASE = re.compile(r"\b(an?)(\s+)((?:(?!(?:a|an|the|of|on|in|at|with|and|or)\b)[\w-]+\s+){0,3})$", re.IGNORECASE)


def severity_words(severity: float) -> str:
    """The words for a severity of 0 to 1, in five steps of a fifth each."""
    return next((words for below, words in _STEPS if severity < below), _MOST)


def placeholder_texts(asked: str | None, severity: float | None, words: ClassWords) -> dict[str, str]:
    """What {class} and {severity} stand for, where a class is `asked` for and a severity stated."""
    texts = {} if asked is None or not words[asked] else {CLASS: words[asked][0]}
    return texts if severity is None else {**texts, SEVERITY: severity_words(severity)}


def with_severity(text: str, severity: float, words: ClassWords) -> str:
    """A text with the words for a severity in front of the first damage that it mentions.

    `words` are the bundle's words per class. After an article they go before the adjectives, and "an" becomes "a": "an
    old brown stain" is "a severe old brown stain", but "old mold" is "old severe mold". Raises WetgenError for a text
    that mentions no damage.
    """
    found = first_mention(text, words)
    if found is None:
        raise WetgenError(
            "a severity needs a class.",
            why=f"{text!r} names no damage, so nothing in it can be severe.",
            fix="name the damage, write {severity} where the words belong, or leave the severity out.",
        )
    severe = severity_words(severity)
    before, damage = text[: found[0]], text[found[0] :]
    phrase = _PHRASE.search(before)
    if phrase is None:
        return f"{before}{severe} {damage}"
    article, blanks, adjectives = phrase.groups()
    return f"{before[: phrase.start()]}{article[0]}{blanks}{severe} {adjectives}{damage}"
