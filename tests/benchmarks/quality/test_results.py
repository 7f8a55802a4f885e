import json
import math
from pathlib import Path

import numpy as np
import pytest

from wetgen.benchmarks.quality.results import ResultCache
from wetgen.runtime.errors import WetgenError


def never() -> dict[str, object]:
    raise AssertionError("computed again")


def test_a_stored_result_is_not_computed_again(tmp_path: Path) -> None:
    first = ResultCache(tmp_path, "a", id)("real, seed 0", lambda: {"iou": np.float64(1 / 3), "counts": np.arange(3)})
    assert first == {"iou": 1 / 3, "counts": [0, 1, 2]} == ResultCache(tmp_path, "a", id)("real, seed 0", never)


def test_another_key_computes_again(tmp_path: Path) -> None:
    ResultCache(tmp_path, "a", id)("x", lambda: {"value": 1})
    assert ResultCache(tmp_path, "b", id)("x", lambda: {"value": 2}) == {"value": 2}


def test_a_cut_off_file_is_computed_again_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    ResultCache(tmp_path, "a", id)("x", lambda: {"value": 1})
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    assert ResultCache(tmp_path, "a", said.append)("x", lambda: {"value": 1}) == {"value": 1}
    assert "computed again" in said[0]


def test_what_is_absent_is_null_and_infinity_is_an_error(tmp_path: Path) -> None:
    store = ResultCache(tmp_path, "a", id)
    assert store("x", lambda: {"iou": {"crack": math.nan}}) == {"iou": {"crack": None}}
    assert "NaN" not in next(tmp_path.iterdir()).read_text()
    with pytest.raises(WetgenError, match=r"y\.iou is infinite"):
        store("y", lambda: {"iou": math.inf})
    json.loads(next(tmp_path.iterdir()).read_text())
