"""classes.csv: which damages are painted, how often, how large, how severe.

class (needed), prompt, probability (of a picture to have it, 0 to 1), least_count, most_count, least_size, most_size
(shares of the picture's area), least_aspect, most_aspect (width to height), least_severity, most_severity (0 to 1),
overlap (never, any, or the greatest intersection over union).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.placing.place import Overlap, Wish
from wetgen.runtime.placing.severity import area_for
from wetgen.runtime.placing.statistics import ClassStatistics
from wetgen.runtime.placing.table import Column, TableRow, read_table

_RANGES = ("count", "size", "aspect", "severity")
COLUMNS = {
    "class": Column(required=True, filled=True),
    "prompt": Column(),
    "probability": Column(),
    **{f"{end}_{name}": Column() for name in _RANGES for end in ("least", "most")},
    "overlap": Column(),
}
MOST = 50  # damages of one class in a picture
_FILLED = 0.35  # of its box that damage covers, about
_ASPECT = (0.6, 1.7)


@dataclass(frozen=True)
class DamageClass:
    """A row of classes.csv."""

    name: str
    prompt: str
    probability: float
    count: tuple[int, int]
    size: tuple[float, float]
    aspect: tuple[float, float]
    severity: tuple[float, float]
    overlap: Overlap

    def wishes(self, rng: np.random.Generator) -> list[Wish]:
        """What a picture is to have of it, drawn at random."""
        there = float(rng.random()) < self.probability
        count = int(rng.integers(self.count[0], self.count[1], endpoint=True))
        severities = rng.uniform(*self.severity, size=count)
        wishes = [Wish(self.name, self.size, self.aspect, float(each), self.overlap) for each in severities]
        return wishes if there else []


def read_classes(
    path: Path, names: Sequence[str], words: Mapping[str, Sequence[str]], statistics: Mapping[str, ClassStatistics]
) -> list[DamageClass]:
    """The rows of classes.csv; `names` are the classes there are. Raises WetgenError with line and column."""
    rows = [_row(row, names, words, statistics) for row in read_table(path, COLUMNS)]
    if not rows:
        raise WetgenError(
            f"{path} holds no classes.", why="there is nothing below its header.", fix="write one a line: stain"
        )
    return rows


def _row(
    row: TableRow, names: Sequence[str], words: Mapping[str, Sequence[str]], statistics: Mapping[str, ClassStatistics]
) -> DamageClass:
    name = row.one_of("class", names)
    probability = row.number("probability", 0, 1)
    usual = tuple(min(0.5, area_for(statistics.get(name), severity) / _FILLED) for severity in (0.25, 0.75))
    counts = _range(row, "count", (1.0, 1.0), 0, MOST)
    for end, count in zip(("least_count", "most_count"), counts, strict=True):
        if count != int(count):
            raise row.fault(end, f"is {count:g}", "damages are counted", "write 1, 2, 3.")
    return DamageClass(
        name,
        row.text("prompt") or spoken(name, words),
        1.0 if probability is None else probability,
        (int(counts[0]), int(counts[1])),
        _range(row, "size", (usual[0], usual[1]), 1e-5, 1),
        _range(row, "aspect", _ASPECT, 0.05, 20),
        _range(row, "severity", (0.0, 1.0), 0, 1),
        _overlap(row),
    )


def spoken(name: str, words: Mapping[str, Sequence[str]]) -> str:
    """A class as a prompt: the first of its words."""
    return words[name][0] if words.get(name) else name


def _range(row: TableRow, name: str, usual: tuple[float, float], least: float, most: float) -> tuple[float, float]:
    """The least and greatest of a range, each as the row says or the usual one, in order."""
    low, high = row.number(f"least_{name}", least, most), row.number(f"most_{name}", least, most)
    low = min(usual[0], high if high is not None else usual[0]) if low is None else low
    high = max(usual[1], low) if high is None else high
    if low > high:
        raise row.fault(f"least_{name}", f"is {low:g}", f"most_{name} is {high:g}", "exchange the two.")
    return low, high


def _overlap(row: TableRow) -> Overlap:
    text = row.text("overlap")
    if text is None or text == "never":
        return "never"
    if text == "any":
        return "any"
    try:
        return row.as_number("overlap", text, 0, 1)
    except WetgenError as error:
        why = "it is never, any, or the greatest intersection over union, 0 to 1."
        raise WetgenError(error.what, why=why, fix="write never, any or a number such as 0.2.") from error
