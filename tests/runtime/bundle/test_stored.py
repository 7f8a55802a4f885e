"""Files in a folder and in a zip of stored entries: the same bytes, sizes and names; anything odd is refused."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wetgen.runtime.bundle.archive import archive_of, exists, mapped, names_in, read_stored, size_of
from wetgen.runtime.errors import WetgenError

NAMES = st.sampled_from(["a", "b.onnx", "engines/x.engine", "engines/y.engine.json", "deep/er/z"])


def zipped(path: Path, files: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def folder(path: Path, files: dict[str, bytes]) -> Path:
    path.mkdir(exist_ok=True)
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(NAMES, st.binary(max_size=300)))
def test_a_zip_reads_as_the_folder_it_was_made_of(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    home = tmp_path_factory.mktemp("stored")
    places = (folder(home / "folder", files), zipped(home / "file.zip", files))
    for place in places:
        assert names_in(place) == sorted(files)
        assert names_in(place / "engines") == sorted(n.removeprefix("engines/") for n in files if n[:8] == "engines/")
        for name, data in files.items():
            assert exists(place / name) and size_of(place / name) == len(data) and read_stored(place / name) == data
        assert not exists(place / "engines") and not exists(place / "none")
    assert archive_of(places[0] / "a") is None and archive_of(places[1] / "a") == places[1]


def test_what_is_mapped_is_not_copied_and_ends_with_the_block(tmp_path: Path) -> None:
    place = zipped(tmp_path / "file.zip", {"first": b"x" * 5000, "second": b"y" * 5000})
    with mapped(place / "second") as data:
        assert data.readonly and bytes(data) == b"y" * 5000
    with pytest.raises(ValueError, match="released"):
        data.tobytes()


def test_an_error_that_still_holds_the_bytes_is_raised_itself(tmp_path: Path) -> None:
    """An engine's error may keep an array over them alive in its traceback."""
    place = zipped(tmp_path / "file.zip", {"a": b"x" * 5000})
    with pytest.raises(RuntimeError, match="the engine failed"), mapped(place / "a") as data:
        array = np.frombuffer(data, np.uint8)
        raise RuntimeError("the engine failed")
    assert array[0] == ord("x")


def test_entries_are_found_behind_local_headers_of_any_length(tmp_path: Path) -> None:
    """The extra field of a local header may be longer than the directory says, as with the long form of sizes."""
    path = tmp_path / "file.zip"
    with zipfile.ZipFile(path, "w") as archive, archive.open(zipfile.ZipInfo("long"), "w", force_zip64=True) as file:
        file.write(b"the bytes")
    assert read_stored(path / "long") == b"the bytes"


def test_a_zip_that_was_replaced_is_listed_again(tmp_path: Path) -> None:
    path = zipped(tmp_path / "file.zip", {"a": b"old"})
    assert read_stored(path / "a") == b"old"
    zipped(tmp_path / "new.zip", {"a": b"newer"})
    os.replace(tmp_path / "new.zip", path)
    assert read_stored(path / "a") == b"newer"


def test_what_is_missing_is_told_alike(tmp_path: Path) -> None:
    for place in (folder(tmp_path / "folder", {}), zipped(tmp_path / "file.zip", {"a": b""})):
        for ask in (size_of, read_stored):
            with pytest.raises(WetgenError, match=r"none could not be read"):
                ask(place / "none")


@pytest.mark.parametrize("fault", ["compressed", "twice", "truncated", "header"])
def test_a_zip_that_cannot_be_trusted_is_refused(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "file.zip"
    if fault == "compressed":
        zipped(path, {"a": b"x" * 100}, zipfile.ZIP_DEFLATED)
    elif fault == "twice":
        with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a", b"1")
            archive.writestr("a", b"2")
    else:
        whole = zipped(path, {"a": b"x" * 100}).read_bytes()
        path.write_bytes(whole[40:] if fault == "truncated" else b"PK\x03\x05" + whole[4:])
    with pytest.raises(WetgenError, match="not a packed bundle"):
        read_stored(path / "a")


def test_a_path_below_a_file_that_is_no_zip_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"no zip")
    with pytest.raises(WetgenError, match="not a packed bundle"):
        exists(tmp_path / "plain" / "bundle.json")
