"""Prompts files that are wrong: each fault at its line and column, in words that say what to do."""

import pytest

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.prompts.read import examine_prompt_file, read_prompt_file

WORDS = {"stain": ("stain", "stains"), "mold": ("mold", "mould"), "lost": ()}

TXT = [
    ("a\n  a {b\n", 2, 5, "this { is never closed", "{{"),
    ("a b}", 1, 4, "this } closes nothing", "}}"),
    ("a {wite} b", 1, 3, "there is no placeholder {wite}", "class, severity"),
    ("a {clss} b", 1, 3, "there is no placeholder {clss}", "did you mean 'class'?"),
    ("a {} b", 1, 3, "these braces are empty", "{{}}"),
    ("a --cuont 3", 1, 3, "there is no option --cuont", "did you mean 'count'?"),
    ("a\tb\t--Seed 3", 1, 5, "there is no option --Seed", "did you mean 'seed'?"),
    ("a --count: 3", 1, 3, "there is no option --count:", "did you mean 'count'?"),
    ("a --zzz 3", 1, 3, "there is no option --zzz", "use one of count, seed"),
    ("a --count 3 --count 3", 1, 13, "--count stands twice", "leave one of them out"),
    ("a --count", 1, 3, "--count has no value", "--count VALUE"),
    ("a --count --seed 3", 1, 3, "--count has no value", '--count ""'),
    ("a --count 3 on a wall", 1, 13, "'on' follows an option's value", "before the options"),
    ('a --negative "b', 1, 14, "this quote is never closed", '\\"'),
    (r'a --layout "masks\"', 1, 12, "this quote is never closed", '\\"'),
    ('a --negative "b"c', 1, 17, "'c' follows a closing quote", "put a blank"),
    ("--count 3", 1, 1, "prompt: there is none", "before the options"),
    ("  --count 3", 1, 3, "prompt: there is none", "before the options"),
    ("{|a} {b|}", 1, 1, "prompt: it may come out empty", "outside the alternatives"),
    ("a --count 0", 1, 11, "count: '0' is out of range", "in that range"),
    ("a --count 10000001", 1, 11, "count: '10000001' is out of range", "in that range"),
    ("a --count 2.0", 1, 11, "count: '2.0' is no whole number", "such as 3"),
    ("a --count 1_0", 1, 11, "count: '1_0' is no whole number", "such as 3"),
    ("a --count ٣", 1, 11, "count: '٣' is no whole number", "such as 3"),
    ("a --count " + 5000 * "9", 1, 11, "count: '9999999999999999999999999999999999999999...' is no", "such as 3"),
    ("a --seed -1", 1, 10, "seed: '-1' is out of range", "in that range"),
    ("a --seed 9223372036854775808", 1, 10, "seed: '9223372036854775808' is out of range", "in that range"),
    ("a --guidance nan", 1, 14, "guidance: 'nan' is out of range", "in that range"),
    ("a --guidance 1e39", 1, 14, "guidance: '1e39' is out of range", "in that range"),
    ("a --guidance 3,5", 1, 14, "guidance: '3,5' is no number", "with a point"),
    ("mold --severity 1.01", 1, 17, "severity: '1.01' is out of range", "in that range"),
    ('mold --severity "high"', 1, 18, "severity: 'high' is no number", "such as 0.8"),
    ("mold --severity -0.1", 1, 17, "severity: '-0.1' is out of range", "in that range"),
    ('a --plan " "', 1, 11, "plan: it is empty", "leave it out"),
    ('a --layout ""', 1, 13, "layout: it is empty", "leave it out"),
    ("a --class molt", 1, 11, "class: there is no class 'molt'", "did you mean 'mold'?"),
    ("a --class mould", 1, 11, "class: there is no class 'mould'", "did you mean 'mold'?"),
    ('a --class "mold | Stain"', 1, 19, "class: there is no class 'Stain'", "did you mean 'stain'?"),
    ("a --class mold|", 1, 16, "class: a name is empty", "use one of"),
    ("a {class}", 1, 3, "{class} stands for no class", "--quota"),
    ("a {class} --class mold|lost", 1, 3, "there is no word for {class} 'lost'", "write the damage out"),
    ("a {severity} stain", 1, 3, "{severity} stands for no severity", "from 0 to 1"),
    ('a --negative "b \\"c\\" {class}"', 1, 23, "{class} stands for no class", "--quota"),
    ('a --negative "b \\"\\" {c"', 1, 22, "negative: this { is never closed", "{{"),
    ("a clean wall --severity 0.5", 1, 1, "a severity needs a class", "leave the severity out"),
]
CSV = [
    ("a brown stain\na crack\n", 1, None, "there is no column 'a brown stain'", "use one of prompt"),
    ("prompt,cuont\na,3\n", 1, None, "there is no column 'cuont'", "did you mean 'count'?"),
    ("prompt,a;b;c\nd,e\n", 1, None, "there is no column 'a;b;c'", "use one of"),
    ("prompt;\na;\n", 1, None, "there is no column ''", "use one of"),
    ("count;seed\n1;2\n", 1, None, "the header lacks prompt", "prompt,count,seed"),
    ("prompt,count,text\na,3,b\n", 1, None, "the column 'prompt' stands twice", "delete one"),
    ("prompt,count\na,1\n\nb\n", 4, None, "the row has 1 cell, the header 2", "into quotes"),
    ("prompt,count\nmold, black,1\n", 2, None, "the row has 3 cells, the header 2", "into quotes"),
    ('prompt,count\n"a\nb",x\n', 3, None, "count: 'x' is no whole number", "such as 3"),
    ('prompt,count\n"a ""b"" {c",1\n', 2, None, "prompt, character 7: this { is never closed", "{{"),
    ('prompt,count\n"a\n\n b {c",1\n', 4, None, "prompt, character 7: this { is never closed", "{{"),
    ('prompt,count\na,1\n"b,2\nc,3\n', 3, None, "a quote is never closed", "twice"),
    (
        'prompt,count\n"b,2\n' + 20_000 * "mold {,0\n",
        2,
        None,
        "a cell has more than 131,072 characters",
        "close its quotes",
    ),
    ('prompt,count\na,"1"x\n', 2, None, "text follows a closing quote", "twice"),
    ("prompt,count\na,1\rb,2\n", 2, None, "a carriage return stands alone", "usual line ends"),
    ("prompt,count\n,3\n", 2, None, "there is no prompt", "as 'prompt' in a .csv"),
    ("prompt;severity\nmold;0,8\n", 2, None, "severity: '0,8' is no number", "with a point"),
    ("prompt,class\na,  molt\n", 2, None, "class, character 3: there is no class 'molt'", "did you mean 'mold'?"),
    ("prompt,count\n" + 140_000 * "a" + ",1\n", 2, None, "a cell has more than 131,072 characters", "shorten the cell"),
]
JSONL = [
    ('{"prompt": "a"}\n{"prompt": "a",}\n', 2, 16, "the line is no JSON", "one object a line"),
    ("a brown stain\n", 1, 1, "the line is no JSON", "one object a line"),
    ('{"prompt": "a"', 1, 15, "the line is no JSON", "one object a line"),
    ('{"prompt": "a"} {}', 1, 17, "the line is no JSON", "one object a line"),
    ('  ["a"]', 1, None, "the line is a list", "one object a line"),
    ("3", 1, None, "the line is a whole number", "one object a line"),
    ('  {"seed": ' + 5000 * "1" + "}", 1, None, "the line cannot be read", "one object a line"),
    ("[" * 10**5, 1, None, "the line cannot be read", "one object a line"),
    ('{"prompt": "a", "cuont": 3}', 1, None, "there is no key 'cuont'", "did you mean 'count'?"),
    ('{"prompt": "a", "plan": null , "plan": "b"}', 1, None, "the key 'plan' stands twice", "leave one"),
    ('{"prompt": "a", "text": "b"}', 1, None, "the key 'prompt' stands twice", "leave one"),
    ('{"count": 3}', 1, None, "there is no prompt", "as 'prompt'"),
    ('{"prompt": 3}', 1, None, "prompt: '3' is no text", "quotes"),
    ('{"prompt": "a", "count": true}', 1, None, "count: 'true' is no whole number", "such as 3"),
    ('{"prompt": "a", "count": 3.0}', 1, None, "count: '3.0' is no whole number", "such as 3"),
    ('{"prompt": "a", "count": "3"}', 1, None, "count: '3' is no whole number", "such as 3"),
    ('{"prompt": "mold", "severity": "0.8"}', 1, None, "severity: '0.8' is no number", "without quotes"),
    ('{"prompt": "mold", "severity": false}', 1, None, "severity: 'false' is no number", "such as 0.8"),
    ('{"prompt": "a", "guidance": NaN}', 1, None, "guidance: 'NaN' is out of range", "in that range"),
    ('{"prompt": "a", "guidance": 1' + 400 * "0" + "}", 1, None, "is out of range", "in that range"),
    ('{"prompt": "a", "negative": ["b"]}', 1, None, "negative: '[\"b\"]' is no text", "quotes"),
    ('{"prompt": "a", "plan": {}}', 1, None, "plan: '{}' is no text", "quotes"),
    ('{"prompt": "a", "class": ["mold"]}', 1, None, "class: '[\"mold\"]' is no text", "into quotes"),
    ('{"prompt": "\\u00e4 \\ud83d\\ude00 \\"\\\\ {b"}', 1, None, "prompt, character 8: this { is never closed", "{{"),
    ('{"prompt": " \\n a } b"}', 1, None, "prompt, character 6: this } closes nothing", "}}"),
    (
        '{"prompt": "a \\ud83d"}',
        1,
        None,
        "prompt, character 3: the text holds a character that cannot be written",
        "UTF-8",
    ),
    ('{"prompt": "a", "layout": "b\\u0000"}', 1, None, "layout, character 2: the text holds a character", "UTF-8"),
]
CASES = [(kind, *case) for kind, cases in (("txt", TXT), ("csv", CSV), ("jsonl", JSONL)) for case in cases]


