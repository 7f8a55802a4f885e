"""Figures in words: cells of tables."""

from collections.abc import Iterator, Mapping
from typing import Any

ABSENT = "–"

Results = Mapping[str, Any]
"""What an evaluation wrote to results.json, or a part of it."""


def number(value: float | None, digits: int = 3) -> str:
    """A figure with so many decimals; a dash for one that is absent."""
    return ABSENT if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """A share as a percentage with one decimal."""
    return ABSENT if value is None else f"{100 * value:.1f} %"


def points(value: float | None) -> str:
    """A difference of shares in percentage points, with its sign."""
    return ABSENT if value is None else f"{100 * value:+.1f}"


def interval(bounds: tuple[float, float] | list[float] | None) -> str:
    """A 95 % interval of a difference, in percentage points."""
    return ABSENT if not bounds or None in bounds else f"[{100 * bounds[0]:+.1f}, {100 * bounds[1]:+.1f}]"


def figures(results: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every figure with a floor, and every one that was not measured, by its path in the results."""
    if "not_measured" in results or {"value", "floor", "flagged"} <= results.keys():
        yield ", ".join(path), results
        return
    for name, inner in results.items():
        if isinstance(inner, Mapping):
            yield from figures(inner, (*path, name))


def figure_row(name: str, figure: Mapping[str, Any]) -> list[str]:
    """name | value | floor | margin | verdict"""
    if "not_measured" in figure:
        return [name, ABSENT, ABSENT, ABSENT, f"not measured: {figure['not_measured']}"]
    verdict = "worse than real" if figure["flagged"] else "like real"
    return [name, *(f"{figure[key]:.3g}" for key in ("value", "floor", "margin")), verdict]
