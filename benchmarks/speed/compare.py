"""Two runs of `wetgen bench`, case by case: is the second slower? Only equal work within equal borders is compared.

Machines are faster at one time than at another. Between any two batches a run measures the pace of a matrix product,
and a batch's time is multiplied by it: what is compared is how much of the machine a batch takes, in GFLOP that the
product would have done meanwhile. On a GPU, where no pace is measured, it is the time itself.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wetgen.benchmarks.speed import rows
from wetgen.runtime.errors import WetgenError

Verdict = Literal["no difference", "faster", "slower", "too noisy to tell"]

TOLERANCE = 0.05
DRAWS, LEVEL = 2000, 0.95
LEAST_PSNR = 40.0  # dB between thumbnails: float16 stays above, other weights draw other pictures


@dataclass(frozen=True)
class Ratio:
    """How many times as long the second takes, and the percentile interval of its bootstrap."""

    value: float
    low: float
    high: float

    def verdict(self, tolerance: float) -> Verdict:
        """What may be said of it.

        Beyond the tolerance and with an interval without 1 it is a difference. Within the tolerance it is none, if the
        interval leaves no room for one of twice the tolerance. Everything else cannot be told.
        """
        if self.value > 1 + tolerance and self.low > 1:
            return "slower"
        if self.value < 1 - tolerance and self.high < 1:
            return "faster"
        within = abs(self.value - 1) <= tolerance and 1 - 2 * tolerance < self.low and self.high < 1 + 2 * tolerance
        return "no difference" if within else "too noisy to tell"


@dataclass(frozen=True)
class Comparison:
    """One case of both runs."""

    name: str
    first_ms: float
    second_ms: float
    ratio: Ratio


def compare(first: Sequence[rows.Row], second: Sequence[rows.Row]) -> list[Comparison]:
    """The sampling cases that both runs finished.

    Raises WetgenError when they share none, and when a shared case is not the same work in both.
    """
    sides = [_cases(first), _cases(second)]
    shared = [name for name in sides[0] if name in sides[1]]
    if not shared:
        listed = [", ".join(side) or "none" for side in sides]
        raise WetgenError(
            "The two runs have no case in common.",
            why=f"the first finished {listed[0]}; the second {listed[1]}.",
            fix="run both with the same plan, batches, device and threads.",
        )
    return [_compared(name, sides[0][name], sides[1][name]) for name in shared]


def _cases(run: Sequence[rows.Row]) -> dict[str, list[rows.Row]]:
    """The rounds of every sampling case, by what it is called."""
    found: dict[str, list[rows.Row]] = {}
    for row in rows.done(run, "sampling"):
        case = row["case"]
        threads = "" if case["threads"] is None else f", {case['threads']} threads"
        found.setdefault(f"{case['plan']}, batch {case['batch']} on {case['device']}{threads}", []).append(row)
    return found


def _compared(name: str, first: Sequence[rows.Row], second: Sequence[rows.Row]) -> Comparison:
    check_same_work(name, first[0]["observed"]["work"], second[0]["observed"]["work"])
    return Comparison(name, *(_median_ms(side) for side in (first, second)), ratio(_taken(first), _taken(second)))


def check_same_work(name: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    """Raise WetgenError, with what differs, unless two times are of the same work within the same borders."""
    differ = [key for key in sorted(first.keys() | second.keys()) if first.get(key) != second.get(key)]
    if "picture" in differ and _alike(first, second):
        differ.remove("picture")
    if differ:
        listed = "; ".join(f"{key} {_short(first.get(key))} and {_short(second.get(key))}" for key in differ)
        raise WetgenError(
            f"{name}: the two sides did not do the same work.",
            why=f"they differ in {listed}.",
            fix="compare runs of the same weights, plan and batch, measured by the same `wetgen bench`.",
        )


def _alike(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    if "picture" not in first or "picture" not in second:
        return False
    a, b = (np.frombuffer(base64.b64decode(side["picture"]), np.uint8).astype(float) for side in (first, second))
    return a.shape == b.shape and float(np.square(a - b).mean()) <= 255**2 / 10 ** (LEAST_PSNR / 10)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _median_ms(side: Sequence[rows.Row]) -> float:
    return float(np.median(np.concatenate([row["observed"]["warm_ms"] for row in side])))


def _taken(side: Sequence[rows.Row]) -> list[NDArray[np.float64]]:
    """Per round what each warm batch took: GFLOP of the product's pace around it, or milliseconds without a pace."""
    found = []
    for row in side:
        times, pace = (np.asarray(row["observed"][name], float) for name in ("warm_ms", "pace_gflops"))
        found.append(times * (pace[:-1] + pace[1:]) / 2000 if len(pace) else times)
    return found


def ratio(
    first: Sequence[NDArray[np.float64]], second: Sequence[NDArray[np.float64]], draws: int = DRAWS, seed: int = 0
) -> Ratio:
    """The ratio of medians, second over first; every draw takes rounds, then batches within them, with replacement.

    Rounds are processes of their own: what one has in common (where its memory came to lie) must widen the interval.
    """
    rng = np.random.default_rng(seed)
    drawn = [_drawn_medians(side, draws, rng) for side in (first, second)]
    low, high = np.quantile(drawn[1] / drawn[0], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = np.median(np.concatenate(second)) / np.median(np.concatenate(first))
    return Ratio(float(value), float(low), float(high))


def _drawn_medians(side: Sequence[NDArray[np.float64]], draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(draws,) medians; axes below: draws, rounds, batches of the longest round, with NaN beyond a shorter one's."""
    lengths = np.array([len(times) for times in side])
    padded = np.full((len(side), lengths.max()), np.nan)
    for place, times in enumerate(side):
        padded[place, : len(times)] = times
    chosen = rng.integers(len(side), size=(draws, len(side)))
    batches = (rng.random((draws, len(side), lengths.max())) * lengths[chosen][..., None]).astype(int)
    drawn = padded[chosen[..., None], batches]
    drawn[np.arange(lengths.max()) >= lengths[chosen][..., None]] = np.nan
    medians: NDArray[np.float64] = np.nanmedian(drawn.reshape(draws, -1), axis=1)
    return medians


def render(found: Sequence[Comparison], tolerance: float) -> str:
    """The comparison as a table for people."""
    lines = [f"{'case':34} {'first':>10} {'second':>10}  times as long (95 % interval)"]
    for one in found:
        interval = f"{one.ratio.value:.3f} ({one.ratio.low:.3f} to {one.ratio.high:.3f})"
        pace = f"{one.first_ms:7.1f} ms {one.second_ms:7.1f} ms"
        lines.append(f"{one.name:34} {pace}  {interval}: {one.ratio.verdict(tolerance)}")
    return "\n".join(lines)