@pytest.mark.parametrize("kind, text, line, column, what, fix", CASES)
def test_every_fault_stands_at_its_line_and_column_or_name(tmp_path, kind, text, line, column, what, fix):
    file = tmp_path / f"p.{kind}"
    file.write_bytes(text.encode())
    found = examine_prompt_file(str(file), WORDS).faults
    assert [(fault.line, fault.column) for fault in found] == [(line, column)]
    assert found[0].what.startswith(f"{file}, line {line}" + (": " if column is None else f", column {column}: "))
    assert what in found[0].what and fix in found[0].fix and found[0].why.endswith(".")
    with pytest.raises(WetgenError) as caught:
        read_prompt_file(str(file), WORDS)
    assert str(caught.value) == str(found[0])


@pytest.mark.parametrize(
    "kind, data, what, why",
    [
        ("txt", b"# a\n", "holds no prompts", "blank or begins with #"),
        ("txt", b"", "holds no prompts", "it is empty"),
        ("csv", b"", "holds no prompts", "it is empty"),
        ("csv", b"prompt,count\n,\n", "holds no prompts", "a header and no row"),
        ("jsonl", b"\n \n{}"[:3], "holds no prompts", "empty"),
        ("csv", "prompt\na".encode("utf-16"), "is not UTF-8 (byte 0, line 1)", "UTF-16"),
        ("jsonl", b'{"prompt": "\xff"}', "is not UTF-8 (byte 12, line 1)", "0xff"),
        ("csv", b"prompt\n\0", "holds a NUL character (byte 7, line 2)", "UTF-16"),
    ],
)
def test_files_that_hold_nothing_to_read(tmp_path, kind, data, what, why):
    file = tmp_path / f"p.{kind}"
    file.write_bytes(data)
    (found,) = examine_prompt_file(str(file), WORDS).faults
    assert found.what.startswith(f"{file} {what}") and why in found.why


def test_every_fault_of_a_file_is_found_in_its_order(tmp_path):
    file = tmp_path / "p.csv"
    file.write_text('prompt,cuont,seed,class\na {b,1,x,molt\n"b"c,1\n,,3,\nmold,1,2,mold\nmold,1\n')
    found = examine_prompt_file(str(file), WORDS).faults
    assert [(fault.line, fault.what.split(": ", 1)[1].rstrip(".")) for fault in found] == [
        (1, "there is no column 'cuont'"),
        (2, "prompt, character 3: this { is never closed"),
        (2, "seed: 'x' is no whole number"),
        (2, "class: there is no class 'molt'"),
        (3, "text follows a closing quote"),
        (4, "there is no prompt"),
        (6, "the row has 2 cells, the header 4"),
    ]
