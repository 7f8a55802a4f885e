"""`wetgen run`: a dataset folder that is whole whatever happens, and a run that resumes to the same bytes."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.runtime.read_back import files, rows
from wetgen.runtime.cli import cli
from wetgen.runtime.dataset.reader import Dataset
from wetgen.runtime.dataset.sheet import LIMIT
from wetgen.runtime.files import pair_name
from wetgen.runtime.run.fingerprints import Fingerprints, fingerprint
from wetgen.runtime.run.run import Contents
from wetgen.runtime.sampling import generator as generating
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.sampler import CONSTANT, NOT_FINITE

PROMPTS = ("black mold in a corner", "a crack in a wet wall", "a brown water stain", "Nässe an der Decke")


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    file = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    file.write_text("# wet\n\n" + "\n".join(PROMPTS) + "\n", encoding="utf-8")
    return file


@pytest.fixture
def wetgen(bundle_folder, prompts):
    """Run `wetgen run` in this process, with the tiny bundle and the prompts unless told otherwise."""

    def call(out, *more, **options):
        given = {"prompts": prompts, "bundle": bundle_folder, "out": out, "threads": 1, **options}
        words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
        return CliRunner().invoke(cli, ["run", *words, *more])

    return call


@pytest.fixture(scope="module")
def finished(bundle_folder, prompts, tmp_path_factory):
    """A run of 12 pairs that nothing disturbed."""
    out = tmp_path_factory.mktemp("finished") / "out"
    words = ["--prompts", prompts, "--bundle", bundle_folder, "--out", out, "--count", 3, "--threads", 1]
    result = CliRunner().invoke(cli, ["run", *map(str, words)])
    assert result.exit_code == 0, result.output
    return out


COUNTS = dict.fromkeys(("asked", "written", "with_faults", "unjudged", "drawn", "rejected", "given_up"), 0)


def rejects(out: Path) -> dict[tuple[int, int], dict]:
    """The rejected tries, by index and try; each may stand there once."""
    if not (out / "rejected.jsonl").exists():
        return {}
    listed = list(map(json.loads, (out / "rejected.jsonl").read_text("utf-8").splitlines()))
    found = {(row["index"], row["try"]): row for row in listed}
    assert len(found) == len(listed)
    return found


def record(out: Path) -> dict:
    return json.loads((out / "run.json").read_text())


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def assert_same_run(out: Path, finished: Path) -> None:
    """The same pictures byte for byte, the same rows in any order, and nothing left over."""
    assert files(out) == files(finished)
    assert rows(out) == rows(finished)
    assert rejects(out) == rejects(finished)
    assert Counter(path.name for path in out.iterdir()) == Counter(path.name for path in finished.iterdir())
    assert not [path for path in out.rglob(".*")]


def test_the_output_is_a_dataset_folder(finished, bundle, generator):
    dataset = Dataset.open(finished)
    assert dataset.classes == bundle.classes and len(dataset.rows) == 12
    assert [row.file_name for row in dataset.rows] == [f"images/{index:06d}.png" for index in range(12)]
    pairs = {pair.index: pair for pair in Generator(bundle, threads=1).generate(PROMPTS, count=3)}
    for row in dataset.rows:
        image, mask = dataset.load(row)
        pair = pairs[row.extra["index"]]
        np.testing.assert_array_equal(image, pair.image)
        np.testing.assert_array_equal(mask, pair.mask)
        assert row.text == pair.prompt and row.scene == f"0-{pair.index}"
        confidence = pixels(finished / row.extra["confidence_file_name"])
        np.testing.assert_array_equal(confidence, pair.confidence)


def test_a_row_says_all_it_takes_to_make_its_pair_again(finished, bundle):
    row = rows(finished)[7]
    assert row["text"] == PROMPTS[3] and row["bundle_sha256"] == bundle.hash
    assert row["synthetic"] is True and row["license"] == "generated; trained on: CC0-1.0"
    assert sum(row["class_areas"].values()) == pytest.approx(1, abs=1e-3) and 0 < row["confidence"] < 1
    generator = Generator(bundle, batch=record(finished)["batch"], threads=1)
    options = {"attempt": row["try"], **{key: row[key] for key in ("seed", "plan", "guidance", "negative")}}
    (pair,) = generator.generate([row["text"]], count=row["index"] + 1, indexes=[row["index"]], **options)
    np.testing.assert_array_equal(pair.image, pixels(finished / row["file_name"]))


def test_run_json_says_what_was_asked_and_done(finished, bundle):
    said = record(finished)
    assert said["status"] == "done" and said["batch"] == 4 and said["count"] == 3 and said["device"] == "cpu"
    assert said["settings"] == {
        "bundle_sha256": bundle.hash,
        "prompts": 4,
        "prompts_sha256": said["settings"]["prompts_sha256"],
        "seed": 0,
        "plan": "four",
        "guidance": 3.0,
        "negative": "",
        "filter": {
            "keep_agreement": None,
            "keep_layout": None,
            "least_area": None,
            "most_area": None,
            "least_confidence": None,
            "refuse_copies": False,
            "require_asked": False,
        },
        "tidy": {"least_region": 0, "fill_holes": 0, "ignore_below": None, "ignore_band": 0},
        "task": {},
    }
    assert said["counts"] == {**COUNTS, "asked": 12, "written": 12, "drawn": 12}
    assert said["reasons"] == {} and said["keep_rate"] == 1.0 and said["tries"] == 4
    assert said["versions"]["onnxruntime"] and said["images_per_second"] > 0


def test_the_contact_sheet_is_a_picture(finished):
    assert pixels(finished / "contact-sheet.png").shape[1] > 800


def test_results_go_to_stdout_and_talk_to_stderr(wetgen, tmp_path):
    out = tmp_path / "out"
    result = wetgen(out)
    assert result.stdout == f"{out}: 4 of 4 pairs. To look at: {out / 'contact-sheet.png'}\n"
    assert "4/4 pairs" in result.stderr
    assert wetgen(tmp_path / "quiet", "--quiet").stderr == ""


def test_events_are_the_only_output(wetgen, tmp_path):
    result = wetgen(tmp_path / "out", "--json")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["event"] for event in events] == ["start", *["pair"] * 4, "end"]
    assert events[0] == {"event": "start", "total": 4, "already": 0}
    assert events[1]["file_name"] == "images/000000.png" and events[-1]["status"] == "done"
    assert result.stderr == ""


def test_a_single_pair_is_not_padded_to_the_default_batch(wetgen, tmp_path):
    (tmp_path / "one.txt").write_text("mold\n")
    wetgen(tmp_path / "out", prompts=tmp_path / "one.txt")
    assert record(tmp_path / "out")["batch"] == 1


def test_a_bundle_of_images_only_makes_a_folder_without_masks(wetgen, images_only_folder, tmp_path):
    assert wetgen(tmp_path / "out", bundle=images_only_folder).exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "contact-sheet.png",
        "images",
        "metadata.jsonl",
        "run.json",
    ]
    assert "mask_file_name" not in rows(tmp_path / "out")[0]


# Resuming


def test_resuming_makes_exactly_what_is_missing(wetgen, finished, tmp_path):
    out = tmp_path / "out"
    wetgen(out, count=2)
    (out / "images" / "000003.png").unlink()
    (out / "masks" / "000005.png").unlink()
    result = wetgen(out, "--resume", "--json", count=3)
    made = [event["index"] for event in map(json.loads, result.stdout.splitlines()) if event["event"] == "pair"]
    assert made == [3, 5, 8, 9, 10, 11]
    assert_same_run(out, finished)


def test_resuming_a_finished_run_makes_nothing(wetgen, tmp_path):
    out = tmp_path / "out"
    wetgen(out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("0*.png")}
    result = wetgen(out, "--resume")
    assert result.exit_code == 0 and "4 of 4 pairs" in result.stdout
    assert {path: path.stat().st_mtime_ns for path in out.rglob("0*.png")} == before


def test_resuming_keeps_the_batch_that_the_run_began_with(wetgen, tmp_path):
    wetgen(tmp_path / "out", batch=3)
    wetgen(tmp_path / "out", "--resume", count=2)
    assert record(tmp_path / "out")["batch"] == 3


def test_resume_on_a_new_folder_begins_a_run(wetgen, finished, tmp_path):
    assert wetgen(tmp_path / "out", "--resume", count=3).exit_code == 0
    assert_same_run(tmp_path / "out", finished)


@pytest.mark.parametrize(
    "option, said",
    [
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"plan": "two"}, "plan was 'four' and is 'two'"),
        ({"guidance": 0}, "guidance was 3.0 and is 0.0"),
        ({"negative": "dry"}, "negative was '' and is 'dry'"),
        ({"prompts": None}, "prompts_sha256 was"),
        ({"bundle": None}, "bundle_sha256 was"),
    ],
)
def test_another_run_does_not_resume(wetgen, finished, tiny, tmp_path, option, said):
    if "prompts" in option:
        option = {"prompts": tmp_path / "p.txt"}
        option["prompts"].write_text("\n".join(reversed(PROMPTS)), "utf-8")
    if "bundle" in option:
        option = {"bundle": tiny.write_bundle(tmp_path / "other", seed=1)}
    before = (finished / "run.json").read_bytes()
    result = wetgen(finished, "--resume", **option)
    assert result.exit_code == 1 and "holds another run" in result.stderr and said in result.stderr
    assert (finished / "run.json").read_bytes() == before


def test_the_defaults_written_out_are_the_same_run(wetgen, tmp_path):
    wetgen(tmp_path / "out")
    assert wetgen(tmp_path / "out", "--resume", plan="four", guidance=3).exit_code == 0


def test_without_resume_nothing_is_ever_overwritten(wetgen, finished, tmp_path):
    before = files(finished)
    result = wetgen(finished)
    assert result.exit_code == 1 and "holds a run already" in result.stderr and "--resume" in result.stderr
    assert files(finished) == before
    (tmp_path / "notes.txt").write_text("mine")
    for more in ((), ("--resume",)):
        result = wetgen(tmp_path, *more)
        assert result.exit_code == 1 and "is not empty" in result.stderr and "notes.txt" in result.stderr


def test_out_may_not_be_a_file(wetgen, tmp_path):
    (tmp_path / "out").write_text("")
    result = wetgen(tmp_path / "out")
    assert result.exit_code == 1 and "could not be read" in result.stderr


def test_a_damaged_run_json_is_said(wetgen, tmp_path):
    wetgen(tmp_path / "out")
    (tmp_path / "out" / "run.json").write_text('{"format": 1}')
    result = wetgen(tmp_path / "out", "--resume")
    assert result.exit_code == 1 and "does not describe a run" in result.stderr


def test_a_refused_run_leaves_no_folder(wetgen, tmp_path):
    for option in ({"guidance": "nan"}, {"plan": "six"}, {"negative": "crack " * 40}, {"device": "tensorrt"}):
        assert wetgen(tmp_path / "out", **option).exit_code == 1
        assert not (tmp_path / "out").exists()


def test_a_prompt_that_is_too_long_is_named_by_its_line(wetgen, tmp_path):
    (tmp_path / "p.txt").write_text("# a comment\nmold\n\n" + "crack " * 40 + "\n")
    result = wetgen(tmp_path / "out", prompts=tmp_path / "p.txt")
    assert result.exit_code == 1 and f"{tmp_path / 'p.txt'}, line 4: A prompt is too long" in result.stderr
    assert wetgen(tmp_path / "out", "--truncate", prompts=tmp_path / "p.txt").exit_code == 0


# Interruption


def start(bundle_folder, prompts, out, count, *more):
    command = [sys.executable, "-W", "error", "-m", "wetgen.runtime.cli", "run", "--json", "--threads", "1"]
    command += ["--prompts", prompts, "--bundle", bundle_folder, "--out", out, "--count", count, *more]
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    for _ in range(6):  # the start and five pairs or rejected tries
        assert process.stdout.readline()
    return process


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_run_resumes_to_the_same_bytes(wetgen, bundle_folder, prompts, finished, tmp_path, sent):
    out = tmp_path / "out"
    process = start(bundle_folder, prompts, out, 1000)  # far more than are made before the signal, however slow it is
    process.send_signal(sent)
    _, talk = process.communicate(timeout=30)
    done = len(Dataset.open(out).rows) if sent == signal.SIGINT else (out / "metadata.jsonl").read_bytes().count(b"\n")
    assert 5 <= done < 4000
    if sent == signal.SIGINT:
        assert process.returncode == 130 and "--resume" in talk and "Traceback" not in talk
        assert record(out)["status"] == "interrupted" and record(out)["counts"]["written"] == done
    else:
        assert record(out)["status"] == "running"
    more = max(3, done // len(PROMPTS) + 1)  # beyond the pair whose files a kill may have left without a row
    assert wetgen(out, "--resume", count=more).exit_code == 0
    whole = tmp_path / "whole"
    wetgen(whole, count=more)
    assert_same_run(out, whole)
    assert {name: files(out)[name] for name in files(finished)} == files(finished)


def test_a_full_disk_stops_the_run_and_keeps_what_is_finished(wetgen, finished, tmp_path, monkeypatch):
    replace_file, calls = os.replace, []

    def full(source, target):
        calls.append(target)
        if len(calls) > 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace_file(source, target)

    out = tmp_path / "out"
    monkeypatch.setattr("wetgen.runtime.files.os.replace", full)
    result = wetgen(out, count=3)
    assert result.exit_code == 1 and "the disk is full" in result.stderr and "Traceback" not in result.stderr
    monkeypatch.undo()
    kept = Dataset.open(out)
    assert 0 < len(kept.rows) < 12
    for row in kept.rows:
        kept.load(row)
    assert wetgen(out, "--resume", count=3).exit_code == 0
    assert_same_run(out, finished)


def test_a_bug_is_no_message_and_still_keeps_what_is_finished(wetgen, tmp_path, monkeypatch):
    make = generating.make_pair

    def fails_at_two(inputs, *rest):
        if inputs.index == 2:
            raise ZeroDivisionError
        return make(inputs, *rest)

    monkeypatch.setattr(generating, "make_pair", fails_at_two)
    assert isinstance(wetgen(tmp_path / "out").exception, ZeroDivisionError)
    assert sorted(rows(tmp_path / "out")) == [0, 1] and record(tmp_path / "out")["status"] == "failed"


# Faults


def spoil(monkeypatch, faults: dict[int, tuple[str, ...]], tries: int = 10**9):
    """Give the first `tries` of the named pairs these faults."""
    make = generating.make_pair

    def spoiled(inputs, *rest):
        pair = make(inputs, *rest)
        return replace(pair, faults=faults.get(inputs.index, pair.faults)) if inputs.attempt < tries else pair

    monkeypatch.setattr(generating, "make_pair", spoiled)


def test_broken_pairs_are_listed_and_never_written(wetgen, tmp_path, monkeypatch):
    out, missed = tmp_path / "out", "asked for mold, none in the mask"
    spoil(monkeypatch, {0: (missed,), 1: (NOT_FINITE,), 2: (CONSTANT,)})
    result = wetgen(out)
    assert result.exit_code == 0
    assert sorted(rows(out)) == [0, 3] and rows(out)[0]["faults"] == [missed]
    assert sorted(files(out)) == [f"{kind}/{i:06d}.png" for kind in ("confidence", "images", "masks") for i in (0, 3)]
    assert sorted(rejects(out)) == [(index, attempt) for index in (1, 2) for attempt in range(4)]
    row = rejects(out)[1, 2]
    assert row["text"] == PROMPTS[1] and row["faults"] == [NOT_FINITE] and row["reasons"] == {"broken": NOT_FINITE}
    counts = {"asked": 4, "written": 2, "with_faults": 1, "drawn": 10, "rejected": 8, "given_up": 2}
    assert record(out)["counts"] == {**COUNTS, **counts}
    assert record(out)["reasons"] == {"broken": 8} and record(out)["keep_rate"] == 0.2
    assert result.stdout.splitlines() == [
        f"{out}: 2 of 4 pairs. To look at: {out / 'contact-sheet.png'}",
        '1 of them lack a class they were asked for: see "faults" in metadata.jsonl.',
        "2 of 10 tries were kept (20.0%); rejected: 8 broken. See rejected.jsonl.",
        "2 were given up after 4 tries each; --tries allows more.",
    ]
    assert "Pair 1 was given up: the latent is not finite." in result.stderr


def test_a_pair_that_was_given_up_is_not_made_again_unless_its_last_line_was_cut_off(wetgen, tmp_path, monkeypatch):
    out = tmp_path / "out"
    spoil(monkeypatch, {1: (NOT_FINITE,), 2: (CONSTANT,)})
    wetgen(out)
    monkeypatch.undo()
    assert wetgen(out, "--resume").exit_code == 0 and sorted(rows(out)) == [0, 3]
    data = (out / "rejected.jsonl").read_bytes()
    (out / "rejected.jsonl").write_bytes(data[:-9])
    wetgen(out, "--resume")
    assert sorted(rows(out)) == [0, 2, 3] and rows(out)[2]["try"] == 3
    assert record(out)["counts"]["rejected"] == 7 and record(out)["counts"]["given_up"] == 1


def test_a_run_from_before_there_were_tries_is_taken_up(wetgen, finished, tmp_path, monkeypatch):
    """Its pairs had one try, its rows and run.json know nothing of tries or filters."""
    out = tmp_path / "out"
    spoil(monkeypatch, {1: (NOT_FINITE,)})
    wetgen(out, tries=1)
    monkeypatch.undo()
    old = record(out)
    del old["settings"]["filter"], old["tries"], old["reasons"], old["keep_rate"]
    (out / "run.json").write_text(json.dumps(old))
    for name in ("metadata.jsonl", "rejected.jsonl"):
        listed = list(map(json.loads, (out / name).read_text("utf-8").splitlines()))
        bare = [{key: value for key, value in row.items() if key not in ("try", "reasons")} for row in listed]
        (out / name).write_text("".join(json.dumps(row) + "\n" for row in bare), "utf-8")
    assert wetgen(out, "--resume", count=3).exit_code == 0
    assert sorted(rows(out)) == [0, *range(2, 12)] and record(out)["tries"] == 1
    assert record(out)["counts"]["given_up"] == 1 and record(out)["reasons"] == {"broken": 1}
    assert {name: data for name, data in files(finished).items() if "000001" not in name} == files(out)


def test_a_rejected_row_that_is_damaged_is_said(wetgen, tmp_path, monkeypatch):
    out = tmp_path / "out"
    spoil(monkeypatch, {1: (NOT_FINITE,)})
    wetgen(out)
    data = (out / "rejected.jsonl").read_bytes()
    for damaged, message in ((data[9:], "line 1: this is not JSON"), (b"{}\n" + data, "line 1, is no row")):
        (out / "rejected.jsonl").write_bytes(damaged)
        result = wetgen(out, "--resume")
        assert result.exit_code == 1 and f"rejected.jsonl, {message}" in result.stderr


# Filters


KEPT_FROM = 0.1685  # keeps some tries of one prompt, more of another, and none of the rest


@pytest.fixture(scope="module")
def judged_folder(tiny, tmp_path_factory):
    return tiny.write_bundle(tmp_path_factory.mktemp("judged"), judge=True)


@pytest.fixture
def filtered(wetgen, judged_folder):
    """Run with the judged bundle and a threshold."""

    def call(out, *more, **options):
        return wetgen(
            out, "--keep-agreement", str(KEPT_FROM), *more, **{"bundle": judged_folder, "count": 4, **options}
        )

    return call


@pytest.fixture(scope="module")
def whole(judged_folder, prompts, tmp_path_factory):
    """A filtered run that nothing disturbed."""
    out = tmp_path_factory.mktemp("filtered") / "out"
    words = ["--prompts", prompts, "--bundle", judged_folder, "--out", out, "--count", 4, "--threads", 1]
    words += ["--keep-agreement", KEPT_FROM]
    result = CliRunner().invoke(cli, ["run", *map(str, words)])
    assert result.exit_code == 0, result.output
    return out


def test_rejected_pairs_are_drawn_again_until_they_are_kept_or_given_up(whole, judged_folder):
    kept, rejected = rows(whole), rejects(whole)
    assert {row["try"] for row in kept.values()} >= {0, 1} and len(kept) < 16
    for index in range(16):
        tries = [attempt for i, attempt in rejected if i == index]
        assert sorted(tries) == list(range(kept[index]["try"] if index in kept else 4))
    for row in [*kept.values(), *rejected.values()]:
        assert ("reasons" in row) == (row["agreement"] < KEPT_FROM)
        assert row["class_agreement"] and 0 < row["judge_confidence"] <= 1
    for row in rejected.values():
        assert list(row["reasons"]) == ["agreement"] and f"agree {row['agreement']:g}" in row["reasons"]["agreement"]


def test_a_kept_pair_is_what_its_row_says(whole, judged_folder):
    """Also one that was kept at a later try, under the name that its index gives it."""
    generator = Generator.open(judged_folder, batch=4, threads=1)
    later = [row for row in rows(whole).values() if row["try"]]
    for row in later:
        asked = {"count": row["index"] + 1, "indexes": [row["index"]], "attempt": row["try"]}
        (pair,) = generator.generate([row["text"]], **asked)
        np.testing.assert_array_equal(pair.image, pixels(whole / f"images/{row['index']:06d}.png"))
        np.testing.assert_array_equal(pair.mask, pixels(whole / f"masks/{row['index']:06d}.png"))


def test_what_was_kept_is_counted(whole):
    said, kept, rejected = record(whole), rows(whole), rejects(whole)
    counts = {"asked": 16, "written": len(kept), "drawn": len(kept) + len(rejected), "rejected": len(rejected)}
    assert said["counts"] == {**COUNTS, **counts, "given_up": 16 - len(kept)}
    assert said["reasons"] == {"agreement": len(rejected)}
    assert said["keep_rate"] == round(len(kept) / (len(kept) + len(rejected)), 4)
    assert said["settings"]["filter"]["keep_agreement"] == KEPT_FROM


def test_the_summary_says_the_keep_rate_and_why(filtered, whole, tmp_path):
    out = tmp_path / "out"
    lines = filtered(out).stdout.splitlines()
    assert len(lines) == 3
    assert lines[1].endswith(f"%); rejected: {len(rejects(whole))} agreement. See rejected.jsonl.")
    assert lines[2] == f"{16 - len(rows(whole))} were given up after 4 tries each; --tries allows more."


def test_pairs_kept_at_the_first_try_are_those_of_a_run_without_filter(wetgen, whole, tmp_path):
    wetgen(tmp_path / "plain", count=4)
    for row in rows(whole).values():
        for name in (row["file_name"], row["mask_file_name"]):  # the files' texts name another bundle
            assert np.array_equal(pixels(whole / name), pixels(tmp_path / "plain" / name)) == (row["try"] == 0)


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_the_batch_decides_nothing(filtered, whole, tmp_path, batch):
    """As long as no rounding of another batch's sums falls on the threshold, which the nearest figure rules out."""
    figures = [row["agreement"] for row in [*rows(whole).values(), *rejects(whole).values()]]
    assert min(abs(figure - KEPT_FROM) for figure in figures) >= 0.0001
    filtered(tmp_path / "out", batch=batch)
    assert {i: row["try"] for i, row in rows(tmp_path / "out").items()} == {
        i: row["try"] for i, row in rows(whole).items()
    }
    assert rejects(tmp_path / "out").keys() == rejects(whole).keys()


