"""Rows: what is written comes back, what an interruption tore off does not, and other files are refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wetgen.benchmarks.speed import rows
from wetgen.runtime.errors import WetgenError


def test_rows_come_back_from_the_file_and_from_its_folder(tmp_path: Path, row) -> None:
    file = tmp_path / "new" / rows.FILE_NAME
    written = [row("ceilings", {"ü": 1.5}), row("sampling", {}, number=1)]
    for one in written:
        rows.append(file, one)
    assert rows.read(file) == rows.read(file.parent) == written


@pytest.mark.parametrize("cut", [1, 20])
def test_a_torn_line_is_no_row_and_the_next_one_replaces_it(tmp_path: Path, row, cut: int) -> None:
    file = tmp_path / rows.FILE_NAME
    first, second = row("ceilings", {}), row("sampling", {}, number=1)
    rows.append(file, first)
    rows.append(file, second)
    file.write_bytes(file.read_bytes()[:-cut])
    assert rows.read(file) == [first]
    rows.append(file, second)
    assert rows.read(file) == [first, second]


def test_the_newest_row_of_a_key_counts(row) -> None:
    failed = {**row("sampling", None), "status": rows.FAILED, "error": {"what": "a", "why": "b", "fix": "c"}}
    done, other = row("sampling", {"a": 1}), row("sampling", {}, number=1)
    assert rows.newest([failed, other, done]) == [done, other]
    assert list(rows.done([done, failed, other], "sampling")) == [other]


@pytest.mark.parametrize("text", ["{}", "no json", '{"format": 99}', "[1]"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / rows.FILE_NAME).write_text(text + "\n")
    with pytest.raises(WetgenError, match="line 1, is not a row"):
        rows.read(tmp_path)


def test_a_value_that_json_does_not_know_is_a_bug_and_leaves_the_file_whole(tmp_path: Path, row) -> None:
    with pytest.raises(ValueError):
        rows.append(tmp_path / rows.FILE_NAME, row("sampling", {"rate": float("nan")}))
    assert not (tmp_path / rows.FILE_NAME).exists()


@given(st.dictionaries(st.text(), st.integers()), st.dictionaries(st.text(), st.integers()))
def test_keys_tell_settings_apart(a: dict[str, int], b: dict[str, int]) -> None:
    assert (rows.key_of(a=a) == rows.key_of(a=b)) == (a == b)
