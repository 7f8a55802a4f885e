"""Charts: the same numbers give the same bytes, every label is in the file, and a missing matplotlib is named."""

import sys
from functools import partial

import pytest

from wetgen.benchmarks import plots
from wetgen.runtime.errors import WetgenError

CHARTS = [
    partial(plots.bars, ["crack", "stain"], {"real": [0.5, None], "drawn": [0.4, 0.1]}, "IoU"),
    partial(plots.stacked, [("batch 1", {"denoise": 90.0, "decode": 10.0}), ("batch 2", {"denoise": 95.0})], "%"),
    partial(plots.lines, {"pairs/s": [(1.0, 2.0), (2.0, 3.0)]}, "batch", "pairs/s", (2.0, "knee")),
    partial(plots.error_lines, [1.0, 2.0], {"real": ([0.5, None], [0.1, None])}, "share", "IoU"),
    partial(plots.log_panels, {"vae": {"l1, training": ([1, 2], [0.5, 0.25])}, "denoiser": {}}, "step"),
]
LABELS = [("crack", "drawn", "IoU"), ("batch 2", "decode"), ("pairs/s", "knee"), ("share", "real"), ("vae", "step")]


@pytest.mark.parametrize(("chart", "labels"), list(zip(CHARTS, LABELS, strict=True)))
@pytest.mark.filterwarnings("ignore:No artists with labels")
def test_a_chart_has_its_labels_and_repeats(chart: partial[bytes], labels: tuple[str, ...]) -> None:
    drawn = chart()
    assert drawn == chart() and drawn.startswith(b"<?xml")
    assert all(label in drawn.decode() for label in labels)


def test_a_missing_matplotlib_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(WetgenError, match=r"matplotlib is needed to draw charts") as error:
        CHARTS[0]()
    assert "wetgen[bench]" in error.value.fix
