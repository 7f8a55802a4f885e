"""All asks of a prompts file, in the order of the pairs, each computed when it is wanted."""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.prompts.ask import Ask, LazyAsks
from wetgen.runtime.prompts.cell import Row
from wetgen.runtime.prompts.csv_rows import csv_rows
from wetgen.runtime.prompts.faults import Faults
from wetgen.runtime.prompts.jsonl_rows import jsonl_rows
from wetgen.runtime.prompts.line import Line, Words
from wetgen.runtime.prompts.order import Order, Rounds
from wetgen.runtime.prompts.quota import Quota, Rotation, check_quota, serving
from wetgen.runtime.prompts.row_checks import line_of
from wetgen.runtime.prompts.source import STDIN, decode, no_prompts, read_source, source_name
from wetgen.runtime.prompts.txt_rows import txt_rows

_KINDS = {".csv": csv_rows, ".jsonl": jsonl_rows}  # everything else, and standard input, is read as .txt


class Asks(LazyAsks):
    """What pairs 0, 1, 2, ... are to be. It holds the lines of the file, whatever the number of pairs.

    `names` is what errors call the source, `lines` the checked lines, `rounds` how often they are gone through,
    `order` which of them each pair belongs to.
    """

    def __init__(
        self, names: str, lines: Sequence[Line], words: Words, count: int = 1, quota: Mapping[str, int] | None = None
    ) -> None:
        """Raises WetgenError for a count or a quota that the lines cannot serve."""
        self.names, self.lines, self.words, self.rounds, self.quota = names, lines, words, count, quota
        self.order: Order = _order(names, lines, words, count, quota)

    def __len__(self) -> int:
        return len(self.order)

    def at(self, index: int) -> Ask:
        place, number, step, asked = self.order.turn(index)
        return self.lines[place].ask(number, step, asked, self.words)

    @cached_property
    def lines_sha256(self) -> str:
        """A hash of what the lines say; comments, line numbers and the kind of file don't count."""
        said = [field.name for field in fields(Line) if field.name != "line"]
        hashed = hashlib.sha256()
        for line in self.lines:
            hashed.update(json.dumps([getattr(line, name) for name in said]).encode() + b"\n")
        return hashed.hexdigest()

    @cached_property
    def sha256(self) -> str:
        """A hash of everything that decides the asks of a bundle: the lines, the count and the quota."""
        quota = None if self.quota is None else list(self.quota.items())
        return hashlib.sha256(json.dumps([self.lines_sha256, self.rounds, quota]).encode()).hexdigest()


def _order(names: str, lines: Sequence[Line], words: Words, count: int, quota: Mapping[str, int] | None) -> Order:
    if quota is None:
        return Rounds([line.count for line in lines], count)
    served = serving(lines, quota, words, names)
    rotations = {name: Rotation({place: lines[place].count for place in places}) for name, places in served.items()}
    return Quota(quota, rotations)


class Reading(NamedTuple):
    """What a source says: the lines that are sound, everything that is wrong, and the asks if nothing is."""

    names: str
    lines: list[Line]
    faults: list[WetgenError]
    asks: Asks | None


def read_asks(source: str, words: Words, *, count: int = 1, quota: Mapping[str, int] | None = None) -> Asks:
    """The asks of a prompts file, or of standard input for "-", which is read as .txt.

    `words` are the bundle's words for each class; `count` repeats the file, `quota` says the pairs of each class in
    its place. Raises WetgenError for the first thing that is wrong.
    """
    reading = read_all(source, words, count=count, quota=quota)
    if reading.asks is None:
        raise reading.faults[0]
    return reading.asks


def check_asks(
    source: str, words: Words, *, count: int = 1, quota: Mapping[str, int] | None = None
) -> list[WetgenError]:
    """Everything for which `read_asks` would not read a source; empty where it would."""
    return read_all(source, words, count=count, quota=quota).faults


def read_all(source: str, words: Words, *, count: int = 1, quota: Mapping[str, int] | None = None) -> Reading:
    """Read a source and find all that is wrong with it."""
    names, lines, found = source_name(source), list[Line](), list[WetgenError]()
    try:
        _check_count(count)
        if quota is not None:
            check_quota(quota, count, words)
        data = read_source(source)
        faults = Faults(names)
        rows = _rows(source, decode(data, names), faults)
        lines = [line for row in rows if (line := line_of(row, words, quota, faults)) is not None]
        found += faults.in_order()
        if found:
            return Reading(names, lines, found, None)
        if not lines:
            raise no_prompts(names, _emptiness(source, data))
        asks = Asks(names, lines, words, count, quota)
        _check_total(asks)
        return Reading(names, lines, [], asks)
    except WetgenError as error:
        return Reading(names, lines, [*found, error], None)


def _rows(source: str, text: str, faults: Faults) -> Iterator[Row]:
    kind = "" if source == STDIN else Path(source).suffix.lower()
    return _KINDS.get(kind, txt_rows)(text, faults)


def _emptiness(source: str, data: bytes) -> str:
    if not data.strip():
        return "it is empty"
    reasons = {".csv": "it has a header and no row below", ".jsonl": "every line is blank"}
    kind = "" if source == STDIN else Path(source).suffix.lower()
    return reasons.get(kind, "every line is blank or begins with #")


def _check_count(count: int) -> None:
    if count < 1:
        raise WetgenError(f"The count is {count}.", why="it is the number of pairs per prompt.", fix="use 1 or more.")


def _check_total(asks: Asks) -> None:
    total = sum(share.pairs for share in asks.order.shares())
    if total > sys.maxsize:
        raise WetgenError(f"{asks.names} asks for {total} pairs.", why="no run has so many.", fix="lower the counts.")
