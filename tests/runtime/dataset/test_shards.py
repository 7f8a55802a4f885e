"""`wetgen run --shards`: tar files with the same bytes whatever happens on the way, which WebDataset reads."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from wetgen.runtime.cli import cli
from wetgen.runtime.dataset import shards as tar
from wetgen.runtime.dataset.reader import Dataset
from wetgen.runtime.dataset.shards import ShardWriter
from wetgen.training.scenes.scene import CLASSES

PROMPTS = ("black mold in a corner", "a crack in a wet wall", "a brown water stain", "Nässe an der Decke")
KEPT_FROM = "0.1685"  # keeps some tries of one prompt, more of another, and none of the rest


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    file = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    file.write_text("\n".join(PROMPTS) + "\n", encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def judged_folder(tiny, tmp_path_factory):
    return tiny.write_bundle(tmp_path_factory.mktemp("judged"), judge=True)


@pytest.fixture(scope="module")
def wetgen(bundle_folder, prompts):
    """Run `wetgen run` in this process, in shards of 5 pairs unless told otherwise."""

    def call(out, *more, **options):
        given = {"prompts": prompts, "bundle": bundle_folder, "out": out, "threads": 1, "shards": 5, **options}
        words = [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]
        return CliRunner().invoke(cli, ["run", *words, *more])

    return call


@pytest.fixture(scope="module")
def finished(wetgen, tmp_path_factory):
    """A run of 12 pairs that nothing disturbed."""
    out = tmp_path_factory.mktemp("finished") / "out"
    result = wetgen(out, count=3)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def filtered(wetgen, judged_folder, tmp_path_factory):
    """A run of 16 pairs of which many are drawn again, and some are given up."""
    out = tmp_path_factory.mktemp("filtered") / "out"
    result = wetgen(out, "--keep-agreement", KEPT_FROM, bundle=judged_folder, count=4)
    assert result.exit_code == 0, result.output
    return out


def shards(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "shards").iterdir()}


def rows(out: Path) -> dict[int, dict]:
    listed = list(map(json.loads, (out / "metadata.jsonl").read_text("utf-8").splitlines()))
    found = {row["index"]: row for row in listed}
    assert len(found) == len(listed)
    return found


def assert_same_run(out: Path, other: Path) -> None:
    """The same shards byte for byte, the same rows in any order, and nothing left over."""
    assert shards(out) == shards(other)
    assert rows(out) == rows(other)
    assert sorted(os.listdir(out)) == sorted(os.listdir(other))


def record(out: Path) -> dict:
    return json.loads((out / "run.json").read_text())


def test_shards_hold_their_pairs_in_order(finished):
    assert sorted(shards(finished)) == ["000000.tar", "000001.tar", "000002.tar"]
    with tarfile.open(finished / "shards" / "000002.tar") as shard:
        names = shard.getnames()
    suffixes = ("png", "mask.png", "confidence.png", "json")
    assert names == [f"{key}.{suffix}" for key in ("000010", "000011") for suffix in suffixes]
    assert sorted(os.listdir(finished)) == ["classes.json", "contact-sheet.png", "metadata.jsonl", "run.json", "shards"]
    assert rows(finished)[7]["shard"] == "shards/000001.tar" and rows(finished)[7]["key"] == "000007"
    assert record(finished)["shards"] == 5 and record(finished)["counts"]["written"] == 12


def test_shards_hold_what_loose_files_would(wetgen, finished, tmp_path):
    assert wetgen(tmp_path / "loose", shards=None, count=3).exit_code == 0
    loose = Dataset.open(tmp_path / "loose")
    for row in loose.rows:
        key, about = Path(row.file_name).stem, rows(finished)[row.extra["index"]]
        shard = finished / about["shard"]
        wanted = [f"{key}.{suffix}" for suffix in ("png", "mask.png", "confidence.png", "json")]
        files = tar.read(shard, wanted)
        places = (row.file_name, row.mask_file_name, row.extra["confidence_file_name"])
        assert [files[name] for name in wanted[:3]] == [(tmp_path / "loose" / place).read_bytes() for place in places]
        stated = {"text": row.text, "scene": row.scene, **row.extra}
        del stated["confidence_file_name"]
        assert json.loads(files[wanted[3]]) == stated
        assert about == {"shard": f"shards/00000{row.extra['index'] // 5}.tar", "key": key, **stated}
    assert (finished / "contact-sheet.png").read_bytes() == (tmp_path / "loose" / "contact-sheet.png").read_bytes()


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_them(finished):  # webdataset 1.0 leaves closing its files to the interpreter
    webdataset = pytest.importorskip("webdataset")
    source = str(finished / "shards" / "{000000..000002}.tar")
    read = list(webdataset.WebDataset(source, shardshuffle=False).decode("rgb8", partial=True))
    assert [sample["__key__"] for sample in read] == [f"{index:06d}" for index in range(12)]
    for sample in read:
        assert sample["png"].shape == sample["mask.png"].shape and sample["png"].dtype == np.uint8
        assert sample["json"]["text"] == rows(finished)[sample["json"]["index"]]["text"]


def test_they_convert_into_a_dataset_folder(wetgen, finished, tmp_path):
    wetgen(tmp_path / "loose", shards=None, count=3)
    words = ["convert", str(finished), "--from", "webdataset", "--out", str(tmp_path / "back")]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    back, loose = Dataset.open(tmp_path / "back"), Dataset.open(tmp_path / "loose")
    assert back.classes == loose.classes and len(back) == 12
    assert [row.text for row in back.rows] == [row.text for row in loose.rows]
    for row in back.rows:
        for name in (row.file_name, row.mask_file_name):
            assert (tmp_path / "back" / name).read_bytes() == (tmp_path / "loose" / name).read_bytes()


@pytest.mark.parametrize("command", [["inspect"], ["card"], ["convert", "--to", "coco", "--out", "x"]])
def test_what_reads_dataset_folders_says_how_to_unpack_them(finished, command):
    result = CliRunner().invoke(cli, [*command, str(finished)])
    assert result.exit_code == 1 and "has its pairs in shards" in result.output
    assert f"wetgen convert {finished} --from webdataset" in result.output


@pytest.mark.parametrize("options", [{"batch": 1}, {"batch": 7}])
def test_the_batch_decides_nothing(wetgen, finished, filtered, judged_folder, tmp_path, options):
    """Rejected pairs come again after others, sooner or later by the batch; shards have their pairs in order."""
    wetgen(tmp_path / "plain", count=3, **options)
    assert {name: _names(tmp_path / "plain" / "shards" / name) for name in shards(finished)} == {
        name: _names(finished / "shards" / name) for name in shards(finished)
    }
    wetgen(tmp_path / "out", "--keep-agreement", KEPT_FROM, bundle=judged_folder, count=4, **options)
    assert {name: _names(tmp_path / "out" / "shards" / name) for name in shards(tmp_path / "out")} == {
        name: _names(filtered / "shards" / name) for name in shards(filtered)
    }


def _names(shard: Path) -> list[str]:
    with tarfile.open(shard) as archive:
        return archive.getnames()


def test_given_up_pairs_leave_gaps_and_no_part(filtered):
    kept = rows(filtered)
    assert 0 < len(kept) < 16 and {row["try"] for row in kept.values()} >= {0, 1}
    assert not list((filtered / "shards").glob("*.part"))
    found = [name.split(".")[0] for name in sorted(shards(filtered)) for name in _names(filtered / "shards" / name)]
    assert list(dict.fromkeys(found)) == [f"{index:06d}" for index in sorted(kept)]


def test_more_pairs_and_more_tries_reopen_finished_shards(wetgen, finished, filtered, judged_folder, tmp_path):
    out = tmp_path / "out"
    wetgen(out, count=2)
    assert _names(out / "shards" / "000001.tar")[0] == "000005.png" and len(rows(out)) == 8
    assert wetgen(out, "--resume", shards=None, count=3).exit_code == 0
    assert_same_run(out, finished)
    out = tmp_path / "tries"
    wetgen(out, "--keep-agreement", KEPT_FROM, bundle=judged_folder, count=4, tries=1)
    assert len(rows(out)) < len(rows(filtered))
    wetgen(out, "--keep-agreement", KEPT_FROM, "--resume", bundle=judged_folder, count=4, tries=4)
    assert_same_run(out, filtered)


def test_a_lost_shard_is_made_again(wetgen, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "out")
    (tmp_path / "out" / "shards" / "000001.tar").unlink()
    result = wetgen(tmp_path / "out", "--resume", "--json", count=3)
    made = [event["index"] for event in map(json.loads, result.stdout.splitlines()) if event["event"] == "pair"]
    assert made == [5, 6, 7, 8, 9]
    assert_same_run(tmp_path / "out", finished)


@pytest.mark.parametrize("asked, said", [(4, "writes shards of 5 pairs"), (5, None), (None, None)])
def test_a_run_is_resumed_with_its_own_shards(wetgen, finished, tmp_path, asked, said):
    shutil.copytree(finished, tmp_path / "out")
    result = wetgen(tmp_path / "out", "--resume", count=3, shards=asked)
    assert result.exit_code == (1 if said else 0) and (said or "12 of 12 pairs") in result.output
    assert_same_run(tmp_path / "out", finished)


def test_loose_files_are_not_resumed_as_shards(wetgen, tmp_path):
    wetgen(tmp_path / "out", shards=None)
    result = wetgen(tmp_path / "out", "--resume")
    assert result.exit_code == 1 and "writes no shards" in result.output


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_run_resumes_to_the_same_bytes(wetgen, bundle_folder, prompts, tmp_path, sent):
    out = tmp_path / "out"
    command = [sys.executable, "-W", "error", "-m", "wetgen.runtime.cli", "run", "--json", "--threads", "1"]
    command += ["--prompts", prompts, "--bundle", bundle_folder, "--out", out, "--count", 1000, "--shards", 5]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(9):
            assert process.stdout.readline()
        process.send_signal(sent)
        process.communicate(timeout=60)
    assert all(_names(out / "shards" / name) for name in shards(out) if name.endswith(".tar"))
    if sent == signal.SIGINT:
        assert record(out)["status"] == "interrupted"
        done = record(out)["counts"]["written"]
    else:
        done = (out / "metadata.jsonl").read_bytes().count(b"\n")
    assert done >= 8
    more = done // len(PROMPTS) + 2
    assert wetgen(out, "--resume", shards=None, count=more).exit_code == 0
    wetgen(tmp_path / "whole", count=more)
    assert_same_run(out, tmp_path / "whole")


def test_an_unfinished_run_is_not_converted(wetgen, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "out")
    (tmp_path / "out" / "shards" / "000002.tar").rename(tmp_path / "out" / "shards" / "000002.tar.part")
    words = ["convert", str(tmp_path / "out"), "--from", "webdataset", "--out", str(tmp_path / "back")]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 1 and "000002.tar.part still waits for pairs" in result.output
    assert wetgen(tmp_path / "out", "--resume", count=3).exit_code == 0
    assert_same_run(tmp_path / "out", finished)


def test_a_full_disk_stops_the_run_and_keeps_what_is_finished(wetgen, finished, tmp_path, monkeypatch):
    finish_file, calls = tar.finish_file, []

    def full(unfinished, path):
        calls.append(path)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        finish_file(unfinished, path)

    monkeypatch.setattr("wetgen.runtime.dataset.shards.finish_file", full)
    with pytest.raises(OSError):
        raise wetgen(tmp_path / "out", count=3).exception
    monkeypatch.undo()
    assert wetgen(tmp_path / "out", "--resume", count=3).exit_code == 0
    assert_same_run(tmp_path / "out", finished)


# The writer


def pair(index: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(index)
    return generator.integers(0, 256, (8, 8, 3), np.uint8), generator.integers(0, 10, (8, 8), np.uint8)


def store(writer: ShardWriter, index: int) -> None:
    image, mask = pair(index)
    writer.add(f"{index:06d}", image, mask, {"text": f"pair {index}"}, confidence=mask)


def whole(folder: Path, count: int) -> Path:
    writer = ShardWriter(folder, CLASSES, 3)
    writer.expect(range(count))
    for index in range(count):
        store(writer, index)
    return folder


@given(order=st.permutations(range(7)), stops=st.sets(st.integers(0, 6)))
def test_the_bytes_depend_on_neither_order_nor_restarts(tmp_path_factory, order, stops):
    folder = tmp_path_factory.mktemp("any")
    expected = whole(folder / "whole", 7)
    writer = ShardWriter(folder / "out", CLASSES, 3)
    writer.expect(range(7))
    for done, index in enumerate(order):
        store(writer, index)
        if done in stops:
            writer = ShardWriter(folder / "out", CLASSES, 3)
            writer.expect(order[done + 1 :])
    assert shards(folder / "out") == shards(expected)
    shutil.rmtree(folder)


@pytest.mark.parametrize("step", range(41))
def test_a_kill_at_any_byte_of_a_part_loses_at_most_the_pair_being_written(tmp_path, step):
    """A process killed inside the third pair: its row is not there yet, whatever of it is in the part."""
    writer = ShardWriter(tmp_path / "out", CLASSES, 9)
    writer.expect(range(4))
    store(writer, 0)
    store(writer, 1)
    part = tmp_path / "out" / "shards" / "000000.tar.part"
    before, table = part.stat().st_size, (tmp_path / "out" / "metadata.jsonl").read_bytes()
    store(writer, 2)
    (tmp_path / "out" / "metadata.jsonl").write_bytes(table)
    os.truncate(part, before + (part.stat().st_size - before) * step // 40)
    resumed = ShardWriter(tmp_path / "out", CLASSES, 9)
    assert [name for name, _ in resumed.rows()] == ["000000", "000001"]
    resumed.expect([2, 3])
    store(resumed, 2)
    store(resumed, 3)
    writer = ShardWriter(tmp_path / "other", CLASSES, 9)
    writer.expect(range(4))
    for index in range(4):
        store(writer, index)
    assert shards(tmp_path / "out") == shards(tmp_path / "other")


@pytest.mark.parametrize("kept", [0, 512, 3000, 4000])
def test_a_row_whose_pair_is_not_in_the_part_is_written_again(tmp_path, kept):
    """As a power cut may leave it: the row reached the disk, its pair did not, or not all of its 4,096 bytes."""
    writer = ShardWriter(tmp_path / "out", CLASSES, 9)
    writer.expect(range(3))
    store(writer, 0)
    size = (tmp_path / "out" / "shards" / "000000.tar.part").stat().st_size
    store(writer, 1)
    os.truncate(tmp_path / "out" / "shards" / "000000.tar.part", size + kept)
    resumed = ShardWriter(tmp_path / "out", CLASSES, 9)
    assert [name for name, _ in resumed.rows()] == ["000000"]
    resumed.expect([1, 2])
    store(resumed, 1)
    store(resumed, 2)
    assert [json.loads(line)["key"] for line in (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()] == [
        f"{index:06d}" for index in range(3)
    ]
    writer = ShardWriter(tmp_path / "other", CLASSES, 9)
    writer.expect(range(3))
    for index in range(3):
        store(writer, index)
    assert shards(tmp_path / "out") == shards(tmp_path / "other")


def test_a_kill_between_two_names_of_a_shard_is_taken_up(tmp_path):
    """The shard was written in order from its part, which still stands."""
    expected = whole(tmp_path / "whole", 6)
    shutil.copytree(expected, tmp_path / "out")
    part = tmp_path / "out" / "shards" / "000001.tar.part"
    part.write_bytes((expected / "shards" / "000001.tar").read_bytes()[:2048])
    writer = ShardWriter(tmp_path / "out", CLASSES, 3)
    assert len(writer.names) == 6
    writer.expect([])
    assert shards(tmp_path / "out") == shards(expected)


@given(files=st.lists(st.tuples(st.text("abc", min_size=1, max_size=9), st.binary(max_size=1300)), max_size=5))
def test_python_reads_what_is_written(tmp_path_factory, files):
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    data = b"".join(tar.entry(name, content) for name, content in files)
    path.write_bytes(data + tar.end_of_archive(len(data)))
    assert path.stat().st_size % tarfile.RECORDSIZE == 0
    for name, content in files:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        assert tar.entry(name, content)[:512] == info.tobuf(tarfile.USTAR_FORMAT)
    with tarfile.open(path) as archive:
        read = [(info.name, archive.extractfile(info).read()) for info in archive]
    assert read == files
    shutil.rmtree(path.parent)


def test_a_row_of_other_shards_is_refused(tmp_path):
    whole(tmp_path / "out", 4)
    with pytest.raises(Exception, match=r"line 4: this row does not fit shards of 2 pairs|line 3: this row"):
        ShardWriter(tmp_path / "out", CLASSES, 2)


@pytest.mark.parametrize("name", ["a", "0", "00001a", "x/000001"])
def test_a_name_that_is_no_index_is_a_bug(tmp_path, name):
    image, mask = pair(0)
    with pytest.raises(ValueError, match=r"not the index|cannot be a file name"):
        ShardWriter(tmp_path / "out", CLASSES, 2).add(name, image, mask, {"text": "x"})
