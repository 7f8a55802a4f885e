"""Sentences as people write them, to measure a generator by; no caption of the training data is like one of them."""

import json
from dataclasses import dataclass
from pathlib import Path

GROUPS = {
    "plain words": 20,
    "synonyms": 30,
    "terse notes": 20,
    "full sentences": 20,
    "typos": 10,
    "two or three damages": 30,
    "clean rooms": 15,
    "negation": 15,
}


@dataclass(frozen=True)
class Sentence:
    """A sentence, the classes a pair for it must show, those it must not, and the surface it names, if any."""

    text: str
    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]
    surface: str | None
    group: str


def read_sentences() -> tuple[Sentence, ...]:
    """All of them, in the order of the file beside this one."""
    rows = map(json.loads, Path(__file__).with_suffix(".jsonl").read_text(encoding="utf-8").splitlines())
    return tuple(
        Sentence(row["text"], tuple(row["wanted"]), tuple(row["unwanted"]), row["surface"], row["group"])
        for row in rows
    )
