"""The benchmark of layouts: the same pairs by both ways, and nothing left behind."""

from wetgen.benchmarks.experiments.layouts import KINDS, measure
from wetgen.benchmarks.experiments.writing import InstantGenerator
from wetgen.runtime.bundle.bundle import open_bundle


def test_each_kind_is_measured_in_turn(tmp_path):
    seconds = measure(InstantGenerator(open_bundle(None), batch=4), tmp_path, 5, 2)
    assert tuple(seconds) == KINDS and all(len(each) == 2 and min(each) > 0 for each in seconds.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layouts", "prompts.txt"]
