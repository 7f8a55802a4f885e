"""Which classes of damage a prompt asks for, by the words that the bundle lists for each class."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

# Where a negation ends: at punctuation and at words that begin a new thought ("no cracks but a stain").
_CLAUSE = re.compile(
    r"[,.;:!?()\n]|\b(?:but|with|though|although|yet|only|and\s+(?:a|an|the|some|one))\b", re.IGNORECASE
)
_NEGATION = re.compile(r"\b(?:no|not|without|never|free\s+(?:of|from)|zero|neither)\b", re.IGNORECASE)


def asked_classes(prompt: str, words: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The class names whose words stand in the prompt, in the order of `words`.

    Words match whole and in any case, the longest first ("rust stain" is no "rust" if it is listed for another class).
    What a clause negates ("no mold", "without cracks or stains", "mold-free") does not count.
    """
    owners, pattern = _listed(tuple((name, tuple(listed)) for name, listed in words.items()))
    if not owners:
        return ()
    found = {owners[_normal(prompt[start:end])] for start, end in _places(prompt, pattern)}
    return tuple(name for name in words if name in found)


def first_asked(prompt: str, words: Mapping[str, Sequence[str]]) -> tuple[int, int] | None:
    """Start and end of the first damage word that the prompt asks for, found as in `asked_classes`; None for none."""
    owners, pattern = _listed(tuple((name, tuple(listed)) for name, listed in words.items()))
    return next(_places(prompt, pattern), None) if owners else None


def _places(prompt: str, pattern: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Start and end of every word that is asked for, clause by clause."""
    begin = 0
    for end, after in [*(separator.span() for separator in _CLAUSE.finditer(prompt)), (len(prompt), 0)]:
        for match in pattern.finditer(_affirmed(prompt[begin:end])):
            yield begin + match.start(), begin + match.end()
        begin = after


@lru_cache(maxsize=8)  # a bundle's words are asked for at every pair
def _listed(words: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[dict[str, str], re.Pattern[str]]:
    """The class of every normal word, and the pattern that finds the words in a clause."""
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
    """A pattern for a normal word that lets its parts be joined by spaces or hyphens."""
    return r"[\s-]+".join(map(re.escape, word.split(" ")))
