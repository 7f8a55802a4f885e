"""Tables: what is read, and where each fault is said to be."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.tables import Column, parse_table, read_table

COLUMNS = {"name": Column(required=True, filled=True), "size": Column(), "note": Column()}


def texts(data: str | bytes, names=("name", "size", "note")):
    rows = parse_table(data if isinstance(data, bytes) else data.encode(), "t.csv", COLUMNS)
    return [tuple(row.text(name) for name in names) for row in rows]


def refusal(data: str | bytes) -> WetgenError:
    with pytest.raises(WetgenError) as caught:
        rows = parse_table(data if isinstance(data, bytes) else data.encode(), "t.csv", COLUMNS)
        for row in rows:
            row.number("size", 0, 10)
    return caught.value


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_delimiter_byte_order_mark_and_line_end_reads_the_same(delimiter, bom, end):
    lines = ["name,size,note", "wall,1,a  b", "", " floor , 2 ,"]
    data = bom + end.join(lines).replace(",", delimiter).encode()
    assert texts(data) == [("wall", "1", "a  b"), ("floor", "2", None)]


def test_quoted_cells_hold_delimiters_quotes_and_line_ends():
    assert texts('name,note\n"a, b","he said ""wet"""\n"two\r\nlines", "x" \n') == [
        ("a, b", None, 'he said "wet"'),
        ("two\nlines", None, "x"),
    ]


def test_only_line_feeds_end_a_line():
    assert texts("name,note\na\x0bb\x0c,c\u2028d\n") == [("a\x0bb", None, "c\u2028d")]


cell = st.text(st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=("Cs",)), max_size=6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(cell.filter(str.strip), cell, cell), max_size=5), st.sampled_from(",;\t"))
def test_what_is_written_quoted_is_read_back(rows, delimiter):
    quoted = [delimiter.join('"' + text.replace('"', '""') + '"' for text in row) for row in rows]
    data = "\n".join([delimiter.join(COLUMNS), *quoted])
    assert texts(data) == [tuple(text.strip() or None for text in row) for row in rows]


@pytest.mark.parametrize(
    ("data", "what", "fix"),
    [
        ("nam,size\na,1", "t.csv, line 1: there is no column 'nam'.", "did you mean 'name'?"),
        ("name,Size\na,1", "t.csv, line 1: there is no column 'Size'.", "did you mean 'size'?"),
        ("name,name\na,b", "t.csv, line 1: the column 'name' stands twice.", "delete one of the two."),
        ("size\n1", "t.csv, line 1: the header lacks name.", "add what is missing"),
        ("name,size\na,1\nb", "t.csv, line 3: the row has 1 cell, the header 2.", "add or remove delimiters"),
        ("name,size\na,1,,", "t.csv, line 2: the row has 4 cells, the header 2.", "add or remove delimiters"),
        ("name,size\n\n  ,1", "t.csv, line 3: name is empty.", "fill it in"),
        ("name,size\na, x1", "t.csv, line 2: size is 'x1'.", "write a number"),
        ("name;size\na;1,5", "t.csv, line 2: size is '1,5'.", "behind a point"),
        ("name,size\na,nan", "t.csv, line 2: size is 'nan'.", "write a number"),
        ("name,size\na,inf", "t.csv, line 2: size is 'inf'.", "write a number"),
        ("name,size\na,1_0", "t.csv, line 2: size is '1_0'.", "write a number"),
        ("name,size\na,11", "t.csv, line 2: size is 11.", "correct it."),
        ("name,size\na,-1", "t.csv, line 2: size is -1.", "correct it."),
        ('name,note\n"a\nb",c\n"d,e', "t.csv, line 4: a quote is never closed.", "twice"),
        ('name,note\n"a" b,c', "t.csv, line 2: text follows a closing quote.", "write a quote inside"),
        ('name,note\n"a\nb",c\nd,e,f', "t.csv, line 4: the row has 3 cells, the header 2.", "add or remove delimiters"),
        ("", "t.csv is empty.", "begin with: name,size,note"),
        (b"name\n\xff", "t.csv is not UTF-8 (byte 5, line 2).", "save it as UTF-8"),
        ("name\na\0", "t.csv holds a NUL character (byte 6, line 2).", "save it as UTF-8"),
    ],
)
def test_each_fault_has_its_place_and_its_words(data, what, fix):
    error = refusal(data)
    assert error.what.startswith(what) and fix in error.fix, str(error)


def test_words_are_checked_against_a_list():
    (row,) = parse_table(b"name\nstian", "t.csv", COLUMNS)
    with pytest.raises(WetgenError, match=r"line 2: name is 'stian'\.[\s\S]*did you mean 'stain'\?"):
        row.one_of("name", ("crack", "stain"))
    assert row.number("size") is None and row.where("size") == "t.csv, line 2, column size"


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(WetgenError, match="could not be read"):
        read_table(tmp_path / "none.csv", COLUMNS)
