"""Drawings as SVG text, without any package; the same numbers give the same bytes."""

import html
import math
from collections.abc import Callable, Mapping, Sequence

COLOURS = ("#2a6fbb", "#d9822b", "#3a9a5b", "#a64d79", "#8a8a2b", "#5a5f73", "#c23b3b", "#3fa7a7")
_WIDTH, _ROW, _LEFT, _TOP = 720, 26, 230, 34
_SMALLEST = 1e-9  # of anything that a report draws
_PLOT_HEIGHT, _PLOT_LEFT, _BOTTOM = 260, 64, 46

_Place = Callable[[tuple[float, float]], tuple[float, float]]


def stacked(bars: Sequence[tuple[str, Mapping[str, float]]], unit: str) -> bytes:
    """A horizontal bar per label, made of its parts; parts of one name have one colour, and stand in the legend."""
    names = list(dict.fromkeys(name for _, parts in bars for name in parts))
    colour = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
    top = max((sum(parts.values()) for _, parts in bars), default=0.0) or 1.0
    scale = (_WIDTH - _LEFT - 90) / top
    lines, y = [], _TOP + _legend_height(names)
    lines += _legend(names, colour)
    for label, parts in bars:
        x = float(_LEFT)
        lines.append(_text(_LEFT - 8, y + 17, label, anchor="end"))
        for name, value in parts.items():
            title = f"<title>{html.escape(name)}: {_figure(value)} {html.escape(unit)}</title>"
            box = f'x="{x:.1f}" y="{y + 3}" width="{value * scale:.1f}" height="{_ROW - 6}"'
            lines.append(f'<rect {box} fill="{colour[name]}">{title}</rect>')
            x += value * scale
        lines.append(_text(x + 6, y + 17, f"{_figure(sum(parts.values()))} {unit}"))
        y += _ROW
    return _page(lines, y + 12)


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]], across: str, up: str, mark: tuple[float, str] | None = None
) -> bytes:
    """A line with points per series, both axes from zero; `mark` is a place across, and what to say there."""
    points = [point for found in series.values() for point in found]
    right, top = (_round_up(max((point[axis] for point in points), default=1.0)) for axis in (0, 1))
    wide, below = _WIDTH - _PLOT_LEFT - 20, _TOP + _legend_height(list(series))

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return _PLOT_LEFT + wide * point[0] / right, below + _PLOT_HEIGHT * (1 - point[1] / top)

    colour = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(series)}
    drawn = _legend(list(series), colour) if len(series) > 1 else []
    drawn += _axes(right, top, at, across, up)
    if mark is not None:
        x, _ = at((mark[0], 0))
        drawn.append(f'<path d="M{x:.1f} {below}v{_PLOT_HEIGHT}" stroke="#c23b3b" stroke-dasharray="4 3"/>')
        beyond = mark[0] > right / 2
        drawn.append(_text(x - 5 if beyond else x + 5, below + 12, mark[1], anchor="end" if beyond else "start"))
    for name, found in series.items():
        places = [at(point) for point in found]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour[name]}" stroke-width="2"/>')
        for (x, y), point in zip(places, found, strict=True):
            title = f"<title>{_figure(point[0])}, {_figure(point[1])}</title>"
            drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour[name]}">{title}</circle>')
    return _page(drawn, below + _PLOT_HEIGHT + _BOTTOM)


def _axes(right: float, top: float, at: _Place, across: str, up: str) -> list[str]:
    (left, low), (end, high) = at((0, 0)), at((right, top))
    drawn = [f'<path d="M{left:.1f} {high:.1f}V{low:.1f}H{end:.1f}" fill="none" stroke="#777"/>']
    for tick in range(5):
        x, y = at((right * tick / 4, top * tick / 4))
        drawn.append(_text(x, low + 16, _figure(right * tick / 4), anchor="middle"))
        drawn.append(_text(left - 6, y + 4, _figure(top * tick / 4), anchor="end"))
        drawn.append(f'<path d="M{left:.1f} {y:.1f}H{end:.1f}" stroke="#e4e4e4"/>')
    drawn.append(_text((left + end) / 2, low + 36, across, anchor="middle"))
    return [*drawn, _text(left - 50, high - 12, up)]


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 5, 8, 10 times a power of ten, so that quarters of an axis are short numbers."""
    if value < _SMALLEST:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value * (1 - 1e-9))


def _figure(value: float) -> str:
    """At most three digits that matter."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _legend(names: Sequence[str], colour: Mapping[str, str]) -> list[str]:
    found = []
    for place, name in enumerate(names):
        x, y = 16 + place % 3 * 235, 12 + place // 3 * 20
        found.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colour[name]}"/>')
        found.append(_text(x + 18, y + 11, name))
    return found


def _legend_height(names: Sequence[str]) -> int:
    return (len(names) + 2) // 3 * 20 - 20 if names else 0


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _page(content: Sequence[str], height: float) -> bytes:
    size = f'viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" height="{height:.0f}"'
    style = 'font-family="system-ui, sans-serif" font-size="13" fill="#222"'
    body = "\n".join(content)
    background = '<rect width="100%" height="100%" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{background}\n{body}\n</svg>\n'.encode()
