"""A new folder is there whole or not at all."""

import os
from pathlib import Path

import pytest

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import new_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_appears_when_the_block_ends(tmp_path: Path, exists: bool) -> None:
    out = tmp_path / "deep" / "out [1]"
    if exists:
        out.mkdir(parents=True)
    with new_folder(out) as folder:
        folder.write("a/b/c.txt", b"c")
        folder.write("a/d.txt", b"d")
        assert not out.exists() or not names(out)
    assert (out / "a" / "b" / "c.txt").read_bytes() == b"c" and names(out.parent) == ["out [1]"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_is_left_of_a_block_that_fails(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), new_folder(tmp_path / "out") as folder:
        folder.write("a.txt", b"a")
        raise error
    assert names(tmp_path) == []


def test_what_a_killed_process_left_is_swept_and_only_that(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:  # dies inside the block
        with new_folder(tmp_path / "o[u]t") as folder:
            folder.write("half.txt", b"half")
            os._exit(9)
    os.waitpid(pid, 0)
    (tmp_path / ".other.12345678.wetgen-tmp").mkdir()
    assert len(names(tmp_path)) == 2
    with new_folder(tmp_path / "o[u]t") as folder:
        folder.write("a.txt", b"a")
    assert names(tmp_path) == [".other.12345678.wetgen-tmp", "o[u]t"] and names(tmp_path / "o[u]t") == ["a.txt"]


def test_two_writers_never_mix(tmp_path: Path) -> None:
    """The later one sweeps the earlier one away, which then fails instead of writing into the other's folder."""
    with pytest.raises(WetgenError, match="could not be written"), new_folder(tmp_path / "out") as first:
        first.write("a.txt", b"first")
        with new_folder(tmp_path / "out") as second:
            second.write("b.txt", b"second")
            with pytest.raises(FileNotFoundError):
                first.write("c.txt", b"first")
            with pytest.raises(FileNotFoundError):
                first.write("sub/c.txt", b"first")
        raise FileNotFoundError
    assert names(tmp_path / "out") == ["b.txt"]


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(WetgenError, match=r"is not empty.\n  why: it contains thesis.txt"), new_folder(tmp_path):
        pass
    with pytest.raises(WetgenError, match="could not be read"), new_folder(tmp_path / "thesis.txt"):
        pass
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(WetgenError, match="leads nowhere"), new_folder(tmp_path / "link"):
        pass
    assert names(tmp_path) == ["link", "thesis.txt"]


def test_a_full_disk_is_told_in_plain_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with pytest.raises(WetgenError, match="the disk is full"), new_folder(tmp_path / "out") as folder:
        monkeypatch.setattr(Path, "write_bytes", full)
        folder.write("a.txt", b"a")
    assert names(tmp_path) == []
