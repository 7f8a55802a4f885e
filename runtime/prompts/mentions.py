"""The classes that a prompt mentions, by the bundle's words for each class, and the words for a severity.

The text encoder knows no numbers, so a severity becomes words in the prompt.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from wetgen.runtime.errors import WetgenError

# Where a negation ends: at punctuation and at words that begin a new thought ("no cracks but a stain").
_CLAUSE = re.compile(
    r"[,.;:!?()\n]|\b(?:but|with|though|although|yet|only|and\s+(?:a|an|the|some|one))\b", re.IGNORECASE
)
_NEGATION = re.compile(r"\b(?:no|not|without|never|free\s+(?:of|from)|zero|neither)\b", re.IGNORECASE)


def mentioned_classes(prompt: str, words: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The classes whose words occur in the prompt, in the order of `words`.

    Words match as a whole and in any case, the longest first ("rust stain" is no "rust" if another class lists it).
    What a clause negates ("no mold", "without cracks or stains", "mold-free") does not count.
    """
    owners, pattern = _listed(tuple((name, tuple(listed)) for name, listed in words.items()))
    if not owners:
        return ()
    found = {owners[_normal(prompt[start:end])] for start, end in _mentions(prompt, pattern)}
    return tuple(name for name in words if name in found)


def first_mention(prompt: str, words: Mapping[str, Sequence[str]]) -> tuple[int, int] | None:
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


def with_severity(text: str, severity: float, words: Mapping[str, Sequence[str]]) -> str:
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