def test_more_tries_make_more_pairs_and_change_none(filtered, whole, tmp_path):
    out = tmp_path / "out"
    filtered(out, tries=1)
    assert {row["try"] for row in rows(out).values()} == {0}
    first = files(out)
    assert "after 1 try each" in filtered(tmp_path / "again", tries=1).stdout
    assert filtered(out, "--resume", tries=4).exit_code == 0
    assert_same_run(out, whole)
    assert first.items() <= files(out).items()


def test_fewer_tries_take_no_pair_back(filtered, whole, tmp_path):
    """A pair that was kept at a later try than are allowed now was not given up."""
    out = tmp_path / "out"
    filtered(out)
    filtered(out, "--resume", tries=1)
    assert_same_run(out, whole)
    assert record(out)["counts"] == record(whole)["counts"]


def test_resuming_keeps_the_tries_that_the_run_began_with(filtered, tmp_path):
    out = tmp_path / "out"
    filtered(out, tries=2, count=1)
    filtered(out, "--resume", count=2)
    assert record(out)["tries"] == 2 and {attempt for _, attempt in rejects(out)} == {0, 1}


def test_a_lost_picture_is_made_again_at_its_try(filtered, whole, tmp_path):
    out = tmp_path / "out"
    filtered(out)
    lost = next(row for row in rows(out).values() if row["try"])
    (out / lost["file_name"]).unlink()
    filtered(out, "--resume")
    assert_same_run(out, whole)


