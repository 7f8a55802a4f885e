"""Templates: `a {white|cream} ceiling with {class}`, parsed into a tree whose expansions are numbered.

Nothing is listed: the number of expansions is a product of sums, and expansion i is found from i by division. The order
in which a line goes through its combinations is a permutation that needs no memory.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from itertools import count as counting

from wetgen.runtime.errors import suggestion

CLASS, SEVERITY = "class", "severity"
PLACEHOLDERS = (CLASS, SEVERITY)
MOST_DEEP = 20  # braces within braces; more is a mistake, or an attack on the stack
_TOKEN = re.compile(r"[^{}|]+|[{}|]")


class TemplateError(Exception):
    """Why a text is no template, at the character `offset`."""

    def __init__(self, offset: int, what: str, *, why: str, fix: str) -> None:
        super().__init__(what)
        self.offset, self.what, self.why, self.fix = offset, what, why, fix


@dataclass(frozen=True)
class Placeholder:
    name: str
    count = 1


class Pieces:
    """Texts, placeholders and variants in a row; the first variant is the lowest digit of an expansion's number."""

    def __init__(self) -> None:
        self.parts: list[str | Placeholder | Variant] = []

    @cached_property
    def count(self) -> int:
        return math.prod(part.count for part in self.parts if isinstance(part, Variant))

    def write(self, index: int, into: "list[str | Placeholder]") -> None:
        for part in self.parts:
            if isinstance(part, Variant):
                index, digit = divmod(index, part.count)
                part.write(digit, into)
            else:
                into.append(part)


class Variant:
    """Alternatives; the expansions of the first are numbered before those of the next."""

    def __init__(self) -> None:
        self.runs = [Pieces()]

    @cached_property
    def count(self) -> int:
        return sum(run.count for run in self.runs)

    def write(self, index: int, into: "list[str | Placeholder]") -> None:
        for run in self.runs:
            if index < run.count:
                run.write(index, into)
                return
            index -= run.count
        raise IndexError(index)


class Template:
    """A parsed text; `count` is the number of its expansions."""

    def __init__(self, text: str, run: Pieces) -> None:
        self.text, self._run = text, run
        self.count = run.count
        self.is_plain = "{" not in text and "}" not in text

    @cached_property
    def placeholders(self) -> frozenset[str]:
        """The names that must be filled in."""
        return frozenset(_placeholders(self._run))

    @cached_property
    def certain(self) -> frozenset[str]:
        """The placeholders that every expansion has."""
        return frozenset(name for name in PLACEHOLDERS if _always(name, self._run))

    @cached_property
    def may_be_blank(self) -> bool:
        """Whether an expansion may be nothing but blanks."""
        return _may_be_blank(self._run)

    def expand(self, index: int, fill: Mapping[str, str]) -> tuple[str, frozenset[str]]:
        """Expansion number `index`, and the placeholders in it.

        Several blanks in a row, such as an empty alternative leaves, become one; a text without braces stays as it is.
        """
        if self.is_plain:
            return self.text, frozenset()
        parts: list[str | Placeholder] = []
        self._run.write(index, parts)
        text = "".join(part if isinstance(part, str) else fill[part.name] for part in parts)
        return " ".join(text.split()), frozenset(part.name for part in parts if isinstance(part, Placeholder))


@lru_cache(maxsize=4096)
def parse_template(text: str) -> Template:
    """The template of a text without blanks around it. Raises TemplateError."""
    if "{" not in text and "}" not in text:
        run = Pieces()
        run.parts.append(text)
        return Template(text, run)
    return Template(text, _Parser(text).run())


class _Parser:
    """Reads a text from left to right; `_open` are the variants that are not closed yet, with their offsets.

    Outside braces {{ and }} are literal. Inside, every brace opens or closes, so that `{a|{b|c}}` can be written.
    """

    def __init__(self, text: str) -> None:
        self._text, self._outer = text, Pieces()
        self._open: list[tuple[int, Variant]] = []

    def run(self) -> Pieces:
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
                self._open[-1][1].runs.append(Pieces())
            else:
                self._parts.append(mark)
        if self._open:
            raise TemplateError(
                self._open[-1][0],
                "this { is never closed.",
                why="braces hold alternatives, {white|cream}, or a placeholder, {class}.",
                fix="close it with }; write {{ for a literal brace.",
            )
        return self._outer

    @property
    def _parts(self) -> "list[str | Placeholder | Variant]":
        return self._open[-1][1].runs[-1].parts if self._open else self._outer.parts

    def _begin(self, at: int) -> None:
        if len(self._open) == MOST_DEEP:
            raise TemplateError(
                at,
                f"braces are nested more than {MOST_DEEP} deep.",
                why="nobody could read that.",
                fix="write several lines instead.",
            )
        self._open.append((at, Variant()))

    def _end(self, at: int) -> None:
        if not self._open:
            raise TemplateError(
                at,
                "this } closes nothing.",
                why="there is no { before it; {{ and }} are literal braces.",
                fix="write }} for a literal brace, and { {a|b}|c} if alternatives begin with alternatives.",
            )
        begin, choice = self._open.pop()
        self._parts.append(choice if len(choice.runs) > 1 else _placeholder(self._text[begin + 1 : at], begin))


def _placeholder(inside: str, at: int) -> Placeholder:
    name = inside.strip()
    if name in PLACEHOLDERS:
        return Placeholder(name)
    raise TemplateError(
        at,
        f"there is no placeholder {{{name}}}." if name else "these braces are empty.",
        why=f"braces hold alternatives, {{white|cream}}, or a placeholder: {', '.join(PLACEHOLDERS)}.",
        fix=suggestion(name, PLACEHOLDERS) if name else "leave them out, or write {{}} for literal braces.",
    )


def _placeholders(run: Pieces) -> list[str]:
    found = [part.name for part in run.parts if isinstance(part, Placeholder)]
    inner = [deeper for part in run.parts if isinstance(part, Variant) for deeper in part.runs]
    return found + [name for deeper in inner for name in _placeholders(deeper)]


def _always(name: str, run: Pieces) -> bool:
    return any(
        all(_always(name, inner) for inner in part.runs)
        if isinstance(part, Variant)
        else isinstance(part, Placeholder) and part.name == name
        for part in run.parts
    )


def _may_be_blank(run: Pieces) -> bool:
    def blank(part: "str | Placeholder | Variant") -> bool:
        if isinstance(part, str):
            return not part.strip()
        return isinstance(part, Variant) and any(map(_may_be_blank, part.runs))

    return all(map(blank, run.parts))


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
