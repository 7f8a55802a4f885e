"""Files are whole or absent, and a failing disk is said in plain words."""

import errno
import os
import sys
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wetgen.runtime import files
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import TEMPORARY, atomic_write, is_index, os_errors, pair_name, read_bytes, sweep


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    atomic_write(path, b"one")
    atomic_write(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize(
    "number, words",
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EACCES, "permission is denied"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "operating system refused"),
    ],
)
@pytest.mark.parametrize("call", ["replace", "write"])
def test_a_failing_disk_leaves_the_old_file_and_no_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str, call: str
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    def fail_half_way(file: FileIO, data: bytes) -> None:
        file.write(data[:1])
        fail()

    if call == "replace":
        monkeypatch.setattr(os, "replace", fail)
    else:
        monkeypatch.setattr(files, "write_all", fail_half_way)
    with pytest.raises(WetgenError, match=words) as caught:
        atomic_write(path, b"new")
    assert caught.value.what == f"{path} could not be written."
    assert os.strerror(number) in caught.value.why
    assert caught.value.fix
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_an_interrupt_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "a.bin", b"new")
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_and_a_file_in_the_way_are_said(tmp_path: Path) -> None:
    with pytest.raises(WetgenError, match="does not exist"):
        atomic_write(tmp_path / "no" / "a.bin", b"")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WetgenError, match="is a file, not a folder"):
        atomic_write(tmp_path / "file" / "a.bin", b"")
    with pytest.raises(WetgenError, match="could not be read"):
        read_bytes(tmp_path / "no")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_really_full_device_is_called_full() -> None:
    with pytest.raises(WetgenError, match="disk is full"), os_errors(Path("/dev/full"), "written"):
        Path("/dev/full").write_bytes(b"x")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root: may write everywhere")
def test_a_folder_without_permission_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(WetgenError, match="permission is denied"):
            atomic_write(tmp_path / "a.bin", b"")
    finally:
        tmp_path.chmod(0o700)


def test_sweeping_removes_only_our_temporary_files(tmp_path: Path) -> None:
    for name in (f".a.png.1-2{TEMPORARY}", "a.png", ".hidden", ".x.tmp"):
        (tmp_path / name).write_bytes(b"")
    sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".hidden", ".x.tmp", "a.png"]


@given(st.integers(0, 10**9))
def test_pair_names_are_indexes(index):
    assert is_index(pair_name(index)) and int(pair_name(index)) == index
    assert not is_index(f"0{pair_name(index)}")


@pytest.mark.parametrize("name", ["", "1", "12345", "-00001", "00000a", "00000²", "٣٣٣٣٣٣"])
def test_other_names_are_no_indexes(name):
    assert not is_index(name)
