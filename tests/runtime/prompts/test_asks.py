"""Prompts files of every kind, read to asks."""

import csv
import io
import json
import re
import sys
import tracemalloc
from dataclasses import astuple, fields, replace
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.prompts.lines import PromptRequest
from wetgen.runtime.prompts.read import OPTIONS, examine_prompt_file, read_prompt_file, resolve

WORDS = {"stain": ("stain", "stains"), "mold": ("mold", "mould")}
EVERYTHING = {
    "prompt": "a brown stain on a white ceiling",
    "count": 3,
    "seed": 7,
    "negative": 'mold, "old" cracks',
    "guidance": 3.5,
    "plan": "fast",
    "class": "stain",
    "severity": 0.7,
    "layout": "masks/a b.png",
    "photo": "p.jpg",
}


def as_txt(asks, *, quote_all=True):
    """The same lines as .txt."""

    def option(name, value):
        bare = re.fullmatch(r'(?!--)[^\s"]+', value) and not quote_all
        return f" --{name} {value}" if bare else ' --{} "{}"'.format(name, value.replace('"', '\\"'))

    return "".join(
        ask["prompt"] + "".join(option(name, str(ask[name])) for name in OPTIONS if name in ask) + "\n" for ask in asks
    )


def as_csv(asks, delimiter=",", end="\r\n"):
    table = io.StringIO(newline="")
    columns = ["prompt", *reversed(OPTIONS)]
    writer = csv.DictWriter(table, columns, delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(asks)
    return table.getvalue()


def as_jsonl(asks, **how):
    return "".join(json.dumps(ask, **how) + "\n" for ask in asks)


@pytest.fixture
def read(tmp_path):
    def read(text, kind="txt", **how):
        file = tmp_path / f"prompts.{kind}"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_prompt_file(str(file), WORDS, **how)

    return read


def test_every_option_reaches_the_ask(read):
    expected = PromptRequest(
        line=1,
        text="a severe brown stain on a white ceiling",
        number=0,
        seed=7,
        negative='mold, "old" cracks',
        guidance=3.5,
        plan="fast",
        asked="stain",
        severity=0.7,
        layout="masks/a b.png",
        photo="p.jpg",
    )
    for asks in (read(as_txt([EVERYTHING])), read(as_jsonl([EVERYTHING]), "jsonl")):
        assert list(asks) == [replace(expected, number=number) for number in range(3)]
    assert list(read(as_csv([EVERYTHING]), "csv")) == [replace(expected, line=2, number=number) for number in range(3)]
    assert {field.name for field in fields(PromptRequest)} == {"line", "text", "number", "asked"} | set(OPTIONS) - {
        "count",
        "class",
    }


def test_a_plain_file_is_gone_through_in_its_order(read):
    asks = read("# c\none\n\n two  words \n#\nthree\n", count=2)
    assert [(ask.line, ask.text, ask.number) for ask in asks] == [
        (2, "one", 0),
        (4, "two  words", 0),
        (6, "three", 0),
        (2, "one", 1),
        (4, "two  words", 1),
        (6, "three", 1),
    ]
    assert all(set(astuple(ask)[3:]) == {None} for ask in asks)
    assert (len(asks), asks[-1], asks[4]) == (6, asks[5], list(asks)[4])
    assert asks[1:5:2] == [asks[1], asks[3]]
    with pytest.raises(IndexError):
        asks[6]


def test_counts_stand_in_a_row_and_rounds_go_on_counting(read):
    asks = read("a --count 2\nb\n", count=3)
    assert [(ask.text, ask.number) for ask in asks[:6]] == [("a", 0), ("a", 1), ("b", 0), ("a", 2), ("a", 3), ("b", 1)]
    assert list(read("a --count 2\nb\n", count=2)) == list(asks[:6])  # more rounds change none


def test_a_count_is_one_or_more(read):
    with pytest.raises(WetgenError, match="The count is 0"):
        read("a", count=0)


@pytest.mark.parametrize(
    "line, text, options",
    [
        ("a -- b", "a -- b", {}),
        ("a--count 3", "a--count 3", {}),
        ("a -count 3", "a -count 3", {}),
        ("a --3", "a --3", {}),
        ("a\t--plan\tfast", "a", {"plan": "fast"}),
        ("a --plan=fast", "a", {"plan": "fast"}),
        ('a --plan="fast one"', "a", {"plan": "fast one"}),
        ('a --negative ""', "a", {"negative": ""}),
        ('a --negative "x --count 3"', "a", {"negative": "x --count 3"}),
        ('a --negative "\\"x\\""', "a", {"negative": '"x"'}),
        (r'a --layout "m\a.png"', "a", {"layout": r"m\a.png"}),
        (r"a --layout m\ --plan b", "a", {"layout": "m\\", "plan": "b"}),
        ('the "wet" wall --guidance -1', 'the "wet" wall', {"guidance": -1.0}),
        ("a --negative -- --plan b", "a", {"negative": "--", "plan": "b"}),
        ("a --guidance 1e1\r", "a", {"guidance": 10.0}),
        ("a --guidance .5", "a", {"guidance": 0.5}),
        ("a --seed 9223372036854775807", "a", {"seed": 2**63 - 1}),
        ("a --seed 0 --severity 0 --class mold --count 1 ", None, {}),
        ("a --class mold|stain|mold --count 10000000", "a", {}),
    ],
)
def test_lines_of_text_with_options(read, line, text, options):
    if text is None:
        with pytest.raises(WetgenError, match="a severity needs a class"):
            read(line)
        return
    ask = read(line)[0]
    assert replace(ask, asked=None) == PromptRequest(1, text, 0, **options)


SAID = st.text(st.sampled_from("ab \"',;|=#\té\u2028\U0001f600-"), min_size=1, max_size=8)
VALUES = SAID.filter(str.strip)
PROMPTS = VALUES.filter(lambda text: not re.search(r"(?<!\S)(#|--[a-z])", text))
LINES = st.fixed_dictionaries(
    {"prompt": st.one_of(PROMPTS, st.sampled_from(["a {b|c {d|e}} {class}", "x {severity} {{y}} {|z}", "mold"]))},
    optional={
        "count": st.integers(1, 3),
        "seed": st.integers(0, 2**63 - 1),
        "negative": st.one_of(VALUES, st.just("{b|no {class}}")),
        "guidance": st.floats(-1e30, 1e30),
        "plan": VALUES,
        "class": st.sampled_from(["mold", "stain", "mold|stain"]),
        "layout": VALUES,
        "photo": VALUES,
    },
)


def sound(ask):
    """Give a line what its placeholders stand for."""
    if "{severity}" in ask["prompt"]:
        ask = {**ask, "severity": 0.5}
    return {"class": "mold", **ask} if "{class}" in ask["prompt"] + str(ask.get("negative")) else ask


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES.map(sound), min_size=1, max_size=4), st.integers(1, 3))
def test_every_kind_of_file_says_the_same(read, lines, count):
    expected = [replace(ask, line=0) for ask in read(as_jsonl(lines), "jsonl", count=count)]
    assert len(expected) == count * sum(line.get("count", 1) for line in lines)
    others = [
        (as_txt(lines), "txt"),
        (as_txt(lines, quote_all=False), "TXT"),
        (as_csv(lines), "csv"),
        (as_csv(lines, ";", "\n"), "csv"),
        ("\ufeff" + as_csv(lines, "\t"), "CSV"),
        (as_jsonl(lines, ensure_ascii=False, indent=None), "jsonl"),
    ]
    for text, kind in others:
        assert [replace(ask, line=0) for ask in read(text, kind, count=count)] == expected


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES.map(sound), min_size=2, max_size=4))
def test_a_line_does_not_depend_on_others(read, lines):
    together = read(as_jsonl(lines), "jsonl", count=2)
    for place, line in enumerate(lines, 1):
        alone = [replace(ask, line=place) for ask in read(as_jsonl([line]), "jsonl", count=2)]
        assert [ask for ask in together if ask.line == place] == alone


