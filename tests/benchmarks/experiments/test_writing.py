"""Runs on engines that answer at once: what they write, what the benchmark says of it, and how much is held."""

import gc
import json

import pytest
from click.testing import CliRunner

import wetgen.runtime.run.run as runs
from wetgen.benchmarks.experiments.writing import PROMPTS, InstantGenerator, main
from wetgen.runtime.bundle.bundle import open_bundle
from wetgen.runtime.dataset.reader import check
from wetgen.runtime.dataset.sheet import LIMIT
from wetgen.runtime.dataset.writer import Prepared
from wetgen.runtime.files import lines_sha256
from wetgen.runtime.run.options import RunOptions
from wetgen.runtime.run.run import SilentProgress
from wetgen.runtime.run.tasks import Listed, PromptRequests, PromptTask
from wetgen.runtime.sampling.sampler import Pair

PARTS = ["drawing", "checking", "encoding images", "encoding masks", "encoding confidence", "rows", "files"]


@pytest.mark.parametrize("shards", [None, 7])
def test_a_row_says_what_was_measured(tmp_path, shards):
    words = ["--pairs", "20", "--out", str(tmp_path / "rows.jsonl"), "--folder", str(tmp_path)]
    result = CliRunner().invoke(main, [*words, *(["--shards", str(shards)] if shards else [])])
    assert result.exit_code == 0, result.output
    (row,) = map(json.loads, (tmp_path / "rows.jsonl").read_text().splitlines())
    assert row["pairs"] == 20 and row["size"] == [128, 128] and row["shards"] == shards
    assert list(row["parts_us"]) == [*PARTS, "everything else"]
    assert sum(row["parts_us"].values()) == pytest.approx(row["cpu_us_per_pair"], abs=1)
    assert row["pairs_per_second"] > 0 and row["commit"] and row["versions"]["numpy"] and row["machine"]["cores"]
    assert 20_000 < row["bytes_per_pair"] < 200_000  # the sheet is shared by 20 pairs only
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def listed_task(bundle, count, options):
    config = options.config(bundle, len(PROMPTS), lines_sha256(PROMPTS))
    return PromptTask(PromptRequests(Listed(PROMPTS, count), config), config)


class Counting(SilentProgress):
    """Counts the pairs, and the rows, that are alive while a run goes on."""

    def __init__(self):
        self.pairs, self.rows, self.told = [], [], 0
        gc.collect()
        self.others = alive()  # what earlier tests of this process left is not this run's

    def stored(self, row):
        self.told += 1
        if self.told % 100 == 0:
            pairs, rows = alive()
            self.pairs.append(pairs - self.others[0])
            self.rows.append(rows - self.others[1])


def alive():
    """How many pairs, drawn or encoded, and how many rows there are in this process."""
    found = gc.get_objects()
    pairs = sum(type(each) in (Pair, Prepared) for each in found)
    return pairs, sum(type(each) is dict and "bundle_sha256" in each and "index" in each for each in found)


@pytest.mark.parametrize("shards", [None, 50])
def test_a_long_run_holds_no_more_pairs_than_a_short_one(tmp_path, monkeypatch, shards):
    """At most what may wait, once as a pair and once encoded, and what the threads have in hand; 400 are made."""
    monkeypatch.setattr("wetgen.runtime.dataset.writer.WAITING", 16)
    bundle = open_bundle(None)
    counting = Counting()
    generator = InstantGenerator(bundle, batch=4)
    options = RunOptions(out=tmp_path / "out", shards=shards)
    runs.run_on(generator, listed_task(bundle, 80, options), options, counting)
    assert counting.told == 400 and len(counting.pairs) == 4
    assert max(counting.pairs) <= 2 * (16 + 8)
    assert max(counting.rows) <= 2 * (16 + 8) + LIMIT  # those of the contact sheet stay


def test_the_instant_run_is_a_sound_dataset(tmp_path):
    bundle = open_bundle(None)
    options = RunOptions(out=tmp_path / "out")
    runs.run_on(InstantGenerator(bundle, batch=4), listed_task(bundle, 4, options), options, SilentProgress())
    report = check(tmp_path / "out")
    assert report.ok and len(report.rows) == 20
