"""The charts of all reports as SVG bytes, drawn by matplotlib; one release of it gives the same bytes every time."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from wetgen.runtime.errors import missing

_STYLE = {"svg.hashsalt": "wetgen", "svg.fonttype": "none"}  # fixed ids; text stays text, which is smaller than paths

Values = Sequence[float | None]
XY = tuple[float, float]


def bars(labels: Sequence[str], series: Mapping[str, Values], axis: str) -> bytes:
    """A group of bars per label, one bar per series; None draws nothing."""
    figure, panel = _panel()
    width = 0.8 / max(1, len(series))
    for k, (name, values) in enumerate(series.items()):
        x = [i + (k - (len(series) - 1) / 2) * width for i in range(len(labels))]
        panel.bar(x, [0 if value is None else value for value in values], width, label=name)
    panel.set_xticks(range(len(labels)), labels, rotation=30, ha="right")
    panel.set_ylabel(axis)
    return _svg(figure, panel, legend=len(series) > 1)


def stacked(rows: Sequence[tuple[str, Mapping[str, float]]], unit: str) -> bytes:
    """A horizontal bar per row, made of its parts; parts with the same name have the same colour."""
    names = list(dict.fromkeys(name for _, parts in rows for name in parts))
    labels = [label for label, _ in rows]
    figure, panel = _panel(height=1.2 + 0.35 * len(rows))
    left = [0.0] * len(rows)
    for name in names:
        widths = [parts.get(name, 0.0) for _, parts in rows]
        panel.barh(range(len(rows)), widths, left=left, label=name)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for i, total in enumerate(left):
        panel.annotate(f" {total:.4g} {unit}", (total, i), va="center")
    panel.set_yticks(range(len(rows)), labels)
    panel.invert_yaxis()
    panel.margins(x=0.2)
    panel.set_xlabel(unit)
    if len(names) > 1:
        panel.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
    return _saved(figure)


def lines(series: Mapping[str, Sequence[XY]], across: str, up: str, mark: tuple[float, str] | None = None) -> bytes:
    """A line with points per series, both axes from zero; `mark` is a value on the x axis and its label."""
    figure, panel = _panel()
    for name, points in series.items():
        panel.plot(*zip(*points, strict=True), marker="o", label=name)
    if mark is not None:
        panel.axvline(mark[0], linestyle="--", color="tab:red")
        panel.annotate(f" {mark[1]}", (mark[0], 0.02), xycoords=("data", "axes fraction"))
    panel.set_xlim(0, 1.05 * max((x for points in series.values() for x, _ in points), default=1))
    panel.set_ylim(0, 1.05 * max((y for points in series.values() for _, y in points), default=1))
    panel.set_xlabel(across)
    panel.set_ylabel(up)
    return _svg(figure, panel, legend=len(series) > 1)


def error_lines(x: Sequence[float], series: Mapping[str, tuple[Values, Values]], across: str, up: str) -> bytes:
    """A line per series with its deviations as error bars: name -> (values, deviations)."""
    figure, panel = _panel()
    for name, (values, deviations) in series.items():
        known = [i for i, value in enumerate(values) if value is not None]
        bars = [deviations[i] or 0 for i in known]
        panel.errorbar([x[i] for i in known], [values[i] for i in known], bars, marker="o", capsize=3, label=name)
    panel.set_xlabel(across)
    panel.set_ylabel(up)
    return _svg(figure, panel, legend=True)


def log_panels(panels: Mapping[str, Mapping[str, tuple[Values, Values]]], across: str) -> bytes:
    """Panels side by side, y axes logarithmic: title -> name -> (x, y). Names that end in "validation" are dotted."""
    figure = _figure(5 * len(panels), 3.2)
    for (title, series), panel in zip(panels.items(), figure.subplots(1, len(panels)), strict=True):
        for name, (x, y) in series.items():
            dotted = name.endswith("validation")
            panel.plot(x, y, label=name, **({"marker": "o", "linestyle": ":"} if dotted else {"linewidth": 1}))
        panel.set_title(title)
        panel.set_xlabel(across)
        panel.set_yscale("log")
        panel.legend(fontsize=7)
    return _saved(figure)


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing("matplotlib", extra="bench", needed_to="draw charts") from error
    return Figure(figsize=(width, height))


def _panel(height: float = 3.4) -> tuple[Any, Any]:
    figure = _figure(7, height)
    panel = figure.subplots()
    panel.spines[["top", "right"]].set_visible(False)
    return figure, panel


def _svg(figure: Any, panel: Any, *, legend: bool) -> bytes:
    if legend:
        panel.legend(fontsize=8, frameon=False)
    return _saved(figure)


def _saved(figure: Any) -> bytes:
    import matplotlib

    file = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure.tight_layout()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