def test_csv_counts_physical_lines(read):
    text = '\nprompt;negative\n\n"a\n""wet"" wall";x\n;\nb;\n'
    asks = read(text, "csv")
    assert [(ask.line, ask.text, ask.negative) for ask in asks] == [(4, 'a\n"wet" wall', "x"), (7, "b", None)]


@pytest.mark.parametrize(
    "text",
    [
        "prompt\nb\n",
        "text,class\n b ,\n",
        "class;prompt\n;b\n",
        "\ufeffprompt\tcount\r\nb\t1",
        "text;guidance\nb;3.5",
    ],
)
def test_headers_tell_the_delimiter(read, text):
    assert read(text, "csv")[0].text == "b"


def test_null_and_blank_lines_say_nothing_in_jsonl(read):
    asks = read('\n{"text": "a", "plan": null, "negative": ""}\r\n \n{"prompt":"b"}', "jsonl")
    assert [(ask.line, ask.text, ask.plan, ask.negative) for ask in asks] == [(2, "a", None, ""), (4, "b", None, None)]


def test_a_severity_says_its_words_where_the_text_does_not(read):
    asks = read("a {stain|{severity} mold|stain, {severity}} --severity 0.1 --count 3\n")
    assert {ask.text for ask in asks} == {"a slight small stain", "a slight small mold", "a stain, slight small"}
    assert {ask.severity for ask in asks} == {0.1}


