"""The drawings of a report, as SVG bytes; the same numbers give the same bytes."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

Points = Sequence[float | None]


def bars(labels: Sequence[str], series: Mapping[str, Points], axis: str) -> bytes:
    """A group of bars per label, one bar per series; None draws nothing."""
    figure, panel = _panel()
    width = 0.8 / max(1, len(series))
    for number, (name, values) in enumerate(series.items()):
        places = [place + (number - (len(series) - 1) / 2) * width for place in range(len(labels))]
        panel.bar(places, [0 if value is None else value for value in values], width, label=name)
    panel.set_xticks(range(len(labels)), labels, rotation=30, ha="right")
    panel.set_ylabel(axis)
    return _svg(figure, panel, legend=len(series) > 1)


def lines(x: Sequence[float], series: Mapping[str, tuple[Points, Points]], across: str, up: str) -> bytes:
    """A line per series with its deviation as bars: name -> (values, deviations)."""
    figure, panel = _panel()
    for name, (values, deviations) in series.items():
        there = [i for i, value in enumerate(values) if value is not None]
        panel.errorbar(
            [x[i] for i in there],
            [values[i] for i in there],
            [deviations[i] or 0 for i in there],
            marker="o",
            capsize=3,
            label=name,
        )
    panel.set_xlabel(across)
    panel.set_ylabel(up)
    return _svg(figure, panel, legend=True)


def _panel() -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "wetgen"
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(7, 3.4))
    panel.spines[["top", "right"]].set_visible(False)
    return figure, panel


def _svg(figure: Any, panel: Any, *, legend: bool) -> bytes:
    from matplotlib import pyplot

    if legend:
        panel.legend(fontsize=8, frameon=False)
    figure.tight_layout()
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return file.getvalue()
