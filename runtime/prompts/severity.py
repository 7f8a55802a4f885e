"""How severe the damage is to be, as words in the prompt: the text encoder knows no numbers."""

import re
from collections.abc import Mapping, Sequence

from wetgen.runtime.asked import first_asked
from wetgen.runtime.errors import WetgenError

# Words of the captions that the networks were trained on, for strength and for size.
_STEPS = ((0.2, "slight small"), (0.4, "slight"), (0.6, "moderate"), (0.8, "severe"))
_MOST = "severe large"
# What a damage word has before it where its noun phrase begins with an article: "a brown water stain".
_PHRASE = re.compile(r"\b(an?)(\s+)((?:(?!(?:a|an|the|of|on|in|at|with|and|or)\b)[\w-]+\s+){0,3})$", re.IGNORECASE)


def severity_words(severity: float) -> str:
    """The words for a severity of 0 to 1, in five steps of a fifth each."""
    return next((words for below, words in _STEPS if severity < below), _MOST)


def with_severity(text: str, severity: float, words: Mapping[str, Sequence[str]]) -> str:
    """A text with the words for a severity in front of the first damage that it asks for, and of its adjectives.

    `words` are the bundle's words per class. Adjectives are known by an article before them, and "an" becomes "a":
    "an old brown stain" is "a severe old brown stain", "old mold" is "old severe mold". Raises WetgenError for a text
    that asks for no damage.
    """
    found = first_asked(text, words)
    if found is None:
        raise WetgenError(
            "a severity needs a class.",
            why=f"{text!r} names no damage that it asks for, so nothing there can be severe.",
            fix="name the damage, write {severity} where its words are to stand, or leave the severity out.",
        )
    said = severity_words(severity)
    before, damage = text[: found[0]], text[found[0] :]
    phrase = _PHRASE.search(before)
    if phrase is None:
        return f"{before}{said} {damage}"
    article, blanks, adjectives = phrase.groups()
    return f"{before[: phrase.start()]}{article[0]}{blanks}{said} {adjectives}{damage}"
