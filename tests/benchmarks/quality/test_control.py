"""The measures of obedience, on the bundle that ships and few pairs: what they are for must show already there."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from wetgen.benchmarks.quality import control as module
from wetgen.runtime.sampling.generator import Generator


@pytest.fixture(scope="module")
def generator():
    with Generator.open(batch=4) as opened:
        yield opened


def test_a_negative_prompt_acts(generator, monkeypatch):
    prompt = "a water stain and black mold on a white wall"
    monkeypatch.setattr(module, "NEGATIVES", {prompt: "mold"})
    found = module.negatives(generator, 3, 0)[prompt]
    without, with_ = found["unwanted"]
    assert found["negative"] == "mold" and with_ < 0.5 * without
    mean, low, high = found["difference"]
    assert low <= mean <= high < 0 and mean == pytest.approx(with_ - without, abs=2e-4)  # rounded to 4 digits


def test_layouts_are_shown_and_severities_grow(generator, monkeypatch):
    monkeypatch.setattr(module, "PROMPTS", {"stain": module.PROMPTS["stain"]})
    agreed = module.layouts(generator, 2, 0)["stain"]
    assert agreed["layout_agreement"] >= 0.9 and 0.5 < agreed["layout_iou"] <= 1
    grown = module.severities(generator, 2, 0)["stain"]
    assert len(grown["area"]) == 5 and (np.diff(grown["area"]) > 0).all()
    assert grown["pairs that grow"] == [1.0] * 4


def test_intervals_are_of_the_mean():
    values = np.random.default_rng(0).normal(0.3, 1.0, 400)
    mean, low, high = module._interval(values, 1)
    assert mean == pytest.approx(values.mean(), abs=1e-4)
    # 1.96 standard errors on either side; a bootstrap of 2,000 meets them to a tenth.
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.1)


def test_the_command_writes_what_it_prints(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "MEASURES", {"layouts": lambda generator, pairs, seed: {"pairs": pairs}})
    result = CliRunner().invoke(module.main, ["--pairs", "2", "--out", str(tmp_path / "c.json")])
    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "c.json").read_text())
    assert written == json.loads(result.output) and written["layouts"] == {"pairs": 2}