def test_a_place_in_every_combination_needs_no_search(read):
    many = "{0|1}" * 13
    assert "severe" in read(f"a wall {many} {{severity}} --severity 0.7")[0].text
    with pytest.raises(WetgenError, match="8192 combinations, and at most 4096 are searched"):
        read(f"a stain {many} --severity 0.7")
    with pytest.raises(WetgenError, match="16384 combinations"):
        read(f"a stain {many} {{b|{{severity}}}} --severity 0.7")


def test_the_last_of_many_combinations_is_looked_at(read):
    many = "{0|1}" * 11  # with the last alternative 2049 combinations
    read(f"a {{stain {many}|stain}} --severity 0.7")
    with pytest.raises(WetgenError, match="'a wall' names no damage"):
        read(f"a {{stain {many}|wall}} --severity 0.7")


def test_class_and_severity_fill_the_negative_too(read):
    ask = read('a {class} --class mold --severity 0.7 --negative "{severity} stain, no {class}"')[0]
    assert (ask.text, ask.negative) == ("a severe mold", "severe stain, no mold")


def test_a_million_pairs_are_not_kept(read):
    """A thousand bytes for a line, and nothing for a pair."""
    asks = read("a {b|c|d} stain --count 10000000\nmold --count 5\n", count=10**5)
    quota = read("a {b|c} {class}\nmold\n", quota={"mold": 10**7, "stain": 10**7})
    tracemalloc.start()
    for each in (asks, quota):
        for index in (0, len(each) // 2, len(each) - 1):
            assert each[index].number >= 0
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(asks) == 10**12 + 5 * 10**5 and len(quota) == 2 * 10**7
    assert asks[10**12 + 5 * 10**5 - 1] == PromptRequest(2, "mold", 5 * 10**5 - 1)
    assert peak < 100_000


def test_more_pairs_than_can_be_counted_are_refused(read):
    with pytest.raises(WetgenError, match="asks for 10000000000000000000000 pairs"):
        read("a --count 10000000", count=10**15)


def test_the_hash_is_of_what_is_asked(read):
    base = read("a --count 2\nmold\n")
    assert base.sha256 == read("# c\na   --count 2\n\nmold --count 1\n").sha256
    assert base.sha256 == read('{"prompt": "a", "count": 2}\n{"text": "mold"}', "jsonl").sha256
    different = [
        read("mold\na --count 2\n"),
        read("a --count 3\nmold\n"),
        read("a --count 2 --seed 0\nmold\n"),
        read('a --count 2 --negative ""\nmold\n'),
        read("a --count 2\nmold\n", quota={"mold": 3}),
        read("a --count 2\nmold\n", quota={"mold": 4}),
        read("a {class}\nmold\n", quota={"mold": 4, "stain": 5}),
        read("a {class}\nmold\n", quota={"stain": 5, "mold": 4}),
    ]
    hashes = {asks.sha256 for asks in different}
    assert len(hashes) == len(different) and base.sha256 not in hashes
    assert base.sha256 == read("a --count 2\nmold\n", count=2).sha256, "a larger count adds pairs and changes none"
    assert base.lines_sha256 == different[4].lines_sha256 == different[5].lines_sha256 != different[0].lines_sha256


def test_names_are_what_errors_say(read, tmp_path, monkeypatch):
    assert read("a").names == str(tmp_path / "prompts.txt")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a --count 2\n")))
    asks = read_prompt_file("-", WORDS)
    assert (asks.names, len(asks)) == ("standard input", 2)


def test_paths_lie_beside_the_file(tmp_path):
    assert str(resolve("a/b.png", "some/prompts.txt")) == "some/a/b.png"
    assert str(resolve("a.png", "-")) == "a.png" and resolve(str(tmp_path), "some/p.txt") == tmp_path


def test_all_faults_are_told_and_the_first_is_raised(tmp_path):
    file = tmp_path / "p.txt"
    file.write_text("a {b --count 0\nok\nx --cuont 3 --plan\n")
    found = examine_prompt_file(str(file), WORDS).faults
    assert [(fault.line, fault.column) for fault in found] == [(1, 3), (1, 14), (3, 3), (3, 13)]
    with pytest.raises(WetgenError) as caught:
        read_prompt_file(str(file), WORDS)
    assert str(caught.value) == str(found[0])
    file.write_text("ok\n")
    assert examine_prompt_file(str(file), WORDS).faults == []
    assert [fault.what for fault in examine_prompt_file(str(tmp_path / "none.txt"), WORDS).faults] == [
        f"{tmp_path}/none.txt does not exist."
    ]


def test_a_million_characters_without_an_end_are_read_in_no_time(read):
    """Patterns that try every way to match a quote would take hours."""
    for text, kind in ((f'a --negative "{10**5 * chr(92)}', "txt"), (f'prompt\n"{10**5 * "x "}', "csv")):
        with pytest.raises(WetgenError, match=r"never closed|more than 131,072 characters"):
            read(text, kind)