@pytest.mark.parametrize(
    "more, said",
    [
        (["--keep-agreement", "0.2"], "keep_agreement was 0.1685 and is 0.2"),
        (["--most-area", "0.5"], "most_area was None and is 0.5"),
        (["--require-asked"], "require_asked was False and is True"),
    ],
)
def test_another_filter_is_another_run(filtered, whole, more, said):
    result = filtered(whole, "--resume", *more)
    assert result.exit_code == 1 and "holds another run" in result.stderr and said in result.stderr


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_filtered_run_stopped_among_its_tries_resumes_to_the_same_bytes(
    filtered, judged_folder, prompts, tmp_path, sent, batch
):
    out, count = tmp_path / "out", 100
    process = start(judged_folder, prompts, out, count, "--keep-agreement", KEPT_FROM, "--batch", batch)
    process.send_signal(sent)
    process.communicate(timeout=30)
    touched = {index for index, _ in rejects_so_far(out)}
    more = max(4, max(touched, default=0) // len(PROMPTS) + 1)  # beyond whatever a kill may have left half done
    assert more < count
    assert filtered(out, "--resume", count=more).exit_code == 0
    filtered(tmp_path / "whole", count=more, batch=batch)
    assert_same_run(out, tmp_path / "whole")


def rejects_so_far(out: Path) -> list[tuple[int, int]]:
    """The rejected tries of a killed run, whose last line may be cut off."""
    data = (out / "rejected.jsonl").read_bytes() if (out / "rejected.jsonl").exists() else b""
    listed = map(json.loads, data[: data.rfind(b"\n") + 1].splitlines())
    return [(row["index"], row["try"]) for row in listed]


@pytest.mark.parametrize("lines", range(0, 12))
def test_a_run_killed_after_any_rejected_try_resumes_to_the_same_bytes(filtered, whole, tmp_path, lines):
    """What a kill leaves when so many rejected tries were written: no pair that comes later, and a line cut short."""
    out = tmp_path / "out"
    filtered(out)
    told = (out / "rejected.jsonl").read_bytes().splitlines(keepends=True)
    (out / "rejected.jsonl").write_bytes(b"".join(told[:lines]) + told[lines][:17])
    later = {(row["index"], row["try"]) for row in map(json.loads, told[lines:])}
    kept = (out / "metadata.jsonl").read_bytes().splitlines(keepends=True)
    stays = [line for line in kept if not any(json.loads(line)["index"] == index for index, _ in later)]
    (out / "metadata.jsonl").write_bytes(b"".join(stays))
    filtered(out, "--resume")
    assert_same_run(out, whole)


def test_a_pair_that_comes_well_at_its_second_try_is_no_reject(wetgen, tmp_path, monkeypatch):
    out = tmp_path / "out"
    spoil(monkeypatch, {1: (NOT_FINITE,)}, tries=1)
    result = wetgen(out)
    assert sorted(rows(out)) == [0, 1, 2, 3] and rows(out)[1]["try"] == 1
    assert "4 of 5 tries were kept (80.0%); rejected: 1 broken." in result.stdout and "given up" not in result.stdout


def test_events_tell_every_rejected_try(filtered, whole, tmp_path):
    result = filtered(tmp_path / "out", "--json")
    events = list(map(json.loads, result.stdout.splitlines()))
    told = [event for event in events if event["event"] == "rejected"]
    assert {(event["index"], event["try"]) for event in told} == rejects(whole).keys()
    assert [event["given_up"] for event in told] == [event["try"] == 3 for event in told]


def test_copies_of_training_pictures_are_replaced_unless_they_may_stay(wetgen, tiny, bundle, tmp_path):
    """Two pairs of the plain run are what the bundle was trained on."""
    (first, third) = Generator(bundle, batch=4, threads=1).generate(PROMPTS, indexes=[0, 2])
    known = Fingerprints(fingerprint(np.stack([first.image, third.image[:, ::-1]])), 8)
    folder = tiny.write_bundle(tmp_path / "bundle", known=known)
    assert wetgen(tmp_path / "out", bundle=folder).exit_code == 0
    assert {(0, 0), (2, 0)} <= rejects(tmp_path / "out").keys()
    assert all(list(row["reasons"]) == ["copy"] for row in rejects(tmp_path / "out").values())
    assert record(tmp_path / "out")["settings"]["filter"]["refuse_copies"] is True
    wetgen(tmp_path / "kept", "--keep-copies", bundle=folder)
    assert {row["try"] for row in rows(tmp_path / "kept").values()} == {0} and len(rows(tmp_path / "kept")) == 4


def test_pairs_that_the_judge_cannot_judge_are_kept_and_counted(wetgen, judged_folder, tmp_path, monkeypatch):
    make = generating.make_pair

    def moldy(*given):
        pair = make(*given)
        return replace(pair, mask=np.full_like(pair.mask, 3))

    monkeypatch.setattr(generating, "make_pair", moldy)
    (tmp_path / "p.txt").write_text("black mold\n")
    result = wetgen(tmp_path / "out", "--keep-agreement", "0.9", bundle=judged_folder, prompts=tmp_path / "p.txt")
    assert rows(tmp_path / "out")[0]["agreement"] is None and record(tmp_path / "out")["counts"]["unjudged"] == 1
    assert "1 of them show only classes that the judge does not know, and were kept." in result.stdout


def test_a_run_whose_every_try_was_rejected_fails_and_says_why(filtered, judged_folder, tmp_path):
    result = filtered(tmp_path / "out", "--keep-agreement", "0.99", "--least-area", "0.999", count=1)
    assert result.exit_code == 1
    assert "None of the 4 pairs could be used" in result.stderr and "wider limits" in result.stderr
    assert "16 area, 16 agreement" in result.stderr
    assert len(rejects(tmp_path / "out")) == 16


def test_an_impossible_filter_leaves_no_folder(wetgen, tmp_path):
    for more in (["--keep-agreement", "0.5"], ["--refuse-copies"], ["--least-area", "60"], ["--most-area", "nan"]):
        result = wetgen(tmp_path / "out", *more)
        assert result.exit_code == 1 and "why: " in result.stderr and not (tmp_path / "out").exists()


def test_a_run_without_one_usable_pair_fails(wetgen, tmp_path, monkeypatch):
    spoil(monkeypatch, dict.fromkeys(range(4), (NOT_FINITE,)))
    result = wetgen(tmp_path / "out")
    assert result.exit_code == 1 and "None of the 4 pairs could be used" in result.stderr


@given(st.permutations(range(40)))
def test_the_sheet_shows_the_first_pairs_in_whatever_order_they_came(order):
    contents = Contents()
    for index in order:
        contents.add(pair_name(index), {"index": index})
        assert len(contents._first) <= LIMIT
    contents.add("somebody's", {"index": -1})
    assert contents.first() == [(index, {"index": index}) for index in range(LIMIT)] and contents.pairs == 40
