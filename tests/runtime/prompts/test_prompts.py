"""The prompts file."""

import io
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.prompts.read import read_prompts


def texts(data: bytes) -> list[str]:
    """The prompts of these bytes on standard input."""
    with patch("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data))):
        return read_prompts("-")


def test_a_prompt_a_line():
    assert texts(b"# wet\n\n a crack \n   # indented\nblack mold # 3\n") == ["a crack", "black mold # 3"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [b"", b"\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_byte_order_mark_do_not_matter(end, last, mark):
    assert texts(mark + end.join([b"one", b"two"]) + last) == ["one", "two"]


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_only_a_line_feed_ends_a_prompt(separator):
    prompt = f"Schimmel{separator}an der Decke"
    assert texts(f"{prompt}\nRiss\n".encode()) == [prompt, "Riss"]


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\n\0"), max_size=9)))
def test_prompts_survive_their_file(lines):
    kept = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    # The first line keeps a byte order mark in the text from being one.
    data = "\n".join(["#", *lines, "last"]).encode()
    assert texts(data) == [*kept, "last"]


@pytest.mark.parametrize(
    "data, why", [(b"", "it is empty"), (b"\n# only\n \n", "every line is blank or begins with #")]
)
def test_a_file_without_prompts_is_refused(tmp_path, data, why):
    file = tmp_path / "prompts.txt"
    file.write_bytes(data)
    with pytest.raises(WetgenError, match=why) as caught:
        read_prompts(str(file))
    assert caught.value.what == f"{file} holds no prompts."


@pytest.mark.parametrize(
    "data, where",
    [
        (b"a crack\nSchimmel, gro\xdf\n", r"byte 21, line 2"),
        (b"\xef\xbb\xbfgro\xdf\n", r"byte 6, line 1"),
        ("a crack".encode("utf-16"), r"byte 0, line 1"),
    ],
)
def test_other_encodings_are_refused_with_byte_and_line(data, where):
    with pytest.raises(WetgenError, match=rf"standard input is not UTF-8 \({where}\)") as caught:
        texts(data)
    assert "UTF-8" in caught.value.fix


@pytest.mark.parametrize("data, where", [("a\nb".encode("utf-16-le"), "byte 1, line 1"), (b"a\nb\0", "byte 3, line 2")])
def test_nul_characters_are_refused_with_byte_and_line(data, where):
    with pytest.raises(WetgenError, match=rf"holds a NUL character \({where}\)"):
        texts(data)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(WetgenError, match="does not exist"):
        read_prompts(str(tmp_path / "none.txt"))
    with pytest.raises(WetgenError, match="is a folder"):
        read_prompts(str(tmp_path))


def test_a_dash_is_standard_input():
    assert texts(b"a crack\n") == ["a crack"]
    with pytest.raises(WetgenError, match="standard input holds no prompts"):
        texts(b"")
